"""`planner.verify` against plans that claim too much, and the words for it."""

from __future__ import annotations

import copy
from math import frexp
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import planner
from planner.costs.cost_file import Costs
from planner.costs.pricing import priced
from planner.errors import PlannerError
from planner.evaluation.outcome import objective_s
from planner.graphs.graph import Graph
from planner.plans.plan_file import Plan
from planner.problems.enumeration import enumerate_placements
from planner.problems.formulation import formulate
from planner.verification.case import ticks_of
from planner.verification.entries import outcome_entries
from planner.verification.ledger import apart, told
from planner.verification.verifying import verify
from tests.support.strategies import problems as random_problems
from tests.support.toys import diamond, graph_of, operator
from tests.verification.planted import (
    costs_of,
    disagreeing,
    edited,
    limited,
    made,
    priced_costs,
    rebuilt,
    texts,
)

pytestmark = pytest.mark.plants_errors


def moved(plan: Plan, graph: Graph, costs: Costs, hosts: Any, quantum_s: float) -> Plan:
    """A plan for another placement, every figure consistent with it, in ticks of any size."""
    scenario, table = priced(graph, costs)
    problem = formulate(graph, table, scenario)
    hosts = np.asarray(hosts, np.int64)
    entries, _ = outcome_entries(graph, table, scenario, hosts)
    value = ticks_of(problem, hosts, quantum_s)
    document: dict[str, Any] = copy.deepcopy(plan.to_dict()) | entries | {"baselines": []}
    document["placement"] = [
        {"node": op.name, "host": scenario.route.hosts[host]}
        for op, host in zip(graph.operators, hosts.tolist(), strict=True)
    ]
    document["certificate"] |= {
        "value": value, "lower_bound": value, "quantum_s": quantum_s, "holds": True,
        "status": "optimal", "tolerance": 0.0,
    }  # fmt: skip
    return rebuilt(document)


# Claims.


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    case=random_problems(max_operators=5),
    data=st.data(),
    exponent=st.integers(-75, 20),
    second=st.sampled_from(["brute-force", "networkx"]),
)
def test_no_worse_placement_passes_in_any_ticks(
    case: tuple[Graph, Costs], data: st.DataObject, exponent: int, second: str
) -> None:
    graph, costs = case
    try:
        plan = planner.plan(graph, costs, baselines=())
    except PlannerError:
        return
    scenario, table = priced(graph, costs)
    placements = enumerate_placements(formulate(graph, table, scenario)).astype(np.int64)
    takes = [objective_s(graph, table, scenario, placement) for placement in placements]
    worse = [p for p, s in zip(placements, takes, strict=True) if s > min(takes) * (1 + 1e-9)]
    assume(worse)
    hosts = data.draw(st.sampled_from(range(len(worse))))
    quantum_s = 2.0**exponent
    try:
        wrong = moved(plan, graph, costs, worse[hosts], quantum_s)
    except ValueError:
        return  # more ticks than a file holds
    found = verify(wrong, graph, costs, second)
    assert disagreeing(found) >= {"flow", "second solver"}


@pytest.mark.parametrize("exponent", [-60, -10, 0, 6, 20])
@pytest.mark.parametrize("second", ["auto", "pulp", "networkx", "brute-force"])
def test_ticks_that_are_too_coarse(exponent: int, second: str) -> None:
    graph, costs = diamond(), costs_of(diamond())
    wrong = moved(made(graph), graph, costs, np.zeros(5), 2.0**exponent)
    found = verify(wrong, graph, costs, second)
    assert disagreeing(found) >= {"flow", "second solver"}
    right = moved(made(graph), graph, costs, np.ones(5), 2.0**exponent)
    found = verify(right, graph, costs, second)
    assert found.ok == (exponent == -60)
    if not found.ok:
        assert "are too coarse for a proof about 2.09 s" in texts(found, "certificate")


def nothing_to_pay() -> tuple[Graph, Costs]:
    """The device takes no time, and the server half a second for each of two operators."""
    operators = [operator("a", ["x"], 10), operator("b", ["a_out"], 10)]
    graph = graph_of(operators, ["b_out"], input_bytes=10)
    return graph, priced_costs({"a": (0.0, 0.5), "b": (0.0, 0.5)}, 1e18)


