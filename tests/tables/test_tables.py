"""Plan tables are complete and exact: against exhaustion, the solver, and the evaluator."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import planner
from planner import zoo
from planner.costs.cost_file import Costs, check_costs
from planner.errors import PlanError
from planner.evaluation.delay import evaluate
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.enumeration import enumerate_placements
from planner.problems.formulation import build_problem
from planner.problems.linear_terms import coefficients, state_of
from planner.problems.problem import Problem
from planner.tables.table import Table
from tests.support.strategies import problems
from tests.support.toys import costs_document, diamond, graph_of, operator
from tests.tables.states import EXACT, Ranges, boxes, in_state, states_of


def check_against_every_placement(problem: Problem, table: Table, seed: int) -> None:
    """In every state, the table's total is the least of all feasible placements."""
    placements = enumerate_placements(problem).astype(np.int64)
    per_unit = coefficients(problem, placements)
    for state in states_of(table, seed, 20):
        here = in_state(problem, state)
        least = float((per_unit @ state_of(here)).min())
        choice = table.best(**state)
        assert choice.total_s == pytest.approx(least, rel=EXACT, abs=1e-300), state
        hosts = np.array([table.file.hosts.index(h) for h in choice.placement.values()])
        own = float((coefficients(problem, hosts[None, :])[0] * state_of(here)).sum())
        assert own == pytest.approx(least, rel=EXACT, abs=1e-300)


def test_table_is_the_minimum_of_all_placements() -> None:
    tally: Counter[str] = Counter()

    @settings(max_examples=1_500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(problems(max_operators=7), boxes(), st.integers(0, 2**31))
    def check(case: tuple[Graph, Costs], ranges: Ranges, seed: int) -> None:
        problem = build_problem(*case)
        try:
            table = planner.table(*case, **ranges)
        except PlanError as error:
            assert error.exit_code == 3  # noqa: PT017 (not every random problem has an answer)
            return
        check_against_every_placement(problem, table, seed)
        assert table.proof.largest_relative_gap <= EXACT
        tally[f"{len(ranges)} parameters"] += 1
        tally["several plans"] += len(table.plans) > 1
        tally["many plans"] += len(table.plans) > 3

    check()
    assert min(tally[f"{count} parameters"] for count in (1, 2, 3)) >= 100
    assert tally["several plans"] >= 300
    assert tally["many plans"] >= 8  # about 30, by chance


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(max_operators=7), boxes())
def test_every_vertex_is_solved_and_every_plan_is_needed(
    case: tuple[Graph, Costs], ranges: Ranges
) -> None:
    problem = build_problem(*case)
    try:
        table = planner.table(*case, **ranges)
    except PlanError:
        return
    names = [p.name for p in table.parameters]
    assert len(table.proof.vertices) <= table.proof.n_solves
    for vertex in table.proof.vertices:
        solution = solve(in_state(problem, dict(zip(names, vertex.state, strict=True))))
        assert solution.is_proved
        assert vertex.total_s == pytest.approx(
            solution.value * solution.quantum_s, rel=EXACT, abs=1e-300
        )
    for plan in table.plans:
        assert len(plan.region) > len(names)  # a region of full dimension
        for state in plan.region:
            best = table.best(**dict(zip(names, state, strict=True)))
            assert plan.total_s(*state) == pytest.approx(best.total_s, rel=EXACT, abs=1e-300)


def shrinking(rng: np.random.Generator) -> tuple[Graph, Costs]:
    """Tensors that shrink from layer to layer, with skips: many cuts are best somewhere."""
    operators, sizes = [], 6e6 * np.cumprod(rng.uniform(0.4, 0.95, 12))
    for i, size in enumerate(sizes.astype(int).tolist()):
        reads = {f"v{i - 1}_out" if i else "x"}
        if i > 1 and rng.uniform() < 0.4:
            reads.add(f"v{rng.integers(i - 1)}_out")
        operators.append(operator(f"v{i}", sorted(reads), size))
    graph = graph_of(operators, ["v11_out"], input_bytes=8_000_000)
    document = costs_document(graph, 2, workload={"mode": "inference", "return_outputs": True})
    for k, host in enumerate(document["hosts"]):
        for row in host["nodes"]:
            row["forward_s"] = float(rng.uniform(0.05, 1) / 30**k)
    return graph, check_costs(document, "costs")


