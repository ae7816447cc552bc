"""Blocks as single vertices: the answer stays the same, to the integer and to the operator."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import planner
from planner.arrays import BoolArray, IntArray
from planner.costs.cost_file import Costs, check_costs
from planner.errors import PlanError
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.formulation import build_problem
from planner.problems.solution import Limits
from planner.solvers import networkx_flow
from planner.solvers.blockwise import BlockWise, abstraction
from planner.solvers.blockwise.abstraction import abstracted
from planner.solvers.flow.cuts import minimum_cut
from planner.solvers.flow.network import Network
from tests.support.blocks import analytical_costs, assert_same, first_on_device, n_blocks, zoo_graph
from tests.support.repeated_blocks import repeated_blocks
from tests.support.strategies import problems

MODELS = ["resnet50", "googlenet", "densenet121", "mobilenet_v2", "gpt2", "bert_base"]
FILES = ["densenet121.train", "gpt2.dyn", "gpt2.train", "bert_base.train", "googlenet.train"]


def compare(graph: Graph, costs: Costs) -> str:
    problem = build_problem(graph, costs)
    try:
        reference = solve(problem, "maxflow")
    except PlanError:
        with pytest.raises(PlanError, match="no placement satisfies the rules"):
            solve(problem, "blockwise")
        return "infeasible"
    assert_same(problem, solve(problem, "blockwise"), reference)
    return "abstracted" if n_blocks(problem) else "expanded"


def test_blockwise_is_maxflow_on_any_problem() -> None:
    tally: Counter[str] = Counter()

    @settings(max_examples=2_500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(problems(max_operators=10))
    def check(case: tuple[Graph, Costs]) -> None:
        tally[compare(*case)] += 1

    check()
    assert tally["abstracted"] + tally["expanded"] >= 2_000
    assert tally["abstracted"] >= 50


def test_blockwise_is_maxflow_where_blocks_are_one_vertex() -> None:
    tally: Counter[str] = Counter()

    @settings(max_examples=2_500, deadline=None, suppress_health_check=list(HealthCheck))
    @given(repeated_blocks())
    def check(case: tuple[Graph, Costs]) -> None:
        tally[compare(*case)] += 1

    check()
    assert tally["abstracted"] + tally["expanded"] >= 2_000
    assert tally["abstracted"] >= 600


def check_states(graph: Graph, seed: int, n_states: int = 200) -> None:
    """Random rates, latencies and speeds, some with a server that is the slower host."""
    rng = np.random.default_rng(seed)
    blocks = 0
    for changes in ({}, first_on_device(graph)):
        problem = build_problem(graph, analytical_costs(**changes))
        for _ in range(n_states // 2):
            up, down = 10 ** rng.uniform(5, 9.5, 2)
            state = problem.with_links(
                uplink_bps=up, downlink_bps=down, latency_s=rng.choice([0.0, 0.01])
            ).with_speed(device=10 ** rng.uniform(-1, 2.5))
            assert_same(state, solve(state, "blockwise"), solve(state, "maxflow"))
            blocks += n_blocks(state)
    assert blocks


@pytest.mark.parametrize("name", MODELS)
def test_known_architectures_in_many_states(name: str) -> None:
    check_states(zoo_graph(name), seed=len(name))


@pytest.mark.parametrize("name", FILES)
def test_exported_files_in_many_states(name: str, shared_models: Path) -> None:
    check_states(planner.load(shared_models / f"{name}.onnx"), seed=len(name))


def test_more_than_two_hosts_are_solved_as_a_whole() -> None:
    graph = zoo_graph("lenet5")
    costs = analytical_costs()
    document = costs.model_dump(mode="json", by_alias=True, exclude_none=True)
    document["hosts"].insert(1, document["hosts"][0] | {"name": "edge"})
    document["links"] *= 2
    problem = build_problem(graph, check_costs(document, "three"))
    solution = solve(problem, "blockwise")
    assert "the whole network, because the route has 3 hosts" in solution.message
    assert_same(problem, solution, solve(problem, "maxflow"))


# What is done once, and what in every state.


class Counting:
    """OR-tools, counting its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, network: Network, capacities: IntArray) -> tuple[int, BoolArray]:
        self.calls += 1
        return minimum_cut(network, capacities)


