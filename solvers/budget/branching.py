"""Closing the gap of a Lagrangian relaxation by branch and bound.

A node fixes one operator before or after a link. That tightens the memory limits' own consequences
(`planner.solvers.budget.fixings`), so few nodes are needed: both relaxation and bounds are those of
`planner.solvers.budget.lagrangian`, in whole ticks.
"""

from __future__ import annotations

import heapq
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.arrays import IntArray
from planner.errors import PlanError
from planner.problems.feasibility import Constraints
from planner.solvers.budget.fixings import tightened
from planner.solvers.budget.lagrangian import Relaxed, relax

if TYPE_CHECKING:
    from planner.problems.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Searched:
    """How far a search got.

    Attributes:
        lower_bound: Ticks that no placement that fits is below.
        placement: The best one found, if any.
        n_nodes: Relaxations that were solved.
        is_complete: Whether nothing is left to look at but what the gap allows to leave.
    """

    lower_bound: int
    placement: IntArray | None
    n_nodes: int
    is_complete: bool


class _Node(NamedTuple):
    """An open node; the lowest bound comes first, and no two have one number."""

    lower_bound: int
    number: int
    rules: Constraints
    ends: tuple[IntArray, IntArray] | None


def search(
    problem: Problem,
    root: Relaxed,
    *,
    gap: float,
    max_nodes: int,
    deadline: float | None = None,
) -> Searched:
    """Branch until no open node is below the best placement by more than the gap.

    Args:
        problem: With memory limits, for a delay; its rules `tightened`.
        root: Its relaxation.
        gap: Relative; what is closer to the best placement than this is not looked at.
        max_nodes: When to stop.
        deadline: The same, as a time of `time.perf_counter()`.
    """
    best = root.placement
    value = problem.goal.value(best) if best is not None else None
    left = [value] if value is not None else []  # bounds of what is not looked at
    heap = [_Node(root.lower_bound, 0, problem.constraints, root.ends)]
    n_nodes = 0

    def is_settled(bound: int) -> bool:
        return value is not None and value - bound <= gap * value

    while heap and not is_settled(heap[0].lower_bound):
        if n_nodes >= max_nodes or (deadline is not None and time.perf_counter() > deadline):
            break
        node = heapq.heappop(heap)
        for rules in _branches(node):
            child, found = _solve(problem, rules, deadline)
            if child is None or found is None:
                continue
            n_nodes += 1
            if found.placement is not None:
                reached = problem.goal.value(found.placement)
                if value is None or reached < value:
                    best, value = found.placement, reached
            bound = max(node.lower_bound, found.lower_bound)
            if is_settled(bound):
                left.append(bound)
            else:
                heapq.heappush(heap, _Node(bound, n_nodes, child, found.ends))
    bounds = [*left, *(node.lower_bound for node in heap)]
    if value is not None:
        bounds.append(value)
    return Searched(
        lower_bound=min(bounds, default=0),
        placement=best,
        n_nodes=n_nodes,
        is_complete=not heap or is_settled(heap[0].lower_bound),
    )


def _branches(node: _Node) -> list[Constraints]:
    """The rules of a node with one operator before a link, and with it after."""
    rules = node.rules
    latest, earliest = rules.extremes
    is_open = latest > earliest
    if node.ends is not None:
        one, other = node.ends
        wavers = is_open & (one != other)
        if wavers.any():
            # The middle of what the relaxation wavers about decides most of it, either way.
            places = np.flatnonzero(wavers)
            operator = int(places[len(places) // 2])
            return _split(rules, operator, int(min(one[operator], other[operator])))
    places = np.flatnonzero(is_open)
    if not len(places):
        return []
    operator = int(places[len(places) // 2])
    return _split(rules, operator, int(earliest[operator]))


def _split(rules: Constraints, operator: int, link: int) -> list[Constraints]:
    low, high = rules.low.copy(), rules.high.copy()
    high[operator] = min(high[operator], link)
    low[operator] = max(low[operator], link + 1)
    return [replace(rules, high=high), replace(rules, low=low)]


def _solve(
    problem: Problem, rules: Constraints, deadline: float | None
) -> tuple[Constraints | None, Relaxed | None]:
    """The tightened rules of a node and its relaxation; None where nothing fits."""
    try:
        tight = tightened(problem, rules)
    except PlanError:
        return None, None
    return tight, relax(problem.under(tight, {}), tight.extremes, deadline)
