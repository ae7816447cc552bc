"""Whether a plan was made from these inputs; if not, what is visibly different."""

from __future__ import annotations

from collections.abc import Iterator

from planner.costs.cost_file import Costs
from planner.costs.cost_table import CostTable
from planner.costs.pricing import priced
from planner.costs.scenario import Scenario
from planner.errors import PlanError, PlannerError, named
from planner.evaluation.delay import resolve_placement, violations
from planner.graphs.graph import Graph
from planner.plans.plan_file import Plan
from planner.verification.entries import Entries, compare_entries, facts_of, outcome_entries
from planner.verification.ledger import Ledger

MAX_SHOWN = 8
"""Differences that the error lists."""

MAX_NAMED = 3
"""Operators that are named where some are missing."""

_FLAGS = {
    "batch": "--batch",
    "mode": "--mode",
    "objective": "--objective",
    "iterations_per_round": "--iterations",
}
"""Flags that decide what a plan repeats of its inputs."""


def priced_for(plan: Plan, graph: Graph, costs: Costs) -> tuple[Scenario, CostTable]:
    """Scenario and prices; where these are not a plan's graph, errors in them are not the point.

    Raises:
        PlannerError: If the costs are not for this graph (`PLN420` if that is not the plan's).
    """
    try:
        return priced(graph, costs)
    except PlannerError as error:
        if plan.head.graph_digest == graph.digest:
            raise
        shown = [*_operators(plan, graph), *(problem.message for problem in error.problems)]
        raise _made_from_others(["from another graph than this one"], shown, None) from error


def check_inputs(
    plan: Plan, graph: Graph, costs: Costs, scenario: Scenario, table: CostTable
) -> None:
    """Refuse a plan that was made from another graph or for other costs.

    Raises:
        PlanError: Naming the input, and what the plan says otherwise than these inputs would.
    """
    others = []
    if plan.head.graph_digest != graph.digest:
        others.append("from another graph than this one")
    if plan.head.costs_digest != costs.digest:
        others.append("for other costs than these")
    if not others:
        return
    facts = facts_of(graph, scenario)
    shown = [
        *_operators(plan, graph),
        *_facts(plan, facts),
        *_consequences(plan, graph, scenario, table),
    ]
    if not shown:
        shown.append("its figures come out the same with these: what differs is of no consequence")
    raise _made_from_others(others, shown, _hint(plan, facts))


def _made_from_others(others: list[str], shown: list[str], hint: str | None) -> PlanError:
    if len(shown) > MAX_SHOWN:
        shown[MAX_SHOWN:] = [f"and {len(shown) - MAX_SHOWN} more"]
    return PlanError(
        "\n  ".join([f"the plan was made {' and '.join(others)}", *shown]),
        code="PLN420",
        where="plan",
        hint=hint or "give the graph that the plan was made from, or make the plan again",
    )


def _operators(plan: Plan, graph: Graph) -> Iterator[str]:
    gone = [name for name in plan.placement if name not in graph.operator_index]
    new = [op.name for op in graph.operators if op.name not in plan.placement]
    for names, what in ((gone, "not in this graph"), (new, "not in the plan")):
        if names:
            shown = named(names, MAX_NAMED)
            yield f"{shown} {'is' if len(names) == 1 else 'are'} {what}"


def _facts(plan: Plan, facts: Entries) -> Iterator[str]:
    ledger = Ledger()
    compare_entries(ledger, "inputs", plan, facts)
    yield from (difference.text for difference in ledger.differences)


def _consequences(plan: Plan, graph: Graph, scenario: Scenario, table: CostTable) -> Iterator[str]:
    """Rules that the plan would break, and entries that would be others, with these inputs."""
    try:
        hosts = resolve_placement(graph, scenario, plan.placement)
    except PlannerError:
        return  # operators or hosts are others, which is told already
    yield from (error.message for error in violations(graph, scenario, hosts))
    ledger = Ledger()
    entries, _ = outcome_entries(graph, table, scenario, hosts)
    compare_entries(ledger, "inputs", plan, entries)
    # Terms say more about the inputs than their sums.
    differences = sorted(ledger.differences, key=lambda d: not d.where.startswith("$.delay"))
    yield from (difference.text for difference in differences)


def _hint(plan: Plan, facts: Entries) -> str:
    """The flag that would make these inputs the plan's, if one alone is seen to differ."""
    for name, flag in _FLAGS.items():
        stated = getattr(plan.head, name)
        if stated != facts[name] and stated is not None:
            return f"the plan is for `{name}` {stated}: add `{flag} {stated}`"
    return (
        "give the files and the flags that the plan was made with, or make the plan again from "
        "these"
    )
