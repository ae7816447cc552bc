"""Where operators may become one vertex: what is proved once per graph, in bytes (two hosts).

A region lies between two pivots: it starts after one and ends with one, its exit. A cut strictly
inside it has everything before the region on the device, and the exit and everything after it on
the server. So moving the region's part of the device to the server gives the prefix cut at the
entry, whatever the rules are. The block condition says when that never costs more; docs/theory.md,
§14.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import BoolArray, IntArray
from planner.problems.instance import LATENCY
from planner.solvers.blockwise.gap_cuts import GapCuts
from planner.solvers.blockwise.pairs import followers_of
from planner.solvers.flow.whole import MinimumCut
from planner.solvers.pivots.gaps import gaps_of
from planner.solvers.pivots.layout import Layout, find_layout
from planner.solvers.pivots.pass_through import chain_ends, handing_on
from planner.solvers.pivots.prefix_scans import Spans, spans_of

if TYPE_CHECKING:
    from planner.problems.problem import Problem

MAX_BYTES = 2.0**60
"""With more bytes than this in all, nothing is proved: sums would overflow."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Regions:
    """Regions of a problem, in any state.

    A region (i, k), i < k, holds the free operators after `ends[i]` up to `ends[k]`, its exit;
    segment l lies between `ends[l]` and `ends[l + 1]`.

    Attributes:
        order: Free operators, pivots and gaps.
        spans: Which prefix cuts pay for what.
        ends: Where regions start and end: -1, for the first operator, and the pivots.
        entry_bytes: What crosses the prefix cut after each end, up and down; shape [2, ends].
        least_bytes: The least that crosses any cut of each segment; shape [2, segments].
        reach: The largest k for each start i that bytes and parameters allow; shape [ends].
        heads: Positions of operators at which a cut begins to differ, to the tick, from the cut
            at the start of its segment: it cannot have any later operator on the device alone.
        head_starts: Where each segment that has heads starts in `heads`; the others hold nothing
            but operators that hand a tensor on.
        head_segments: These segments, ascending.
        hands_on: Whether each free operator hands one tensor on to another of the same size.
        follower: Position of the operator that may share a vertex with each free one, or -1.
        n_flows: Minimum cuts that were needed: one for each different inside of a segment.
    """

    order: Layout
    spans: Spans
    ends: IntArray
    entry_bytes: IntArray
    least_bytes: IntArray
    reach: IntArray
    heads: IntArray
    head_starts: IntArray
    head_segments: IntArray
    hands_on: BoolArray
    follower: IntArray
    n_flows: int


def regions_of(problem: Problem, minimum_cut: MinimumCut) -> Regions:
    """The regions of a problem with two hosts; found once and shared between its states.

    Raises:
        PlanError: If no placement is feasible.
    """
    return problem.shared("regions", lambda: _find(problem, minimum_cut))


def _find(problem: Problem, minimum_cut: MinimumCut) -> Regions:
    order = find_layout(problem, with_passing=True)
    spans = spans_of(order)
    ends = np.concatenate([[-1], order.pivots])
    sent, is_countable = _bytes(problem)
    entry = _live(order, spans, sent)[:, ends + 1]
    gap_cuts = GapCuts(gaps_of(order, spans), minimum_cut)
    least = entry[:, :-1].copy()
    for gap, segment in enumerate(np.searchsorted(ends, order.low).tolist()):
        if segment == len(ends) - 1:
            break  # nothing follows the last gap: no region ends after it
        for row, size in zip(least, sent, strict=True):
            row[segment] += gap_cuts.saved(gap, size)
    hands_on = handing_on(problem).is_member[order.free]
    segments, heads = _heads(problem, order, ends, hands_on)
    head_segments, head_starts = np.unique(segments, return_index=True)
    reach = np.minimum.reduce([_first_below(m, e) for m, e in zip(least, entry, strict=True)])
    follower = followers_of(problem, order, sent)
    if not is_countable:
        reach = np.arange(len(ends))
        follower[:] = -1
    return Regions(
        order=order,
        spans=spans,
        ends=ends,
        entry_bytes=entry,
        least_bytes=least,
        reach=np.minimum(reach, _reach_of_readers(problem, spans, ends)),
        heads=heads,
        head_starts=head_starts,
        head_segments=head_segments,
        hands_on=hands_on,
        follower=follower,
        n_flows=len(gap_cuts.known),
    )


