"""`planner.verify` against rules, memory and costs that are wrong for all solvers alike."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import planner
from planner.costs.cost_file import Costs
from planner.errors import SolverError
from planner.graphs.graph import Graph
from planner.problems import formulation
from planner.problems.instance import Transfers
from planner.verification.verifying import verify
from tests.support.toys import diamond, graph_of, operator, tied_pair
from tests.verification.planted import (
    costs_of,
    disagreeing,
    late,
    limited,
    made,
    priced_costs,
    texts,
)

pytestmark = pytest.mark.plants_errors


def extra_bound(rules: Any, side: str) -> Any:
    bound = getattr(rules, side).copy()
    bound[2] = rules.n_hosts - 1 if side == "low" else 0
    return dataclasses.replace(rules, **{side: bound})


def extra_arc(rules: Any) -> Any:
    """The last operator not after the first."""
    ends = {"before": len(rules.low) - 1, "after": 0}
    per_arc = {
        field.name: np.append(array, ends.get(field.name, 0)).astype(array.dtype)
        for field in dataclasses.fields(rules)
        if isinstance(array := getattr(rules, field.name), np.ndarray)
        and field.name not in ("low", "high")
    }
    return dataclasses.replace(rules, **per_arc)


RULE_ERRORS = {
    "low": lambda rules: extra_bound(rules, "low"),
    "high": lambda rules: extra_bound(rules, "high"),
    "arc": extra_arc,
    "lost": lambda rules: rules.take(np.arange(len(rules.before)) > 0),
}


@pytest.mark.parametrize("error", RULE_ERRORS)
@pytest.mark.parametrize("n_hosts", [2, 3])
@pytest.mark.parametrize("workload", [{}, {"objective": "throughput"}])
def test_a_rule_that_there_is_not(error: str, n_hosts: int, workload: Any) -> None:
    """Every solver obeys it, so all agree; graph and scenario do not."""
    graph, costs = diamond(), costs_of(diamond(), n_hosts, workload=workload)
    make = formulation._constraints
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formulation, "_constraints", lambda *a: RULE_ERRORS[error](make(*a)))
        try:
            plan = planner.plan(graph, costs, "brute-force")
        except SolverError:  # its placement breaks a rule: refused as it is made
            assert error == "lost"
            return
        found = verify(plan, graph, costs, "brute-force")
    assert "terms" in disagreeing(found)
    assert "solvers" in texts(found, "terms")


@pytest.mark.parametrize("rule", ["pins", "together", "forbidden"])
def test_a_rule_that_is_forgotten(rule: str) -> None:
    graph = diamond()
    costs = costs_of(
        graph,
        pins=[{"node": "join", "host": "h1"}],
        together=[["left", "right"]],
        forbid_crossing=["left_out"],
    )
    make = formulation._constraints
    plan = planner.plan(graph, costs)
    assert verify(plan, graph, costs).ok

    def forgets(graph: Graph, scenario: Any, kept: Any) -> Any:
        rules = dataclasses.replace(scenario.rules, **{rule: ()})
        return make(graph, dataclasses.replace(scenario, rules=rules), kept)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formulation, "_constraints", forgets)
        found = verify(plan, graph, costs, "brute-force")
    assert "terms" in disagreeing(found)


@pytest.mark.parametrize("field", ["own_bytes", "set_bytes", "limits", None])
def test_memory_that_is_not_what_the_evaluator_says(field: str | None) -> None:
    graph = tied_pair()
    costs = limited(graph, (2**20, None))
    plan = planner.plan(graph, costs)
    assert verify(plan, graph, costs).ok
    make = formulation.memory_demand

    def wrong(*given: Any) -> Any:
        demand = make(*given)
        if field is None or demand is None:
            return None
        return dataclasses.replace(demand, **{field: getattr(demand, field) * 2 + 1})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formulation, "memory_demand", wrong)
        found = verify(plan, graph, costs, "brute-force")
    assert "terms" in disagreeing(found)


def long_chain(n: int = 300) -> tuple[Graph, Costs, str]:
    """Best cut in the middle, where the tensor is small."""
    middle = n // 2 + 3
    operators = [
        operator(f"o{i}", ["x"] if i == 0 else [f"o{i - 1}_out"], 1000 if i == middle else 10**6)
        for i in range(n)
    ]
    prices = {
        op.name: (1e-3, 2e-3) if i <= middle else (2e-3, 1e-3)
        for i, op in enumerate(graph_of(operators, [f"o{n - 1}_out"]).operators)
    }
    return graph_of(operators, [f"o{n - 1}_out"]), priced_costs(prices, 1e8), f"o{middle}_out"


@pytest.mark.parametrize("workload", ["delay", "throughput"])
def test_one_wrong_cost_on_a_larger_graph(workload: str) -> None:
    graph, costs, name = long_chain()
    costs = costs.model_copy(
        update={"workload": costs.workload.model_copy(update={"objective": workload})}
    )
    make = formulation._transfers

    def wrong(*given: Any) -> Transfers:
        transfers = make(*given)
        bits = transfers.up_bits.copy()
        bits[transfers.tensor == graph.tensor_index[name]] *= 1 + 1e-9
        return dataclasses.replace(transfers, up_bits=bits)

    solver = "maxflow" if workload == "delay" else "best-prefix"
    plan = planner.plan(graph, costs, solver, baselines=())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formulation, "_transfers", wrong)
        patch.setattr("planner.verification.second_solver.solve", late)
        found = verify(plan, graph, costs)
    assert "terms" in disagreeing(found)
    assert f"`{name}` over the link after `h0` takes" in texts(found, "terms")
    assert "by graph, prices and route" in texts(found, "terms")


def without_a_reader(x: Any) -> Any:
    """The second row lacks its last one."""
    indptr = x.indptr - (np.arange(len(x.indptr)) >= 2)
    return dataclasses.replace(x, readers=np.delete(x.readers, x.indptr[2] - 1), indptr=indptr)


TERM_ERRORS = {
    "a reader is lost": without_a_reader,
    "another source": lambda x: dataclasses.replace(x, source=np.where(x.source == 0, 1, x.source)),
    "a row is lost": lambda x: x.take(np.arange(len(x) - 1)),
    "no latency": lambda x: dataclasses.replace(x, latencies=x.latencies * 0),
}


@pytest.mark.parametrize("error", TERM_ERRORS)
def test_wrong_ends_of_what_crosses(error: str) -> None:
    graph, costs = diamond(), costs_of(diamond())
    plan = made(graph)
    make = formulation._transfers
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formulation, "_transfers", lambda *a: TERM_ERRORS[error](make(*a)))
        found = verify(plan, graph, costs, "brute-force")
    assert "terms" in disagreeing(found)


def test_a_tied_parameter_is_lost() -> None:
    graph, costs = tied_pair(), costs_of(tied_pair())
    plan = made(graph)
    assert verify(plan, graph, costs).ok
    make = formulation._parameters

    def wrong(*given: Any) -> Any:
        exchange, tied, kept = make(*given)
        return exchange, tied.take(np.zeros(0, np.int64)), kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formulation, "_parameters", wrong)
        found = verify(plan, graph, costs, "brute-force")
    assert "solvers see 0 tied parameters, not the 1 that are" in texts(found, "terms")
