"""Gaps between pivots: what any cut inside one costs at least, and all there are (two hosts)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import BoolArray, FloatArray, IntArray, take_rows
from planner.problems.feasibility import Constraints
from planner.problems.terms import Number, Terms
from planner.solvers.flow.network import SINK, SOURCE, Network
from planner.solvers.pivots.layout import Layout
from planner.solvers.pivots.prefix_scans import Spans

if TYPE_CHECKING:
    from planner.problems.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Touching:
    """Items that belong to gaps, as CSR: those of gap g are `items[indptr[g] : indptr[g + 1]]`."""

    indptr: IntArray
    items: IntArray

    def of(self, gap: int) -> IntArray:
        """Items of one gap."""
        return self.items[self.indptr[gap] : self.indptr[gap + 1]]


def by_gap(gap: IntArray, items: IntArray, n_gaps: int) -> Touching:
    """Items sorted by the gap that each belongs to, in the order given."""
    order = np.argsort(gap, kind="stable")
    indptr = np.concatenate([[0], np.cumsum(np.bincount(gap, minlength=n_gaps))])
    return Touching(indptr=indptr, items=items[order])


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gaps:
    """All gaps of a layout.

    Attributes:
        layout, spans: What they are gaps of.
        rows: Transfers whose cost depends on where a gap is cut.
        arcs: Rules between two operators of a gap.
        tied: Tied parameters with a reader in a gap.
        inner: Positions inside gaps, ascending; shape [inner].
        starts: Where each gap starts in `inner`; shape [gaps].
        is_source, is_sink: Whether no other operator of its gap leads to an inner operator, or
            follows it; shape [inner].
    """

    layout: Layout
    spans: Spans
    rows: Touching
    arcs: Touching
    tied: Touching
    inner: IntArray
    starts: IntArray
    is_source: BoolArray
    is_sink: BoolArray

    def __len__(self) -> int:
        return len(self.layout.low)


def gaps_of(layout: Layout, spans: Spans) -> Gaps:
    """Index what belongs to which gap; O(operators + edges)."""
    problem = layout.reduced.problem
    m, n_gaps = len(layout.free), len(layout.low)
    gap_at = np.append(layout.gap_of, [-1, -1])  # position m, and -1 from the end
    x, rules = problem.transfers, problem.constraints
    by_source = np.where(x.source < 0, -1, gap_at[layout.position[np.maximum(x.source, 0)]])
    by_reader = np.where(spans.start <= spans.last, gap_at[spans.last], -1)
    from_inside = np.flatnonzero(by_source >= 0)
    into = np.flatnonzero((by_reader >= 0) & (by_reader != by_source))
    before, after = layout.position[rules.before], layout.position[rules.after]
    inside = np.flatnonzero((gap_at[before] >= 0) & (gap_at[before] == gap_at[after]))
    forward = inside[before[inside] < after[inside]]
    has_before, has_after = np.zeros(m, np.bool_), np.zeros(m, np.bool_)
    has_before[after[forward]] = True
    has_after[before[forward]] = True
    inner = np.flatnonzero(layout.gap_of >= 0)
    tied_gap = gap_at[layout.position[problem.tied.readers]]
    tied_row = np.repeat(np.arange(len(problem.tied.bits)), np.diff(problem.tied.indptr))
    n_tied = max(1, len(problem.tied.bits))
    pairs = np.unique((tied_gap * n_tied + tied_row)[tied_gap >= 0])
    return Gaps(
        layout=layout,
        spans=spans,
        rows=by_gap(
            np.concatenate([by_source[from_inside], by_reader[into]]),
            np.concatenate([from_inside, into]),
            n_gaps,
        ),
        arcs=by_gap(gap_at[before[inside]], inside, n_gaps),
        tied=by_gap(pairs // n_tied, pairs % n_tied, n_gaps),
        inner=inner,
        starts=np.cumsum(layout.high - layout.low - 1) - (layout.high - layout.low - 1),
        is_source=~has_before[inner],
        is_sink=~has_after[inner],
    )


def gap_problem(gaps: Gaps, gap: int) -> Problem:
    """One gap as a problem of its own; only its structure is meant.

    Operator 0 stands for everything before the gap and is on the device, the last one for
    everything after it and is on the server; between them are the gap's operators in order.
    """
    layout = gaps.layout
    problem = layout.reduced.problem
    low, high = int(layout.low[gap]), int(layout.high[gap])
    inner = layout.free[low + 1 : high]
    size = len(inner) + 2

    def local(operators: IntArray) -> IntArray:
        return np.clip(layout.position[operators] - low, 0, size - 1)

    transfers = problem.transfers.take(gaps.rows.of(gap))
    tied = problem.tied.take(gaps.tied.of(gap))
    source = transfers.source
    arcs = gaps.arcs.of(gap)
    outside = np.zeros(len(problem.compute_s))
    return replace(
        problem,
        compute_s=np.column_stack([outside, problem.compute_s[:, inner], outside]),
        returned_bits=np.concatenate([[0.0], problem.returned_bits[inner], [0.0]]),
        exchange_bits=np.concatenate([[0.0], problem.exchange_bits[inner], [0.0]]),
        transfers=replace(
            transfers,
            source=np.where(source < 0, source, local(np.maximum(source, 0))),
            readers=local(transfers.readers),
        ),
        tied=replace(tied, readers=local(tied.readers)),
        constraints=_gap_constraints(problem.constraints.take(arcs), local, size),
        incumbent=None,
    )


def gap_terms(gaps: Gaps, gap: int, terms: Terms[Number]) -> Terms[Number]:
    """The terms of `gap_problem`, from those of the reduced problem in the same unit."""
    layout = gaps.layout
    inner = layout.free[layout.low[gap] + 1 : layout.high[gap]]
    unary = np.zeros((2, len(inner) + 2), terms.unary.dtype)
    unary[:, 1:-1] = terms.unary[:, inner]
    tied = gaps.tied.of(gap)
    return Terms(
        unary=unary,
        transfer=terms.transfer[gaps.rows.of(gap)],
        exchange=terms.exchange[tied],
        sync=terms.sync[tied],
    )


def gap_placement(gaps: Gaps, gap: int, hosts: IntArray) -> IntArray:
    """Host of every operator, from the hosts of a gap's own."""
    layout = gaps.layout
    placement = layout.placement(int(layout.low[gap]) + 1)
    placement[layout.free[layout.low[gap] + 1 : layout.high[gap]]] = hosts
    layout.reduced.place_passing(placement)
    return placement


