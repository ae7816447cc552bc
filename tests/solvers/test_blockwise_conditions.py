"""Each part of the condition for blocks is needed: without it, stored examples lose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from planner.arrays import IntArray
from planner.costs.cost_file import check_costs
from planner.drafts.assembly import assemble
from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.formulation import build_problem
from planner.problems.problem import Problem
from planner.problems.solution import Limits
from planner.solvers.blockwise import BlockWise, abstraction, regions
from planner.solvers.blockwise.abstraction import Pattern, group_of_operators, groups_of, pattern_of
from planner.solvers.blockwise.pairs import _only_follower
from planner.solvers.blockwise.regions import Regions, regions_of
from planner.solvers.flow.cuts import minimum_cut
from tests.conftest import ROOT
from tests.support.blocks import analytical_costs, assert_same, n_blocks, zoo_graph

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


def test_where_nothing_is_sent_regions_need_no_bytes() -> None:
    rows: Rows = {name: (["x" if name == "a" else "a"], 2.0, 1.0, 0) for name in "ab"}
    problem = small(rows, x=0)
    assert n_blocks(problem) == 1
    assert_same(problem, solve(problem, "blockwise"), solve(problem, "maxflow"))
