"""Blocks as single vertices: the answer stays the same, to the integer and to the operator."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

import planner
from planner import zoo
from planner.arrays import BoolArray, IntArray
from planner.costs.cost_file import Costs, check_costs
from planner.drafts.assembly import assemble
from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.errors import PlanError
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.formulation import build_problem
from planner.problems.problem import Problem
from planner.problems.solution import Limits, Solution
from planner.solvers import networkx_flow
from planner.solvers.blockwise import BlockWise, abstraction, regions
from planner.solvers.blockwise.abstraction import (
    Pattern,
    abstracted,
    group_of_operators,
    groups_of,
    pattern_of,
)
from planner.solvers.blockwise.pairs import _only_follower
from planner.solvers.blockwise.regions import Regions, regions_of
from planner.solvers.flow.cuts import minimum_cut
from planner.solvers.flow.network import Network
from tests.conftest import ROOT
from tests.support.repeated_blocks import repeated_blocks
from tests.support.strategies import problems

MODELS = ["resnet50", "googlenet", "densenet121", "mobilenet_v2", "gpt2", "bert_base"]
FILES = ["densenet121.train", "gpt2.dyn", "gpt2.train", "bert_base.train", "googlenet.train"]


def assert_same(problem: Problem, solution: Solution, reference: Solution) -> None:
    assert solution.is_proved
    assert (solution.value, solution.quantum_s) == (reference.value, reference.quantum_s)
    assert np.array_equal(solution.placement, reference.placement)


def n_blocks(problem: Problem) -> int:
    """Regions that are one vertex in the current state."""
    return abstracted(problem, minimum_cut).n_regions if problem.n_hosts == 2 else 0


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


def analytical_costs(**changes: Any) -> Costs:
    device = {"name": "device", "model": "analytical", "hardware": "jetson-tx2"}
    server = {"name": "server", "model": "analytical", "hardware": "rtx-3090"}
    document = {
        "kind": "costs",
        "version": 1,
        "workload": {"iterations_per_round": 50, "label_bytes": 4_000},
        "hosts": [device | changes.pop("device", {}), server],
        "links": [{"uplink_bps": 1e7, "downlink_bps": 4e7, "latency_s": 0.002}],
        **changes,
    }
    return check_costs(document, "blocks")


def zoo_graph(name: str, batch: int = 1) -> Graph:
    return planner.load(zoo.build(name, batch=batch, training=True).SerializeToString())


def first_on_device(graph: Graph) -> dict[str, Any]:
    """The raw data do not leave the device."""
    return {"pins": [{"node": graph.operators[0].name, "host": "device"}]}


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


# Each part of the condition is needed: without it, stored examples lose.


Rows = dict[str, tuple[list[str], float, float, int]]
"""Name → (reads, device seconds, server seconds, bytes); `x` is the input."""


def small_graph(rows: Rows, input_bytes: int, tied: Sequence[str], tied_bytes: int) -> Graph:
    sizes = {"x": input_bytes, **{name: row[3] for name, row in rows.items()}}
    tensors = {name: DraftTensor(name=name, size_bytes=size) for name, size in sizes.items()}
    operators = []
    for name, row in rows.items():
        operands = [Operand(OperandKind.TENSOR, read) for read in row[0]]
        operands += [Operand(OperandKind.PARAMETER, "w")] * (name in tied)
        operators.append(
            DraftOperator(
                name=name, op="Custom", operands=tuple(operands), outputs=(tensors[name],)
            )
        )
    parameters = [DraftParameter(name="w", size_bytes=tied_bytes)] if tied else []
    return assemble(
        Draft(
            name="small",
            inputs=[tensors["x"]],
            outputs=[list(rows)[-1]],
            parameters=parameters,
            operators=operators,
        )
    )


def small(
    rows: Rows, *, x: int, tied: Sequence[str] = (), tied_bytes: int = 1, **changes: Any
) -> Problem:
    """A problem in which a byte takes a second."""
    hosts = [
        {
            "name": name,
            "model": "table",
            "nodes": [
                {"name": op, "forward_s": row[1 + i], "backward_s": 0} for op, row in rows.items()
            ],
        }
        for i, name in enumerate(("device", "server"))
    ]
    document = {
        "kind": "costs",
        "version": 1,
        "workload": {"mode": "inference"},
        "hosts": hosts,
        "links": [{"uplink_bps": 8, "downlink_bps": 8}],
        **changes,
    }
    graph = small_graph(rows, x, tied, tied_bytes)
    return build_problem(graph, check_costs(document, "small"))


def lost(problem: Problem) -> int:
    """Ticks by which a condition that has been weakened makes the answer worse."""
    reference = solve(problem, "maxflow")
    solution = BlockWise().solve(problem, limits=Limits())
    assert solution.quantum_s == reference.quantum_s
    return solution.value - reference.value


PASS_THROUGH = {
    "a": (["x"], 1.0, 0.5, 6),
    "e": (["a"], 1000.0, 0.5, 5),
    "last": (["e"], 1.0, 0.5, 0),
}


def test_the_document_has_this_example() -> None:
    text = (ROOT / "docs" / "theory.md").read_text(encoding="utf-8")
    block = text.split("<!-- block example: entry and exit -->")[1].split("With `last`")[0]
    lines = [line for line in block.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0] == ["x", "", "", "", "10"]
    found = {c[0]: ([c[1]], float(c[2]), float(c[3]), int(c[4])) for c in cells[1:]}
    assert found == PASS_THROUGH


def test_interior_at_least_the_smaller_of_entry_and_exit_is_not_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Entry 10, inside 6, exit 5: the rule allows it, and the best cut is inside."""
    problem = small(PASS_THROUGH, x=10, pins=[{"node": "last", "host": "server"}])
    assert lost(problem) == 0
    best = solve(problem, "maxflow")
    assert best.placement.tolist() == [0, 1, 1]
    assert best.value * best.quantum_s == 8
    seconds = problem.totals(problem.seconds, np.array([[1, 1, 1], [0, 0, 1]]))
    assert seconds.tolist() == [11.5, 1006.5]
    true = regions._first_below

    def weakened(least: IntArray, entry: IntArray) -> IntArray:
        found = true(least, entry)
        for i in range(len(entry)):
            for k in range(i + 1, len(entry)):
                if least[i:k].min() >= min(entry[i], entry[k]):
                    found[i] = max(found[i], k)
        return found

    monkeypatch.setattr(regions, "_first_below", weakened)
    assert lost(small(PASS_THROUGH, x=10, pins=[{"node": "last", "host": "server"}])) > 0


