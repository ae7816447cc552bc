"""Errors planted in the network: the plan is wrong, or the verifier's own network is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import planner
from planner.costs.cost_file import Costs
from planner.errors import SolverError
from planner.graphs.graph import Graph
from planner.plans.plan_file import Plan
from planner.solvers.flow import network as networks
from planner.verification.verifying import verify
from tests.support.toys import diamond, graph_of, operator
from tests.verification.planted import (
    CASES,
    costs_of,
    disagreeing,
    made,
    priced_costs,
    rebuilt,
    texts,
    wide,
)

pytestmark = pytest.mark.plants_errors


def each_reader_pays(builder: Any, k: int) -> None:
    """`_add_transfers` without auxiliary vertices."""
    x = builder.problem.transfers
    rows = np.repeat(np.arange(len(x)), np.diff(x.indptr))
    tails = np.where(x.source < 0, networks.SOURCE, builder.vertex[k][np.maximum(x.source, 0)])[
        rows
    ]
    builder._add(tails, builder.vertex[k][x.readers], builder.slots.transfer[rows, k])


def wrong_slot(builder: Any) -> None:
    """`_add_unary` with what the first operator costs on the device charged on the server."""
    vertex, unary = builder.vertex, builder.slots.unary.copy()
    unary[-1, 0] = unary[0, 0]
    last = builder.problem.n_links
    builder._add(np.full(1, networks.SOURCE), vertex[last - 1], unary[last])
    builder._add(vertex[0], np.full(1, networks.SINK), unary[0])


NETWORK_ERRORS = {
    "missing auxiliary vertex": ("_add_transfers", each_reader_pays),
    "wrong arc": ("_add_unary", wrong_slot),
}


@pytest.fixture(params=NETWORK_ERRORS)
def planted(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def plan_with_wrong_network(name: str, patch: pytest.MonkeyPatch) -> tuple[Graph, Costs, Plan]:
    """A plan whose maker took the flow of a wrong network for a proof."""
    graph, costs = wide(), CASES[name]
    method, wrong = NETWORK_ERRORS[name]
    patch.setattr(networks._Builder, method, wrong)
    return graph, costs, planner.plan(graph, costs, "maxflow")


def test_a_wrong_network_made_the_plan(planted: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        graph, costs, plan = plan_with_wrong_network(planted, patch)
    assert plan.certificate.holds
    best = planner.plan(graph, costs, "brute-force")
    assert best.total_s < plan.total_s * 0.999
    found = verify(plan, graph, costs)
    # One of the policies is a minimum cut, too.
    assert disagreeing(found) - {"baselines"} == {"flow", "second solver"}
    gap = f"({100 * (1 - best.total_s / plan.total_s):.3g}%) less"
    for check in ("flow", "second solver"):
        assert "by the plan nothing takes less than" in texts(found, check)
    assert gap in texts(found, "second solver")
    assert "`pulp` has a placement of" in texts(found, "second solver")


def test_a_wrong_network_made_the_plan_and_verifies_it(planted: str) -> None:
    """The flow agrees with the error; what shares nothing with the network does not."""
    with pytest.MonkeyPatch.context() as patch:
        graph, costs, plan = plan_with_wrong_network(planted, patch)
        found = verify(plan, graph, costs, solver="pulp")
        assert "second solver" in disagreeing(found)
        assert "`pulp` has a placement of" in texts(found, "second solver")
        assert "second solver" in disagreeing(verify(plan, graph, costs, solver="brute-force"))


def test_a_wrong_network_verifies_a_good_plan(planted: str) -> None:
    graph, costs = wide(), CASES[planted]
    plan = planner.plan(graph, costs, "brute-force")
    with pytest.MonkeyPatch.context() as patch:
        method, wrong = NETWORK_ERRORS[planted]
        patch.setattr(networks._Builder, method, wrong)
        found = verify(plan, graph, costs, solver="pulp")
    assert disagreeing(found) - {"baselines"} == {"flow"}
    assert "by the maximum flow nothing takes less than" in texts(found, "flow")


def backward() -> tuple[Graph, Costs]:
    """An operator that only the device is fast at, behind one that only the server is fast at."""
    operators = [operator("a", ["x"], 1000), operator("b", ["a_out"], 10)]
    graph = graph_of(operators, ["b_out"], input_bytes=10)
    return graph, priced_costs({"a": (9.0, 1.0), "b": (1.0, 9.0)}, 1e9)


def test_missing_reverse_arcs() -> None:
    """Without them data flows back for free: the planner refuses such an answer itself."""
    graph, costs = backward()
    good = planner.plan(graph, costs)
    document = good.to_dict()
    document["placement"] = [{"node": "a", "host": "h1"}, {"node": "b", "host": "h0"}]
    found = verify(rebuilt(document), graph, costs)
    assert {"rules", "figures", "certificate"} <= disagreeing(found)
    assert "`a_out` flows back from `h1` to `b` on `h0`" in texts(found, "rules")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "network_of", lambda p: networks.network_without_reverse_arcs(p))
        patch.setattr("planner.verification.flow.network_of", networks.network_of)
        patch.setattr("planner.solvers.flow.whole.network_of", networks.network_of)
        with pytest.raises(SolverError, match="does not hold"):
            planner.plan(graph, costs, "maxflow")
        found = verify(good, graph, costs, solver="pulp")
    assert disagreeing(found) == {"flow"}
    assert "the minimum cut of the network is no placement" in texts(found, "flow")


def test_a_flow_that_is_none() -> None:
    graph = diamond()
    plan = made(graph)

    def lies(network: networks.Network, capacities: Any) -> Any:
        flows, side = maximum_flow(network, capacities)
        flows[np.flatnonzero(flows)[0]] += 1
        return flows, side

    from planner.solvers.flow.cuts import maximum_flow

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("planner.verification.flow.maximum_flow", lies)
        found = verify(plan, graph, costs_of(graph))
    assert disagreeing(found) == {"flow"}
    assert "what OR-tools calls a flow is none" in texts(found, "flow")
