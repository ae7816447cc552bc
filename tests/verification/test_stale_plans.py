"""Plans for something else: other links, another graph, other work."""

from __future__ import annotations

import dataclasses

import pytest

import planner
from planner.costs.cost_file import Costs
from planner.errors import PlanError, PlannerError
from planner.graphs.graph import Graph
from planner.plans.plan_file import Plan
from planner.verification.verifying import verify
from tests.support.toys import diamond, tied_pair
from tests.verification.planted import costs_of, made

pytestmark = pytest.mark.plants_errors


def stale(plan: Plan, graph: Graph, costs: Costs) -> PlanError:
    with pytest.raises(PlanError) as caught:
        verify(plan, graph, costs)
    assert (caught.value.code, caught.value.exit_code, caught.value.where) == ("PLN420", 2, "plan")
    return caught.value


def test_a_stale_plan_of_other_links() -> None:
    graph = diamond()
    faster = [{"uplink_bps": 16e6, "downlink_bps": 16e6, "latency_s": 0.01}]
    pins = [{"node": "stem", "host": "h0"}, {"node": "join", "host": "h1"}]
    plan = made(graph, pins=pins)
    error = stale(plan, graph, costs_of(graph, pins=pins, links=faster))
    lines = error.message.splitlines()
    assert lines[0] == "the plan was made for other costs than these"
    assert lines[1].strip().startswith("`delay.uplink_s` is ")
    assert lines[1].endswith("(100%) more")


def test_a_stale_plan_of_another_graph() -> None:
    plan = made(dataclasses.replace(tied_pair(), digest="tied"))
    error = stale(plan, diamond(), costs_of(diamond()))
    assert "from another graph than this one and for other costs" in error.message
    assert "`embed`, `layer`, `head` are not in this graph" in error.message
    assert "`stem`, `left`, `right` and 2 more are not in the plan" in error.message


@pytest.mark.parametrize(
    ("workload", "hint"),
    [
        ({"mode": "inference"}, "add `--mode training`"),
        ({"iterations_per_round": 3}, "add `--iterations 1`"),
        ({"objective": "throughput"}, "add `--objective delay`"),
    ],
)
def test_a_stale_plan_of_other_work(workload: dict[str, object], hint: str) -> None:
    graph = diamond()
    error = stale(made(graph), graph, costs_of(graph, workload=workload))
    assert str(error.hint).endswith(hint)
    assert next(iter(workload)) in error.message


def test_a_stale_plan_of_another_batch() -> None:
    graph = dataclasses.replace(diamond(), batch=8, digest="8")
    error = stale(made(graph), dataclasses.replace(graph, batch=4, digest="4"), costs_of(graph))
    assert "`batch` is 8 in the plan and 4 here" in error.message
    assert str(error.hint).endswith("add `--batch 8`")


def test_a_stale_plan_that_breaks_a_new_rule() -> None:
    graph = diamond()
    plan = made(graph, pins=[{"node": "join", "host": "h0"}])
    error = stale(plan, graph, costs_of(graph, pins=[{"node": "join", "host": "h1"}]))
    assert "`join` is pinned to `h1`, but placed on `h0`" in error.message


def test_a_stale_plan_without_a_visible_difference() -> None:
    graph = diamond()
    error = stale(made(graph), dataclasses.replace(graph, digest="of a comment"), costs_of(graph))
    assert "of no consequence" in error.message


def test_costs_that_do_not_fit_the_wrong_graph() -> None:
    """Costs name operators that it lacks, which is not what is wrong."""
    graph = dataclasses.replace(diamond(), digest="diamond")
    costs = costs_of(graph, pins=[{"node": "left", "host": "h1"}])
    plan = planner.plan(graph, costs)
    with pytest.raises(PlannerError) as caught:
        verify(plan, dataclasses.replace(tied_pair(), digest="tied"), costs)
    assert (caught.value.code, caught.value.where) == ("PLN420", "plan")
    lines = caught.value.message.splitlines()
    assert lines[0] == "the plan was made from another graph than this one"
    assert "are not in this graph" in lines[1]
    with pytest.raises(PlannerError) as caught:
        verify(plan, graph, costs_of(tied_pair(), pins=[{"node": "layer", "host": "h1"}]))
    assert caught.value.code != "PLN420"
