"""The problem's states, the rules' errors, and what evaluation refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import planner
from planner.costs.cost_file import Costs, check_costs
from planner.errors import PlanError, PlannerError, PluginError, SolverError
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.problem import Problem
from planner.problems.solution import (
    SOLVERS,
    Capabilities,
    Certificate,
    Limits,
    Solution,
    Status,
    bounded_solution,
)
from planner.problems.ticks import MAX_TICKS
from planner.solvers.flow.network import Network, network_of
from tests.support.cli import run_planner
from tests.support.toys import costs_document, diamond, graph_of, operator, tied_pair

ONE_OPERATOR = (
    '{"kind": "graph", "version": 1, "inputs": [{"name": "x", "bytes": 1000}], "outputs": ["y"],'
    ' "nodes": [{"name": "f", "op": "F", "inputs": ["x"], "outputs": [{"name": "y", "bytes": 8}]}]}'
)


def make(graph: Graph | None = None, n_hosts: int = 2, **changes: Any) -> tuple[Graph, Costs]:
    graph = graph or diamond()
    return graph, check_costs(costs_document(graph, n_hosts, **changes), "test")


def problem(graph: Graph | None = None, n_hosts: int = 2, **changes: Any) -> Problem:
    return planner.problem(*make(graph, n_hosts, **changes))


def codes(error: PlannerError) -> list[str]:
    return [item.code for item in error.problems]


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


def test_rules_name_what_is_there() -> None:
    pins = [{"node": "stme", "host": "h0"}, {"node": "left", "host": "h1"}]
    graph, costs = make(
        pins=pins,
        together=[["stem", "nobody"]],
        forbid_crossing=["nothing"],
        inputs=[{"name": "stem_out", "host": "h1"}],
    )
    with pytest.raises(PlannerError) as caught:
        planner.problem(graph, costs)
    assert codes(caught.value) == ["PLN303"] * 4
    assert "did you mean `stem`" in str(caught.value.problems[0].hint)


def test_a_pin_on_a_folded_operator_says_why_it_was_folded() -> None:
    unused = operator("unused", ["x"], 10)
    graph = graph_of([operator("only", ["x"], 10), unused], ["only_out"])
    with pytest.raises(PlannerError) as caught:
        problem(graph, pins=[{"node": "unused", "host": "h0"}])
    assert caught.value.code == "PLN304"
    assert "nobody reads its results" in caught.value.message


def test_costs_for_another_batch_are_refused() -> None:
    graph, costs = make(workload={"batch_size": 8})
    with pytest.raises(PlannerError) as caught:
        planner.problem(replace(graph, batch=4), costs)
    assert caught.value.code == "PLN310"


def test_no_placement_is_explained_as_a_chain() -> None:
    graph = graph_of([operator("a", ["x"], 1), operator("b", ["a_out"], 1)], ["b_out"])
    with pytest.raises(PlannerError) as caught:
        planner.plan(*make(graph, pins=[{"node": "a", "host": "h1"}, {"node": "b", "host": "h0"}]))
    assert (caught.value.code, caught.value.exit_code) == ("PLN401", 3)
    lines = caught.value.message.splitlines()
    assert [line.strip() for line in lines[1:]] == [
        "because `a` is pinned to `h1`, but its consumer `b` is pinned to `h0`"
    ]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"pins": [{"node": "stem", "host": "h0"}, {"node": "stem", "host": "h1"}]}, "pinned"),
        (
            {
                "pins": [{"node": "stem", "host": "h0"}, {"node": "left", "host": "h1"}],
                "forbid_crossing": ["stem_out"],
            },
            "`stem_out` may not cross a link",
        ),
        (
            {
                "pins": [{"node": "stem", "host": "h0"}, {"node": "join", "host": "h1"}],
                "together": [["stem", "join"]],
            },
            "kept together",
        ),
        (
            {
                "inputs": [{"name": "x", "host": "h1"}],
                "pins": [{"node": "join", "host": "h0"}],
            },
            "reads `x`, which lives on `h1`",
        ),
        (
            {"forbid_crossing": ["x"], "pins": [{"node": "stem", "host": "h1"}]},
            "`x` may not cross a link",
        ),
    ],
)
def test_every_kind_of_rule_appears_in_the_chain(rules: dict[str, Any], words: str) -> None:
    with pytest.raises(PlannerError) as caught:
        solve(problem(**rules))
    assert caught.value.exit_code == 3
    assert words in caught.value.message


def test_tied_readers_apart_on_three_hosts_are_in_the_chain() -> None:
    pins = [{"node": "embed", "host": "h0"}, {"node": "head", "host": "h2"}]
    with pytest.raises(PlannerError, match="both read the trainable parameter `shared`"):
        solve(problem(tied_pair(), 3, pins=pins))


def test_evaluation_lists_every_violation() -> None:
    graph, costs = make(
        pins=[{"node": "right", "host": "h1"}],
        together=[["left", "join"]],
        forbid_crossing=["mid_out"],
    )
    placement = {"stem": "h0", "left": "h1", "right": "h0", "mid": "h0", "join": "h0"}
    with pytest.raises(PlannerError) as caught:
        planner.evaluate(graph, costs, placement)
    assert codes(caught.value) == ["PLN403"] * 3
    text = str(caught.value)
    for words in ("flows back", "pinned to `h1`", "kept together"):
        assert words in text


def test_evaluation_refuses_a_placement_that_is_not_one() -> None:
    graph, costs = make()
    placement = {"stem": "h0", "left": "h9", "ghost": "h1"}
    with pytest.raises(PlannerError) as caught:
        planner.evaluate(graph, costs, placement)
    assert codes(caught.value) == ["PLN402"] * 3
    assert "`right`, `mid`, `join`" in str(caught.value)


def test_a_policy_without_an_answer_makes_no_plan() -> None:
    graph, costs = make(pins=[{"node": "stem", "host": "h0"}])
    with pytest.raises(PlannerError) as caught:
        planner.plan(graph, costs, "server-only")
    assert (caught.value.code, caught.value.exit_code) == ("PLN404", 3)
    plan = planner.plan(graph, costs)
    rows = {row.policy: row for row in plan.baselines}
    assert not rows["server-only"].is_feasible
    assert rows["device-only"].is_feasible


def test_a_policy_far_above_the_bound_is_planned_at_its_true_delay() -> None:
    graph, costs = make(links=[{"uplink_bps": 1e3, "downlink_bps": 16e6}])
    plan = planner.plan(graph, costs, "server-only")
    assert not plan.certificate.holds
    assert plan.total_s == planner.evaluate(graph, costs, plan.placement).total_s
    assert plan.delay.uplink_s == pytest.approx(8 * 600_000 / 1e3)


def test_a_solver_that_cannot_honour_the_problem_is_refused_before_it_starts() -> None:
    with pytest.raises(PlanError) as caught:
        solve(problem(n_hosts=3), "dads")
    assert caught.value.code == "PLN405"
    chain = [operator("o0", ["x"], 1)] + [
        operator(f"o{i}", [f"o{i - 1}_out"], 1) for i in range(1, 30)
    ]
    with pytest.raises(PlanError) as caught:
        solve(problem(graph_of(chain, ["o29_out"])), "brute-force")
    assert caught.value.code == "PLN405"
    assert "`maxflow`" in str(caught.value.hint)


def test_exhaustion_gives_up_on_too_many_placements() -> None:
    wide = [operator(f"o{i}", ["x"], 1) for i in range(16)]
    with pytest.raises(SolverError) as caught:
        solve(problem(graph_of(wide, [f"o{i}_out" for i in range(16)]), 3), "brute-force")
    assert caught.value.code == "PLN503"


def test_an_unknown_solver_is_named_with_the_nearest() -> None:
    with pytest.raises(PluginError) as caught:
        solve(problem(), "maxfow")
    assert caught.value.code == "PLN301"
    assert "did you mean `maxflow`" in str(caught.value.hint)


class _Liar:
    """Claims everything on the last host to be optimal, at one tick below its cost."""

    name = "segments"
    requires: tuple[str, ...] = ()
    capabilities = Capabilities(is_exact=True, summary="lies")

    def __init__(self, error: int) -> None:
        self.error = error

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        honest = SOLVERS.peek("networkx").solve(problem, limits=limits)
        return replace(
            honest,
            certificate=Certificate(
                value=honest.value + self.error,
                lower_bound=honest.value,
                quantum_s=honest.quantum_s,
            ),
        )


def test_an_answer_that_contradicts_the_evaluator_is_a_defect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(SOLVERS._loaded, "segments", _Liar(2**50))
    with pytest.raises(SolverError) as caught:
        planner.plan(*make(), baselines=())
    assert (caught.value.code, caught.value.exit_code) == ("PLN502", 70)


def test_a_placement_below_its_own_bound_is_a_defect() -> None:
    instance = problem()
    latest = np.ones(instance.n_operators, np.int64)
    value = int(instance.total(instance.ticks.terms, latest))
    words: Any = {"solver": "s", "solver_version": "1", "message": "", "started": 0.0}
    assert bounded_solution(instance, latest, value, **words).is_proved
    assert bounded_solution(instance, latest, value - 1, **words).status is Status.LIMIT
    with pytest.raises(SolverError, match="nothing is below"):
        bounded_solution(instance, latest, value + 1, **words)


def test_a_solver_that_stops_without_a_proof_makes_no_optimal_plan(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Cut(_Liar):
        def solve(self, problem: Problem, *, limits: Limits) -> Solution:
            honest = SOLVERS.peek("networkx").solve(problem, limits=limits)
            certificate = Certificate(
                value=honest.value, lower_bound=honest.value - 1, quantum_s=honest.quantum_s
            )
            return replace(honest, solver=self.name, certificate=certificate, status=Status.LIMIT)

    monkeypatch.setitem(SOLVERS._loaded, "segments", Cut(0))
    graph_file, costs_file = tmp_path / "graph.json", tmp_path / "costs.json"
    graph_file.write_text(ONE_OPERATOR)
    graph = planner.load(graph_file)
    costs_file.write_text(json.dumps(costs_document(graph, 2)))
    outcome = run_planner("plan", str(graph_file), "--costs", str(costs_file))
    assert outcome.status == 5
    assert "Optimal" not in outcome.stdout
    assert "Not proved: at most 0.00% above the optimum" in outcome.stdout
    assert "no trainable parameter" in outcome.stderr


def test_a_limit_that_nothing_fits_is_explained() -> None:
    graph = diamond()
    document: Any = costs_document(graph, 2, pins=[{"node": "stem", "host": "h0"}])
    document["hosts"][0]["memory_bytes"] = 1
    with pytest.raises(PlanError) as caught:
        planner.plan(graph, check_costs(document, "test"))
    assert (caught.value.code, caught.value.exit_code) == ("PLN406", 3)
    assert "`h0` memory: the smallest feasible `h0` part needs 664.1 KiB" in caught.value.message
    assert "`stem` is pinned to `h0`" in caught.value.message


def test_a_policy_where_the_optimum_takes_no_time() -> None:
    """All costs are above a bound of 0 ticks; a tick is then no measure of them."""
    graph = diamond()
    document: Any = costs_document(graph, 2, workload={"mode": "inference"})
    for row in document["hosts"][0]["nodes"]:
        row["forward_s"] = 0.0
    for row in document["hosts"][1]["nodes"]:
        row["forward_s"] = 0.01
    costs = check_costs(document, "free device")
    assert planner.plan(graph, costs).total_s == 0
    plan = planner.plan(graph, costs, "server-only")
    assert plan.total_s > 0.05
    assert not plan.certificate.holds


@pytest.mark.parametrize("seconds", [1e-300, 1e-310])
def test_times_at_the_end_of_what_floats_hold(seconds: float) -> None:
    """The least total is subnormal, ratios to it are infinite: no defect, and no `inf`."""
    graph = diamond()
    document: Any = costs_document(graph, 2, links=[{"uplink_bps": 1.0, "downlink_bps": 1.0}])
    for host, price in zip(document["hosts"], (seconds, 1e9), strict=True):
        for row in host["nodes"]:
            row["forward_s"] = row["backward_s"] = price
    document["workload"] = {"mode": "inference"}
    plan = planner.plan(graph, check_costs(document, "tiny"))
    assert set(plan.placement.values()) == {"h0"}
    ratios = {entry.policy: entry.ratio for entry in plan.baselines}
    assert ratios["server-only"] is None


def test_a_network_that_or_tools_would_crash_on_is_refused() -> None:
    from planner.solvers.flow.cuts import minimum_cut

    instance = problem()
    network = network_of(instance)
    capacities = network.capacities(instance.ticks)
    outside = Network(
        n_vertices=2,
        tail=network.tail,
        head=network.head,
        slot=network.slot,
        vertex=network.vertex,
    )
    for broken, values in (
        (network, -capacities),
        (network, capacities.astype(np.float64)),
        (outside, capacities),
    ):
        with pytest.raises(SolverError) as caught:
            minimum_cut(broken, values)
        assert caught.value.code == "PLN502"


def test_a_flow_that_overflows_is_no_answer() -> None:
    from planner.solvers.flow.cuts import minimum_cut

    one = np.array([0], np.int64)
    pair = np.array([1], np.int64)
    network = Network(
        n_vertices=2,
        tail=np.repeat(one, 4),
        head=np.repeat(pair, 4),
        slot=np.arange(4),
        vertex=np.zeros((1, 0), np.int64),
    )
    with pytest.raises(SolverError) as caught:
        minimum_cut(network, np.full(4, 2**62, np.int64))
    assert caught.value.code == "PLN501"


def test_pins_on_thousands_of_operators_do_not_overflow() -> None:
    chain = [operator("o0", ["x"], 1)]
    chain += [operator(f"o{i}", [f"o{i - 1}_out"], 1) for i in range(1, 3000)]
    graph = graph_of(chain, ["o2999_out"])
    pins = [{"node": f"o{i}", "host": "h0" if i < 1500 else "h1"} for i in range(3000)]
    solution = solve(problem(graph, pins=pins))
    assert solution.is_proved
    assert int((solution.placement == 0).sum()) == 1500
    pins[0], pins[-1] = {"node": "o0", "host": "h1"}, {"node": "o2999", "host": "h0"}
    with pytest.raises(PlanError) as caught:
        solve(problem(graph, pins=pins))
    assert caught.value.exit_code == 3
    assert len(caught.value.message.splitlines()) < 20