def test_tables_of_many_plans_in_a_million_states() -> None:
    rng = np.random.default_rng(7)
    counts = []
    ranges = {"uplink_bps": (1e5, 1e11), "downlink_bps": (1e3, 1e11), "device_speed": (0.05, 200.0)}
    for _ in range(25):
        graph, costs = shrinking(rng)
        table = planner.table(graph, costs, **ranges)
        counts.append(len(table.plans))
        problem = planner.problem(graph, costs)
        placements = enumerate_placements(problem).astype(np.int64)
        states = {n: np.exp(rng.uniform(*np.log(ends), 40_000)) for n, ends in ranges.items()}
        per_unit = coefficients(problem, placements)
        # Hosts' slowness, 1 / uplink, 1 / downlink, latency.
        basis = np.stack(
            [
                1 / states["device_speed"],
                np.ones(40_000),
                1 / states["uplink_bps"],
                1 / states["downlink_bps"],
                np.full(40_000, problem.latency_s[0]),
            ]
        )
        least = np.full(40_000, np.inf)
        for row in per_unit:
            np.minimum(least, row @ basis, out=least)
        np.testing.assert_allclose(table.best_many(**states).totals_s, least, rtol=EXACT)
    assert max(counts) >= 9
    assert sorted(counts)[len(counts) // 2] >= 6


ZOO = ("resnet18", "resnet50", "googlenet", "mobilenet_v2", "vgg16", "densenet121", "squeezenet1_1")


def zoo_graph(name: str, folder: Path) -> Graph:
    path = folder / f"{name}.onnx"
    zoo.write(name, path, batch=8, sequence=128, training=True, weights=None, seed=0, force=True)
    return planner.load(path)


def zoo_costs(device: str = "jetson-tx2") -> Costs:
    hosts = [("device", device), ("server", "rtx-3090")]
    return check_costs(
        {
            "kind": "costs",
            "version": 1,
            "workload": {"iterations_per_round": 50, "label_bytes": 64},
            "hosts": [{"name": n, "model": "analytical", "hardware": h} for n, h in hosts],
            "links": [{"uplink_bps": 2e7, "downlink_bps": 8e7, "latency_s": 0.002}],
        },
        "costs",
    )


@pytest.mark.parametrize("name", ZOO)
def test_cnns_need_few_solves(name: str, tmp_path: Path) -> None:
    graph, costs = zoo_graph(name, tmp_path), zoo_costs()
    for parameter in ("uplink_bps", "downlink_bps"):
        table = planner.table(graph, costs, **{parameter: (1e3, 1e12)})
        assert table.proof.n_solves <= 100
    table = planner.table(graph, costs, device_speed=(0.001, 1000))
    assert table.proof.n_solves <= 100


@pytest.mark.parametrize("name", ["googlenet", "gpt2"])
def test_ten_thousand_states_of_a_real_model(name: str, tmp_path: Path) -> None:
    graph, costs = zoo_graph(name, tmp_path), zoo_costs()
    ranges = {"uplink_bps": (1e4, 1e11), "downlink_bps": (1e4, 1e11), "device_speed": (0.01, 300.0)}
    table = planner.table(graph, costs, **ranges)
    assert len(table.plans) > 1
    problem = planner.problem(graph, costs)
    rng = np.random.default_rng(11)
    states = {n: np.exp(rng.uniform(*np.log(ends), 10_000)) for n, ends in ranges.items()}
    choices = table.best_many(**states)
    for i in range(10_000):
        here = in_state(problem, {name: float(values[i]) for name, values in states.items()})
        # The solver's placement in float64, not its ticks.
        best = here.total(here.seconds, solve(here).placement)
        assert choices.totals_s[i] == pytest.approx(float(best), rel=EXACT)


def test_totals_are_those_of_the_evaluator() -> None:
    graph = diamond()
    costs = check_costs(costs_document(graph, 3), "costs")
    table = planner.table(graph, costs, uplink_bps=(1e5, 1e8), downlink_bps=(1e5, 1e8))
    state = {"uplink_bps": 3e6, "downlink_bps": 5e7}
    links = [link.model_copy(update=state) for link in costs.links]
    there = costs.model_copy(update={"links": tuple(links)})
    choice = table.best(**state)
    assert evaluate(graph, there, choice.placement).total_s == pytest.approx(
        choice.total_s, rel=1e-12
    )
    assert planner.plan(graph, there).total_s == pytest.approx(choice.total_s, rel=1e-12)
