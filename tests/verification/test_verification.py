"""`planner.verify`: plans that hold do, whoever made them and whoever checks."""

from __future__ import annotations

import dataclasses
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import planner
from planner.costs.cost_file import Costs
from planner.errors import PlannerError
from planner.graphs.graph import Graph
from planner.problems.formulation import build_problem
from planner.problems.solution import SOLVERS
from planner.verification.ledger import Finding
from planner.verification.verifying import verify
from tests.support.strategies import problems
from tests.support.toys import diamond
from tests.verification.planted import costs_of, disagreeing, limited, made, rebuilt, texts

pytestmark = pytest.mark.plants_errors


@pytest.mark.parametrize("second", ["auto", "pulp", "networkx", "brute-force"])
@pytest.mark.parametrize("n_hosts", [2, 3])
def test_a_good_plan_holds(second: str, n_hosts: int) -> None:
    graph = diamond()
    plan = made(graph, n_hosts)
    found = verify(plan, graph, costs_of(graph, n_hosts), solver=second)
    assert found.ok, found.differences
    assert found.is_complete
    assert found.second is not None
    assert found.second.solver == ("pulp" if second == "auto" else second)
    assert found.second.value_s == pytest.approx(plan.total_s, rel=1e-12)
    assert [check.name for check in found.checks] == [
        "inputs", "placement", "rules", "figures", "certificate", "terms", "flow",
        "second solver", "baselines",
    ]  # fmt: skip
    assert json.loads(json.dumps(found.to_dict()))["ok"] is True


@pytest.mark.parametrize(
    ("solver", "workload", "second"),
    [
        ("segments", {}, "pulp"),
        ("pulp", {}, "pyomo"),
        ("brute-force", {"objective": "throughput"}, "pyomo"),
        ("pyomo", {"objective": "throughput"}, "brute-force"),
    ],
)
def test_the_second_solver_is_not_the_first(
    solver: str, workload: dict[str, object], second: str
) -> None:
    graph = diamond()
    plan = made(graph, solver=solver, workload=workload)
    found = verify(plan, graph, costs_of(graph, workload=workload))
    assert found.ok, found.differences
    assert found.second is not None
    assert found.second.solver == second


def test_rather_the_first_solver_again_than_none(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = diamond()
    workload = {"objective": "throughput"}
    plan = made(graph, solver="pyomo", workload=workload)
    few = dataclasses.replace(SOLVERS.get("brute-force").capabilities, max_free_operators=1)
    monkeypatch.setattr(type(SOLVERS.get("brute-force")), "capabilities", few)
    found = verify(plan, graph, costs_of(graph, workload=workload))
    [second] = [check for check in found.checks if check.name == "second solver"]
    assert second.finding is Finding.AGREES
    assert second.text.startswith("`pyomo`, which made the plan, finds")


@pytest.mark.parametrize("solver", ["best-prefix", "server-only", "dads"])
def test_a_policy_is_not_proved_and_does_not_disagree(solver: str) -> None:
    graph = diamond()
    found = verify(made(graph, solver=solver), graph, costs_of(graph))
    assert found.ok, found.differences
    [flow] = [check.text for check in found.checks if check.name == "flow"]
    assert flow.startswith("not proved")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=problems(max_operators=6), solver=st.sampled_from(["auto", "maxflow", "best-prefix"]))
def test_whatever_is_planned_holds(case: tuple[Graph, Costs], solver: str) -> None:
    graph, costs = case
    try:
        plan = planner.plan(graph, costs, solver)
    except PlannerError:
        return
    found = verify(plan, graph, costs, solver="brute-force")
    assert found.ok, found.differences
    assert found.is_complete


def test_memory_limits_leave_the_flow_a_lower_bound() -> None:
    graph = diamond()
    free = made(graph)
    [server] = [entry.total_bytes for entry in free.memory if entry.host == "h1"]
    costs = limited(graph, (None, server - 1))
    plan = planner.plan(graph, costs, "brute-force")
    found = verify(plan, graph, costs)
    assert found.ok, found.differences
    [flow] = [check.text for check in found.checks if check.name == "flow"]
    assert flow.startswith("a maximum flow without the memory limits is a lower bound")
    over = rebuilt(plan.to_dict() | {"placement": free.to_dict()["placement"]})
    wrong = verify(over, graph, costs, solver="brute-force")
    assert "rules" in disagreeing(wrong)
    assert "`h1` memory: needs" in texts(wrong, "rules")


def test_throughput_has_no_flow() -> None:
    graph = diamond()
    costs = costs_of(graph, 3, workload={"objective": "throughput"})
    found = verify(planner.plan(graph, costs, "brute-force"), graph, costs)
    assert found.ok, found.differences
    [flow] = [check for check in found.checks if check.name == "flow"]
    assert flow.finding is Finding.NOT_APPLICABLE


def test_the_problem_is_not_touched() -> None:
    graph = diamond()
    problem = build_problem(graph, costs_of(graph))
    assert verify(made(graph), graph, costs_of(graph)).ok
    assert problem.incumbent is None
