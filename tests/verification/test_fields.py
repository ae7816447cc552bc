"""Plan files with one field changed, or one entry left out: nothing goes unnoticed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import planner
from planner.costs.cost_file import Costs
from planner.errors import PlannerError
from planner.graphs.graph import Graph
from planner.plans.plan_file import Plan
from planner.verification.verifying import verify
from tests.support.cli import write_json_file
from tests.support.strategies import problems
from tests.support.toys import diamond
from tests.verification.planted import costs_of, disagreeing, made, rebuilt, texts

pytestmark = pytest.mark.plants_errors


def fields_of(document: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every number, name and truth value of a plan that can be checked."""
    words = ("tool", "solver", "solver_version", "message", "notes", "warnings")
    if isinstance(document, dict):
        for key, value in document.items():
            if key not in words:
                yield from fields_of(value, (*where, key))
    elif isinstance(document, list):
        for position, value in enumerate(document):
            yield from fields_of(value, (*where, position))
    else:
        yield where


def other(data: st.DataObject, key: Any, value: Any, plan: Plan) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return data.draw(st.sampled_from([value + 1, max(0, value - 1), 2 * value + 3, 0]))
        case float():
            factor = data.draw(st.sampled_from([1 + 1e-6, 1 - 1e-6, 2.0, 0.5, 0.0]))
            return value * factor if value else 1e-3
        case None:
            return 3 if key in ("limit_bytes", "batch") else 0.5
    choices = {
        "host": (*plan.head.hosts, "nowhere"),
        "next_host": (*plan.head.hosts, "nowhere"),
        "mode": ("training", "inference"),
        "objective": ("delay", "throughput"),
        "status": ("optimal", "feasible", "limit", "repaired"),
        "kind": ("tensor", "labels", "host", "uplink", "downlink"),
    }.get(key, (value, f"{value}'"))
    return data.draw(st.sampled_from(choices))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=problems(max_operators=5), data=st.data())
def test_no_field_can_be_changed_unnoticed(case: tuple[Graph, Costs], data: st.DataObject) -> None:
    graph, costs = case
    try:
        plan = planner.plan(graph, costs)
    except PlannerError:
        return
    document: Any = copy.deepcopy(plan.to_dict())
    where = data.draw(st.sampled_from(list(fields_of(document))))
    place = document
    for step in where[:-1]:
        place = place[step]
    before = place[where[-1]]
    changed = other(data, where[-1], before, plan)
    assume(changed != before)
    place[where[-1]] = changed
    try:
        found = verify(rebuilt(document), graph, costs, solver="brute-force")
    except (PlannerError, ValueError):
        return  # refused: not for these inputs, or no plan file at all
    assert not (found.ok and found.is_complete), where


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=problems(max_operators=5), data=st.data())
def test_no_entry_can_be_left_out_unnoticed(case: tuple[Graph, Costs], data: st.DataObject) -> None:
    graph, costs = case
    try:
        document: Any = planner.plan(graph, costs).to_dict()
    except PlannerError:
        return
    lists = [name for name in ("placement", "crossing", "hosts") if document[name]]
    entries = document[data.draw(st.sampled_from(lists))]
    entries.pop(data.draw(st.integers(0, len(entries) - 1)))
    assert not verify(rebuilt(document), graph, costs, solver="brute-force").ok


def test_a_file_that_was_edited(tmp_path: Path) -> None:
    graph = diamond()
    document: Any = made(graph).to_dict()
    document["crossing"] = []
    read = planner.read_plan(write_json_file(tmp_path / "plan.json", document))
    found = verify(read, graph, costs_of(graph))
    assert disagreeing(found) == {"figures"}
    assert "is nothing in the plan, and an entry for" in texts(found, "figures")
