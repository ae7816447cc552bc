"""docs/theory.md executed: its counterexamples, its theorems, and what breaks without each arc."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from planner.arrays import IntArray
from planner.costs.cost_file import Costs, check_costs
from planner.costs.pricing import price, scenario_of
from planner.drafts.assembly import assemble
from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.errors import PlanError, SolverError
from planner.evaluation.delay import delay_of, evaluate, violations
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.formulation import build_problem, formulate
from planner.problems.problem import Problem
from planner.problems.solution import SOLVERS, Solution, Status
from planner.solvers.flow import network as networks
from planner.solvers.flow.cuts import minimum_cut
from planner.solvers.flow.network import network_without_reverse_arcs
from tests.support.strategies import problems

THEORY = Path(__file__).resolve().parents[2] / "docs" / "theory.md"
Case = tuple[Graph, Costs]


def examples(count: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    return settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck))


# Small graphs in numbers: one byte takes one second.


@dataclass(frozen=True, kw_only=True)
class Row:
    """A graph input (no seconds) or an operator with one output of the same name."""

    name: str
    reads: tuple[str, ...] = ()
    seconds: tuple[int, ...] = ()
    size: int = 0


def graph_of(rows: Sequence[Row]) -> Graph:
    def tensor(row: Row) -> DraftTensor:
        return DraftTensor(name=row.name, size_bytes=row.size)

    operators, parameters = [], []
    for row in rows:
        if not row.seconds:
            continue
        operands = [Operand(OperandKind.TENSOR, name) for name in row.reads]
        if not row.reads:
            parameters.append(DraftParameter(name=f"{row.name}.w", size_bytes=1))
            operands = [Operand(OperandKind.PARAMETER, f"{row.name}.w")]
        operators.append(
            DraftOperator(name=row.name, op="X", operands=tuple(operands), outputs=(tensor(row),))
        )
    read = {name for row in rows for name in row.reads}
    return assemble(
        Draft(
            name="small",
            inputs=[tensor(row) for row in rows if not row.seconds],
            outputs=[row.name for row in rows if row.seconds and row.name not in read],
            parameters=parameters,
            operators=operators,
        )
    )


def costs_of(rows: Sequence[Row], *, hosts: int = 2, **sections: Any) -> Costs:
    names = [f"h{k}" for k in range(hosts)]
    document = {
        "kind": "costs",
        "version": 1,
        "workload": {"mode": "inference"},
        "hosts": [
            {
                "name": name,
                "model": "table",
                "nodes": [
                    {"name": row.name, "forward_s": row.seconds[k]} for row in rows if row.seconds
                ],
            }
            for k, name in enumerate(names)
        ],
        "links": [{"uplink_bps": 8, "downlink_bps": 8}] * (hosts - 1),
        **sections,
    }
    return check_costs(document, "small costs")


def optimum(graph: Graph, costs: Costs) -> tuple[float, IntArray] | None:
    """Best of all K^n placements, by the formulas of section 1 alone; None if none is feasible."""
    scenario = scenario_of(graph, costs)
    table = price(graph, costs, scenario.workload)
    best: tuple[float, IntArray] | None = None
    for hosts in product(range(len(costs.hosts)), repeat=len(graph.operators)):
        placement = np.array(hosts, np.int64)
        if next(violations(graph, scenario, placement), None) is not None:
            continue
        total = delay_of(graph, table, scenario, placement).total_s
        if best is None or total < best[0]:
            best = total, placement
    return best


def seconds_of(graph: Graph, costs: Costs, placement: IntArray) -> float:
    scenario = scenario_of(graph, costs)
    return delay_of(graph, price(graph, costs, scenario.workload), scenario, placement).total_s


def rounding(problem: Problem, solution: Solution) -> float:
    """What rounding to ticks can hide between two placements, and a little for float sums."""
    count = np.count_nonzero(problem.seconds.flat())
    return count * solution.quantum_s + 1e-12 * solution.value * solution.quantum_s


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


# Theorems on random graphs.


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
