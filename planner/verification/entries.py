"""What a plan file should say: the entries that follow from the inputs and the placement."""

from __future__ import annotations

from dataclasses import fields

from pydantic import BaseModel

from planner.arrays import IntArray
from planner.costs.cost_table import CostTable
from planner.costs.scenario import Scenario
from planner.evaluation.outcome import outcome_of
from planner.files.values import JsonValue
from planner.graphs.graph import Graph
from planner.plans.plan_file import Plan
from planner.verification.ledger import Ledger

Entries = dict[str, JsonValue]
"""By the name that they have in a plan file."""


def facts_of(graph: Graph, scenario: Scenario) -> Entries:
    """What a plan repeats of its inputs."""
    return {
        "graph": graph.name,
        "batch": graph.batch,
        "mode": scenario.workload.mode.value,
        "objective": scenario.workload.objective.value,
        "iterations_per_round": scenario.workload.iterations,
        "hosts": list(scenario.route.hosts),
    }


def outcome_entries(
    graph: Graph, table: CostTable, scenario: Scenario, hosts: IntArray
) -> tuple[Entries, float]:
    """What a plan says about a placement, by the independent evaluator, and what it minimised.

    Args:
        graph: The model.
        table: Its costs.
        scenario: Route, work and rules.
        hosts: Host index of each operator; may break rules.
    """
    outcome = outcome_of(graph, table, scenario, hosts)
    entries = {f.name: json_value(getattr(outcome, f.name)) for f in fields(outcome)}
    return entries, outcome.objective_s


def compare_entries(ledger: Ledger, check: str, plan: Plan, entries: Entries) -> None:
    """Note what a plan says otherwise.

    Plans of older versions say nothing about memory, and knew no limits.
    """
    for name, found in entries.items():
        stated = json_value(getattr(plan.head, name))
        if not (name == "memory" and stated == [] and not _has_limits(found)):
            ledger.compare(check, f"$.{name}", stated, found)


def _has_limits(memory: JsonValue) -> bool:
    entries = memory if isinstance(memory, list) else []
    return any(isinstance(e, dict) and e.get("limit_bytes") is not None for e in entries)


def json_value(entry: object) -> JsonValue:
    """An entry as a plan file holds it."""
    match entry:
        case BaseModel():
            dumped: JsonValue = entry.model_dump(mode="json")
            return dumped
        case tuple():
            return [json_value(item) for item in entry]
        case None | bool() | int() | float() | str():
            return entry
    raise TypeError(f"{type(entry).__name__} is no entry of a plan")