def test_a_pair_must_not_read_more_than_it_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    pins = [{"node": "last", "host": "server"}]
    monkeypatch.setattr(
        regions, "followers_of", lambda problem, order, sent: _only_follower(problem, order)
    )
    assert lost(small(PASS_THROUGH, x=10, pins=pins)) > 0


def test_more_bytes_than_can_be_added_are_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = zoo_graph("resnet18")
    monkeypatch.setattr(regions, "MAX_BYTES", 1e6)
    problem = build_problem(graph, analytical_costs())
    assert n_blocks(problem) == 0
    assert_same(problem, solve(problem, "blockwise"), solve(problem, "maxflow"))


SLOWER = {
    "a": (["x"], 1.0, 9.0, 10),
    "e": (["a"], 20.0, 1.0, 10),
    "last": (["e"], 20.0, 0.5, 0),
}


def test_a_faster_server_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lost(small(SLOWER, x=10)) == 0
    assert solve(small(SLOWER, x=10), "maxflow").placement.tolist() == [0, 1, 1]

    def weakened(problem: Problem, found: Regions) -> Pattern:
        pattern = pattern_of(problem, found)
        pattern.is_slower[:] = pattern.is_close[:] = False
        return pattern

    monkeypatch.setattr(abstraction, "pattern_of", weakened)
    assert lost(small(SLOWER, x=10)) > 0


TIED = {
    "first": (["x"], 1.0, 1.0, 10),
    "a": (["first"], 2.0, 1.0, 10),
    "e": (["a"], 50.0, 1.0, 10),
}


def tied_problem() -> Problem:
    training = {"mode": "training", "iterations_per_round": 5}
    pins = [{"node": "first", "host": "device"}]
    return small(TIED, x=10, tied=["first", "a"], tied_bytes=4, workload=training, pins=pins)


