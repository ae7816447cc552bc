"""One suite for every solver in the registry: the same cases, every rule, two and three hosts.

A defect found in one solver becomes a case for all of them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.costs.cost_file import Costs, check_costs
from planner.costs.pricing import scenario_of
from planner.errors import PlanError
from planner.evaluation.delay import violations
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.formulation import build_problem
from planner.problems.solution import SOLVERS, Limits, Status
from tests.support.strategies import problems
from tests.support.toys import costs_document, diamond, tied_pair

EXACT = [name for name, solver in SOLVERS if solver.capabilities.is_exact]
POLICIES = [name for name, solver in SOLVERS if not solver.capabilities.is_exact]

Case = tuple[Callable[[], Graph], dict[str, object], int]
CASES: dict[str, Case] = {
    "plain": (diamond, {}, 2),
    "three hosts": (diamond, {}, 3),
    "inference": (diamond, {"workload": {"mode": "inference"}}, 2),
    "returned outputs": (
        diamond,
        {"workload": {"mode": "inference", "return_outputs": True}},
        3,
    ),
    "labels": (diamond, {"workload": {"label_bytes": 10_000}}, 2),
    "rounds": (diamond, {"workload": {"iterations_per_round": 20}}, 2),
    "wire dtype": (diamond, {"workload": {"wire_dtype": "int8"}}, 2),
    "pin early": (diamond, {"pins": [{"node": "join", "host": "h0"}]}, 2),
    "pin late": (diamond, {"pins": [{"node": "left", "host": "h1"}]}, 2),
    "pin middle": (diamond, {"pins": [{"node": "left", "host": "h1"}]}, 3),
    "together": (diamond, {"together": [["stem", "join"]]}, 2),
    "forbidden tensor": (diamond, {"forbid_crossing": ["left_out"]}, 2),
    "forbidden input": (diamond, {"forbid_crossing": ["x"]}, 2),
    "input at the server": (diamond, {"inputs": [{"name": "x", "host": "h1"}]}, 2),
    "input in the middle": (diamond, {"inputs": [{"name": "x", "host": "h1"}]}, 3),
    "tied": (tied_pair, {}, 2),
    "tied, three hosts": (tied_pair, {}, 3),
    "tied, inference": (tied_pair, {"workload": {"mode": "inference"}}, 3),
}


@pytest.mark.parametrize("solver", EXACT)
@pytest.mark.parametrize("case", CASES)
def test_exact_solvers_give_the_reference_answer(solver: str, case: str) -> None:
    make_graph, changes, n_hosts = CASES[case]
    graph = make_graph()
    costs = check_costs(costs_document(graph, n_hosts, **changes), case)
    problem = build_problem(graph, costs)
    reference = solve(problem, "brute-force")
    solution = solve(problem, solver)
    assert solution.is_proved
    if tolerance := SOLVERS.get(solver).capabilities.tolerance:
        assert solution.value == pytest.approx(reference.value, rel=tolerance)
        assert solution.lower_bound == pytest.approx(reference.value, rel=2 * tolerance)
    else:
        assert (solution.value, solution.lower_bound) == (reference.value, reference.value)
        assert np.array_equal(solution.placement, reference.placement)
    assert not list(violations(graph, scenario_of(graph, costs), solution.placement))
    assert solution.solver == solver
    assert solution.solver_version
    assert solution.quantum_s == reference.quantum_s


@pytest.mark.parametrize("solver", EXACT)
def test_contradictory_rules_have_no_answer(solver: str) -> None:
    graph = diamond()
    pins = [{"node": "stem", "host": "h1"}, {"node": "join", "host": "h0"}]
    problem = build_problem(graph, check_costs(costs_document(graph, 2, pins=pins), "pins"))
    with pytest.raises(PlanError) as caught:
        solve(problem, solver)
    assert caught.value.exit_code == 3
    assert "`join` is pinned to `h0`" in caught.value.message
    assert "`stem` is pinned to `h1`" in caught.value.message


@pytest.mark.parametrize("policy", POLICIES)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=problems(), data=st.data())
def test_policies_keep_the_rules_or_say_so(
    policy: str, case: tuple[Graph, Costs], data: st.DataObject
) -> None:
    graph, costs = case
    problem = build_problem(graph, costs)
    try:
        best = solve(problem)
    except PlanError:
        return
    able = SOLVERS.get(policy).capabilities
    if able.max_hosts is not None and problem.n_hosts > able.max_hosts:
        with pytest.raises(PlanError, match="handles 2 hosts"):
            solve(problem, policy)
        return
    solution = solve(problem, policy)
    broken = list(violations(graph, scenario_of(graph, costs), solution.placement))
    assert bool(broken) == (solution.status is Status.INFEASIBLE)
    assert not solution.is_proved
    if not broken:
        assert solution.value * solution.quantum_s >= best.value * best.quantum_s * (1 - 1e-9)


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(max_operators=7))
def test_best_prefix_is_the_best_of_all_prefixes(case: tuple[Graph, Costs]) -> None:
    """Against an enumeration of every placement that is monotone along the order."""
    graph, costs = case
    problem = build_problem(graph, costs)
    try:
        solution = solve(problem, "best-prefix")
    except PlanError:
        return
    scenario = scenario_of(graph, costs)
    monotone = [
        placement
        for placement in np.ndindex(*[problem.n_hosts] * problem.n_operators)
        if list(placement) == sorted(placement)
        and not list(violations(graph, scenario, np.array(placement)))
    ]
    if not monotone:
        assert solution.status is Status.INFEASIBLE
        return
    best = int(problem.totals(problem.ticks.terms, np.array(monotone)).min())
    assert solution.value == best


@pytest.mark.parametrize(
    "wrong", [{"gap": -0.1}, {"gap": 1.0}, {"gap": float("nan")}, {"seconds": 0}, {"seconds": -1.0}]
)
def test_limits_that_are_none(wrong: dict[str, float]) -> None:
    with pytest.raises(PlanError) as caught:
        Limits(**wrong)  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.where) == ("PLN410", next(iter(wrong)))


@pytest.mark.parametrize("solver", EXACT)
def test_engines_are_for_those_that_run_one(solver: str) -> None:
    graph = diamond()
    problem = build_problem(graph, check_costs(costs_document(graph, 2), "engine"))
    if SOLVERS.get(solver).capabilities.runs_engines:
        assert solve(problem, solver, limits=Limits(engine="cbc")).is_proved
        return
    with pytest.raises(PlanError, match="runs no other program") as caught:
        solve(problem, solver, limits=Limits(engine="cbc"))
    assert caught.value.code == "PLN405"
