"""From a graph and a costs file to a plan: price, solve, re-evaluate, compare."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from planner.cost_files import Costs
from planner.costs import CostTable
from planner.errors import PlanError, PlannerError, SolverError
from planner.evaluation import Crossing, Delay, crossings, delay_of, violations
from planner.formulation import formulate
from planner.graphs import GRAPH_INPUT, Graph, IntArray
from planner.plans import (
    BaselineEntry,
    CertificateEntry,
    CrossingEntry,
    Plan,
    PlanHead,
    delay_entry,
)
from planner.pricing import priced
from planner.problems import Problem
from planner.quantisation import rounding_s
from planner.registry import OWN_DISTRIBUTION
from planner.scenarios import Scenario
from planner.solutions import Solution, Status
from planner.solving import AUTO, solve

BASELINES = ("device-only", "server-only", "best-prefix", "best-layer", "dads")


def plan(
    graph: Graph, costs: Costs, solver: str = AUTO, *, baselines: Sequence[str] = BASELINES
) -> Plan:
    """Where to cut `graph` so that a round takes least.

    Args:
        graph: From `planner.load`.
        costs: From `planner.read_costs`.
        solver: A registered solver or policy, or `auto` for the best exact one.
        baselines: Policies to compare with; none for speed.

    Raises:
        PlannerError: If costs are missing, rules name what is not there, the solver cannot honour
            the problem, or no placement is feasible (exit status 3, with the chain of reasons).
    """
    scenario, table = priced(graph, costs)
    problem = formulate(graph, table, scenario)
    solution = solve(problem, solver)
    if solution.status is Status.INFEASIBLE:
        raise PlanError(
            f"`{solver}` has no feasible answer: {solution.message}",
            code="PLN404",
            where="solver",
            hint="use `--solver auto`",
            exit_code=3,
        )
    delay = _checked_delay(graph, table, scenario, problem, solution)
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
            iterations_per_round=delay.iterations,
            hosts=hosts,
            solver=solution.solver,
            solver_version=solution.solver_version,
            total_s=delay.total_s,
            iteration_s=delay.iteration_s,
            delay=delay_entry(delay, hosts),
            certificate=_certificate(solution),
            crossing=tuple(
                _crossing_entry(graph, scenario, solution.placement, crossing)
                for crossing in crossings(graph, table, scenario, solution.placement)
            ),
            baselines=tuple(
                baseline(graph, table, scenario, problem, name, delay.total_s) for name in baselines
            ),
            notes=(*graph.notes, *table.notes),
            warnings=tuple(warnings_for(graph, costs)),
        ),
        placement={
            operator.name: hosts[host]
            for operator, host in zip(graph.operators, solution.placement.tolist(), strict=True)
        },
    )


def tool_version() -> str:
    """Version of the installed distribution."""
    try:
        return version(OWN_DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"


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
    limited = [f"`{host.name}`" for host in costs.hosts if host.memory_bytes is not None]
    if limited:
        found.append(
            f"`memory_bytes` of {', '.join(limited)} is not looked at: a minimum cut cannot limit "
            "memory, and the plan may need more"
        )
    return found


def _checked_delay(
    graph: Graph, table: CostTable, scenario: Scenario, problem: Problem, solution: Solution
) -> Delay:
    """The delay by the independent evaluator, which must agree with the solver's ticks.

    Costs above the bound are clipped to it, so what is worse than the bound, which only a policy's
    placement can be, may take longer than its ticks say, but not less.
    """
    broken = list(violations(graph, scenario, solution.placement))
    delay = delay_of(graph, table, scenario, solution.placement)
    ticks_s = solution.value * solution.quantum_s
    rounding = rounding_s(problem, solution.quantum_s)
    tolerance = rounding + 1e-9 * delay.total_s
    is_coarse = solution.is_proved and rounding > 1e-3 * delay.total_s
    is_clipped = not solution.is_proved and solution.value > problem.ticks.bound
    surplus = delay.total_s - ticks_s
    is_off = surplus < -tolerance or (surplus > tolerance and not is_clipped)
    if broken or is_off or (is_coarse and delay.total_s > 0):
        figures = f"{delay.total_s} s, its ticks of {solution.quantum_s} s say {ticks_s} s"
        reason = str(broken[0]) if broken else figures
        raise SolverError(
            f"the answer of `{solution.solver}` does not hold: {reason}",
            code="PLN502",
            exit_code=70,
            hint="this is a defect of the solver; report it with the model and the costs file",
        )
    return delay


def _certificate(solution: Solution) -> CertificateEntry:
    return CertificateEntry(
        holds=solution.is_proved,
        lower_bound=solution.lower_bound,
        value=solution.value,
        quantum_s=solution.quantum_s,
        status=solution.status.value,
        message=solution.message,
    )


def _crossing_entry(
    graph: Graph, scenario: Scenario, hosts: IntArray, crossing: Crossing
) -> CrossingEntry:
    link = scenario.route.links[crossing.link]
    if crossing.tensor is None:
        name, producer = "labels", None
        readers = graph.output_operators.tolist()
    else:
        tensor = graph.tensors[crossing.tensor]
        name = tensor.name
        is_input = tensor.producer == GRAPH_INPUT
        producer = None if is_input else graph.operators[tensor.producer].name
        readers = list(tensor.consumers)
    return CrossingEntry(
        kind="labels" if crossing.tensor is None else "tensor",
        tensor=name,
        link=crossing.link,
        up_bytes=crossing.up_bytes,
        down_bytes=crossing.down_bytes,
        up_s=8.0 * crossing.up_bytes / link.uplink_bps,
        down_s=8.0 * crossing.down_bytes / link.downlink_bps,
        producer=producer,
        consumers=tuple(graph.operators[r].name for r in readers if hosts[r] > crossing.link),
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
    total = delay_of(graph, table, scenario, solution.placement).total_s
    return BaselineEntry(
        policy=policy,
        is_feasible=True,
        is_as_published=solution.status is not Status.REPAIRED,
        total_s=total,
        ratio=total / best_s if best_s > 0 else None,
        message=message,
    )
