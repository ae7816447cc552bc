"""From a graph and a costs file to a plan: price, solve, re-evaluate, compare."""

from __future__ import annotations

from collections.abc import Sequence

from planner.costs.cost_file import Costs
from planner.costs.cost_table import CostTable
from planner.costs.pricing import priced
from planner.costs.scenario import Scenario
from planner.errors import PlanError, SolverError
from planner.evaluation.delay import violations
from planner.evaluation.outcome import Outcome, outcome_of
from planner.graphs.graph import Graph
from planner.plans.baselines import BASELINES, baseline
from planner.plans.conflicts import explained
from planner.plans.plan_file import BaselineEntry, CertificateEntry, Plan, PlanHead
from planner.plans.solving import AUTO, solve
from planner.problems.formulation import formulate
from planner.problems.memory import shortages
from planner.problems.problem import Problem
from planner.problems.solution import Limits, Solution, Status
from planner.problems.ticks import rounding_s
from planner.registry import OWN_DISTRIBUTION, tool_version


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
        solution = _placed(solve(problem, solver, limits=limits), solver)
    outcome = outcome_of(graph, table, scenario, solution.placement)
    _check(graph, scenario, problem, solution, outcome)
    others = tuple(
        baseline(graph, table, scenario, problem, name, outcome.objective_s) for name in baselines
    )
    hosts = scenario.route.hosts
    return Plan(
        head=_head(graph, costs, scenario, table, solution, outcome, others),
        placement={
            operator.name: hosts[host]
            for operator, host in zip(graph.operators, solution.placement.tolist(), strict=True)
        },
    )


def _placed(solution: Solution, solver: str) -> Solution:
    """The same, unless a policy's own answer is not feasible."""
    if solution.status is Status.INFEASIBLE:
        raise PlanError(
            f"`{solver}` has no feasible answer: {solution.message}",
            code="PLN404",
            where="solver",
            hint="use `--solver auto`",
            exit_code=3,
        )
    return solution


def _head(
    graph: Graph,
    costs: Costs,
    scenario: Scenario,
    table: CostTable,
    solution: Solution,
    outcome: Outcome,
    baselines: tuple[BaselineEntry, ...],
) -> PlanHead:
    return PlanHead(
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
        hosts=scenario.route.hosts,
        solver=solution.solver,
        solver_version=solution.solver_version,
        total_s=outcome.total_s,
        iteration_s=outcome.iteration_s,
        delay=outcome.delay,
        certificate=_certificate(solution),
        crossing=outcome.crossing,
        memory=outcome.memory,
        pipeline=outcome.pipeline,
        baselines=baselines,
        notes=(*graph.notes, *table.notes),
        warnings=tuple(warnings_for(graph, costs)),
    )


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
