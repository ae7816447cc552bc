"""The network of docs/theory.md, §2: its minimum s-t cut is the best placement.

The structure depends on the graph and the rules alone; a link state only changes capacities. Every
arc therefore names a slot of the flattened terms (or the infinite one), and capacities are one
gather. Vertices that an infinite path ties to s or t are merged into it, so that no infinite arc
starts at s or ends at t and int64 flows cannot overflow.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planner.arrays import IntArray, take_rows
from planner.problems.problem import Problem
from planner.problems.terms import Terms, Ticks

SOURCE = 0
SINK = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Network:
    """Arcs as arrays, and where to find each operator's vertices.

    Attributes:
        n_vertices: Vertices, s = 0 and t = 1 included; not all have arcs.
        tail, head: Shape [arcs].
        slot: Index into the flattened terms; one past them for an infinite capacity.
        vertex: Vertex of (link k, operator v), or `SOURCE` or `SINK` where merged.
    """

    n_vertices: int
    tail: IntArray
    head: IntArray
    slot: IntArray
    vertex: IntArray

    def capacities(self, ticks: Ticks) -> IntArray:
        """Integer capacity of every arc in one state."""
        return np.concatenate([ticks.terms.flat(), [ticks.infinite]])[self.slot]

    def placement(self, source_side: npt.NDArray[np.bool_]) -> IntArray:
        """Host of each operator: the first k for which its vertex is on the source side."""
        hosts: IntArray = np.sum(~source_side[self.vertex], axis=0, dtype=np.int64)
        return hosts


def network_of(problem: Problem) -> Network:
    """The network of a problem; built once and shared between its states.

    Raises:
        PlanError: If no placement is feasible.
    """

    def build() -> Network:
        extremes = problem.constraints.extremes
        return _Builder(problem, *extremes).build(with_reverse_arcs=True)

    return problem.shared("network", build)


def network_without_reverse_arcs(problem: Problem) -> Network:
    """The network as DADS builds it: nothing keeps data from flowing back for free."""
    rules = problem.constraints
    latest, earliest = rules.take(~rules.is_data).extremes
    return _Builder(problem, latest, earliest).build(with_reverse_arcs=False)


class _Slots:
    """Where each term lies in `Terms.flat()`."""

    def __init__(self, terms: Terms[np.float64]) -> None:
        shapes = (terms.unary.shape, terms.transfer.shape, terms.exchange.shape, terms.sync.shape)
        sizes = [int(np.prod(shape)) for shape in shapes]
        starts = np.cumsum([0, *sizes])
        blocks = [
            np.arange(start, start + size).reshape(shape)
            for start, size, shape in zip(starts[:-1], sizes, shapes, strict=True)
        ]
        self.unary, self.transfer, self.exchange, self.sync = blocks
        self.infinite = int(starts[-1])


class _Builder:
    """Collects arcs; one network is made by one builder."""

    def __init__(self, problem: Problem, latest: IntArray, earliest: IntArray) -> None:
        self.problem = problem
        self.slots = _Slots(problem.seconds)
        n, links = problem.n_operators, problem.n_links
        self.vertex = 2 + np.arange(links * n).reshape(links, n)
        for k in range(links):
            self.vertex[k, latest <= k] = SOURCE
            self.vertex[k, earliest > k] = SINK
        self.n_vertices = 2 + links * n
        self.tails: list[IntArray] = []
        self.heads: list[IntArray] = []
        self.slot_parts: list[IntArray] = []

    def build(self, *, with_reverse_arcs: bool) -> Network:
        self._add_unary()
        for k in range(self.problem.n_links):
            self._add_transfers(k)
        if len(self.problem.tied.bits):
            self._add_tied()
        rules = self.problem.constraints
        wanted = np.ones_like(rules.is_data) if with_reverse_arcs else ~rules.is_data
        for k in range(self.problem.n_links):
            vertex = self.vertex[k]
            self._add(vertex[rules.after[wanted]], vertex[rules.before[wanted]], None)
        tail, head, slot = (np.concatenate(p) for p in (self.tails, self.heads, self.slot_parts))
        useful = (tail != head) & (tail != SINK) & (head != SOURCE)
        return Network(
            n_vertices=self.n_vertices,
            tail=tail[useful],
            head=head[useful],
            slot=slot[useful],
            vertex=self.vertex,
        )

    def _add(self, tail: IntArray, head: IntArray, slot: IntArray | None) -> None:
        tail, head = np.broadcast_arrays(tail, head)
        self.tails.append(tail)
        self.heads.append(head)
        infinite = np.full(len(tail), self.slots.infinite)
        self.slot_parts.append(infinite if slot is None else slot)

    def _new_vertices(self, count: int) -> IntArray:
        self.n_vertices += count
        return np.arange(self.n_vertices - count, self.n_vertices)

    def _add_unary(self) -> None:
        """Cut s → (v,K-2): last host; (v,k) → (v,k-1): host k; (v,0) → t: host 0."""
        vertex, unary, last = self.vertex, self.slots.unary, self.problem.n_links
        source, sink = np.full(1, SOURCE), np.full(1, SINK)
        self._add(source, vertex[last - 1], unary[last])
        for k in range(1, last):
            self._add(vertex[k], vertex[k - 1], unary[k])
            self._add(vertex[k - 1], vertex[k], None)
        self._add(vertex[0], sink, unary[0])

    def _add_transfers(self, k: int) -> None:
        """A tensor with one reader is an arc; one with several goes through a vertex of its own.

        A forbidden tensor needs no arc: the rule that its readers are not after its producer is
        one of the constraints.
        """
        x = self.problem.transfers
        lives_after = (x.source < 0) & (-1 - x.source > k)
        wanted = ~(x.is_forbidden | lives_after)
        tail = np.where(x.source < 0, SOURCE, self.vertex[k][np.maximum(x.source, 0)])
        counts = np.diff(x.indptr)
        single = np.flatnonzero(wanted & (counts == 1))
        readers = self.vertex[k][x.readers[x.indptr[single]]]
        self._add(tail[single], readers, self.slots.transfer[single, k])
        several = np.flatnonzero(wanted & (counts > 1))
        auxiliary = self._gather(several, x.indptr, x.readers, k)
        self._add(tail[several], auxiliary, self.slots.transfer[several, k])

    def _gather(self, rows: IntArray, indptr: IntArray, readers: IntArray, k: int) -> IntArray:
        """A vertex per row that is on the sink side as soon as one reader is."""
        auxiliary = self._new_vertices(len(rows))
        row_of, heads = self._rows(rows, indptr, readers, k)
        at_sink = np.zeros(len(rows), np.bool_)
        at_sink[row_of[heads == SINK]] = True
        auxiliary[at_sink] = SINK
        self._add(auxiliary[row_of], heads, None)
        return auxiliary

    def _rows(
        self, rows: IntArray, indptr: IntArray, readers: IntArray, k: int
    ) -> tuple[IntArray, IntArray]:
        """(Position in `rows`, vertex of the reader) for every reader of the given rows."""
        ends, operators = take_rows(indptr, readers, rows)
        return np.repeat(np.arange(len(rows)), np.diff(ends)), self.vertex[k][operators]

    def _add_tied(self) -> None:
        """Exchange: cut iff a reader is on the source side; sync: cut iff readers are on both."""
        tied = self.problem.tied
        rows = np.arange(len(tied.bits))
        row_of, readers = self._rows(rows, tied.indptr, tied.readers, 0)
        any_before = self._new_vertices(len(rows))
        any_before[row_of[readers == SOURCE]] = SOURCE
        any_after = self._gather(rows, tied.indptr, tied.readers, 0)
        self._add(readers, any_before[row_of], None)
        self._add(any_before, np.full(1, SINK), self.slots.exchange)
        self._add(any_before, any_after, self.slots.sync)
