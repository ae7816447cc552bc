"""`budget`: bounds, plans that fit, and the optimum on demand, against every placement."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from planner.costs.cost_file import Costs, check_costs
from planner.errors import PlanError, SolverError
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.enumeration import enumerate_placements
from planner.problems.formulation import build_problem
from planner.problems.problem import Problem
from planner.problems.solution import Limits, Status
from planner.solvers import budget
from planner.solvers.budget.branching import search
from planner.solvers.budget.fixings import tightened
from planner.solvers.budget.lagrangian import relax
from tests.support.strategies import limited_problems
from tests.support.toys import costs_document, diamond, graph_of, operator

relaxed = settings(max_examples=1_200, deadline=None, suppress_health_check=list(HealthCheck))


def fitting(graph: Graph, costs: Costs) -> tuple[Problem, np.ndarray] | None:
    """A problem and all placements that keep its rules and limits; None if there is none."""
    problem = build_problem(graph, costs)
    assert problem.memory is not None
    try:
        placements = enumerate_placements(problem).astype(np.int64)
    except PlanError:
        return None
    placements = placements[problem.memory.fits(placements)]
    return (problem, placements) if len(placements) else None


def test_bound_optimum_and_plan_are_in_this_order() -> None:
    tally: Counter[str] = Counter()

    @relaxed
    @given(limited_problems(objective="delay"))
    def check(case: tuple[Graph, Costs]) -> None:
        found = fitting(*case)
        if found is None:
            return
        problem, placements = found
        tight = problem.under(tightened(problem, problem.constraints), {})
        best = int(tight.goal.values(placements).min())
        answer = relax(tight)
        assert answer.lower_bound <= best
        tally["no plan" if answer.placement is None else "plan"] += 1
        if answer.placement is not None:
            assert problem.memory is not None
            assert problem.memory.fits(answer.placement)
            value = tight.goal.value(answer.placement)
            assert value >= best
            tally["gap" if value - answer.lower_bound > 1e-9 * value else "closed"] += 1
        tally["priced"] += answer.n_cuts > 1

    check()
    assert tally["plan"] >= 300
    assert tally["priced"] >= 3  # the relaxation was not over with the first cut
    assert tally["gap"] >= 1


@pytest.mark.parametrize("max_nodes", [400, 0])
def test_a_gap_of_zero_is_the_optimum(max_nodes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By branch and bound, and by the integer program alone."""
    monkeypatch.setattr(budget, "MAX_NODES", max_nodes)
    seen: Counter[str] = Counter()

    @settings(relaxed, max_examples=800)
    @given(limited_problems(objective="delay"))
    def check(case: tuple[Graph, Costs]) -> None:
        graph, costs = case
        found = fitting(graph, costs)
        if found is None:
            with pytest.raises(PlanError) as caught:
                solve(build_problem(graph, costs), "budget", limits=Limits(gap=0.0))
            assert caught.value.exit_code == 3
            seen["infeasible"] += 1
            return
        problem, _ = found
        reference = solve(problem, "brute-force")
        solution = solve(problem, "budget", limits=Limits(gap=0.0))
        assert solution.is_proved
        assert problem.memory is not None
        assert problem.memory.fits(solution.placement)
        optimum_s = reference.value * reference.quantum_s
        value_s = solution.value * solution.quantum_s
        assert value_s == pytest.approx(optimum_s, rel=1e-9, abs=1e-30)
        assert solution.lower_bound <= solution.value
        seen["proved"] += 1
        seen["branched"] += "branch" in solution.message
        seen["integer"] += "CBC" in solution.solver_version

    check()
    assert seen["proved"] >= 150
    assert seen["infeasible"] >= 10
    assert seen["branched"] >= 3
    if max_nodes == 0:
        assert seen["integer"] >= 3


def test_without_a_gap_the_answer_is_bounded_and_says_by_how_much() -> None:
    seen: Counter[str] = Counter()

    @settings(relaxed, max_examples=800)
    @given(limited_problems(objective="delay"))
    def check(case: tuple[Graph, Costs]) -> None:
        if (found := fitting(*case)) is None:
            return
        solution = solve(found[0], "budget")
        assert solution.has_bound
        assert solution.lower_bound <= solution.value
        assert (solution.status is Status.OPTIMAL) == solution.certificate.holds
        if solution.status is Status.BOUNDED:
            assert f"gap {solution.certificate.gap:.2%}" in solution.message
        seen[solution.status.value] += 1

    check()
    assert seen["optimal"] >= 100
    assert seen["bounded"] >= 3


def limited(bytes_on_device: int, **changes: object) -> Problem:
    graph = diamond()
    document = costs_document(graph, 2, **changes)
    document["hosts"][0]["memory_bytes"] = bytes_on_device  # type: ignore[index]
    return build_problem(graph, check_costs(document, "limited"))


def test_a_limit_is_kept_to_the_byte() -> None:
    pins = [{"node": "stem", "host": "h0"}]
    exact = 600_000 + 2 * 40_000  # what the stem reads, its weights and their gradients
    solution = solve(limited(exact, pins=pins), "budget")
    assert solution.placement.tolist() == [0, 1, 1, 1, 1]
    with pytest.raises(PlanError) as caught:
        solve(limited(exact - 1, pins=pins), "budget")
    assert caught.value.code == "PLN406"


