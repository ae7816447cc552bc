"""The problem: its states, its ticks, and costs that are far apart."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import planner
from planner.costs.cost_file import check_costs
from planner.errors import PlanError
from planner.plans.solving import solve
from planner.problems.ticks import MAX_TICKS
from tests.support.toy_problems import problem
from tests.support.toys import costs_document, diamond, graph_of, operator


def test_a_new_link_state_is_the_problem_of_a_new_costs_file() -> None:
    base = problem(n_hosts=3)
    links = [
        {"uplink_bps": 1e6, "downlink_bps": 3e6, "latency_s": 0.5},
        {"uplink_bps": 2e6, "downlink_bps": 4e6, "latency_s": 0.25},
    ]
    moved = base.with_links(uplink_bps=[1e6, 2e6], downlink_bps=[3e6, 4e6], latency_s=[0.5, 0.25])
    fresh = problem(n_hosts=3, links=links)
    assert np.array_equal(moved.seconds.flat(), fresh.seconds.flat())
    assert solve(moved).value == solve(fresh).value
    assert moved.structure is base.structure


def test_one_number_is_for_every_link() -> None:
    moved = problem(n_hosts=3).with_links(uplink_bps=5e6)
    assert moved.uplink_bps.tolist() == [5e6, 5e6]
    assert moved.downlink_bps.tolist() == [16e6, 16e6]


def test_speed_divides_compute_and_nothing_else() -> None:
    base = problem()
    slow = base.with_speed(h0=0.5)
    expected = 2 * base.compute_s[0] + (base.seconds.unary[0] - base.compute_s[0])
    assert np.allclose(slow.seconds.unary[0], expected, rtol=1e-12)
    assert np.array_equal(slow.seconds.unary[1], base.seconds.unary[1])
    assert np.array_equal(slow.seconds.transfer, base.seconds.transfer)


@pytest.mark.parametrize(
    "state",
    [
        {"uplink_bps": 0.0},
        {"uplink_bps": -1.0},
        {"downlink_bps": float("nan")},
        {"downlink_bps": float("inf")},
        {"latency_s": -0.1},
        {"uplink_bps": [1e6, 1e6]},
    ],
)
def test_impossible_link_states_are_refused(state: dict[str, Any]) -> None:
    with pytest.raises(PlanError) as caught:
        problem().with_links(**state)
    assert caught.value.code == "PLN410"


@pytest.mark.parametrize("speeds", [{"h0": 0.0}, {"h0": float("inf")}, {"nobody": 2.0}])
def test_impossible_speeds_are_refused(speeds: dict[str, float]) -> None:
    with pytest.raises(PlanError) as caught:
        problem().with_speed(**speeds)
    assert caught.value.code == "PLN410"


def test_a_speed_that_overflows_the_costs_is_refused() -> None:
    with pytest.raises(PlanError) as caught:
        solve(problem().with_speed(h0=1e-300))
    assert caught.value.code == "PLN411"


def test_sums_of_ticks_stay_below_the_limit_and_infinity_above_them() -> None:
    ticks = problem().ticks
    total = sum(ticks.terms.flat().tolist())
    assert total + 1 == ticks.infinite
    assert MAX_TICKS // 8 < total < MAX_TICKS
    assert ticks.terms.flat().max() <= ticks.bound + 1


def test_one_absurd_cost_does_not_eat_the_precision_of_the_others() -> None:
    graph = diamond()
    document: Any = costs_document(graph, 2)
    quantum = planner.problem(graph, check_costs(document, "test")).ticks.quantum_s
    document["hosts"][0]["nodes"][2]["forward_s"] = 1e9
    absurd = planner.problem(graph, check_costs(document, "test"))
    assert absurd.ticks.quantum_s <= 4 * quantum
    assert absurd.ticks.terms.unary[0, 2] == absurd.ticks.bound + 1
    assert solve(absurd).value * absurd.ticks.quantum_s < 100


@pytest.mark.parametrize("solver", ["segments", "blockwise", "maxflow", "networkx", "brute-force"])
def test_costs_far_below_every_prefix_are_still_told_apart(solver: str) -> None:
    """Every prefix costs 1e8 s: the first ticks are too coarse for the best placement."""
    graph = graph_of([operator("a", ["x"], 1), operator("b", ["x"], 1)], ["a_out", "b_out"])
    document: Any = costs_document(graph, 2, links=[{"uplink_bps": 1e18, "downlink_bps": 1e18}])
    cheap = {"forward_s": 2e-11, "backward_s": 0}
    dear = {"forward_s": 1e8, "backward_s": 0}
    document["hosts"][0]["nodes"] = [{"name": "a", **dear}, {"name": "b", **cheap}]
    document["hosts"][1]["nodes"] = [{"name": "a", **cheap}, {"name": "b", **dear}]
    solution = solve(planner.problem(graph, check_costs(document, "test")), solver)
    assert solution.placement.tolist() == [1, 0]
    assert solution.value * solution.quantum_s == pytest.approx(4e-11 + 8 * 600_000 / 1e18)


@pytest.mark.parametrize("solver", ["segments", "blockwise", "maxflow", "networkx", "brute-force"])
def test_a_fast_link_behind_a_slow_one_is_not_lost(solver: str) -> None:
    graph = graph_of(
        [operator("a", ["x"], 4), operator("b", ["a_out"], 4)], ["b_out"], input_bytes=1000
    )
    slow = {"uplink_bps": 1.0, "downlink_bps": 1e6}
    fast = {"uplink_bps": 1e18, "downlink_bps": 1e6}
    changes = {
        "workload": {"mode": "inference"},
        "inputs": [{"name": "x", "host": "h1"}],
        "links": [slow, fast],
    }
    document: Any = costs_document(graph, 3, **changes)
    seconds = {"a": (9.0, 0.0, 9.0), "b": (9.0, 0.9, 0.0)}
    for host, entry in enumerate(document["hosts"]):
        entry["nodes"] = [{"name": n, "forward_s": s[host]} for n, s in seconds.items()]
    plan = planner.plan(graph, check_costs(document, "test"), solver)
    assert plan.certificate.holds
    assert plan.placement == {"a": "h1", "b": "h2"}
    assert plan.total_s == pytest.approx(8 * 4 / 1e18)


def test_totals_of_seconds_do_not_cancel() -> None:
    """Against exact fractions, link by link."""
    instance = problem(n_hosts=3, inputs=[{"name": "x", "host": "h1"}]).with_links(
        uplink_bps=[1e-2, 1e17], downlink_bps=[1e-2, 1e17]
    )
    placement = np.array([1, 2, 1, 2, 2])
    x, seconds = instance.transfers, instance.seconds
    exact = sum(Fraction(float(seconds.unary[h, v])) for v, h in enumerate(placement))
    for row in range(len(x)):
        source = int(x.source[row])
        first = -1 - source if source < 0 else int(placement[source])
        last = max(int(placement[r]) for r in x.readers[x.indptr[row] : x.indptr[row + 1]])
        exact += sum(Fraction(float(seconds.transfer[row, k])) for k in range(first, last))
    assert instance.total(seconds, placement) == pytest.approx(float(exact), rel=1e-12)


def test_free_problem_has_value_zero() -> None:
    graph = diamond()
    rows = [{"name": op.name, "forward_s": 0, "backward_s": 0} for op in graph.operators]
    document = costs_document(graph, 2)
    document["hosts"] = [{"name": n, "model": "table", "nodes": rows} for n in ("h0", "h1")]
    # Everything on the server is free but for the input; everything on the device, but for w.
    free = planner.problem(graph, check_costs(document, "free")).with_links(
        uplink_bps=1e18, downlink_bps=1e18, latency_s=0.0
    )
    for solver in ("segments", "blockwise", "maxflow", "networkx", "brute-force"):
        solution = solve(free, solver)
        assert solution.is_proved
        assert solution.value * solution.quantum_s < 1e-9
