"""Policies to compare a plan with: what each of them takes."""

from __future__ import annotations

from math import isfinite

from planner.costs.cost_table import CostTable
from planner.costs.scenario import Scenario
from planner.errors import PlannerError
from planner.evaluation.outcome import objective_s
from planner.graphs.graph import Graph
from planner.plans.plan_file import BaselineEntry
from planner.plans.solving import solve
from planner.problems.problem import Problem
from planner.problems.solution import Status

BASELINES = ("device-only", "server-only", "best-prefix", "best-layer", "dads")


def baseline(
    graph: Graph,
    table: CostTable,
    scenario: Scenario,
    problem: Problem,
    policy: str,
    best_s: float,
) -> BaselineEntry:
    """What one policy takes, as a ratio to the plan; not feasible rather than left out."""
    try:
        solution = solve(problem, policy)
        is_feasible, message = solution.status is not Status.INFEASIBLE, solution.message
    except PlannerError as error:
        is_feasible, message = False, error.message
    if not is_feasible:
        return BaselineEntry(
            policy=policy,
            is_feasible=False,
            is_as_published=False,
            total_s=None,
            ratio=None,
            message=message,
        )
    total = objective_s(graph, table, scenario, solution.placement)
    return BaselineEntry(
        policy=policy,
        is_feasible=True,
        is_as_published=solution.status is not Status.REPAIRED,
        total_s=total,
        ratio=ratio_of(total, best_s),
        message=message,
    )


def ratio_of(total_s: float, best_s: float) -> float | None:
    """How many times longer something takes; None where that is no number."""
    if best_s <= 0 or not isfinite(total_s / best_s):
        return None
    return total_s / best_s
