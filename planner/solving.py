"""Asking a solver: what it cannot honour is refused first, its answer is sharpened."""

from __future__ import annotations

from planner.errors import PlanError
from planner.feasibility import feasible_extremes
from planner.problems import Problem
from planner.registry import SOLVERS
from planner.solutions import Limits, Solution, Solver

AUTO = "auto"


def choose(problem: Problem) -> str:
    """The name of the exact solver that suits a problem best."""
    return "maxflow"


def solve(problem: Problem, solver: str = AUTO, *, limits: Limits | None = None) -> Solution:
    """Place every operator of a problem.

    Args:
        problem: From `planner.problem(graph, costs)`.
        solver: A registered name, or `auto`.
        limits: When to stop.

    Raises:
        PlanError: If no placement is feasible (exit status 3), or the solver cannot honour the
            problem.
        PluginError: If there is no such solver, or it lacks a dependency.
    """
    chosen = SOLVERS.get(choose(problem) if solver == AUTO else solver, where="solver")
    feasible_extremes(problem.constraints)
    _check_capabilities(chosen, problem)
    limits = limits or Limits()
    solution = chosen.solve(problem, limits=limits)
    # A best value below half the bound wastes a bit of every cost: make it the bound. Exact solvers
    # find the same value, so they all go through the same sequence of ticks.
    while solution.is_proved and 2 * solution.value < problem.ticks.bound:
        problem = problem.with_incumbent(solution.placement)
        solution = chosen.solve(problem, limits=limits)
    return solution


def _check_capabilities(solver: Solver, problem: Problem) -> None:
    able = solver.capabilities
    if able.max_hosts is not None and problem.n_hosts > able.max_hosts:
        raise PlanError(
            f"solver `{solver.name}` handles {able.max_hosts} hosts, the route has "
            f"{problem.n_hosts}",
            code="PLN405",
            where="solver",
            hint="use `maxflow`, which handles any number of hosts",
        )
    latest, earliest = feasible_extremes(problem.constraints)
    free = int((latest > earliest).sum())
    if able.max_free_operators is not None and free > able.max_free_operators:
        raise PlanError(
            f"solver `{solver.name}` handles {able.max_free_operators} free operators, the graph "
            f"has {free}",
            code="PLN405",
            where="solver",
            hint="use `maxflow`, which is exact at any size",
        )
