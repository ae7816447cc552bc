"""Asking a solver: what it cannot honour is refused first, its answer is sharpened."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from math import inf

from planner.costs.scenario import Objective
from planner.errors import PlanError, SolverError
from planner.problems.memory import nothing_fits, shortages
from planner.problems.problem import Problem
from planner.problems.solution import SOLVERS, DeferredCertificate, Limits, Solution, Solver, Status
from planner.solvers.segments.suitability import reason_against

AUTO = "auto"
NO_LIMITS = Limits()
OPTIMUM = Limits(gap=0.0)
"""What who leaves the choice of a solver to us wants."""


def choose(problem: Problem) -> str:
    """The name of the exact solver that suits a problem best.

    Raises:
        PlanError: If no placement is feasible.
    """
    if problem.workload.objective is Objective.THROUGHPUT:
        return "pyomo"
    if problem.memory is not None:
        return "budget"
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
    if solver != AUTO:
        return run(SOLVERS.get(solver, where="solver"), problem, limits or NO_LIMITS)
    chosen = SOLVERS.get(choose(problem), where="solver")
    if limits is not None:
        gap = OPTIMUM.gap if limits.gap is None else limits.gap
        engine = limits.engine if chosen.capabilities.runs_engines else None
        limits = replace(limits, gap=gap, engine=engine)
    return run(chosen, problem, limits or OPTIMUM)


def run(chosen: Solver, problem: Problem, limits: Limits = NO_LIMITS) -> Solution:
    """What `solve` does once a solver is chosen, registered or not.

    Raises:
        PlanError: As `solve`.
    """
    problem.constraints.require_feasible()
    _check_capabilities(chosen, problem)
    if limits.engine is not None and not chosen.capabilities.runs_engines:
        raise PlanError(
            f"solver `{chosen.name}` runs no other program, so there is no choice of one",
            code="PLN405",
            where="engine",
            hint="leave out `--engine`, or use `pulp`, `pyomo` or `budget`",
        )
    memory = problem.memory
    if memory is not None and memory.least_bytes > memory.limits.sum():
        raise nothing_fits()
    started = time.perf_counter()
    solution = chosen.solve(problem, limits=limits)
    if isinstance(solution.certificate, DeferredCertificate):
        return solution
    if not chosen.capabilities.is_exact:
        return _within_memory(problem, solution)
    # Exact solvers find the same value, so they all go through the same sequence of ticks.
    while solution.has_bound and problem.goal.is_coarse_for(solution.value):
        known_s = problem.goal.bound * problem.goal.quantum_s
        problem = problem.with_incumbent(solution.placement)
        if problem.goal.bound * problem.goal.quantum_s >= known_s:
            break  # the placement does not take what is claimed, which whoever evaluates it sees
        if limits.seconds is not None:
            left = limits.seconds - (time.perf_counter() - started)
            if left <= 0:
                break
            limits = replace(limits, seconds=left)
        try:
            sharper = chosen.solve(problem, limits=limits)
        except SolverError:
            break  # what is known stays true, in coarser ticks
        if not sharper.has_bound:
            break
        solution = sharper
    return solution


def _within_memory(problem: Problem, solution: Solution) -> Solution:
    """A policy's answer, or for which host it is too large: policies know no limits."""
    memory = problem.memory
    if memory is None or solution.status is Status.INFEASIBLE:
        return solution
    needs = memory.use(solution.placement).tolist()
    for words, _, _ in shortages(problem.hosts, needs, memory.limits.tolist()):
        return replace(solution, status=Status.INFEASIBLE, message=words)
    return solution


def _check_capabilities(solver: Solver, problem: Problem) -> None:
    able = solver.capabilities
    _check_kind(solver, problem)
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
    latest, earliest = problem.constraints.extremes
    free = int((latest > earliest).sum())
    if free > able.max_free_operators:
        raise PlanError(
            f"solver `{solver.name}` handles {able.max_free_operators} free operators, the graph "
            f"has {free}",
            code="PLN405",
            where="solver",
            hint="use `maxflow`, which is exact at any size",
        )


def _check_kind(solver: Solver, problem: Problem) -> None:
    """Refuse an objective that a solver does not know, and limits that it would overlook.

    A policy promises no optimum: it is asked all the same, and its answer held against the limits.
    """
    able, objective = solver.capabilities, problem.workload.objective
    if objective not in able.objectives:
        raise PlanError(
            f"solver `{solver.name}` minimises {_listed(able.objectives)}, and the objective is "
            f"{objective.value}",
            code="PLN405",
            where="solver",
            hint="use `pyomo`, or `auto`",
        )
    if able.is_exact and problem.memory is not None and not able.honours_memory:
        limited = [h for h, m in zip(problem.hosts, problem.memory.limits, strict=True) if m < inf]
        names = ", ".join(f"`{host}`" for host in limited)
        raise PlanError(
            f"solver `{solver.name}` knows no memory limits, and {names} "
            f"{'has one' if len(limited) == 1 else 'have some'}",
            code="PLN405",
            where="solver",
            hint="use `budget` or `pyomo`, or leave out `memory_bytes` and `--device-memory`",
        )


def _listed(objectives: Sequence[Objective]) -> str:
    return " or ".join(f"{objective.value}" for objective in objectives)
