"""From kernels, as another program timed them, to the operators of a graph."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from planner.arrays import DisjointSets
from planner.costs.profile_file import (
    MAX_SECONDS,
    Engine,
    Group,
    InputShape,
    Measurement,
    NodeTiming,
    Timing,
    WholeTiming,
)
from planner.errors import MeasuringError, listed, shorten
from planner.graphs.flop_rules import Traffic
from planner.graphs.graph import Graph
from planner.graphs.operations import rule_of
from planner.graphs.operators import GRAPH_INPUT
from planner.graphs.signatures import (
    edges_between,
    input_shapes,
    model_digest,
    operator_signature,
    output_bytes,
    read_outside,
)

_MAX_OVERHEAD = 1000.0
"""A run may take this many times what its operators do."""

_REMOVED = frozenset({"Dropout"})
"""Beside views, what runtimes take out of a model that does not train."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kernel:
    """What a runtime timed as one: seconds per run of the model, in the order of execution.

    `op` is the runtime's word for what it computes, where it has one.
    """

    name: str
    op: str = ""
    typical_s: float
    spread_s: float = 0.0
    n_runs: int


class Attribution:
    """Which operators share which kernels.

    Operators of one kernel form a group, and so do kernels with an operator in common: what each
    takes apart is not known.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._sets = DisjointSets(len(graph.operators))
        self._kernels: list[tuple[Kernel, int]] = []
        self._latest: dict[int, int] = {}
        self._reasons: list[tuple[int, str]] = []
        self.unplaced: list[Kernel] = []

    def place(self, kernel: Kernel, operators: Iterable[int], position: int, how: str) -> None:
        """Charge a kernel, the `position`-th to run, to operators; none of them: to nobody."""
        members = sorted(operators)
        if not members:
            self.unplaced.append(kernel)
            return
        first = members[0]
        self._kernels.append((kernel, first))
        for member in members:
            self._sets.join(first, member)
            self._latest[member] = max(position, self._latest.get(member, -1))
        self._reasons.append((first, f"{how} `{shorten(kernel.name, 60)}`"))

    def join(self, operator: int, other: int) -> None:
        """Guess that an operator without a kernel ran in that of another."""
        self._sets.join(other, operator)
        self._latest[operator] = self._latest[other]
        name = self.graph.operators[operator].name
        self._reasons.append((other, f"guessed: `{shorten(name, 60)}` has no time of its own"))

    def is_timed(self, operator: int) -> bool:
        """Whether a kernel was charged to it, alone or with others."""
        return operator in self._latest

    def position(self, operator: int) -> int:
        """When the last of its kernels ran, as `place` was told."""
        return self._latest[operator]

    def placed_s(self) -> float:
        """Seconds that are charged to operators."""
        return sum(kernel.typical_s for kernel, _ in self._kernels)

    def groups(self) -> dict[int, list[int]]:
        """Timed operators by representative, ascending."""
        found: dict[int, list[int]] = {}
        for operator in sorted(self._latest):
            found.setdefault(self._sets.find(operator), []).append(operator)
        return found

    def kernels(self) -> dict[int, list[Kernel]]:
        """Kernels by representative."""
        found: dict[int, list[Kernel]] = {}
        for kernel, operator in self._kernels:
            found.setdefault(self._sets.find(operator), []).append(kernel)
        return found

    def reasons(self) -> dict[int, str]:
        """Why the operators of a group are together, by representative."""
        found: dict[int, dict[str, None]] = {}
        for operator, reason in self._reasons:
            found.setdefault(self._sets.find(operator), {})[reason] = None
        texts = {root: list(lines) for root, lines in found.items()}
        return {
            root: "; ".join(lines[:4]) + (f"; and {len(lines) - 4} more" if lines[4:] else "")
            for root, lines in texts.items()
        }


def free_operators(graph: Graph) -> list[bool]:
    """Which operators may take no time: views, and what runtimes drop, or compute beforehand.

    What no graph input reaches is computed when a session is made.
    """
    is_fed: list[bool] = []
    for operator in graph.operators:
        producers = [graph.tensors[t].producer for t in operator.inputs]
        is_fed.append(any(p == GRAPH_INPUT or is_fed[p] for p in producers))
    return [
        not fed or rule_of(operator.op).traffic is Traffic.NOTHING or operator.op in _REMOVED
        for operator, fed in zip(graph.operators, is_fed, strict=True)
    ]


def refuse_untimed(attribution: Attribution, where: str, hint: str) -> None:
    """Operators that take time, and about which the file says nothing.

    Raises:
        MeasuringError: Listing them.
    """
    graph = attribution.graph
    is_free = free_operators(graph)
    names = [
        f"`{shorten(operator.name, 60)}` ({operator.op})"
        for index, operator in enumerate(graph.operators)
        if not attribution.is_timed(index) and not is_free[index]
    ]
    if names:
        text = f"says nothing about {_count(len(names), 'operator')} of `{graph.name}`: "
        raise MeasuringError(text + listed(names, 10), code="PLN613", where=where, hint=hint)


def refuse_other_model(graph: Graph, unknown: Sequence[str], n_kernels: int, where: str) -> None:
    """Most of what was timed is not in the graph.

    Raises:
        MeasuringError: Always.
    """
    shown = ", ".join(f"`{shorten(name, 60)}`" for name in unknown[:5])
    operators = ", ".join(f"`{shorten(o.name, 60)}`" for o in graph.operators[:3])
    raise MeasuringError(
        f"{len(unknown)} of {n_kernels} timed layers are not in the model `{graph.name}`: {shown}",
        code="PLN612",
        where=where,
        hint=f"is this the file that was measured? its operators are called {operators}, …",
    )


def refuse_idle(attribution: Attribution, whole_s: float, where: str) -> None:
    """Operators that take next to nothing of a run say nothing about how it is made up.

    Raises:
        MeasuringError: If they do.
    """
    placed_s = attribution.placed_s()
    if whole_s and placed_s * _MAX_OVERHEAD >= whole_s:
        return
    text = "nothing in it took any time"
    if whole_s:
        text = f"a run took {whole_s:.3g} s, of which the model's operators took {placed_s:.3g} s"
    raise MeasuringError(text, code="PLN614", where=where)


def make_measurement(
    attribution: Attribution, *, whole: Timing, engine: Engine, method: str, notes: Sequence[str]
) -> Measurement:
    """The measurement of a graph, scaled so that its operators add up to `whole`.

    Args:
        attribution: With everything charged that can be, and not idle.
        whole: What the whole model takes.
        engine: What ran it.
        method: How single kernels were timed.
        notes: What was found on the way; what was done here is added.
    """
    graph = attribution.graph
    placed_s = attribution.placed_s()
    timings = _timings(attribution, whole.typical_s / placed_s, method)
    untimed = [o.name for i, o in enumerate(graph.operators) if not attribution.is_timed(i)]
    reasons = attribution.reasons()
    return Measurement(
        model=graph.name,
        digest=model_digest(graph),
        batch=graph.batch,
        inputs=_inputs(graph),
        mode="inference",
        engine=engine,
        started="",
        is_complete=True,
        whole=WholeTiming(forward=whole, sum_forward_s=placed_s),
        nodes=tuple(_row(graph, i, timings[i]) for i in range(len(graph.operators))),
        groups=tuple(
            _group(graph, members, reasons[root])
            for root, members in attribution.groups().items()
            if len(members) > 1
        ),
        notes=(*notes, *_own_notes(attribution, untimed)),
    )


def _timings(attribution: Attribution, factor: float, method: str) -> dict[int, Timing]:
    """Every operator's time, that of its kernels times `factor`."""
    operators = attribution.graph.operators
    free = _nothing(0, "estimated", "no time: a view, or computed beforehand")
    timings = dict.fromkeys(range(len(operators)), free)
    groups = attribution.groups()
    for root, kernels in attribution.kernels().items():
        first, *others = groups[root]
        timings[first] = Timing(
            typical_s=sum(kernel.typical_s for kernel in kernels) * factor,
            spread_s=min(sum(k.spread_s for k in kernels) * factor, MAX_SECONDS),
            n_runs=min(kernel.n_runs for kernel in kernels),
            origin="measured",
            method=method,
        )
        inside = f"in the time of `{operators[first].name}`"
        shared = _nothing(timings[first].n_runs, "measured", inside)
        timings |= dict.fromkeys(others, shared)
    return timings