@pytest.mark.parametrize(("name", "n_flows"), [("bert_base", 3), ("gpt2", 2), ("resnet50", 4)])
def test_work_for_a_block_is_done_once_for_its_repeats(name: str, n_flows: int) -> None:
    """Twelve equal layers, or sixteen residual blocks: one flow for each different inside."""
    engine = Counting()
    solver = BlockWise(engine, "counting")
    graph = zoo_graph(name)
    problem = build_problem(graph, analytical_costs(**first_on_device(graph)))
    solver.solve(problem, limits=Limits())
    assert engine.calls == n_flows + 1
    solver.solve(problem.with_links(uplink_bps=3e6, downlink_bps=5e8), limits=Limits())
    assert engine.calls == n_flows + 2


@pytest.mark.parametrize(
    ("name", "most"),
    [("densenet121", 10), ("gpt2", 4), ("vit_b_16", 4), ("googlenet", 45), ("bert_base", 25)],
)
def test_few_vertices_are_left(name: str, most: int) -> None:
    graph = zoo_graph(name)
    for changes in ({}, first_on_device(graph)):
        problem = build_problem(graph, analytical_costs(**changes))
        assert abstracted(problem, minimum_cut).merged.problem.n_operators <= most


def test_the_engine_is_a_parameter() -> None:
    graph = zoo_graph("resnet18")
    problem = build_problem(graph, analytical_costs(**first_on_device(graph)))
    library = f"networkx {networkx_flow.VERSION}"
    solver = BlockWise(networkx_flow.minimum_cut, library)
    solution = solver.solve(problem, limits=Limits())
    assert solution.solver_version == library
    assert_same(problem, solution, solver.solve(problem, limits=Limits()))
    assert_same(problem, solution, BlockWise().solve(problem, limits=Limits()))


def test_many_patterns_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.solvers.blockwise.abstraction.MAX_REMEMBERED", 2)
    problem = build_problem(zoo_graph("resnet18"), analytical_costs())
    for speed in np.geomspace(0.01, 1e4, 30):
        state = problem.with_speed(device=float(speed))
        assert_same(state, solve(state, "blockwise"), solve(state, "maxflow"))
        memory = problem.structure["abstractions_by_pattern"]
        assert isinstance(memory, dict)
        assert len(memory) <= 2


def test_large_graphs_remember_fewer_abstractions(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = build_problem(zoo_graph("resnet18"), analytical_costs())
    monkeypatch.setattr(abstraction, "MAX_REMEMBERED_OPERATORS", problem.n_operators)
    for speed in np.geomspace(0.01, 1e4, 10):
        state = problem.with_speed(device=float(speed))
        assert_same(state, solve(state, "blockwise"), solve(state, "maxflow"))
        memory = problem.structure["abstractions_by_pattern"]
        assert isinstance(memory, dict)
        assert len(memory) == 1


# The naive rule: every block is one vertex.


def naive_ratio(graph: Graph, costs: Costs, **rates: float) -> float:
    problem = build_problem(graph, costs).with_links(**rates)
    best, naive = solve(problem, "blockwise"), solve(problem, "naive-blocks")
    assert not naive.is_proved
    return naive.value * naive.quantum_s / (best.value * best.quantum_s)


def test_the_naive_rule_loses_on_googlenet() -> None:
    graph = zoo_graph("googlenet")
    costs = analytical_costs(**first_on_device(graph))
    assert naive_ratio(graph, costs, uplink_bps=1.4e6, downlink_bps=1.15e6) > 1.2


def test_the_naive_rule_loses_on_resnet50() -> None:
    """On a device where launching a kernel takes long, and the first stage stays there."""
    graph = zoo_graph("resnet50")
    costs = analytical_costs(
        workload={"mode": "inference"},
        device={"overhead_s": 2e-4},
        pins=[{"node": "layer1.2.relu3", "host": "device"}],
    )
    assert naive_ratio(graph, costs, uplink_bps=2.75e9, downlink_bps=8.5e8) > 1.019


def test_blocks_that_the_rules_divide_are_expanded_by_the_naive_rule() -> None:
    graph = zoo_graph("resnet18")
    pins = [
        {"node": "layer2.0.conv1", "host": "device"},
        {"node": "layer4.0.add", "host": "server"},
    ]
    problem = build_problem(graph, analytical_costs(pins=pins))
    solution = solve(problem, "naive-blocks")
    assert "blocks that the rules divide: 2" in solution.message
    assert solution.value >= solve(problem, "maxflow").value
