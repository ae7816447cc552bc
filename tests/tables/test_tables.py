"""Plan tables are complete and exact: against exhaustion, the solver, and another geometry."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import planner
from planner import zoo
from planner.costs.cost_file import Costs, check_costs
from planner.errors import PlanError, PlannerError, SolverError
from planner.evaluation.delay import evaluate
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.enumeration import enumerate_placements
from planner.problems.formulation import build_problem
from planner.problems.linear_terms import coefficients, state_of
from planner.problems.problem import Problem
from planner.tables.envelopes import Envelope
from planner.tables.table import Table
from tests.support.cli import error_of
from tests.support.strategies import problems
from tests.support.toys import costs_document, diamond, graph_of, operator

Ranges = dict[str, tuple[float, float]]
EXACT = 1e-9

RATE_ENDS = [8.0, 1e3, 1e5, 3.3e6, 1e7, 1e9, 1e12, 1e18]
SPEED_ENDS = [1e-3, 0.25, 1.0, 1.7, 40.0]


@st.composite
def boxes(draw: st.DrawFn) -> Ranges:
    """One to three ranges, from narrow ones to fifteen orders of magnitude."""
    names = draw(
        st.lists(
            st.sampled_from(["uplink_bps", "downlink_bps", "device_speed"]),
            min_size=1,
            max_size=3,
            unique=True,
        )
    )
    found = {}
    for name in names:
        ends = SPEED_ENDS if name == "device_speed" else RATE_ENDS
        low, high = sorted(
            draw(st.lists(st.sampled_from(ends), min_size=2, max_size=2, unique=True))
        )
        found[name] = (low, high)
    return found


def in_state(problem: Problem, state: dict[str, float]) -> Problem:
    speed = problem.speed.copy()
    speed[0] = state.get("device_speed", 1.0)
    rates = {name: value for name, value in state.items() if name != "device_speed"}
    return replace(problem.with_links(**rates), speed=speed)


def states_of(table: Table, seed: int, count: int) -> list[dict[str, float]]:
    """Corners, vertices of the proof, and random states, half of them on a border between plans."""
    names = [p.name for p in table.parameters]
    ends = [(p.low, p.high) for p in table.parameters]
    rng = np.random.default_rng(seed)
    found = [*product(*ends), *(vertex.state for vertex in table.proof.vertices)]
    vertices = np.array([vertex.state for vertex in table.proof.vertices])
    for _ in range(count):
        low, high = np.log(ends).T
        found.append(tuple(np.exp(rng.uniform(low, high))))
        one, other = 1.0 / vertices[rng.integers(len(vertices), size=2)]
        share = rng.uniform()
        found.append(tuple(1.0 / (share * one + (1 - share) * other)))
    low, high = np.transpose(ends)
    return [dict(zip(names, np.clip(state, low, high).tolist(), strict=True)) for state in found]


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


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.integers(1, 3))
def test_envelope_of_any_planes(data: st.DataObject, n_axes: int) -> None:
    """Small whole coefficients, so that many planes meet in one point and many are equal."""
    number = st.integers(0, 6).map(float)
    cut = st.tuples(*[number] * (n_axes + 1))
    cuts = data.draw(st.lists(cut, min_size=1, max_size=9))
    envelope = Envelope([(0.5, 2.0)] * n_axes, cuts[0])
    for other in cuts[1:]:
        envelope.add(other)
    table = np.array(cuts)

    def least(position: tuple[float, ...]) -> float:
        return float((table @ [1.0, *position]).min())

    for vertex in envelope.vertices:
        assert vertex.height == pytest.approx(least(vertex.position), rel=1e-12)
    # The concave hull of the vertices is the envelope: nothing is missing.
    rng = np.random.default_rng(0)
    needed = set(envelope.cells())
    for _ in range(20):
        position = tuple(rng.uniform(0.5, 2.0, n_axes))
        totals = table @ [1.0, *position]
        assert min(totals[list(needed)]) == pytest.approx(totals.min(), rel=1e-12)
    assert len(envelope.vertices) >= 2**n_axes


def test_vertices_are_those_that_scipy_finds() -> None:
    """Qhull, where it is not degenerate, knows no other vertices."""
    spatial = pytest.importorskip("scipy.spatial", reason="scipy is not installed")
    rng = np.random.default_rng(5)
    for n_axes in (1, 2, 3):
        for _ in range(15):
            cuts = rng.uniform(1, 2, (7, n_axes + 1))
            envelope = Envelope([(0.0, 1.0)] * n_axes, tuple(cuts[0].tolist()))
            for cut in cuts[1:]:
                envelope.add(tuple(cut.tolist()))
            own = sorted((*v.position, v.height) for v in envelope.vertices)
            under = np.column_stack([-cuts[:, 1:], np.ones(7), -cuts[:, 0]])
            eye = np.eye(n_axes)
            low = np.column_stack([-eye, np.zeros((n_axes, 2))])
            high = np.column_stack([eye, np.zeros(n_axes), -np.ones(n_axes)])
            floor = [*[0.0] * n_axes, -1.0, 0.0]
            inside = np.array([*[0.5] * n_axes, 0.5])
            found = spatial.HalfspaceIntersection(np.vstack([under, low, high, floor]), inside)
            above = found.intersections[found.intersections[:, -1] > 1e-6]
            distinct = {tuple(np.round(point, 9)) for point in above}
            np.testing.assert_allclose(own, sorted(map(tuple, distinct)), atol=1e-8)


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


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(max_operators=6), boxes(), st.integers(0, 2**31))
def test_one_look_up_and_many_agree(case: tuple[Graph, Costs], ranges: Ranges, seed: int) -> None:
    try:
        table = planner.table(*case, **ranges)
    except PlanError:
        return
    states = states_of(table, seed, 10)
    many = table.best_many(**{name: [state[name] for state in states] for name in ranges})
    for state, index, total in zip(states, many.indices, many.totals_s, strict=True):
        choice = table.best(**state)
        assert (choice.index, choice.total_s) == (index, total)
        assert choice.plan is table.plans[choice.index]


@pytest.fixture(scope="module")
def made() -> Table:
    graph = diamond()
    costs = check_costs(costs_document(graph, 2), "costs")
    return planner.table(graph, costs, uplink_bps=(1e5, 1e8), device_speed=(0.25, 1))


@pytest.fixture(scope="module")
def line() -> Table:
    graph = diamond()
    return planner.table(graph, check_costs(costs_document(graph, 2), "c"), uplink_bps=(1e5, 1e8))


def test_arrays_of_any_shape(made: Table) -> None:
    grid = np.geomspace(1e5, 1e8, 12).reshape(3, 4)
    choices = made.best_many(uplink_bps=grid, device_speed=0.5)
    assert choices.indices.shape == choices.totals_s.shape == (3, 4)
    assert choices.totals_s[1, 2] == made.best(uplink_bps=grid[1, 2], device_speed=0.5).total_s
    one = made.best_many(uplink_bps=2e6, device_speed=1)
    assert one.indices.shape == ()
    assert made.best_many(uplink_bps=[], device_speed=[]).indices.shape == (0,)
    many = made.best_many(uplink_bps=np.full(40_000, 2e6), device_speed=1)
    assert set(many.indices) == {int(one.indices)}


def test_whole_numbers_and_ends_are_fine(made: Table) -> None:
    assert made.best(uplink_bps=100_000, device_speed=1).total_s > 0
    assert made.best(uplink_bps=np.float64(1e8), device_speed=0.25).total_s > 0
    assert type(made.best(uplink_bps=np.float64(1e8), device_speed=0.25).total_s) is float
    exact: Any
    for exact in (Decimal("1e6"), Fraction(10**6), np.array(1e6), np.int64(10**6), np.float32(1e6)):
        assert made.best(uplink_bps=exact, device_speed=1) == made.best(
            uplink_bps=1e6, device_speed=1
        )


NAN = float("nan")


@pytest.mark.parametrize(
    ("state", "code", "where", "words"),
    [
        ({"uplink_bps": 9e4, "device_speed": 1}, "PLN413", "uplink_bps", "100000.0 to 100000000.0"),
        ({"uplink_bps": 2e8, "device_speed": 1}, "PLN413", "uplink_bps", "is 200000000.0"),
        ({"uplink_bps": 1e6, "device_speed": 1.1}, "PLN413", "device_speed", "from 0.25 to 1.0"),
        ({"uplink_bps": NAN, "device_speed": 1}, "PLN413", "uplink_bps", "is nan"),
        ({"uplink_bps": -1e6, "device_speed": 1}, "PLN413", "uplink_bps", "expected a number"),
        ({"uplink_bps": float("inf"), "device_speed": 1}, "PLN413", "uplink_bps", "is inf"),
        ({"uplink_bps": "1e6", "device_speed": 1}, "PLN413", "uplink_bps", None),
        ({"uplink_bps": None, "device_speed": 1}, "PLN413", "uplink_bps", None),
        ({"self": 1}, "PLN414", "self", "there is no parameter `self`"),
        ({"uplink_bps": 1e6}, "PLN414", "device_speed", "over `uplink_bps` and `device_speed`"),
        ({}, "PLN414", "uplink_bps", "is missing"),
        (
            {"uplink_bps": 1e6, "device_speed": 1, "downlink_bps": 1e6},
            "PLN414",
            "downlink_bps",
            "there is no parameter `downlink_bps`",
        ),
        ({"uplink": 1e6, "device_speed": 1}, "PLN414", "uplink", "`uplink_bps`"),
    ],
)
def test_state_that_is_refused(
    made: Table, line: Table, state: dict[str, float], code: str, where: str, words: str | None
) -> None:
    for look_up in (made.best, made.best_many):
        if state.get("uplink_bps", 0) in ("1e6", None) and look_up == made.best_many:
            continue
        with pytest.raises(PlanError) as caught:
            look_up(**state)
        assert error_of(caught.value) == [(code, where)]
        assert words is None or words in f"{caught.value.message} {caught.value.hint}"
    if where == "uplink_bps" and "device_speed" in state:
        with pytest.raises(PlanError) as caught:
            line.best(uplink_bps=state["uplink_bps"])
        assert error_of(caught.value) == [(code, where)]


def test_wrong_arrays_are_refused(made: Table) -> None:
    for states in (
        {"uplink_bps": ["x"], "device_speed": 1},
        {"uplink_bps": ["1e6"], "device_speed": 1},
        {"uplink_bps": None, "device_speed": 1},
        {"uplink_bps": [1e6] * 2, "device_speed": [1] * 3},
    ):
        with pytest.raises(PlanError) as caught:
            made.best_many(**states)
        assert error_of(caught.value) == [("PLN413", "best_many")]
    with pytest.raises(PlanError, match="is nan"):
        made.best_many(uplink_bps=[1e6, NAN], device_speed=1)


def test_hint_names_the_nearest_parameter(made: Table) -> None:
    with pytest.raises(PlanError) as caught:
        made.best(uplink=1e6, device_speed=1)
    assert caught.value.hint.startswith("did you mean `uplink_bps`? parameters: ")


@pytest.mark.parametrize(
    ("ranges", "where"),
    [
        ({}, "table"),
        ({"uplink_bps": (1e6, 1e6)}, "uplink_bps"),
        ({"uplink_bps": (1e7, 1e6)}, "uplink_bps"),
        ({"uplink_bps": (0, 1e6)}, "uplink_bps"),
        ({"uplink_bps": (-1, 1e6)}, "uplink_bps"),
        ({"uplink_bps": (1e6, float("inf"))}, "uplink_bps"),
        ({"uplink_bps": (1e6, NAN)}, "uplink_bps"),
        ({"uplink_bps": 1e6}, "uplink_bps"),
        ({"uplink_bps": (1e6,)}, "uplink_bps"),
        ({"uplink_bps": (1e6, 1e7, 1e8)}, "uplink_bps"),
        ({"uplink_bps": ("a", "b")}, "uplink_bps"),
        ({"downlink_bps": (1e6, 1e20)}, "downlink_bps"),
        ({"device_speed": (0, 1)}, "device_speed"),
        ({"device_speed": (0.5, 1e9)}, "device_speed"),
        ({"device_speed": (1.9, np.nextafter(1.9, 2.0))}, "device_speed"),
        ({"uplink_bps": "19"}, "uplink_bps"),
        ({"uplink_bps": {1: 2, 3: 4}}, "uplink_bps"),
        ({"uplink_bps": {1e6, 1e9}}, "uplink_bps"),
        ({"uplink_bps": ("1e6", "1e9")}, "uplink_bps"),
        ({"uplink_bps": (True, 5.0)}, "uplink_bps"),
        ({"uplink_bps": (1e6, 10**400)}, "uplink_bps"),
        ({"uplink_bps": (1e6, 10**5000)}, "uplink_bps"),
        ({"uplink_bps": np.array([[1e6], [1e9]])}, "uplink_bps"),
        ({"uplink_bps": np.array([False, True])}, "uplink_bps"),
    ],
)
def test_range_that_is_none(ranges: Any, where: str) -> None:
    graph = diamond()
    with pytest.raises(PlanError) as caught:
        planner.table(graph, check_costs(costs_document(graph, 2), "c"), **ranges)
    assert error_of(caught.value) == [("PLN412", where)]


def test_ranges_may_be_lists_and_arrays() -> None:
    graph = diamond()
    costs = check_costs(costs_document(graph, 2), "costs")
    made: Any = [planner.table(graph, costs, uplink_bps=ends)
                 for ends in ((10**5, 1e8), [1e5, 1e8], np.array([1e5, 1e8]))]  # fmt: skip
    assert made[0] == made[1] == made[2]


def test_ends_that_are_one_state() -> None:
    graph = diamond()
    ends = (1e6, float(np.nextafter(1e6, 2e6)))
    assert 1 / ends[0] == 1 / ends[1]
    with pytest.raises(PlanError, match=r"too close: 1 / low is 1 / high"):
        planner.table(graph, check_costs(costs_document(graph, 2), "c"), uplink_bps=ends)


@pytest.mark.parametrize("solver", [None, 3, [], True])
def test_solver_that_is_no_name(solver: Any) -> None:
    graph = diamond()
    costs = check_costs(costs_document(graph, 2), "costs")
    with pytest.raises(PlannerError) as caught:
        planner.table(graph, costs, uplink_bps=(1e5, 1e8), solver=solver)
    assert error_of(caught.value) == [("PLN301", "solver")]


@pytest.mark.parametrize(
    "value",
    [np.array([1e7]), [[1e7]], [1e7], Decimal("NaN"), Decimal("sNaN"), True, np.True_,
     pytest.param(10**400, id="large"), pytest.param(10**5000, id="larger"),
     np.array(True), b"1e7", 1e7j, Decimal("1e9")],
)  # fmt: skip
@pytest.mark.parametrize("count", [1, 2, 3])
def test_value_that_is_no_number(value: Any, count: int) -> None:
    graph = diamond()
    ranges = {"uplink_bps": (0.5, 1e8), "downlink_bps": (1e5, 1e8), "device_speed": (0.25, 1)}
    ranges = dict(list(ranges.items())[:count])
    table = planner.table(graph, check_costs(costs_document(graph, 2), "c"), **ranges)
    state: Any = {"downlink_bps": 1e6, "device_speed": 1}
    state = {"uplink_bps": value, **{n: v for n, v in state.items() if n in ranges}}
    with pytest.raises(PlanError) as caught:
        table.best(**state)
    assert error_of(caught.value) == [("PLN413", "uplink_bps")]


def test_policies_cannot_make_tables() -> None:
    graph = diamond()
    costs = check_costs(costs_document(graph, 2), "costs")
    with pytest.raises(SolverError, match="has no proof") as caught:
        planner.table(graph, costs, uplink_bps=(1e5, 1e8), solver="best-prefix")
    assert error_of(caught.value) == [("PLN501", "solver")]


def test_range_sets_all_links_of_a_route() -> None:
    graph = diamond()
    document = costs_document(graph, 3)
    document["links"] = [
        {"uplink_bps": 1e5, "downlink_bps": 1e7},
        {"uplink_bps": 1e9, "downlink_bps": 2e7},
    ]
    table = planner.table(graph, check_costs(document, "costs"), uplink_bps=(1e5, 1e9))
    assert [link.uplink_bps for link in table.file.links] == [None, None]
    assert [link.downlink_bps for link in table.file.links] == [1e7, 2e7]
    for uplink in (1e5, 3e6, 1e9):
        document["links"] = [{**link, "uplink_bps": uplink} for link in document["links"]]
        plan = planner.plan(graph, check_costs(document, "costs"))
        assert table.best(uplink_bps=uplink).total_s == pytest.approx(plan.total_s, rel=1e-12)


def test_hosts_of_any_name() -> None:
    """Not even `self` is taken for a keyword."""
    graph = diamond()
    document = costs_document(graph, 2)
    document["hosts"][0]["name"] = "self"
    table = planner.table(graph, check_costs(document, "costs"), device_speed=(0.5, 2))
    assert set(table.best(device_speed=1).placement.values()) <= {"self", "h1"}


def test_nothing_costs_anything() -> None:
    graph = diamond()
    document = costs_document(graph, 2, workload={"mode": "inference"})
    zero = {"forward_s": 0.0, "backward_s": 0.0}
    document["hosts"] = [{"name": n, "model": "table", "default": zero} for n in ("a", "b")]
    table = planner.table(graph, check_costs(document, "costs"), uplink_bps=(1e5, 1e8))
    assert len(table.plans) == 1
    assert table.best(uplink_bps=1e6).total_s == 0
