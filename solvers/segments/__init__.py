"""Prefix cuts by one scan, a small problem per gap between pivots, bounds that skip most of them.

Exact, and fast for many states of one problem: in a new link state one vector is multiplied with
one matrix. Where no other cut comes near the best one, that is all, in float64 and with everything
that rounding can do accounted for; only what is close is compared in ticks. docs/theory.md, §12.
"""

from __future__ import annotations

import time

import numpy as np

from planner.arrays import FloatArray, IntArray
from planner.problems.problem import Problem
from planner.problems.solution import (
    Capabilities,
    DeferredCertificate,
    Limits,
    Solution,
    Status,
    bounded_solution,
)
from planner.solvers.pivots.gaps import gap_placement
from planner.solvers.pivots.prefix_scans import cut_costs
from planner.solvers.segments.bounds import SegmentBounds, segment_bounds_of
from planner.solvers.segments.inner_cuts import best_inside, best_of, closed_sets_of
from planner.solvers.segments.suitability import reason_against

VERSION = f"numpy {np.__version__}"

MAX_GAPS = 16
"""With more gaps than this that may hold the optimum, one flow through everything is faster."""

MAX_CLOSE_SETS = 64
"""With more cuts of one gap than this that are close to the best, a flow tells them apart."""

EXTREME = 1e30
"""Slowness, seconds per bit and latency above this are left to the whole network."""

TINY, HUGE = 1e-250, 1e200
"""So are totals outside of this, in seconds: there float64 loses its precision, or its range."""


class Segments:
    """Two hosts; routes with more, and graphs that are one block, go through the whole network."""

    name = "segments"
    requires = ("ortools",)
    capabilities = Capabilities(
        is_exact=True,
        summary="prefix scan and small blocks between pivots; microseconds for a new link state",
    )

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        """Place every operator; limits are not needed at any size this fits in memory.

        Raises:
            PlanError: If no placement is feasible.
        """
        started = time.perf_counter()
        reason = reason_against(problem)
        if reason is not None:
            return _whole(problem, reason, started)
        bounds = segment_bounds_of(problem)
        device, server = 1.0 / problem.speed.item(0), 1.0 / problem.speed.item(1)
        up, down = 1.0 / problem.uplink_bps.item(0), 1.0 / problem.downlink_bps.item(0)
        latency = problem.latency_s.item(0)
        if max(device, server, up, down, latency) > EXTREME:
            return _whole(problem, "the rates or speeds are extreme", started)
        matrix = bounds.matrix(device, server)
        seconds = np.array((1.0, up, down, latency)).dot(matrix)
        n_cuts = len(bounds.cuts)
        best = seconds[:n_cuts].argmin()
        total = seconds[n_cuts]
        if not total < HUGE or 0 < total < TINY or 0 < seconds[best] < TINY:
            return _whole(problem, "the costs are extreme", started)
        slack = total * bounds.absolute
        limit = seconds[best] * (1.0 + bounds.relative) + slack
        if np.count_nonzero(seconds <= limit) == 1:
            placement = bounds.layout.placement(bounds.cuts[best])
            return _proved(problem, placement, bounds.scan_message, started)
        state = np.array((device, server, up, down, latency))
        return _Close(problem, bounds, state, seconds, limit, slack).settle(started)


class _Close:
    """One state in which several cuts are close, or a gap may hold the optimum."""

    def __init__(
        self,
        problem: Problem,
        bounds: SegmentBounds,
        state: FloatArray,
        seconds: FloatArray,
        limit: float,
        slack: float,
    ) -> None:
        self.problem, self.bounds, self.state = problem, bounds, state
        n_cuts = len(bounds.cuts)
        self.cut_s = seconds[:n_cuts]
        self.slack = slack
        self.gaps = np.flatnonzero(seconds[n_cuts + 1 :] <= limit).tolist()
        self.message = (
            f"{n_cuts} prefix cuts and {len(self.gaps)} of {len(bounds.gaps)} blocks looked at; "
            "bounds exclude the others"
        )

    def settle(self, started: float) -> Solution:
        """Tell apart what is close: in seconds if that is enough, else in ticks."""
        if len(self.gaps) > MAX_GAPS:
            return _whole(self.problem, f"{len(self.gaps)} blocks may hold the optimum", started)
        sets = {gap: closed_sets_of(self.problem, self.bounds, gap) for gap in self.gaps}
        inside_s = {
            gap: self.state @ found.rows for gap, found in sets.items() if found is not None
        }
        lowest = min(float(s.min()) for s in (self.cut_s, *inside_s.values()) if len(s))
        limit = lowest * (1.0 + self.bounds.relative) + self.slack
        n_close = sum(int(np.count_nonzero(s <= limit)) for s in (self.cut_s, *inside_s.values()))
        if n_close == 1 and len(inside_s) == len(sets):
            return _proved(self.problem, self._only(limit, inside_s), self.message, started)
        inside: list[IntArray] = []
        for gap in self.gaps:
            close = np.flatnonzero(inside_s[gap] <= limit) if gap in inside_s else None
            if close is None or len(close) > MAX_CLOSE_SETS:
                inside.append(best_inside(self.problem, self.bounds, gap))
            elif len(close):
                inside.append(best_of(self.problem, self.bounds, gap, close))
        return self._by_ticks(inside, started)

    def _only(self, limit: float, inside_s: dict[int, FloatArray]) -> IntArray:
        for gap, seconds in inside_s.items():
            if len(seconds) and seconds.min() <= limit:
                found = closed_sets_of(self.problem, self.bounds, gap)
                assert found is not None
                return gap_placement(self.bounds.gaps, gap, found.hosts[seconds.argmin()])
        return self.bounds.layout.placement(int(self.bounds.cuts[self.cut_s.argmin()]))

    def _by_ticks(self, inside: list[IntArray], started: float) -> Solution:
        """Whatever is not a candidate is above the best in any ticks; compare what is."""
        problem, layout = self.problem, self.bounds.layout
        terms = problem.ticks.terms
        cuts = cut_costs(layout, self.bounds.spans, layout.reduced.terms(terms))[self.bounds.cuts]
        candidates = [layout.placement(int(self.bounds.cuts[cuts.argmin()])), *inside]
        placements = np.stack(candidates)
        values = problem.totals(terms, placements)
        best = int(values.min())
        # Best placements form a lattice: their componentwise maximum is one of them.
        placement = placements[values == best].max(axis=0)
        return bounded_solution(
            problem,
            placement,
            best,
            solver=Segments.name,
            solver_version=VERSION,
            message=self.message,
            started=started,
        )


def _proved(problem: Problem, placement: IntArray, message: str, started: float) -> Solution:
    return Solution(
        placement=placement,
        certificate=DeferredCertificate(problem, placement),
        status=Status.OPTIMAL,
        message=message,
        solver=Segments.name,
        solver_version=VERSION,
        seconds=time.perf_counter() - started,
    )


def _whole(problem: Problem, reason: str, started: float) -> Solution:
    from planner.solvers.flow.cuts import ORTOOLS
    from planner.solvers.flow.whole import whole_network_solution

    return whole_network_solution(
        problem,
        ORTOOLS,
        solver=Segments.name,
        started=started,
        remark=f" through the whole network: {reason}",
    )


SOLVER = Segments()
