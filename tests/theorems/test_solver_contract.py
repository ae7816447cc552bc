"""One suite for every solver in the registry: the same cases, every rule, two and three hosts.

A defect found in one solver becomes a case for all of them.
"""

from __future__ import annotations

from dataclasses import replace

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
from planner.problems.problem import Problem
from planner.problems.solution import SOLVERS, Capabilities, Limits, Solution, Status
from planner.testing import check_solver, solver_cases
from tests.support.strategies import problems
from tests.support.toys import costs_document, diamond

EXACT = [name for name, solver in SOLVERS if solver.capabilities.is_exact]
POLICIES = [name for name, solver in SOLVERS if not solver.capabilities.is_exact]


@pytest.mark.parametrize("case", solver_cases())
@pytest.mark.parametrize("solver", SOLVERS.names())
def test_solvers_keep_the_contract(solver: str, case: str) -> None:
    check_solver(SOLVERS.get(solver), [case])


class Faulty:
    """A solver that another one answers for, with something changed."""

    name = "maxflow"
    requires: tuple[str, ...] = ()

    def __init__(self, **changes: object) -> None:
        self.capabilities = Capabilities(is_exact=True, summary="faulty")
        self.changes = changes

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        honest = SOLVERS.get(self.name).solve(problem, limits=limits)
        if "placement" in self.changes:
            return replace(honest, placement=np.zeros_like(honest.placement))
        certificate = replace(honest.certificate, **self.changes)  # type: ignore[type-var]
        return replace(honest, certificate=certificate)


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"placement": 0}, "is pinned to"), ({"value": 1}, "the optimum is"),
     ({"lower_bound": 0}, "no proof"), ({"quantum_s": 1.0}, "ticks of 1.0 s")],
)  # fmt: skip
def test_the_contract_finds_what_is_wrong(changes: dict[str, object], words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_solver(Faulty(**changes), ["pin late"])


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
