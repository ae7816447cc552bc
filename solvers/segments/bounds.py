"""Prefix cuts and lower bounds of gaps as linear functions of the link state (two hosts).

All of it is made once per graph; a link state is one product of a vector and a matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import BoolArray, FloatArray, IntArray
from planner.problems.linear_terms import Basis, basis_of
from planner.solvers.pivots.gaps import Gaps, crossing_network, gaps_of, least_crossing
from planner.solvers.pivots.layout import Layout, layout_of
from planner.solvers.pivots.prefix_scans import Spans, cut_costs, spans_of

if TYPE_CHECKING:
    from planner.problems.problem import Problem

DEVICE, SERVER, UP, DOWN, LATENCY = range(5)
"""Rows of coefficients for two hosts, as `planner.problems.linear_terms.state_of` orders them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SegmentBounds:
    """What the cuts of a problem cost in any state.

    Attributes:
        layout: Free operators, pivots and gaps.
        spans: Which prefix cuts pay for what.
        gaps: What belongs to which gap.
        cuts: Prefix cuts to look at: one of several that cost the same by their structure.
        cut_rows: Coefficients of these; shape [5, cuts].
        entry_rows: Coefficients of the prefix cut at the entry of each gap; shape [5, gaps].
        gap_rows: Coefficients of a lower bound for every cut strictly inside a gap, without the
            compute of the gap's own operators; shape [5, gaps].
        inner_s: Seconds of the gaps' operators per unit of slowness; shape [2, inner].
        total: Coefficients of the sum of all terms of the problem; shape [5].
        relative: How far two totals may be from the truth in float64, as a part of them.
        absolute: The same for what goes by the sum of all terms: their rounding to ticks, and sums
            of more bits than are exact in float64.
        scan_message: What a solver says when the prefix scan alone decides.
        matrices: By slowness of the two hosts: what `matrix` made last.
    """

    layout: Layout
    spans: Spans
    gaps: Gaps
    cuts: IntArray
    cut_rows: FloatArray
    entry_rows: FloatArray
    gap_rows: FloatArray
    inner_s: FloatArray
    total: FloatArray
    relative: float
    absolute: float
    scan_message: str
    matrices: dict[tuple[float, float], FloatArray] = field(default_factory=dict)

    def matrix(self, device: float, server: float) -> FloatArray:
        """What to multiply (1, 1 / uplink, 1 / downlink, latency) with, at given slownesses.

        Returns:
            Seconds of every cut, the sum of all terms, and the bound of every gap; shape
            [4, cuts + 1 + gaps].
        """
        known = self.matrices.get((device, server))
        if known is None:
            rows = np.column_stack([self.cut_rows, self.total, self.gap_rows])
            known = np.empty((4, rows.shape[1]))
            known[0] = rows[DEVICE] * device + rows[SERVER] * server
            known[1:] = rows[UP:]
            if len(self.gaps):
                known[0, -len(self.gaps) :] += self._inner_bound(device, server)
            self.matrices.clear()  # speeds come and go; one set is remembered
            self.matrices[device, server] = known
        return known

    def _inner_bound(self, device: float, server: float) -> FloatArray:
        """The least that the operators of each gap compute, for cuts strictly inside it.

        Such a cut has an operator that follows no other of its gap on the device, and one that no
        other follows on the server.
        """
        gaps, starts = self.gaps, self.gaps.starts
        on_device, on_server = self.inner_s[0] * device, self.inner_s[1] * server
        bound: FloatArray = np.add.reduceat(np.minimum(on_device, on_server), starts)
        surplus = np.where(gaps.is_source, np.maximum(on_device - on_server, 0), np.inf)
        bound += np.minimum.reduceat(surplus, starts)
        surplus = np.where(gaps.is_sink, np.maximum(on_server - on_device, 0), np.inf)
        bound += np.minimum.reduceat(surplus, starts)
        return bound


def segment_bounds_of(problem: Problem) -> SegmentBounds:
    """Bounds of a problem with two hosts; made once and shared between its states.

    Raises:
        PlanError: If no placement is feasible.
    """
    return problem.shared("segment_bounds", lambda: _build(problem))


def _build(problem: Problem) -> SegmentBounds:
    layout = layout_of(problem)
    spans = spans_of(layout)
    gaps = gaps_of(layout, spans)
    basis = basis_of(layout.reduced.problem)
    # Ticks are made for all terms, also for those of operators that were taken out.
    total = np.array([terms.flat().sum() for terms in basis_of(problem)])
    rows = np.stack([cut_costs(layout, spans, terms) for terms in basis])
    cuts = layout.cuts[~_is_repeated(layout, spans)]
    entry = rows[:, layout.low + 1]
    relative, absolute = _rounding(problem, layout, total)
    inner = layout.free[gaps.inner]
    return SegmentBounds(
        layout=layout,
        spans=spans,
        gaps=gaps,
        cuts=cuts,
        cut_rows=np.ascontiguousarray(rows[:, cuts]),
        entry_rows=entry,
        gap_rows=_gap_rows(gaps, basis, rows, entry),
        inner_s=np.stack([basis[host].unary[host, inner] for host in (DEVICE, SERVER)]),
        total=total,
        scan_message=(
            f"scan of {len(cuts)} prefix cuts; bounds exclude all {len(gaps)} blocks"
            if len(gaps)
            else f"scan of {len(cuts)} prefix cuts; there are no blocks"
        ),
        relative=relative,
        absolute=absolute,
    )