def _row(graph: Graph, index: int, forward: Timing) -> NodeTiming:
    operator = graph.operators[index]
    # Shapes of a scaled graph are not those that were run.
    signature = operator_signature(graph, index) if graph.batch_scale == 1 else ""
    document = {"name": operator.name, "op": operator.op, "signature": signature}
    size = {"output_bytes": output_bytes(graph, index)}
    return NodeTiming.model_validate({**document, **size, "forward": forward})


def _group(graph: Graph, members: Sequence[int], reason: str) -> Group:
    nodes = tuple(graph.operators[member].name for member in members)
    edges, outside = edges_between(graph, nodes), read_outside(graph, nodes)
    return Group(nodes=nodes, edges=edges, read_outside=outside, reason=reason)


def _nothing(n_runs: int, origin: str, method: str) -> Timing:
    document = {"typical_s": 0.0, "n_runs": n_runs, "origin": origin, "method": method}
    return Timing.model_validate(document)


def _inputs(graph: Graph) -> tuple[InputShape, ...]:
    scale = graph.batch_scale
    rows: list[InputShape] = []
    for name, (dtype, shape) in input_shapes(graph).items():
        fed = (int(shape[0] * scale), *shape[1:]) if shape and scale != 1 else shape
        rows.append(InputShape(name=name, dtype=dtype, shape=fed))
    return tuple(rows)


def _own_notes(attribution: Attribution, untimed: Sequence[str]) -> list[str]:
    notes: list[str] = []
    lost_s = sum(kernel.typical_s for kernel in attribution.unplaced)
    if attribution.unplaced:
        share = lost_s / (lost_s + attribution.placed_s())
        shown = listed([f"`{shorten(k.name, 60)}`" for k in attribution.unplaced], 5)
        notes.append(
            f"{share:.1%} of the time is that of {_count(len(attribution.unplaced), 'kernel')} of "
            f"no operator, and was spread over all: {shown}"
        )
    if untimed:
        shown = listed([f"`{shorten(name, 60)}`" for name in untimed], 5)
        notes.append(
            f"{_count(len(untimed), 'operator')} without a time, as views are and what is computed "
            f"beforehand, counted as free: {shown}"
        )
    return notes


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