def _gap_constraints(
    rules: Constraints, local: Callable[[IntArray], IntArray], size: int
) -> Constraints:
    low, high = np.zeros(size, np.int64), np.ones(size, np.int64)
    high[0], low[-1] = 0, 1
    before, after = local(rules.before), local(rules.after)
    return replace(rules, low=low, high=high, before=before, after=after)


def crossing_network(gaps: Gaps) -> tuple[Network, IntArray]:
    """All gaps side by side in one network whose arcs are transfers; a cut is one cut per gap.

    Returns:
        The network, whose slots are transfers (one past them: infinite), and the gap of each arc.
    """
    layout = gaps.layout
    problem = layout.reduced.problem
    x, m, rows = problem.transfers, len(layout.free), gaps.rows.items
    gap = np.repeat(np.arange(len(gaps)), np.diff(gaps.rows.indptr))
    low, high = layout.low[gap], layout.high[gap]
    source = np.where(x.source[rows] < 0, -1, layout.position[np.maximum(x.source[rows], 0)])
    tail = np.where(source > low, source + 2, SOURCE)
    indptr, readers = take_rows(x.indptr, x.readers, rows)
    row_of = np.repeat(np.arange(len(rows)), np.diff(indptr))
    position = layout.position[readers]
    head = np.where(position >= high[row_of], SINK, position + 2)
    is_after = position > low[row_of]
    row_of, head = row_of[is_after], head[is_after]
    collector = m + 2 + np.arange(len(rows))
    # A transfer with a reader after the gap is paid as soon as its source is on the device.
    collector[np.unique(row_of[head == SINK])] = SINK
    before = layout.position[problem.constraints.before[gaps.arcs.items]] + 2
    after = layout.position[problem.constraints.after[gaps.arcs.items]] + 2
    arc_gap = np.repeat(np.arange(len(gaps)), np.diff(gaps.arcs.indptr))
    infinite = len(x)
    tails = np.concatenate([tail, collector[row_of], after])
    useful = tails != SINK
    network = Network(
        n_vertices=m + 2 + len(rows),
        tail=tails[useful],
        head=np.concatenate([collector, head, before])[useful],
        slot=np.concatenate([rows, np.full(len(row_of) + len(before), infinite)])[useful],
        vertex=np.zeros((1, 0), np.int64),
    )
    return network, np.concatenate([gap, gap[row_of], arc_gap])[useful]


def least_crossing(
    network: Network, arc_gap: IntArray, bits: FloatArray, n_gaps: int
) -> FloatArray:
    """The fewest bits, of those that depend on the cut, that any cut of each gap sends; [gaps]."""
    from planner.solvers.flow.cuts import minimum_cut  # OR-tools: not needed where there is no gap

    capacities = np.append(bits, bits.sum() + 1).astype(np.int64)[network.slot]
    _, is_source_side = minimum_cut(network, capacities)
    is_cut = is_source_side[network.tail] & ~is_source_side[network.head]
    return np.bincount(arc_gap[is_cut], capacities[is_cut], n_gaps).astype(np.float64)
