"""The counterexamples of docs/theory.md: what breaks without each arc, and none is smaller."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from planner.arrays import IntArray
from planner.costs.cost_file import Costs
from planner.costs.pricing import scenario_of
from planner.errors import SolverError
from planner.evaluation.delay import violations
from planner.plans.solving import solve
from planner.problems.formulation import build_problem
from planner.problems.problem import Problem
from planner.solvers.flow import network as networks
from planner.solvers.flow.cuts import minimum_cut
from planner.solvers.flow.network import network_without_reverse_arcs
from tests.theorems.small_graphs import Row, costs_of, graph_of, optimum

THEORY = Path(__file__).resolve().parents[2] / "docs" / "theory.md"


# The counterexamples of section 4, read from the document.


def documented() -> dict[str, tuple[list[Row], int, int]]:
    """Name → rows, value without the arcs, optimum."""
    found = {}
    for block in THEORY.read_text(encoding="utf-8").split("<!-- example: ")[1:]:
        name = block.split(" ", 1)[0]
        rows = []
        for line in block.splitlines():
            cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
            if line.startswith("| `") and len(cells) == 5:
                reads = tuple(part.strip() for part in cells[1].split(",") if part.strip())
                seconds = tuple(int(cell) for cell in cells[2:4] if cell)
                size = int(cells[4])
                rows.append(Row(name=cells[0], reads=reads, seconds=seconds, size=size))
        wrong = re.search(r"Value of the cut: \*\*(\d+)\*\*", block)
        right = re.search(r"Optimum: \*\*(\d+)\*\*", block)
        assert wrong is not None
        assert right is not None
        found[name] = rows, int(wrong[1]), int(right[1])
    return found


DOCUMENTED = documented()
WITHOUT_REVERSE_ARCS = ["parameter-only", "two-inputs", "squeeze-and-excite", "slower-server"]
# The published example, larger, in which x is the input: pinned to the device.
PUBLISHED = [
    Row(name="input", size=0),
    Row(name="x", reads=("input",), seconds=(10, 5), size=1000),
    Row(name="p", reads=("x",), seconds=(10, 5), size=1000),
    Row(name="q", reads=("x",), seconds=(10, 5), size=10),
    Row(name="b", reads=("p",), seconds=(10, 5), size=1000),
    Row(name="a", reads=("q",), seconds=(1000, 10), size=10),
    Row(name="j", reads=("a", "b"), seconds=(10, 5), size=10),
    Row(name="o", reads=("j",), seconds=(10, 5), size=0),
]


def test_the_document_has_all_examples() -> None:
    assert [*DOCUMENTED] == [*WITHOUT_REVERSE_ARCS, "paid-twice"]


def cut_without_reverse_arcs(problem: Problem) -> tuple[float, IntArray]:
    network = network_without_reverse_arcs(problem)
    flow, side = minimum_cut(network, network.capacities(problem.ticks))
    return flow * problem.ticks.quantum_s, network.placement(side)


def check_reverse_arcs_are_needed(
    rows: Sequence[Row], costs: Costs, wrong: float, right: float
) -> None:
    graph = graph_of(rows)
    problem = build_problem(graph, costs)
    value, placement = cut_without_reverse_arcs(problem)
    assert value == wrong
    broken = [str(v) for v in violations(graph, scenario_of(graph, costs), placement)]
    assert len(broken) == 1
    assert "flows back" in broken[0]
    found = optimum(graph, costs)
    assert found is not None
    assert found[0] == right
    solution = solve(problem, "maxflow")
    assert solution.value * solution.quantum_s == right


@pytest.mark.parametrize("name", WITHOUT_REVERSE_ARCS)
def test_without_reverse_arcs_the_cut_is_no_placement(name: str) -> None:
    rows, wrong, right = DOCUMENTED[name]
    is_faster = all(row.seconds[1] < row.seconds[0] for row in rows if row.seconds)
    assert is_faster == (name != "slower-server")
    check_reverse_arcs_are_needed(rows, costs_of(rows), wrong, right)


def test_the_published_example() -> None:
    costs = costs_of(PUBLISHED, pins=[{"node": "x", "host": "h0"}])
    check_reverse_arcs_are_needed(PUBLISHED, costs, 80, 1045)


def cut_without_auxiliary_vertices(rows: Sequence[Row]) -> float:
    """The network of section 2 with an arc per consumer, built by hand."""
    network = nx.DiGraph()
    network.add_nodes_from("st")

    def add(tail: object, head: object, capacity: int) -> None:
        known = network.get_edge_data(tail, head, {"capacity": 0})["capacity"]
        network.add_edge(tail, head, capacity=known + capacity)

    sizes = {row.name: row.size for row in rows}
    inputs = {row.name for row in rows if not row.seconds}
    for row in rows:
        if not row.seconds:
            continue
        add(row.name, "t", row.seconds[0])
        add("s", row.name, row.seconds[1])
        for name in row.reads:
            add("s" if name in inputs else name, row.name, sizes[name])
            if name not in inputs:
                network.add_edge(row.name, name)  # no capacity: infinite
    return float(nx.minimum_cut_value(network, "s", "t"))


def test_without_auxiliary_vertices_a_tensor_is_paid_twice() -> None:
    rows, wrong, right = DOCUMENTED["paid-twice"]
    graph, costs = graph_of(rows), costs_of(rows)
    assert cut_without_auxiliary_vertices(rows) == wrong
    found = optimum(graph, costs)
    assert found is not None
    assert found[0] == right
    assert found[1].tolist() == [1, 1]
    solution = solve(build_problem(graph, costs), "maxflow")
    assert solution.value * solution.quantum_s == right


# How small the smallest counterexamples are.


def two_operator_graphs(n_inputs: int) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """What operator 0 and operator 1 read; tensors are the inputs, then operator 0's output."""
    tensors = range(n_inputs + 1)
    for first in product((0, 1), repeat=n_inputs):
        for second in product((0, 1), repeat=n_inputs + 1):
            reads = (
                tuple(t for t in tensors[:-1] if first[t]),
                tuple(t for t in tensors if second[t]),
            )
            if set(range(n_inputs)) <= {*reads[0], *reads[1]}:
                yield reads


