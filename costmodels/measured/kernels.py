"""Operators of a new graph priced by what like ones took: alone, or as a kernel of several.

A kernel that was measured is a little subgraph, its operators by signature and the tensors between
them. It is looked for in the new graph from the first operator on, larger kernels first; operators
that belong to none are priced alone, by the median over all that were measured alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from planner.costs.profile_file import Measurement, NodeTiming
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT
from planner.graphs.signatures import _is_read_outside

MAX_STEPS = 10_000
"""Operators that are tried for one kernel at one place."""

Edges = frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pattern:
    """A kernel to look for: signatures, and which member reads which, by position.

    Without `edges` it is not known who reads whom: each but the first has to read another.
    `read_outside` are those whose results others read, too, or the model returns; where that is not
    known, no result that a member reads is kept for others, which a kernel would have to write.
    """

    signatures: tuple[str, ...]
    edges: Edges
    read_outside: frozenset[int]


@dataclass(slots=True, kw_only=True)
class Occurrences:
    """What something took wherever it was measured; backward only where that was measured."""

    forward_s: list[float] = field(default_factory=list)
    backward_s: list[float] = field(default_factory=list)
    is_forward_estimated: bool = False
    backward_methods: dict[str, None] = field(default_factory=dict)

    def add(self, rows: Sequence[NodeTiming]) -> None:
        """One more: an operator, or all of a kernel."""
        self.forward_s.append(sum(row.forward.typical_s for row in rows))
        self.is_forward_estimated |= any(row.forward.origin == "estimated" for row in rows)
        back = [row.backward for row in rows if row.backward is not None]
        if back:
            self.backward_s.append(sum(timing.typical_s for timing in back))
            self.backward_methods.update(
                dict.fromkeys(t.method for t in back if t.origin == "estimated")
            )

    @property
    def forward(self) -> float:
        """Median seconds."""
        return median(self.forward_s)

    @property
    def backward(self) -> float | None:
        """Median seconds; None if no backward pass was measured."""
        return median(self.backward_s) if self.backward_s else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """All that was measured, by signature: operators alone, and kernels."""

    alone: dict[str, Occurrences]
    kernels: dict[Pattern, Occurrences]

    def is_fused(self, signature: str) -> bool:
        """Whether an operator like this was measured within a kernel."""
        return any(signature in pattern.signatures for pattern in self.kernels)


def catalogue(measurements: Iterable[Measurement]) -> Catalogue:
    """What measurements say of operators, whatever model they are of."""
    found = Catalogue(alone={}, kernels={})
    for measurement in measurements:
        rows = {row.node: row for row in measurement.nodes}
        fused: set[str] = set()
        for group in measurement.groups:
            fused.update(group.nodes)
            members = [rows[name] for name in group.nodes]
            if not all(row.signature for row in members):
                continue
            position = {name: i for i, name in enumerate(group.nodes)}
            pattern = Pattern(
                signatures=tuple(row.signature for row in members),
                edges=frozenset((position[a], position[b]) for a, b in group.edges),
                read_outside=frozenset(position[name] for name in group.read_outside),
            )
            found.kernels.setdefault(pattern, Occurrences()).add(members)
        for name, row in rows.items():
            if name not in fused and row.signature:
                found.alone.setdefault(row.signature, Occurrences()).add([row])
    return found


def find_kernels(
    graph: Graph, signatures: Sequence[str], patterns: Iterable[Pattern]
) -> Iterator[tuple[Pattern, tuple[int, ...]]]:
    """Where kernels are in a graph, none of them with an operator of another."""
    if not (largest_first := sorted(patterns, key=_size_first)):
        return
    search = _Search(graph, signatures)
    for pattern in largest_first:
        for start in search.places.get(pattern.signatures[0], ()):
            members = search.find(pattern, start)
            if members:
                search.taken.update(members)
                yield pattern, members


def _size_first(pattern: Pattern) -> tuple[object, ...]:
    # Those whose edges are known fit fewer places; the rest makes the order one of its own.
    return (
        -len(pattern.signatures),
        not pattern.edges,
        pattern.signatures,
        sorted(pattern.edges),
        sorted(pattern.read_outside),
    )


class _Search:
    """Backtracking from one operator along tensors, among those that no kernel has yet."""

    def __init__(self, graph: Graph, signatures: Sequence[str]) -> None:
        n = len(graph.operators)
        self.graph = graph
        self.signatures = signatures
        self.places: dict[str, list[int]] = {}
        for index, signature in enumerate(signatures):
            self.places.setdefault(signature, []).append(index)
        self.readers: list[set[int]] = [set() for _ in range(n)]
        self.sources: list[set[int]] = [set() for _ in range(n)]
        for tensor in graph.tensors:
            if tensor.producer != GRAPH_INPUT:
                self.readers[tensor.producer].update(tensor.consumers)
                for consumer in tensor.consumers:
                    self.sources[consumer].add(tensor.producer)
        self.taken: set[int] = set()
        self._steps = 0

    def find(self, pattern: Pattern, start: int) -> tuple[int, ...]:
        """The operators of a kernel whose first is `start`, ascending; () if there is none."""
        if start in self.taken:
            return ()
        self._steps = 0
        find = self._by_edges if pattern.edges else self._by_readers
        return tuple(sorted(find(pattern, start)))

    def _may_take(self, operator: int, signature: str) -> bool:
        self._steps += 1
        return operator not in self.taken and self.signatures[operator] == signature

    def _by_edges(self, pattern: Pattern, start: int) -> Iterable[int]:
        order = _order(pattern)
        chosen = {0: start}
        untried = [iter(self._candidates(pattern, order[1], chosen))]
        while untried and self._steps <= MAX_STEPS:
            position = order[len(chosen)]
            for operator in untried[-1]:
                is_like = self._may_take(operator, pattern.signatures[position])
                if is_like and self._fits(pattern, position, operator, chosen):
                    chosen[position] = operator
                    break
            else:
                untried.pop()
                chosen.popitem()
                continue
            if len(chosen) == len(order):
                if self._is_like_outside(pattern, chosen):
                    return chosen.values()
                chosen.popitem()
                continue
            untried.append(iter(self._candidates(pattern, order[len(chosen)], chosen)))
        return ()

    def _candidates(self, pattern: Pattern, position: int, chosen: dict[int, int]) -> Sequence[int]:
        for other, operator in chosen.items():
            if (other, position) in pattern.edges:
                return sorted(self.readers[operator])
            if (position, other) in pattern.edges:
                return sorted(self.sources[operator])
        return self.places.get(pattern.signatures[position], ())

    def _fits(self, pattern: Pattern, position: int, operator: int, chosen: dict[int, int]) -> bool:
        """Whether `operator` reads, and is read by, whom it should of those chosen."""
        return all(
            operator != member
            and ((other, position) in pattern.edges) == (operator in self.readers[member])
            and ((position, other) in pattern.edges) == (member in self.readers[operator])
            for other, member in chosen.items()
        )

    def _is_like_outside(self, pattern: Pattern, chosen: Mapping[int, int]) -> bool:
        """Whether others read what they read of the kernel that was measured."""
        if not pattern.read_outside:
            return self._is_closed(chosen.values())
        members = set(chosen.values())
        return all(
            _is_read_outside(self.graph, operator, members) == (position in pattern.read_outside)
            for position, operator in chosen.items()
        )

    def _is_closed(self, chosen: Iterable[int]) -> bool:
        """Whether nobody else reads what one of them reads of another."""
        members = set(chosen)
        return not any(
            self.readers[operator] & members and _is_read_outside(self.graph, operator, members)
            for operator in members
        )

    def _by_readers(self, pattern: Pattern, start: int) -> Iterable[int]:
        chosen = [start]
        rest = Counter(pattern.signatures[1:])
        untried = [iter(self._readers_of(chosen))]
        while untried and self._steps <= MAX_STEPS:
            for operator in untried[-1]:
                signature = self.signatures[operator]
                if rest[signature] and self._may_take(operator, signature):
                    chosen.append(operator)
                    rest[signature] -= 1
                    break
            else:
                untried.pop()
                rest[self.signatures[chosen.pop()]] += 1
                continue
            if len(chosen) == len(pattern.signatures):
                if self._is_closed(chosen):
                    return chosen
                rest[self.signatures[chosen.pop()]] += 1
                continue
            untried.append(iter(self._readers_of(chosen)))
        return ()

    def _readers_of(self, chosen: Sequence[int]) -> list[int]:
        """Who reads one of some operators."""
        return sorted({n for v in chosen for n in self.readers[v]} - {*chosen})


def _order(pattern: Pattern) -> list[int]:
    """Positions from the first on, each next to one before it wherever there is such a one."""
    near: dict[int, set[int]] = {i: set() for i in range(len(pattern.signatures))}
    for one, other in pattern.edges:
        near[one].add(other)
        near[other].add(one)
    order: list[int] = []
    for start in near:
        queue = [start] if start not in order else []
        while queue:
            position = queue.pop(0)
            if position not in order:
                order.append(position)
                queue += sorted(near[position])
    return order
