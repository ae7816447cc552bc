"""Checking a plan by everything that did not make it: evaluator, rules, flow, a second solver."""

from __future__ import annotations

from dataclasses import dataclass

from planner.arrays import IntArray
from planner.costs.cost_file import Costs
from planner.costs.cost_table import CostTable
from planner.costs.scenario import Scenario
from planner.errors import PlannerError
from planner.evaluation.delay import resolve_placement, violations
from planner.evaluation.memory import memory_of
from planner.files.values import JsonValue
from planner.graphs.graph import Graph
from planner.plans.baselines import baseline
from planner.plans.plan_file import Plan
from planner.plans.solving import AUTO
from planner.problems.formulation import formulate
from planner.problems.memory import shortages
from planner.problems.problem import Problem
from planner.problems.solution import SOLVERS, Limits
from planner.units import format_seconds
from planner.verification.case import Case
from planner.verification.certificate import check_certificate
from planner.verification.entries import compare_entries, facts_of, json_value, outcome_entries
from planner.verification.flow import check_flow
from planner.verification.inputs import check_inputs, priced_for
from planner.verification.ledger import Check, Difference, Finding, Ledger
from planner.verification.rules import check_rules_seen
from planner.verification.second_solver import SecondAnswer, ask_second, second_solver
from planner.verification.terms import check_terms


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What became of every check of a plan; made by `planner.verify`.

    Attributes:
        checks: Everything that was checked, with its finding.
        differences: All that is not as the plan says.
        second: The second solver's answer, if it gave one.
    """

    checks: tuple[Check, ...]
    differences: tuple[Difference, ...]
    second: SecondAnswer | None

    @property
    def ok(self) -> bool:
        """Whether nothing disagrees with the plan."""
        return not self.differences

    @property
    def is_complete(self) -> bool:
        """Whether every check that applies could be made."""
        return all(check.finding is not Finding.NOT_MADE for check in self.checks)

    def to_dict(self) -> dict[str, JsonValue]:
        """Everything as JSON values."""
        return {
            "ok": self.ok,
            "is_complete": self.is_complete,
            "checks": [check.to_dict() for check in self.checks],
            "differences": [difference.to_dict() for difference in self.differences],
            "second_solver": self.second.to_dict() if self.second is not None else None,
        }


def verify(
    plan: Plan,
    graph: Graph,
    costs: Costs,
    solver: str = AUTO,
    *,
    limits: Limits | None = None,
) -> Verification:
    """Check everything that a plan says.

    The placement is evaluated again, rules and memory limits are checked, the certificate is held
    against a fresh maximum flow, and a second solver is asked for the optimum.

    Args:
        plan: From `planner.plan` or `planner.read_plan`.
        graph: What it was made from.
        costs: What it was made for.
        solver: The second solver, an exact one; `auto` for a MILP other than the plan's solver.
        limits: When the second solver may stop; None for 60 seconds.

    Returns:
        What agrees and what does not; a plan that does not hold is no error.

    Raises:
        PlannerError: If the plan was made from other inputs (`PLN420`, with what is different), or
            the second solver cannot honour the problem (`PLN405`).
    """
    scenario, table = priced_for(plan, graph, costs)
    check_inputs(plan, graph, costs, scenario, table)
    problem = formulate(graph, table, scenario)
    chosen = second_solver(problem, plan, solver)
    ledger = Ledger()
    ledger.add("inputs", Finding.AGREES, "the plan was made from this graph and these costs")
    case = _checked_placement(ledger, plan, graph, table, scenario, problem)
    second = None
    if case is not None:
        check_certificate(ledger, case)
        check_rules_seen(ledger, case)
        check_terms(ledger, case)
        check_flow(ledger, case)
        second = ask_second(ledger, case, chosen, limits)
        _check_baselines(ledger, case)
    return Verification(
        checks=tuple(ledger.checks), differences=tuple(ledger.differences), second=second
    )


def _checked_placement(
    ledger: Ledger,
    plan: Plan,
    graph: Graph,
    table: CostTable,
    scenario: Scenario,
    problem: Problem,
) -> Case | None:
    """Placement, rules, limits and every figure; None if operators or hosts are not these."""
    try:
        hosts = resolve_placement(graph, scenario, plan.placement)
    except PlannerError as error:
        for complaint in error.problems:
            ledger.differ("placement", "$.placement", None, None, complaint.message)
        ledger.close("placement", "")
        for name in ("rules", "figures", "certificate", "terms", "flow", "second solver"):
            ledger.add(name, Finding.NOT_MADE, "the placement is not one of this graph")
        return None
    ledger.close("placement", f"each of {len(hosts)} operators is on a host of the route")
    _check_rules(ledger, graph, table, scenario, hosts)
    entries, found_s = outcome_entries(graph, table, scenario, hosts)
    compare_entries(ledger, "figures", plan, facts_of(graph, scenario) | entries)
    ledger.close("figures", f"evaluated again: {format_seconds(found_s)}, and every term of it")
    return Case(
        plan=plan,
        graph=graph,
        table=table,
        scenario=scenario,
        problem=problem,
        hosts=hosts,
        objective_s=found_s,
        is_feasible=all(difference.check != "rules" for difference in ledger.differences),
    )


def _check_rules(
    ledger: Ledger, graph: Graph, table: CostTable, scenario: Scenario, hosts: IntArray
) -> None:
    for error in violations(graph, scenario, hosts):
        ledger.differ("rules", "$.placement", None, None, error.message)
    limits = scenario.memory_limits
    if limits:
        needs = [use.total_bytes for use in memory_of(graph, table, scenario, hosts)]
        for text, need, limit in shortages(scenario.route.hosts, needs, limits):
            ledger.differ("rules", "$.placement", need, limit, text)
    ledger.close("rules", f"all are kept{', and the memory limits' if limits else ''}")


def _check_baselines(ledger: Ledger, case: Case) -> None:
    """Ask the policies again, those that are installed; how they word it is not compared."""
    stated, known = case.plan.head.baselines, set(SOLVERS.names())
    asked = 0
    for position, entry in enumerate(stated):
        if entry.policy not in known:
            text = f"there is no policy `{entry.policy}` here"
            ledger.add("baselines", Finding.NOT_MADE, text)
            continue
        asked += 1
        found = baseline(
            case.graph,
            case.table,
            case.scenario,
            case.problem,
            entry.policy,
            case.objective_s,
        ).model_copy(update={"message": entry.message})
        ledger.compare(
            "baselines", f"$.baselines[{position}]", json_value(entry), json_value(found)
        )
    if asked:
        ledger.close("baselines", f"{asked} policies take what the plan says")