def test_a_tied_parameter_may_keep_a_reader_on_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its readers on both hosts would have to be synchronised, so `a` stays with `first`."""
    assert lost(tied_problem()) == 0
    assert solve(tied_problem(), "maxflow").placement.tolist() == [0, 0, 1]
    monkeypatch.setattr(regions, "_reach_of_readers", lambda problem, order, ends: len(ends))
    assert lost(tied_problem()) > 0


HALVES = {
    "split": (["x"], 1e-6, 1e-6, 3),
    "other": (["x"], 1e-6, 1e-6, 4),
    "e": (["split", "other"], 1.0, 0.5, 7),
}


def test_rounding_is_allowed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal seconds on both hosts, equal bytes in two parts: a tick may decide for a cut inside."""
    problem = small(HALVES, x=7)
    rates = 10 ** np.random.default_rng(0).uniform(0, 6, 300)
    states = [problem.with_links(uplink_bps=float(rate)) for rate in rates]
    assert not any(lost(state) for state in states)
    monkeypatch.setattr("planner.solvers.blockwise.abstraction._rounding", lambda ticks: 0)
    problem.structure.clear()
    assert any(lost(state) for state in states)


def test_regions_are_what_the_pattern_allows() -> None:
    """A slower operator ends a region, or is its exit."""
    problem = small(SLOWER, x=10)
    found = regions_of(problem, minimum_cut)
    pattern = pattern_of(problem, found)
    assert pattern.is_slower.tolist() == [True, False, False]
    group_of = group_of_operators(found, groups_of(found, pattern))
    assert group_of[0] != group_of[1]
    assert group_of[1] == group_of[2]


def test_long_branches_that_hand_on_are_chains_only_from_where_they_start() -> None:
    """Two branches of 300 operators of one size: only the first of each is a head."""
    operators = [step("x", "input", 1_000)]
    for branch in range(2):
        operators.append(step(f"b{branch}.0", "x.out", 2_000))
        operators.append(step(f"b{branch}.1", f"b{branch}.0.out", 1_000))
        operators += [
            step(f"b{branch}.{i}", f"b{branch}.{i - 1}.out", 1_000) for i in range(2, 300)
        ]
    operators.append(step("join", "b0.299.out b1.299.out", 1_000))
    graph = assemble(
        Draft(
            name="branches",
            inputs=[DraftTensor(name="input", size_bytes=8_000, dtype="float32")],
            outputs=["join.out"],
            parameters=[],
            operators=operators,
        )
    )
    problem = build_problem(graph, analytical_costs())
    found = regions.regions_of(problem, minimum_cut)
    heads = [graph.operators[found.order.free[h]].name for h in found.heads]
    assert set(heads) == {"x", "b0.0", "b1.0"}
    assert_same(problem, solve(problem, "blockwise"), solve(problem, "maxflow"))


def step(name: str, reads: str, size_bytes: int) -> DraftOperator:
    out = DraftTensor(name=f"{name}.out", size_bytes=size_bytes, dtype="float32")
    operands = tuple(Operand(OperandKind.TENSOR, read) for read in reads.split())
    return DraftOperator(name=name, op="Any", operands=operands, outputs=(out,))


def test_large_graphs_remember_fewer_abstractions(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = build_problem(zoo_graph("resnet18"), analytical_costs())
    monkeypatch.setattr(abstraction, "MAX_REMEMBERED_OPERATORS", problem.n_operators)
    for speed in np.geomspace(0.01, 1e4, 10):
        state = problem.with_speed(device=float(speed))
        assert_same(state, solve(state, "blockwise"), solve(state, "maxflow"))
        memory = problem.structure["abstractions_by_pattern"]
        assert isinstance(memory, dict)
        assert len(memory) == 1


def test_where_nothing_is_sent_regions_need_no_bytes() -> None:
    rows: Rows = {name: (["x" if name == "a" else "a"], 2.0, 1.0, 0) for name in "ab"}
    problem = small(rows, x=0)
    assert n_blocks(problem) == 1
    assert_same(problem, solve(problem, "blockwise"), solve(problem, "maxflow"))
