"""The theorems of docs/theory.md on random graphs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from planner.costs.cost_file import Costs, check_costs
from planner.costs.pricing import price, scenario_of
from planner.errors import PlanError
from planner.evaluation.delay import delay_of, evaluate, violations
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.formulation import build_problem, formulate
from planner.problems.problem import Problem
from planner.problems.solution import SOLVERS, Status
from tests.support.strategies import problems
from tests.theorems.small_graphs import Row, costs_of, graph_of, optimum, rounding, seconds_of

Case = tuple[Graph, Costs]


def examples(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


@examples(300)
@given(problems(max_operators=5))
def test_the_cut_is_the_minimum_over_all_placements(case: Case) -> None:
    graph, costs = case
    found = optimum(graph, costs)
    problem = build_problem(graph, costs)
    if found is None:
        with pytest.raises(PlanError) as caught:
            solve(problem, "maxflow")
        assert caught.value.exit_code == 3
        assert "because" in caught.value.message
        return
    solution = solve(problem, "maxflow")
    assert solution.is_proved
    assert abs(solution.value * solution.quantum_s - found[0]) <= rounding(problem, solution)
    assert seconds_of(graph, costs, solution.placement) <= found[0] + rounding(problem, solution)


@examples(100)
@given(problems(), st.floats(1, 1e6), st.floats(1, 1e6), st.floats(0, 1))
def test_a_better_link_never_hurts(case: Case, up: float, down: float, wait: float) -> None:
    problem = feasible_problem(case)
    better = problem.with_links(
        uplink_bps=problem.uplink_bps * up,
        downlink_bps=problem.downlink_bps * down,
        latency_s=problem.latency_s * wait,
    )
    before, after = solve(problem, "maxflow"), solve(better, "maxflow")
    slack = rounding(problem, before) + rounding(better, after)
    assert after.value * after.quantum_s <= before.value * before.quantum_s + slack


def feasible_problem(case: Case) -> Problem:
    problem = build_problem(*case)
    try:
        solve(problem, "maxflow")
    except PlanError:
        assume(False)
    return problem


@examples(100)
@given(problems(), st.integers(-30, 30))
def test_scaling_all_costs_scales_the_optimum(case: Case, exponent: int) -> None:
    problem = feasible_problem(case)
    factor = 2.0**exponent
    scaled = problem.with_links(
        uplink_bps=problem.uplink_bps / factor,
        downlink_bps=problem.downlink_bps / factor,
        latency_s=problem.latency_s * factor,
    ).with_speed(**dict.fromkeys(problem.hosts, 1 / factor))
    before, after = solve(problem, "maxflow"), solve(scaled, "maxflow")
    assert after.value == before.value
    assert np.array_equal(after.placement, before.placement)
    if before.value:
        assert after.quantum_s == before.quantum_s * factor


@st.composite
def whole_numbers(draw: st.DrawFn) -> tuple[list[Row], list[Row], dict[str, str], int]:
    """A graph whose costs are whole seconds, the same renamed and reordered, the names, hosts."""
    hosts = draw(st.sampled_from([2, 3]))
    few = st.integers(0, 20)
    rows = [Row(name="x0", size=draw(few)), Row(name="x1", size=draw(few))]
    for index in range(draw(st.integers(1, 7))):
        known = [row.name for row in rows]
        reads = draw(st.lists(st.sampled_from(known), min_size=1, max_size=3, unique=True))
        seconds = tuple(draw(st.lists(few, min_size=hosts, max_size=hosts)))
        rows.append(Row(name=f"v{index}", reads=tuple(reads), seconds=seconds, size=draw(few)))
    new = draw(st.permutations([f"n{i}" for i in range(len(rows))]))
    names = dict(zip((row.name for row in rows), new, strict=True))
    renamed = [
        replace(row, name=names[row.name], reads=tuple(names[name] for name in row.reads))
        for row in rows
    ]
    return rows, draw(st.permutations(renamed)), names, hosts


@examples(100)
@given(whole_numbers())
def test_names_and_order_change_nothing(
    case: tuple[list[Row], list[Row], dict[str, str], int],
) -> None:
    rows, others, names, hosts = case
    solved = []
    for these in (rows, others):
        graph = graph_of(these)
        solution = solve(build_problem(graph, costs_of(these, hosts=hosts)), "maxflow")
        placed = [operator.name for operator in graph.operators]
        placement = dict(zip(placed, solution.placement.tolist(), strict=True))
        solved.append((solution.value * solution.quantum_s, placement))
    (value, placement), (other_value, other_placement) = solved
    assert other_value == value
    assert other_placement == {names[name]: host for name, host in placement.items()}


@examples(50)
@given(st.integers(1, 6), st.integers(0, 10**9), st.integers(2, 4))
def test_a_tensor_is_paid_once_per_link(readers: int, size: int, hosts: int) -> None:
    rows = [
        Row(name="x"),
        Row(name="u", reads=("x",), seconds=(0,) * hosts, size=size),
        *(Row(name=f"v{i}", reads=("u",), seconds=(0,) * hosts) for i in range(readers)),
    ]
    pins = [{"node": "u", "host": "h0"}]
    pins += [{"node": f"v{i}", "host": f"h{hosts - 1}"} for i in range(readers)]
    costs = costs_of(rows, hosts=hosts, pins=pins)
    graph = graph_of(rows)
    solution = solve(build_problem(graph, costs), "maxflow")
    assert solution.value * solution.quantum_s == size * (hosts - 1)
    placement = {pin["node"]: pin["host"] for pin in pins}
    assert evaluate(graph, costs, placement).uplink_s == size * (hosts - 1)


@examples(100)
@given(problems())
def test_no_policy_is_better(case: Case) -> None:
    graph, costs = case
    problem = feasible_problem(case)
    best = solve(problem, "maxflow")
    seconds = seconds_of(graph, costs, best.placement)
    policies = [name for name, solver in SOLVERS if not solver.capabilities.is_exact]
    assert policies
    for name in policies:
        try:
            solution = solve(problem, name)
        except PlanError as error:
            if error.code != "PLN405":  # a policy that does not handle three hosts
                raise
            continue
        if solution.status is not Status.INFEASIBLE:
            assert not [*violations(graph, scenario_of(graph, costs), solution.placement)]
            total = seconds_of(graph, costs, solution.placement)
            assert seconds <= total + rounding(problem, best)


@examples(100)
@given(problems(), st.floats(0.01, 100), st.floats(0.01, 100))
def test_the_optimum_is_concave_in_one_over_the_rates(case: Case, one: float, other: float) -> None:
    """T* is a minimum of functions that are linear in (1/U, 1/D)."""
    graph, costs = case
    scenario = scenario_of(graph, costs)
    table = price(graph, costs, scenario.workload)
    feasible_problem(case)

    def best(slowness: float) -> tuple[float, float]:
        links = tuple(
            replace(
                link,
                uplink_bps=link.uplink_bps / slowness,
                downlink_bps=link.downlink_bps / slowness,
            )
            for link in scenario.route.links
        )
        state = replace(scenario, route=replace(scenario.route, links=links))
        problem = formulate(graph, table, state)
        solution = solve(problem, "maxflow")
        total = delay_of(graph, table, state, solution.placement).total_s
        return total, rounding(problem, solution)

    (low, slack), (high, more), (middle, most) = best(one), best(other), best((one + other) / 2)
    assert middle >= (low + high) / 2 - slack - more - most - 1e-9 * (low + high)


@examples(100)
@given(problems(), st.sampled_from(["middle", "last"]))
def test_a_host_that_is_far_too_slow_might_as_well_be_absent(case: Case, where: str) -> None:
    """Two hosts are the case of three in which nothing can be placed on one of them."""
    graph, costs = case
    assume(len(costs.hosts) == 2)
    # Readers of one parameter are together on three hosts only, and the last host is the home.
    is_training = costs.workload.mode == "training"
    assume(not is_training or where == "middle")
    assume(not is_training or all(len(p.readers) == 1 or not p.trainable for p in graph.parameters))
    two = feasible_problem(case)
    document = costs.model_dump(mode="json", by_alias=True)
    nodes = [
        {"name": op.name, "forward_s": 1e9, "backward_s": 1e9 if is_training else 0}
        for op in graph.operators
    ]
    slow = {"name": "slow", "model": "table", "nodes": nodes}
    free = {"uplink_bps": 1e18, "downlink_bps": 1e18, "latency_s": 0}
    document["hosts"].insert(1 if where == "middle" else 2, slow)
    document["links"].append(free)
    wider = check_costs(document, "three hosts")
    three = build_problem(graph, wider)
    narrow, wide = solve(two, "maxflow"), solve(three, "maxflow")
    assume(narrow.value * narrow.quantum_s < 1e8)
    skipped = 1 if where == "middle" else 2
    assert skipped not in wide.placement
    # The second link is not infinitely fast, and ticks are other ticks.
    slack = rounding(two, narrow) + rounding(three, wide) + 1e-6
    assert abs(narrow.value * narrow.quantum_s - wide.value * wide.quantum_s) <= slack


def test_exchange_on_three_hosts_is_no_cut_function() -> None:
    """Section 3: why the readers of one parameter are kept together there."""
    a, b = 5, 3

    def exchange(*hosts: int) -> int:
        return sum({0: a + b, 1: b, 2: 0}[host] for host in set(hosts))

    def sync(*hosts: int) -> int:
        return sum(rate for k, rate in enumerate((a, b)) if min(hosts) <= k < max(hosts))

    def total(*hosts: int) -> int:
        return exchange(*hosts) + sync(*hosts)

    assert sync(0, 2) + sync(1, 1) == sync(1, 2) + sync(0, 1)
    assert total(0, 2) + total(1, 1) < total(1, 2) + total(0, 1)
