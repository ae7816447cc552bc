"""From a graph and a costs file to a plan: price, solve, re-evaluate, compare."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import isfinite

from planner.costs.cost_file import Costs
from planner.costs.cost_table import CostTable
from planner.costs.pricing import priced
from planner.costs.scenario import Objective, Scenario
from planner.errors import PlanError, PlannerError, SolverError
from planner.evaluation.delay import violations
from planner.graphs.graph import Graph
from planner.plans.outcomes import Outcome, objective_s, outcome_of
from planner.plans.plan_file import BaselineEntry, CertificateEntry, Plan, PlanHead
from planner.plans.solving import AUTO, solve
from planner.problems.formulation import formulate
from planner.problems.memory import shortages
from planner.problems.problem import Problem
from planner.problems.solution import Limits, Solution, Status
from planner.problems.ticks import rounding_s
from planner.registry import OWN_DISTRIBUTION, tool_version

PATIENCE_S = 20.0
"""Seconds for an explanation why nothing fits; after that it is one that may say too much."""

BASELINES = ("device-only", "server-only", "best-prefix", "best-layer", "dads")


def plan(
    graph: Graph,
    costs: Costs,
    solver: str = AUTO,
    *,
    baselines: Sequence[str] = BASELINES,
    limits: Limits | None = None,
) -> Plan:
    """Where to cut `graph` so that a round takes least, or the slowest stage of a pipeline does.

    Args:
        graph: From `planner.load`.
        costs: From `planner.read_costs`.
        solver: A registered solver or policy, or `auto` for the best exact one.
        baselines: Policies to compare with; none for speed.
        limits: When the solver may stop, and the program that it runs.

    Raises:
        PlannerError: If costs are missing, rules name what is not there, the solver cannot honour
            the problem, or no placement is feasible (exit status 3, with the chain of reasons).
    """
    scenario, table = priced(graph, costs)
    problem = formulate(graph, table, scenario)
    with explained(graph, table, scenario, limits):
        solution = solve(problem, solver, limits=limits)
    if solution.status is Status.INFEASIBLE:
        raise PlanError(
            f"`{solver}` has no feasible answer: {solution.message}",
            code="PLN404",
            where="solver",
            hint="use `--solver auto`",
            exit_code=3,
        )
    outcome = outcome_of(graph, table, scenario, solution.placement)
    _check(graph, scenario, problem, solution, outcome)
    hosts = scenario.route.hosts
    return Plan(
        head=PlanHead(
            kind="plan",
            version=1,
            tool=f"{OWN_DISTRIBUTION} {tool_version()}",
            graph=graph.name,
            graph_digest=graph.digest,
            costs_digest=costs.digest,
            batch=graph.batch,
            mode=scenario.workload.mode.value,
            objective=scenario.workload.objective.value,
            iterations_per_round=scenario.workload.iterations,
            hosts=hosts,
            solver=solution.solver,
            solver_version=solution.solver_version,
            total_s=outcome.total_s,
            iteration_s=outcome.iteration_s,
            delay=outcome.delay,
            certificate=_certificate(solution),
            crossing=outcome.crossing,
            memory=outcome.memory,
            pipeline=outcome.pipeline,
            baselines=tuple(
                baseline(graph, table, scenario, problem, name, outcome.objective_s)
                for name in baselines
            ),
            notes=(*graph.notes, *table.notes),
            warnings=tuple(warnings_for(graph, costs)),
        ),
        placement={
            operator.name: hosts[host]
            for operator, host in zip(graph.operators, solution.placement.tolist(), strict=True)
        },
    )


@contextmanager
def explained(
    graph: Graph, table: CostTable, scenario: Scenario, limits: Limits | None = None
) -> Iterator[None]:
    """Say which limits and rules conflict where a solver only finds that nothing fits."""
    try:
        yield
    except PlanError as error:
        if error.code != "PLN406":
            raise
        from planner.plans.conflicts import explain_memory

        given = limits.seconds if limits is not None else None
        until = time.monotonic() + min(PATIENCE_S, given or PATIENCE_S)

        def has_a_plan(problem: Problem) -> bool | None:
            """Whether any placement keeps rules and limits; None if that takes too long."""
            seconds = max(0.01, until - time.monotonic())
            workload = replace(problem.workload, objective=Objective.DELAY)
            problem = replace(problem, workload=workload)
            try:
                solve(problem, "budget", limits=Limits(seconds=seconds))
            except PlanError:
                return False
            except SolverError:
                return None
            return True

        raise explain_memory(graph, table, scenario, has_a_plan, until=until) from None


def warnings_for(graph: Graph, costs: Costs) -> list[str]:
    """What may make a plan mean something else than expected."""
    found = list(graph.warnings)
    if costs.workload.mode == "training" and graph.is_inference_export:
        found.append(
            "the plan is for training, but the model has neither BatchNormalization nor Dropout "
            "in training mode: if it was exported for inference, export it for training"
        )
    if costs.workload.mode == "training" and not any(p.trainable for p in graph.parameters):
        found.append(
            "the plan is for training, but the model has no trainable parameter: no gradient is "
            "sent and nothing is exchanged"
        )
    return found


def _check(
    graph: Graph, scenario: Scenario, problem: Problem, solution: Solution, outcome: Outcome
) -> None:
    """Hold a solver's answer against the independent evaluator, whose seconds its ticks must be.

    Costs above the bound are clipped to it, so what is worse than the bound, which only a policy's
    placement can be, may take longer than its ticks say, but not less.
    """
    broken = [str(error) for error in violations(graph, scenario, solution.placement)]
    needs, limits = zip(*((e.total_bytes, e.limit_bytes) for e in outcome.memory), strict=True)
    broken += [words for words, _, _ in shortages(problem.hosts, needs, limits)]
    found = outcome.objective_s
    ticks_s = solution.value * solution.quantum_s
    rounding = rounding_s(problem, solution.quantum_s)
    is_clipped = not solution.is_proved and solution.value > problem.goal.bound
    # A clipped cost is more than the bound by up to one tick, a rounded one by half of one.
    tolerance = rounding * (2 if is_clipped else 1) + 1e-9 * found
    # Below this not even the finest tick of a float64 is fine.
    is_coarse = solution.is_proved and rounding > 1e-3 * found > 1e-290
    surplus = found - ticks_s
    is_off = surplus < -tolerance or (surplus > tolerance and not is_clipped)
    if broken or is_off or is_coarse:
        figures = f"{found} s, its ticks of {solution.quantum_s} s say {ticks_s} s"
        raise SolverError(
            f"the answer of `{solution.solver}` does not hold: {broken[0] if broken else figures}",
            code="PLN502",
            exit_code=70,
            hint="this is a defect of the solver; report it with the model and the costs file",
        )


def _certificate(solution: Solution) -> CertificateEntry:
    return CertificateEntry(
        holds=solution.is_proved,
        lower_bound=solution.lower_bound,
        value=solution.value,
        quantum_s=solution.quantum_s,
        tolerance=solution.certificate.tolerance,
        status=solution.status.value,
        message=solution.message,
    )


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
