"""Memory limits and pipelines by MILP against exhaustion."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from planner.errors import PlanError
from planner.plans.solving import solve
from planner.problems.enumeration import enumerate_placements
from planner.problems.formulation import build_problem
from planner.problems.goals import Goal
from planner.problems.problem import Problem
from planner.problems.solution import Limits, Status
from planner.solvers.milp.engines import EngineOptions
from planner.solvers.pyomo_milp.engines import run, solve_model
from planner.solvers.pyomo_milp.model import PlacementModel, tolerance_of
from tests.support.milp_problems import limited_case, relaxed_by_pyomo

N_PROBLEMS = 660
SHARDS = 4


def feasible(problem: Problem) -> np.ndarray:
    """Every placement that keeps rules and limits."""
    placements = enumerate_placements(problem).astype(np.int64)
    return placements if problem.memory is None else placements[problem.memory.fits(placements)]


def best_of(problem: Problem, placements: np.ndarray) -> tuple[Goal, int]:
    """The best value, in the ticks that an exact solver ends with."""
    while True:
        values = problem.goal.values(placements)
        if not problem.goal.is_coarse_for(int(values.min())):
            return problem.goal, int(values.min())
        problem = problem.with_incumbent(placements[values.argmin()])


def surround(problem: Problem, goal: Goal, best: int) -> None:
    """The bound and the plan of `budget` are below and above the optimum, and meet if asked to."""
    best_s = best * goal.quantum_s
    for gap, reach in ((None, np.inf), (0.0, 1e-9)):
        answer = solve(problem, "budget", limits=Limits(gap=gap))
        assert problem.memory is not None
        assert problem.memory.fits(answer.placement)
        slack = (0 if answer.quantum_s == goal.quantum_s else 1e-9) * best_s
        low_s, value_s = (t * answer.quantum_s for t in (answer.lower_bound, answer.value))
        assert low_s - slack <= best_s <= value_s + slack
        assert value_s - low_s <= reach * value_s


@pytest.mark.parametrize("shard", range(SHARDS))
def test_limits_and_objectives_against_exhaustion(shard: int) -> None:
    tally: Counter[str] = Counter()
    for seed in range(shard, N_PROBLEMS, SHARDS):
        problem = build_problem(*limited_case(seed))
        try:
            placements = feasible(problem)
        except PlanError:
            continue
        mode = problem.workload.mode.value
        if not len(placements):
            with pytest.raises(PlanError) as caught:
                solve(problem, "pyomo")
            assert (caught.value.code, caught.value.exit_code) == ("PLN406", 3)
            tally["nothing fits"] += 1
            continue
        goal, best = best_of(problem, placements)
        solution = solve(problem, "pyomo")
        assert solution.is_proved
        assert solution.quantum_s == goal.quantum_s
        # Stages are rows of a model, and rows have tolerances.
        slack = tolerance_of(problem)
        assert best <= solution.value <= best * (1 + slack)
        assert solution.lower_bound <= best
        if problem.memory is not None:
            assert problem.memory.fits(solution.placement)
            tally["limited"] += 1
            if len(goal.parts) == 1:
                surround(problem, goal, best)
        tally.update([mode, problem.workload.objective.value, f"{problem.n_hosts} hosts"])
    solved = tally["training"] + tally["inference"]
    assert solved >= 300 / SHARDS
    assert len(tally) == 8
    assert min(tally.values()) >= 40 / SHARDS


def cases(objective: str, count: int) -> list[Problem]:
    """Limited problems that have a solution."""
    found: list[Problem] = []
    seed = 5000
    while len(found) < count:
        seed += 1
        problem = build_problem(*limited_case(seed))
        if problem.workload.objective.value != objective or problem.memory is None:
            continue
        try:
            fits = len(feasible(problem)) > 0
        except PlanError:
            continue
        if fits:
            found.append(problem)
    return found


@pytest.mark.parametrize("objective", ["delay", "throughput"])
def test_bounds_hold_for_any_gap(objective: str) -> None:
    for problem in cases(objective, 12):
        best = int(problem.goal.values(feasible(problem)).min())
        for gap in (0.01, 0.3):
            answer = solve_model(problem, limits=Limits(gap=gap))
            assert answer.placement is not None
            value = problem.goal.value(answer.placement)
            assert answer.lower_bound <= best <= value
            assert value - answer.lower_bound <= gap * value
            solution = solve(problem, "pyomo", limits=Limits(gap=gap))
            assert solution.status in (Status.OPTIMAL, Status.BOUNDED)


@pytest.mark.parametrize("objective", ["delay", "throughput"])
def test_the_relaxation_is_not_integral_with_limits(objective: str) -> None:
    """Else the tests of integrality could not fail."""
    n_fractional = 0
    for problem in cases(objective, 12):
        values = np.array(list(relaxed_by_pyomo(problem).values()))
        n_fractional += bool((np.abs(values - np.rint(values)) > 1e-6).any())
    assert n_fractional


@pytest.mark.parametrize("objective", ["delay", "throughput"])
def test_an_incumbent_is_kept_or_beaten(objective: str) -> None:
    for problem in cases(objective, 8):
        placements = feasible(problem)
        values = problem.goal.values(placements)
        for incumbent in (placements[values.argmin()], placements[values.argmax()]):
            answer = solve_model(problem, limits=Limits(), incumbent=incumbent)
            assert answer.placement is not None
            slack = tolerance_of(problem)
            assert problem.goal.value(answer.placement) <= values.min() * (1 + slack)
            assert answer.lower_bound <= values.min()


def test_a_known_bound_is_not_forgotten() -> None:
    for problem in cases("delay", 4):
        best = int(problem.goal.values(feasible(problem)).min())
        answer = solve_model(problem, limits=Limits(gap=0.9), lower_bound=best)
        assert answer.lower_bound == best


def test_excluded_operators_are_not_together_again() -> None:
    for problem in cases("delay", 6):
        placements = feasible(problem)
        values = problem.goal.values(placements)
        best = placements[values.argmin()]
        for host in set(best.tolist()):
            there = best == host
            is_left = ~(placements[:, there] == host).all(axis=1)
            model = PlacementModel(problem, int(values.max()))
            model.exclude(np.flatnonzero(there), host)
            answer = None if model.is_empty else run(model, "cbc", EngineOptions())
            if answer is None or answer.values is None:
                assert not is_left.any()
            else:
                value = problem.goal.value(model.placement(answer.values)[0])
                lowest = values[is_left].min()
                assert lowest <= value <= lowest * (1 + 1e-9)