def _rounding(problem: Problem, layout: Layout, total: FloatArray) -> tuple[float, float]:
    """How much rounding can do: `relative` and `absolute` of `SegmentBounds`."""
    n_costs = problem.n_operators + len(problem.transfers) + 2 * len(problem.tied.bits)
    wide, double = float(np.finfo(np.longdouble).eps), float(np.finfo(np.float64).eps)
    # Rounding to ticks: half a tick for every cost, of at most 2^-59 of the sum of all terms.
    absolute = (n_costs + 64) * 2.0**-58
    if (total[UP:] >= 2.0**53).any():
        absolute += (2 * n_costs + 64) * double
    return 4 * (n_costs * wide + (layout.largest_gap + 32) * double), absolute


def _is_repeated(layout: Layout, spans: Spans) -> BoolArray:
    """Cuts that cost, term by term, what the cut before them does; shape [cuts].

    Such as the one after an operator that computes nothing and hands on a tensor of the same size:
    of equal cuts the earliest is the answer.
    """
    problem = layout.reduced.problem
    m, x = len(layout.free), problem.transfers
    is_paid = np.flatnonzero(spans.start <= spans.last)
    starting = np.bincount(spans.start[is_paid], minlength=m + 2)
    ending = np.bincount(spans.last[is_paid], minlength=m + 2)
    starts, ends = np.full(m + 2, -1), np.full(m + 2, -1)
    starts[spans.start[is_paid]] = is_paid
    ends[spans.last[is_paid]] = is_paid
    has_tied = np.zeros(m + 3, np.bool_)
    has_tied[spans.tied_first + 1] = True
    has_tied[spans.tied_last + 1] = True
    cut = layout.cuts[1:]  # the cut before it is one of the layout's, too, if `cut - 1` is a pivot
    operator = layout.free[cut - 1]
    is_free_of_charge = (
        (problem.compute_s[:, operator] == 0).all(axis=0)
        & (problem.exchange_bits[operator] == 0)
        & (problem.returned_bits[operator] == 0)
        & ~has_tied[cut]
    )
    born, gone = starts[cut], ends[cut - 1]
    same = (starting[cut] == ending[cut - 1]) & (starting[cut] <= 1)
    for values in (x.up_bits, x.down_bits, x.latencies, x.is_forbidden):
        known = np.append(values, 0)
        same &= known[born] == known[gone]
    repeated = is_free_of_charge & same & (np.diff(layout.cuts) == 1)
    return np.concatenate([[False], repeated])


def _gap_rows(gaps: Gaps, basis: Basis, rows: FloatArray, entry: FloatArray) -> FloatArray:
    """What every cut of a gap pays, whatever it does inside, and the least it sends inside."""
    layout, spans, n_gaps = gaps.layout, gaps.spans, len(gaps)
    bound = entry.copy()
    if not n_gaps:
        return bound
    bound[SERVER] = rows[SERVER, layout.high]
    network, arc_gap = crossing_network(gaps)
    gap_of_row = np.repeat(np.arange(n_gaps), np.diff(gaps.rows.indptr))
    is_from_before = spans.start[gaps.rows.items] <= layout.low[gap_of_row] + 1
    gap_of_inner = layout.gap_of[gaps.inner]
    tied_gap = np.repeat(np.arange(n_gaps), np.diff(gaps.tied.indptr))
    tied = gaps.tied.items
    # Paid at the entry, but not by every cut inside.
    is_partial = (spans.tied_first[tied] <= layout.low[tied_gap]) & (
        spans.tied_last[tied] < layout.high[tied_gap]
    )
    least: dict[bytes, FloatArray] = {}
    for row in (UP, DOWN, LATENCY):
        cost = basis[row].transfer[:, 0]
        into = gaps.rows.items[is_from_before]
        bound[row] -= np.bincount(gap_of_row[is_from_before], cost[into], n_gaps)
        on_server = basis[row].unary[SERVER, layout.free[gaps.inner]]
        bound[row] -= np.bincount(gap_of_inner, on_server, n_gaps)
        sync = basis[row].sync[tied[is_partial]]
        bound[row] -= np.bincount(tied_gap[is_partial], sync, n_gaps)
        if row != LATENCY and 0 < cost.sum() < 2.0**61:
            key = cost[gaps.rows.items].tobytes()
            if key not in least:
                least[key] = least_crossing(network, arc_gap, cost, n_gaps)
            bound[row] += least[key]
    return np.maximum(bound, 0)
