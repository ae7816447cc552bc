"""Throughput: the stages of a pipeline, by hand, by the evaluator and in ticks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.costs.cost_file import Costs, check_costs
from planner.costs.pricing import priced
from planner.errors import PlanError
from planner.evaluation.delay import delay_of
from planner.evaluation.outcome import objective_s, outcome_of
from planner.evaluation.stages import stages_of
from planner.graphs.graph import Graph
from planner.plans.planning import plan
from planner.plans.solving import solve
from planner.problems.enumeration import enumerate_placements
from planner.problems.formulation import build_problem
from planner.problems.ticks import rounding_s
from tests.support.strategies import limited_problems, problems
from tests.support.toys import costs_document, diamond, tied_pair

relaxed = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def throughput(graph: Graph, n_hosts: int = 2, **changes: object) -> Costs:
    workload = {"objective": "throughput", **changes.pop("workload", {})}  # type: ignore[dict-item]
    return check_costs(costs_document(graph, n_hosts, workload=workload, **changes), "toy")


def stages(graph: Graph, hosts: list[int], costs: Costs) -> dict[str, float]:
    scenario, table = priced(graph, costs)
    found = stages_of(graph, table, scenario, np.array(hosts))
    # Hosts are called h0, h1, …; a link has the number of the host that it leads from.
    return {f"{stage.kind} {stage.host.removeprefix('h')}": stage.seconds for stage in found}


def test_stages_by_hand() -> None:
    # stem, left and right on the device: left_out and right_out cross, and the labels.
    costs = throughput(diamond(), workload={"label_bytes": 1000})
    found = stages(diamond(), [0, 0, 0, 1, 1], costs)
    device = sum((i + 1) / 8 + (i + 2) / 5 for i in range(3))
    server = sum((i + 1) / 32 + (i + 2) / 20 for i in range(3, 5))
    assert found["host 0"] == pytest.approx(device)
    assert found["host 1"] == pytest.approx(server)
    assert found["uplink 0"] == pytest.approx(8 * (100_000 + 400_000 + 1000) / 8e6)
    assert found["downlink 0"] == pytest.approx(8 * 500_000 / 16e6)


def test_keeping_tied_parameters_equal_is_traffic_of_every_mini_batch() -> None:
    found = stages(tied_pair(), [0, 1, 1], throughput(tied_pair()))
    assert found["uplink 0"] == pytest.approx(8 * (90_000 + 700_000) / 8e6)
    assert found["downlink 0"] == pytest.approx(8 * (90_000 + 700_000) / 16e6)


def test_returned_outputs_go_down_every_link_on_their_way() -> None:
    workload = {"mode": "inference", "return_outputs": True}
    found = stages(diamond(), [0, 0, 0, 1, 2], throughput(diamond(), 3, workload=workload))
    assert found["downlink 0"] == found["downlink 1"] == pytest.approx(8 * 4_000 / 16e6)


@relaxed
@given(problems(), st.data())
def test_stages_add_up_to_the_iteration(case: tuple[Graph, Costs], data: st.DataObject) -> None:
    """Every second of an iteration but latency is in exactly one stage."""
    graph, costs = case
    try:
        placements = enumerate_placements(build_problem(graph, costs))
    except PlanError:
        return
    hosts = placements[data.draw(st.integers(0, len(placements) - 1))].astype(np.int64)
    scenario, table = priced(graph, costs)
    delay = delay_of(graph, table, scenario, hosts)
    total = sum(stage.seconds for stage in stages_of(graph, table, scenario, hosts))
    assert total == pytest.approx(delay.iteration_s - delay.latency_s, rel=1e-9, abs=1e-12)


@relaxed
@given(limited_problems(objective="throughput"), st.data())
def test_ticks_are_the_slowest_stage(case: tuple[Graph, Costs], data: st.DataObject) -> None:
    graph, costs = case
    problem = build_problem(graph, costs)
    try:
        placements = enumerate_placements(problem).astype(np.int64)
    except PlanError:
        return
    goal = problem.goal
    hosts = placements[data.draw(st.integers(0, len(placements) - 1))]
    scenario, table = priced(graph, costs)
    slowest = objective_s(graph, table, scenario, hosts)
    value = goal.value(hosts)
    assert goal.values(placements[:50]).tolist() == [goal.value(p) for p in placements[:50]]
    off = abs(value * goal.quantum_s - slowest)
    # Above the bound costs are clipped: then the ticks say less, and still more than the bound.
    assert off <= rounding_s(problem, goal.quantum_s) + 1e-9 * slowest or value > goal.bound
    assert problem.memory is not None
    if problem.memory.fits(placements).any():
        values = goal.values(placements[problem.memory.fits(placements)])
        assert values.min() <= goal.bound


@settings(relaxed, max_examples=150)
@given(limited_problems(max_operators=6, objective="throughput"))
def test_brute_force_finds_the_slowest_stage_that_is_fastest(case: tuple[Graph, Costs]) -> None:
    graph, costs = case
    problem = build_problem(graph, costs)
    scenario, table = priced(graph, costs)
    try:
        placements = enumerate_placements(problem).astype(np.int64)
    except PlanError:
        return
    assert problem.memory is not None
    fitting = placements[problem.memory.fits(placements)]
    if not len(fitting):
        with pytest.raises(PlanError, match="fit"):
            solve(problem, "brute-force")
        return
    best = min(objective_s(graph, table, scenario, hosts) for hosts in fitting)
    solution = solve(problem, "brute-force")
    found = objective_s(graph, table, scenario, solution.placement)
    slack = 2 * rounding_s(problem, solution.quantum_s)
    assert found == pytest.approx(best, rel=1e-9, abs=slack)
    assert solution.is_proved


def test_a_plan_for_throughput_reports_stages_and_rates() -> None:
    graph, costs = diamond(), throughput(diamond())
    made = plan(graph, costs)
    assert made.head.objective == "throughput"
    assert made.pipeline is not None
    assert made.pipeline.slowest_s == max(s.seconds for s in made.pipeline.stages)
    assert made.pipeline.mini_batches_per_s == pytest.approx(1 / made.pipeline.slowest_s)
    assert [s.kind for s in made.pipeline.stages] == ["host", "host", "uplink", "downlink"]
    ratios = [entry.ratio for entry in made.baselines if entry.ratio is not None]
    assert ratios
    assert min(ratios) >= 1 - 1e-9


def test_the_fastest_pipeline_may_be_no_plan_of_least_delay() -> None:
    """A device and a server of one speed: the delay keeps everything together, a pipeline not."""
    graph = diamond()
    document = costs_document(graph, 2, links=[{"uplink_bps": 1e9, "downlink_bps": 1e9}])
    for host in document["hosts"]:  # type: ignore[attr-defined]
        for row in host["nodes"]:
            row["forward_s"] = row["backward_s"] = 1.0
    least = plan(graph, check_costs(document, "equal"))
    document["workload"] = {"objective": "throughput"}
    fastest = plan(graph, check_costs(document, "equal"))
    assert len(set(least.placement.values())) == 1
    assert len(set(fastest.placement.values())) == 2
    assert fastest.pipeline is not None
    assert fastest.pipeline.slowest_s == pytest.approx(6.0)
    scenario, table = priced(graph, check_costs(document, "equal"))
    both = outcome_of(graph, table, scenario, np.zeros(5, np.int64))
    assert both.objective_s == pytest.approx(10.0)


@pytest.mark.parametrize(
    "solver", ["segments", "maxflow", "blockwise", "networkx", "budget", "pulp"]
)
def test_solvers_of_delays_refuse_throughput(solver: str) -> None:
    graph = diamond()
    with pytest.raises(PlanError, match=f"`{solver}` minimises delay") as caught:
        solve(build_problem(graph, throughput(graph)), solver)
    assert caught.value.code == "PLN405"
    assert "`pyomo`" in (caught.value.hint or "")


@pytest.mark.parametrize("solver", ["segments", "maxflow", "blockwise", "networkx", "pulp"])
def test_solvers_that_know_no_limits_refuse_them(solver: str) -> None:
    graph = diamond()
    document = costs_document(graph, 2)
    document["hosts"][0]["memory_bytes"] = 10**9  # type: ignore[index]
    problem = build_problem(graph, check_costs(document, "limited"))
    with pytest.raises(PlanError, match="knows no memory limits, and `h0` has one") as caught:
        solve(problem, solver)
    assert caught.value.code == "PLN405"
    assert "`budget`" in (caught.value.hint or "")