def _bytes(problem: Problem) -> tuple[IntArray, bool]:
    """Bytes of each transfer up and down, none for what never crosses; shape [2, transfers].

    And whether they can be added up; if not, they are all zero.
    """
    x = problem.transfers
    sent = np.stack([x.up_bits, x.down_bits]) / 8.0
    sent[:, x.is_forbidden | (x.source < -1)] = 0
    is_countable = bool(sent.sum() <= MAX_BYTES)
    if not is_countable:
        sent[:] = 0
    return np.rint(sent).astype(np.int64), is_countable


def _live(order: Layout, spans: Spans, sent: IntArray) -> IntArray:
    """Bytes that each prefix cut sends; shape [2, cuts]."""
    m = len(order.free)
    steps = np.zeros((2, m + 2), np.int64)
    is_paid = spans.start <= spans.last
    for row, size in zip(steps, sent[:, is_paid], strict=True):
        np.add.at(row, spans.start[is_paid], size)
        np.subtract.at(row, spans.last[is_paid] + 1, size)
    live: IntArray = np.cumsum(steps, axis=1)[:, : m + 1]
    return live


def _first_below(least: IntArray, entry: IntArray) -> IntArray:
    """For each start i the first segment l ≥ i with `least[l] < entry[i]`, or their number."""
    n = len(least)
    found = np.full(len(entry), n)
    values: list[int] = []  # ascending: the records of least[i:], the farthest first
    places: list[int] = []
    for i in reversed(range(n)):
        while values and values[-1] >= least[i]:
            values.pop()
            places.pop()
        values.append(int(least[i]))
        places.append(i)
        nearest = bisect_left(values, int(entry[i])) - 1
        if nearest >= 0:
            found[i] = places[nearest]
    return found


def _reach_of_readers(problem: Problem, spans: Spans, ends: IntArray) -> IntArray:
    """How far a region may reach before the device's copy of something stays behind alone.

    A tied parameter with its first reader before the region and its last one inside would have to
    be synchronised, once that reader moves to the server. The link's latency is paid by every cut
    before the last output operator.
    """
    m = ends[-1] + 1
    last_ok = np.full(len(ends), m)
    for first, last in zip(spans.tied_first, spans.tied_last, strict=True):
        among = (first <= ends) & (ends < last)
        last_ok[among] = np.minimum(last_ok[among], last)
    for last in spans.last[problem.transfers.tensor == LATENCY]:
        last_ok = np.minimum(last_ok, last)
    return np.searchsorted(ends, last_ok, "right") - 1


def _heads(
    problem: Problem, order: Layout, ends: IntArray, hands_on: BoolArray
) -> tuple[IntArray, IntArray]:
    """(Segment, position) of every operator at which a cut begins to differ from its entry.

    In its segment it follows nothing but operators that hand on, and is no such chain's member.
    """
    n_segments = len(ends) - 1
    segment_of = np.searchsorted(ends, np.arange(len(order.free))) - 1
    at = np.append(segment_of, [-1, -1])
    before = order.position[problem.constraints.before]
    after = order.position[problem.constraints.after]
    inside = (at[before] >= 0) & (at[before] == at[after]) & (before < after)
    before, after = before[inside], after[inside]
    # What hands on follows one operator at most: a chain of such starts where nothing is followed.
    followed = np.full(len(hands_on), -1)
    followed[after] = before
    members = np.flatnonzero(hands_on)
    first = chain_ends(np.where(hands_on, followed, -1), members)
    is_chain = hands_on & hands_on[first]
    follows = np.zeros(len(is_chain), np.bool_)
    follows[after[~is_chain[before]]] = True
    heads = np.flatnonzero((segment_of < n_segments) & ~is_chain & ~follows)
    order_of = np.argsort(at[heads], kind="stable")
    return at[heads][order_of], heads[order_of]