@pytest.mark.parametrize("exponent", [-60, -30, 0, 30])
def test_an_optimum_of_nothing(exponent: int) -> None:
    graph, costs = nothing_to_pay()
    plan = planner.plan(graph, costs)
    assert plan.total_s == 0
    assert verify(plan, graph, costs).ok
    found = verify(moved(plan, graph, costs, [1, 1], 2.0**exponent), graph, costs)
    assert disagreeing(found) >= {"flow", "second solver"}
    assert "1.00 s" in texts(found, "flow")


def test_other_ticks_that_are_fine() -> None:
    """The same claim in ticks of another sharpening is as good."""
    graph, costs = diamond(), costs_of(diamond())
    plan = made(graph)
    for factor in (0.5, 2.0):
        other = moved(plan, graph, costs, np.ones(5), plan.certificate.quantum_s * factor)
        assert frexp(other.certificate.quantum_s)[0] == 0.5
        assert verify(other, graph, costs).ok


@pytest.mark.parametrize(
    ("solver", "changes", "words"),
    [
        ("maxflow", {"tolerance": 1e-12}, "expected at most 0 by `maxflow`"),
        ("pulp", {"tolerance": 1e-7}, "expected at most 1e-12 by `pulp`"),
        ("mine", {"tolerance": 1e-5}, "expected at most 1e-06"),
        ("dads", {}, "`dads` is a policy and proves nothing"),
        ("best-prefix", {"holds": False, "status": "limit"}, "`best-prefix` is a policy"),
        ("maxflow", {"holds": False, "status": "infeasible"}, "which no plan has"),
    ],
)
def test_certificates_that_nobody_makes(solver: str, changes: dict[str, Any], words: str) -> None:
    graph = diamond()
    found = verify(edited(made(graph), solver=solver, **changes), graph, costs_of(graph))
    assert "certificate" in disagreeing(found)
    assert words in texts(found, "certificate")


def test_a_solver_that_is_not_installed_may_have_made_a_plan() -> None:
    graph = diamond()
    found = verify(edited(made(graph), solver="theirs"), graph, costs_of(graph))
    assert found.ok, found.differences


def test_memory_may_be_left_out_only_without_limits() -> None:
    graph = diamond()
    assert verify(edited(made(graph), memory=[]), graph, costs_of(graph)).ok
    costs = limited(graph, (2**40, None))
    plan = planner.plan(graph, costs)
    assert verify(plan, graph, costs).ok
    assert disagreeing(verify(edited(plan, memory=[]), graph, costs)) == {"figures"}


# Words.


def test_whole_numbers_are_told_exactly() -> None:
    graph = diamond()
    plan = made(graph)
    value = plan.certificate.value
    found = verify(edited(plan, value=value + 1, lower_bound=value + 1), graph, costs_of(graph))
    assert f"takes {value} of them: 1 tick (" in texts(found, "certificate")
    assert "1 tick (" in texts(found, "flow")
    assert "0 s" not in texts(found, "flow")


def test_more_ticks_than_a_float64_holds() -> None:
    graph = diamond()
    found = verify(edited(made(graph), quantum_s=2.0**-1074), graph, costs_of(graph))
    assert "more of them than a float64 holds" in texts(found, "certificate")
    assert "nan" not in " ".join(d.text for d in found.differences)


def test_numbers_that_look_the_same() -> None:
    assert told("$.total_s", 1.0, 1.0 + 1e-9).startswith("`total_s` is 1.0 in the plan and 1.00000")
    assert apart("ticks", 5, float("inf")) == "less"


def test_memory_is_told_in_binary_units() -> None:
    text = told("$.memory[0].total_bytes", 2**30, 2**31)
    assert text.endswith("is 1.0 GiB in the plan and 2.0 GiB here: 1.0 GiB (50%) less")
    assert "2.1 GB here" in told("$.crossing[0].up_bytes", 2**30, 2**31)
