"""Whether a problem falls into segments, so that solving them beats one flow through everything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from planner.solvers.pivots.layout import layout_of

if TYPE_CHECKING:
    from planner.problems.problem import Problem

MIN_OPERATORS = 200
"""Smaller graphs are always solved in segments: their gaps are small, too."""

MAX_SHARE = 0.8
"""Above this share of all free operators in one gap, the gap is the problem."""


def reason_against(problem: Problem) -> str | None:
    """Why a problem should go through the whole network instead, or None.

    Raises:
        PlanError: If no placement is feasible.
    """
    if problem.n_hosts != 2:
        return f"the route has {problem.n_hosts} hosts"
    return problem.shared("reason_against_segments", lambda: _reason(problem))


def _reason(problem: Problem) -> str | None:
    layout = layout_of(problem)
    n, largest = len(layout.free), layout.largest_gap
    if n > MIN_OPERATORS and largest > MAX_SHARE * n:
        return f"one block holds {largest} of {n} operators"
    return None