def test_other_states_share_what_limits_decide() -> None:
    problem = limited(2_000_000)
    for rate in (1e5, 1e6, 1e7, 1e8):
        state = problem.with_links(uplink_bps=rate).with_speed(h0=2.0)
        solution = solve(state, "budget", limits=Limits(gap=0.0))
        reference = solve(state, "brute-force")
        assert (solution.value, solution.quantum_s) == (reference.value, reference.quantum_s)


def test_without_limits_it_is_the_minimum_cut() -> None:
    graph = diamond()
    problem = build_problem(graph, check_costs(costs_document(graph, 2), "free"))
    solution, reference = solve(problem, "budget"), solve(problem, "maxflow")
    assert np.array_equal(solution.placement, reference.placement)
    assert solution.is_proved


def test_auto_closes_the_gap() -> None:
    solution = solve(limited(900_000))
    assert solution.solver == "budget"
    assert solution.is_proved


def test_a_search_that_ends_early_keeps_a_true_bound() -> None:
    seen: Counter[bool] = Counter()

    @settings(relaxed, max_examples=800)
    @given(limited_problems(objective="delay"))
    def check(case: tuple[Graph, Costs]) -> None:
        if (found := fitting(*case)) is None:
            return
        problem, placements = found
        tight = problem.under(tightened(problem, problem.constraints), {})
        best = int(tight.goal.values(placements).min())
        for max_nodes in (0, 2):
            answer = search(tight, relax(tight), gap=1e-12, max_nodes=max_nodes)
            assert answer.lower_bound <= best
            if answer.placement is not None:
                assert tight.goal.value(answer.placement) >= best
            seen[answer.is_complete] += 1

    check()
    assert seen[True] >= 100
    assert seen[False] >= 1


@pytest.fixture(scope="module")
def open_gap() -> Problem:
    """A problem whose relaxation leaves a gap that branch and bound alone would close."""
    graph, costs = _open_gap()
    return build_problem(graph, costs)


def test_no_time_at_all_is_said(open_gap: Problem) -> None:
    """There is a bound and a plan, and no integer program is written for it."""
    solution = solve(open_gap, "budget", limits=Limits(gap=0.0, seconds=1e-9))
    assert solution.status is Status.LIMIT
    assert not solution.is_proved
    assert "no time is left for an integer program" in solution.message
    assert solution.lower_bound < solution.value


def test_an_engine_that_fails_takes_nothing_away(
    open_gap: Problem, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise SolverError("`cbc` crashed", code="PLN501")

    monkeypatch.setattr(budget, "MAX_NODES", 0)
    monkeypatch.setattr("planner.solvers.pyomo_milp.engines.solve_model", fail)
    known = solve(open_gap, "budget")
    solution = solve(open_gap, "budget", limits=Limits(gap=0.0))
    assert solution.status is Status.LIMIT
    assert "`cbc` crashed" in solution.message
    # Ticks of the two may differ: the bound that they fit is sharpened by whoever solves first.
    for name in ("value", "lower_bound"):
        mine, theirs = (getattr(s, name) * s.quantum_s for s in (solution, known))
        assert mine == pytest.approx(theirs, rel=1e-12)


@pytest.mark.parametrize("solver", ["budget", "pyomo", "auto"])
def test_limits_that_are_too_small_together(solver: str) -> None:
    """By one byte, on a graph whose operators could be on either host."""
    names = [f"v{i}" for i in range(40)]
    graph = graph_of(
        [operator(name, ["x"], 1000, [f"{name}.w"]) for name in names],
        [f"{name}_out" for name in names],
        parameters=[(f"{name}.w", 1000 + 37 * i) for i, name in enumerate(names)],
    )
    document = costs_document(graph, 2)
    everything = sum(2 * p.size_bytes for p in graph.parameters) + 600_000
    for share, host in zip((0.4, 0.6), document["hosts"], strict=True):  # type: ignore[call-overload]
        host["memory_bytes"] = int(everything * share)
    document["hosts"][0]["memory_bytes"] -= 1  # type: ignore[index]
    problem = build_problem(graph, check_costs(document, "short"))
    assert problem.memory is not None
    assert problem.memory.limits.sum() == everything - 1
    with pytest.raises(PlanError) as caught:
        solve(problem, solver)
    assert caught.value.code == "PLN406"


def _open_gap() -> tuple[Graph, Costs]:
    """A problem whose relaxation leaves a gap."""
    found: list[tuple[Graph, Costs]] = []

    @settings(relaxed, max_examples=400, database=None, derandomize=True)
    @given(limited_problems(objective="delay"))
    def look(case: tuple[Graph, Costs]) -> None:
        if not found and (known := fitting(*case)) is not None:
            solution = solve(known[0], "budget")
            if solution.status is Status.BOUNDED:
                found.append(case)

    look()
    return found[0]
