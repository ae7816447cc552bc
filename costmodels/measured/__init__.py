"""The cost model `measured`: what operators took on the host itself, as a profile says.

The profile is of the graph (by digest), or its operators are (by signature). Between batches it is
scaled only where two were measured. What ran as one kernel is kept together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from pydantic import BaseModel

from planner.arrays import BoolArray, FloatArray
from planner.costmodels.measured.columns import Columns, columns_of, groups_of, on_a_line
from planner.costmodels.measured.kernels import Catalogue, Occurrences, catalogue, find_kernels
from planner.costmodels.measured.matching import Match, Request, finished, match
from planner.costs.cost_file import MeasuredHost
from planner.costs.cost_table import CostContext, HostCosts
from planner.costs.profile_file import NodeTiming, Profile, read_profile
from planner.errors import MAX_LISTED, PlannerError, PluginError, named, raise_all, shorten
from planner.graphs.graph import Graph
from planner.graphs.signatures import operator_signature

FAR = 2.0
"""Batches this many times beyond what was measured are told apart."""

NOTEWORTHY = 0.01
"""Share of all seconds above which it is told what was left out."""


class MeasuredModel:
    """See the module; satisfies `planner.costs.cost_table.CostModel`."""

    name = "measured"
    requires: tuple[str, ...] = ()
    options: type[BaseModel] = MeasuredHost

    def cost(self, graph: Graph, options: BaseModel, context: CostContext) -> HostCosts:
        """Look every operator of `graph` up in the host's profile.

        Raises:
            PlannerError: If the profile is of another model, batch or mode, or not finished;
                listing every operator without a price.
        """
        if not isinstance(options, MeasuredHost):
            raise TypeError(f"expected MeasuredHost, got {type(options).__name__}")
        mode = "training" if context.is_training else "inference"
        request = Request(host=context.host, profile=_profile(options), mode=mode)
        has_backward = context.has_backward(graph)
        if options.by_signature:
            return _by_signature(graph, request, has_backward)
        return _by_name(graph, request, has_backward)


COST_MODEL = MeasuredModel()


def _profile(options: MeasuredHost) -> Profile:
    """The profile; costs that were not read from a file may still have its path."""
    profile = options.profile
    return read_profile(profile) if isinstance(profile, str) else profile


def _by_name(graph: Graph, request: Request, has_backward: BoolArray) -> HostCosts:
    found = match(graph, request)
    groups = groups_of(graph, found.measurements)
    columns = [columns_of(graph, m, groups, has_backward) for m in found.measurements]
    raise_all([*_gaps(graph, request, found, columns, has_backward)])
    notes = [*found.notes]
    if found.is_exact:
        forward, backward = columns[0].forward_s, columns[0].backward_s
    else:
        batches = [float(m.batch or 0) for m in found.measurements]
        forward, backward = (
            on_a_line(batches, np.stack(rows), float(graph.batch or 0))
            for rows in ([c.forward_s for c in columns], [c.backward_s for c in columns])
        )
        notes += _line_notes(batches, graph.batch or 0, forward, backward)
        forward, backward = np.maximum(forward, 0.0), np.maximum(backward, 0.0)
    left_out = max(c.left_out_s for c in columns)
    if left_out > NOTEWORTHY * float(forward.sum()):
        notes.append(
            f"{left_out:.3g} s of the profile are for operators that this graph does not have"
        )
    rows = [row for m in found.measurements for row in m.nodes if row.node in graph.operator_index]
    notes += _origin_notes(graph, rows, has_backward)
    return _costs(forward, backward, [g for g in groups if len(g) > 1], notes)


def _gaps(
    graph: Graph,
    request: Request,
    found: Match,
    columns: Sequence[Columns],
    has_backward: BoolArray,
) -> Iterator[PlannerError]:
    is_timed = np.all([c.is_timed for c in columns], axis=0)
    is_timed_back = np.all([c.is_timed_back for c in columns], axis=0)
    names = [operator.name for operator in graph.operators]
    place = f"{found.place}.nodes"
    yield from _unpriced(
        request.host,
        [names[v] for v in np.flatnonzero(~is_timed)],
        place,
        "measure it again: `planner profile GRAPH -o FILE`",
    )
    yield from _one_way(
        request.host,
        [names[v] for v in np.flatnonzero(has_backward & is_timed & ~is_timed_back)],
        place,
    )


def _unpriced(host: str, names: Sequence[str], where: str, hint: str) -> Iterator[PlannerError]:
    if names:
        text = f"host `{host}` has no measurement of {named(names, MAX_LISTED)}"
        yield PluginError(text, code="PLN306", where=where, hint=hint)


def _one_way(host: str, names: Sequence[str], where: str) -> Iterator[PlannerError]:
    if names:
        yield PluginError(
            f"host `{host}` has no backward seconds for {named(names, MAX_LISTED)}, "
            "expected some wherever training runs a backward pass",
            code="PLN307",
            where=where,
            hint="measure it with `--backward measure` or `--backward ratio`",
        )


def _line_notes(
    batches: Sequence[float], batch: int, forward: FloatArray, backward: FloatArray
) -> Iterator[str]:
    shown = [f"{b:.0f}" for b in batches]
    listed = f"{', '.join(shown[:-1])} and {shown[-1]}"
    yield f"seconds at batch {batch} are on the line through those at batches {listed}"
    if batch > FAR * batches[-1] or batch * FAR < batches[0]:
        yield (
            f"batch {batch} is far from any that was measured ({listed}): memory may behave "
            "otherwise there"
        )
    n_below = int(((forward < 0) | (backward < 0)).sum())
    if n_below:
        yield f"the line is below 0 for {_count(n_below, 'operator')}, which count as 0 s"


def _by_signature(graph: Graph, request: Request, has_backward: BoolArray) -> HostCosts:
    measurements = finished(request.profile.measurements, request)
    known = catalogue(measurements)
    signatures = [operator_signature(graph, v) for v in range(len(graph.operators))]
    n = len(signatures)
    forward, backward = np.zeros(n), np.zeros(n)
    groups: list[tuple[int, ...]] = []
    prices: list[tuple[tuple[int, ...], Occurrences]] = []
    for pattern, members in find_kernels(graph, signatures, known.kernels):
        groups.append(members)
        prices.append((members, known.kernels[pattern]))
    in_kernel = {v for group in groups for v in group}
    rest = [v for v in range(n) if v not in in_kernel]
    prices += [((v,), known.alone[signatures[v]]) for v in rest if signatures[v] in known.alone]
    one_way: list[int] = []
    for members, price in prices:
        forward[members[0]] = price.forward
        back = [v for v in members if has_backward[v]]
        if back and price.backward is None:
            one_way += back
        elif back:
            backward[back[0]] = price.backward or 0.0
    strange = [v for v in rest if signatures[v] not in known.alone]
    names = [operator.name for operator in graph.operators]
    where = request.place()
    hint = _signature_hint(graph, known, [signatures[v] for v in strange])
    raise_all(
        [
            *_unpriced(request.host, [names[v] for v in strange], where, hint),
            *_one_way(request.host, [names[v] for v in sorted(one_way)], where),
        ]
    )
    models = dict.fromkeys(f"`{shorten(m.model)}`" for m in measurements)
    notes = [f"priced operator by operator from measurements of {', '.join(models)}"]
    notes += _price_notes(prices, has_backward)
    return _costs(forward, backward, groups, notes)


def _signature_hint(graph: Graph, known: Catalogue, absent: Sequence[str]) -> str:
    if graph.batch_scale != 1:
        return (
            "signatures hold shapes, and those of this graph are not at the planned batch: export "
            "it at that batch, or plan at the exported one"
        )
    if absent and all(known.is_fused(signature) for signature in absent):
        return "they were measured only within kernels: measure them apart with `--no-fusion`"
    return "measure a model that has them, and join both with `planner merge-profiles`"


def _costs(
    forward: FloatArray,
    backward: FloatArray,
    groups: Sequence[tuple[int, ...]],
    notes: Sequence[str],
) -> HostCosts:
    kept = []
    if groups:
        it_runs = "operators that it runs as one kernel"
        what = (
            f"1 group of {it_runs} is"
            if len(groups) == 1
            else f"{len(groups)} groups of {it_runs} are"
        )
        kept.append(f"{what} kept together")
    return HostCosts(
        forward_s=forward,
        backward_s=backward,
        notes=(*notes, *kept),
        together=tuple(groups),
    )


def _origin_notes(
    graph: Graph, rows: Sequence[NodeTiming], has_backward: BoolArray
) -> Iterator[str]:
    """How much of the numbers was estimated, and how."""
    forward: dict[str, None] = {}
    backward: dict[str, None] = {}
    methods: dict[str, None] = {}
    for row in rows:
        if row.forward.origin == "estimated":
            forward[row.node] = None
        is_used = has_backward[graph.operator_index[row.node]]
        if is_used and row.backward is not None and row.backward.origin == "estimated":
            backward[row.node] = None
            methods[row.backward.method] = None
    yield from _estimated("forward", len(forward), len(graph.operators), ())
    yield from _estimated("backward", len(backward), int(has_backward.sum()), list(methods))


def _price_notes(
    prices: Sequence[tuple[tuple[int, ...], Occurrences]], has_backward: BoolArray
) -> Iterator[str]:
    n_forward = sum(len(members) for members, price in prices if price.is_forward_estimated)
    yield from _estimated("forward", n_forward, len(has_backward), ())
    guessed = [(has_backward[[*v]].sum(), price) for v, price in prices if price.backward_methods]
    methods = dict.fromkeys(m for n, price in guessed if n for m in price.backward_methods)
    n_backward = sum(int(n) for n, _ in guessed)
    yield from _estimated("backward", n_backward, int(has_backward.sum()), list(methods))


def _estimated(what: str, n: int, of: int, methods: Sequence[str]) -> Iterator[str]:
    if n:
        number = "all" if n == of else f"{n} of {of}"
        more = f" and {len(methods) - 2} other ways" if len(methods) > 2 else ""
        how = f", by {', '.join(shorten(m) for m in methods[:2])}{more}" if methods else ""
        yield f"{what} seconds of {number} operators are estimated{how}"


def _count(n: int, what: str) -> str:
    return f"1 {what}" if n == 1 else f"{n} {what}s"