def least_sums(n_inputs: int, *, is_faster: bool, may_read_nothing: bool) -> dict[str, int]:
    """Least sums of whole costs 1 … 4 at which a cut is wrong, by what it leaves out."""
    sides = list(product((0, 1), repeat=2))
    pairs = [(d, s) for d in range(1, 5) for s in range(1, 5) if s < d or not is_faster]
    best: dict[str, int] = {}
    for reads in two_operator_graphs(n_inputs):
        if not may_read_nothing and not all(reads):
            continue
        sent = [t for t in range(n_inputs + 1) if any(t in r for r in reads)]
        is_edge = n_inputs in reads[1]
        for sizes in product(range(1, 5), repeat=len(sent)):
            size_of = dict(zip(sent, sizes, strict=True))
            for one, two in product(pairs, repeat=2):
                total = sum(sizes) + sum(one) + sum(two)
                values = []
                for p in sides:
                    compute = one[p[0]] + two[p[1]]
                    crossing = [
                        (size_of[t], sum(p[v] for v in (0, 1) if t in reads[v]))
                        for t in sent
                        if t < n_inputs or p[0] == 0
                    ]
                    paid_once = compute + sum(size * min(1, n) for size, n in crossing)
                    paid_each = compute + sum(size * n for size, n in crossing)
                    is_feasible = not (is_edge and p == (1, 0))
                    values.append((is_feasible, paid_once, paid_each))
                feasible = [v for v in values if v[0]]
                right = min(once for _, once, _ in feasible)
                if min(once for _, once, _ in values) < right:
                    best["reverse"] = min(total, best.get("reverse", total))
                wrong = min(each for _, _, each in feasible)
                if min(once for _, once, each in feasible if each == wrong) > right:
                    best["auxiliary"] = min(total, best.get("auxiliary", total))
    return best


def size_of_example(name: str) -> int:
    return sum(row.size + sum(row.seconds) for row in DOCUMENTED[name][0])


def test_the_examples_are_smallest() -> None:
    one = least_sums(1, is_faster=True, may_read_nothing=True)
    assert one["reverse"] == size_of_example("parameter-only") == 9
    assert one["auxiliary"] == size_of_example("paid-twice") == 9
    assert least_sums(0, is_faster=True, may_read_nothing=True) == {}
    assert "reverse" not in least_sums(1, is_faster=True, may_read_nothing=False)
    slower = least_sums(1, is_faster=False, may_read_nothing=False)
    assert slower["reverse"] == size_of_example("slower-server") == 9
    two = least_sums(2, is_faster=True, may_read_nothing=False)
    assert two["reverse"] == size_of_example("two-inputs") == 11


# Mutants of the network: the theorem must fail for them.


def is_exact(rows: Sequence[Row]) -> bool:
    """Whether `maxflow` finds a feasible placement of the value that exhaustion finds."""
    graph, costs = graph_of(rows), costs_of(rows)
    found = optimum(graph, costs)
    assert found is not None
    try:
        solution = solve(build_problem(graph, costs), "maxflow")
    except SolverError:
        return False
    broken = list(violations(graph, scenario_of(graph, costs), solution.placement))
    return not broken and solution.value * solution.quantum_s == found[0]


def one_arc_per_reader(self: Any, k: int) -> None:
    """`_Builder._add_transfers` without auxiliary vertices."""
    x = self.problem.transfers
    row = np.repeat(np.arange(len(x)), np.diff(x.indptr))
    source = x.source[row]
    tail = np.where(source < 0, networks.SOURCE, self.vertex[k][np.maximum(source, 0)])
    self._add(tail, self.vertex[k][x.readers], self.slots.transfer[row, k])


def test_the_theorem_fails_without_reverse_arcs(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [DOCUMENTED[name][0] for name in WITHOUT_REVERSE_ARCS]
    assert all(is_exact(rows) for rows in cases)
    build = networks._Builder.build

    def without(self: Any, *, with_reverse_arcs: bool) -> networks.Network:
        return build(self, with_reverse_arcs=False)

    monkeypatch.setattr(networks._Builder, "build", without)
    assert not any(is_exact(rows) for rows in cases)


def test_the_theorem_fails_without_auxiliary_vertices(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = DOCUMENTED["paid-twice"][0]
    assert is_exact(rows)
    monkeypatch.setattr(networks._Builder, "_add_transfers", one_arc_per_reader)
    assert not is_exact(rows)
