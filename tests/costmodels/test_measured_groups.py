"""Groups that a host runs as one kernel: plans keep them together, and reasons name them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.costmodels.measured import COST_MODEL
from planner.costs.cost_file import Costs, TableHost, check_costs
from planner.costs.cost_table import HostCosts, has_backward
from planner.costs.pricing import priced
from planner.errors import PlanError, PluginError
from planner.evaluation.delay import evaluate, violations
from planner.graphs.gradients import needs_gradient
from planner.graphs.graph import Graph
from planner.plans.planning import plan
from planner.problems.enumeration import enumerate_placements
from planner.problems.formulation import build_problem
from planner.verification.verifying import verify
from tests.costmodels.measured_prices import price
from tests.support.nets import Net
from tests.support.profiles import measurement_of, profile_document
from tests.support.strategies import problems
from tests.support.toys import costs_document, diamond


def test_backward_of_a_group_is_that_of_the_members_that_have_one() -> None:
    net = Net(x=(2, 4))
    net.add("Relu", "x", (2, 4))
    net.add("Linear", "n0", (2, 4), weights=((4, 4),))
    graph = net.graph()
    measured = measurement_of(graph, [1.0, 2.0], [8.0, 16.0], groups=[("n0", "n1")])
    costs = price(graph, measured, training=True)
    assert costs.forward_s.tolist() == [3.0, 0.0]
    assert costs.backward_s.tolist() == [0.0, 24.0]
    measured["nodes"][1]["backward"] = None
    assert price(graph, measured, training=True).backward_s.tolist() == [0.0, 24.0]


def measured_like(
    graph: Graph, costs: Costs, groups: list[list[list[str]]] | None = None
) -> tuple[Costs, Costs]:
    """The same numbers in tables and in profiles, there with the groups of each host."""
    is_training = costs.workload.mode == "training"
    back = has_backward(graph, needs_gradient(graph))
    tables, profiles = [], []
    for position, entry in enumerate(costs.hosts):
        assert isinstance(entry, TableHost)
        own = groups[position] if groups else []
        rows = {row.node: row for row in entry.nodes}
        names = [operator.name for operator in graph.operators]
        forward = [rows[name].forward_s for name in names]
        backward = [
            (rows[name].backward_s or 0.0) if is_back else 0.0
            for name, is_back in zip(names, back, strict=True)
        ]
        nodes = [
            {"name": name, "forward_s": f, "backward_s": b}
            for name, f, b in zip(names, forward, backward, strict=True)
        ]
        memory = {"memory_bytes": entry.memory_bytes}
        tables.append({"name": entry.name, "model": "table", "nodes": nodes, **memory})
        measured = measurement_of(graph, forward, backward if is_training else None, groups=own)
        profile = profile_document(measured)
        profiles.append({"name": entry.name, "model": "measured", "profile": profile, **memory})
    base = costs.model_dump(mode="json", by_alias=True)
    one, other = (check_costs(base | {"hosts": hosts}, "c") for hosts in (tables, profiles))
    return one, other


@settings(max_examples=80, deadline=None)
@given(problems(max_operators=6))
def test_plan_is_that_of_a_table_with_the_same_numbers(case: tuple[Graph, Costs]) -> None:
    graph, costs = case
    table, measured = measured_like(graph, costs)
    try:
        expected = plan(graph, table, baselines=())
    except PlanError as error:
        with pytest.raises(PlanError, match=error.code):
            plan(graph, measured, baselines=())
        return
    made = plan(graph, measured, baselines=())
    assert made.placement == expected.placement
    assert made.total_s == expected.total_s
    again = check_costs(measured.model_dump(mode="json", by_alias=True), "again")
    assert again.digest == measured.digest


@settings(max_examples=80, deadline=None)
@given(problems(max_operators=6), st.data())
def test_plan_with_groups_is_the_best_that_keeps_them_together(
    case: tuple[Graph, Costs], data: st.DataObject
) -> None:
    graph, costs = case
    of_hosts = []
    for _ in costs.hosts:
        names = data.draw(st.permutations([operator.name for operator in graph.operators]))
        size = data.draw(st.integers(2, 3))
        own = [names[i : i + size] for i in range(0, len(names), size)]
        of_hosts.append([group for group in own if len(group) > 1 and data.draw(st.booleans())])
    groups = [group for own in of_hosts for group in own]
    table, measured = measured_like(graph, costs, of_hosts)
    indices = [[graph.operator_index[name] for name in group] for group in groups]
    hosts = [entry.name for entry in costs.hosts]
    totals = []
    try:
        placements = enumerate_placements(build_problem(graph, table))
    except PlanError:
        placements = np.zeros((0, len(graph.operators)), np.int64)
    for placement in placements:
        if all(len({int(placement[v]) for v in group}) == 1 for group in indices):
            at = {op.name: hosts[int(h)] for op, h in zip(graph.operators, placement, strict=True)}
            totals.append(evaluate(graph, table, at).total_s)
    if not totals:
        with pytest.raises(PlanError):
            plan(graph, measured, baselines=())
        return
    for solver in ("auto", "maxflow", "pulp"):
        made = plan(graph, measured, solver, baselines=())
        assert made.total_s == pytest.approx(min(totals), rel=1e-6)
        for group in groups:
            assert len({made.placement[name] for name in group}) == 1
    assert verify(plan(graph, measured), graph, measured).ok


def grouped_costs(*groups: tuple[str, ...], **changes: object) -> tuple[Graph, Costs]:
    graph = diamond()
    document: dict[str, Any] = costs_document(graph, 2, **changes)
    profile = profile_document(measurement_of(graph, backward=lambda _: 0.1, groups=groups))
    document["hosts"] = [
        {"name": "device", "model": "measured", "profile": profile},
        *document["hosts"][1:],
    ]
    return graph, check_costs(document, "c.json")


def test_groups_of_any_host_are_kept_together_and_told() -> None:
    graph, costs = grouped_costs(("left", "right"), ("mid", "join"), together=[["right", "left"]])
    scenario, table = priced(graph, costs)
    index = graph.operator_index
    assert scenario.rules.together == (
        (index["right"], index["left"]),
        (index["mid"], index["join"]),
    )
    assert table.notes == (
        "`device`: 2 groups of operators that it runs as one kernel are kept together",
    )
    hosts = np.array([1 if op.name == "join" else 0 for op in graph.operators])
    (broken,) = violations(graph, scenario, hosts)
    assert broken.message == (
        "`mid` and `join` are kept together (`device` runs them as one kernel), "
        "but are placed apart"
    )
    both = replace(scenario, kernels=(*scenario.kernels, (1, scenario.rules.together[1])))
    (broken,) = violations(graph, both, hosts)
    assert "(`device` and `h1` run them as one kernel)" in broken.message


def test_a_chain_of_reasons_names_the_kernel_and_its_host() -> None:
    pins = [{"node": "stem", "host": "device"}, {"node": "join", "host": "h1"}]
    graph, costs = grouped_costs(("stem", "join"), pins=pins)
    with pytest.raises(PlanError) as caught:
        plan(graph, costs)
    assert caught.value.code == "PLN401"
    assert "they are together: `device` runs them as one kernel" in caught.value.message
    assert "$" not in caught.value.message
    assert "--no-fusion" in str(caught.value.hint)


def test_a_memory_conflict_names_the_kernel_and_its_host() -> None:
    pins = [{"node": "stem", "host": "device"}]
    graph, costs = grouped_costs(("stem", "join"), pins=pins)
    limited = costs.hosts[0].model_copy(update={"memory_bytes": 2_500_000})
    costs = costs.model_copy(update={"hosts": (limited, *costs.hosts[1:])})
    with pytest.raises(PlanError) as caught:
        plan(graph, costs)
    assert caught.value.code == "PLN406"
    kernel = "`stem`, `join` are together: `device` runs them as one kernel"
    assert kernel in caught.value.message


def test_groups_beyond_the_graph_are_a_defect_of_the_cost_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph, costs = grouped_costs()
    wrong = HostCosts(forward_s=np.zeros(5), backward_s=np.zeros(5), together=((0, 5),))
    monkeypatch.setattr(type(COST_MODEL), "cost", lambda *_: wrong)
    with pytest.raises(PluginError) as caught:
        plan(graph, costs)
    assert caught.value.code == "PLN309"
