"""Asking a solver: what it cannot honour is refused first, its answer is sharpened."""

from __future__ import annotations

from planner.errors import PlanError
from planner.feasibility import feasible_extremes
from planner.problems import Problem
from planner.registry import SOLVERS
from planner.segmenting import reason_against
from planner.solutions import DeferredCertificate, Limits, Solution, Solver

AUTO = "auto"
NO_LIMITS = Limits()


def choose(problem: Problem) -> str:
    """The name of the exact solver that suits a problem best.

    Raises:
        PlanError: If no placement is feasible.
    """
    return "segments" if reason_against(problem) is None else "maxflow"


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
    limits = limits or NO_LIMITS
    solution = chosen.solve(problem, limits=limits)
    if isinstance(solution.certificate, DeferredCertificate):
        return solution
    # Exact solvers find the same value, so they all go through the same sequence of ticks.
    while solution.is_proved and problem.ticks.is_coarse_for(solution.value):
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
    if able.max_free_operators is None:
        return
    latest, earliest = feasible_extremes(problem.constraints)
    free = int((latest > earliest).sum())
    if free > able.max_free_operators:
        raise PlanError(
            f"solver `{solver.name}` handles {able.max_free_operators} free operators, the graph "
            f"has {free}",
            code="PLN405",
            where="solver",
            hint="use `maxflow`, which is exact at any size",
        )
