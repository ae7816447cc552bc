"""MILP solvers against flows and exhaustion: equal values, integral relaxations, gaps kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import planner
from planner.costs.pricing import scenario_of
from planner.errors import PlanError
from planner.evaluation.delay import violations
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.formulation import build_problem
from planner.problems.problem import Problem
from planner.problems.solution import Limits, Solution, Status
from planner.solvers import pulp_milp
from planner.solvers.pulp_milp import SOLVER as PULP
from planner.solvers.pyomo_milp import SOLVER as PYOMO
from tests.plans.test_real_files import costs
from tests.support.milp_problems import random_case, relaxed_by_pulp, relaxed_by_pyomo

N_PROBLEMS = 670
SHARDS = 4
REAL = ["googlenet.train", "googlenet.dyn", "resnet18.train", "mobilenet_v2.train"]
FEW = 13
"""Free operators up to which exhaustion is quick."""


def agree(solution: Solution, reference: Solution) -> None:
    """Equal values, but for what the digits of a solver's file may hide."""
    assert solution.is_proved
    assert solution.quantum_s == reference.quantum_s
    assert reference.value <= solution.value <= reference.value * (1 + 1e-12)
    assert solution.lower_bound <= reference.value
    assert solution.certificate.gap <= 1e-12


def is_integral(values: dict[str, float]) -> bool:
    found = np.array(list(values.values()))
    return bool(np.allclose(found, np.rint(found), rtol=0, atol=1e-9))


def features(problem: Problem, placement: np.ndarray) -> list[str]:
    x, rules = problem.transfers, problem.constraints
    present = {
        "cut": len(set(placement.tolist())) > 1,
        "three hosts": problem.n_hosts == 3,
        "tied": len(problem.tied.bits) > 0,
        "bound": rules.is_bound,
        "rule arcs": not rules.is_data.all(),
        "forbidden": bool(x.is_forbidden.any()),
        "input elsewhere": bool((x.source < -1).any()),
        "labels": bool((x.tensor == -1).any()),
        "latency": bool(problem.latency_s.any()),
        "returned": bool(problem.returned_bits.any()),
        "inference": not problem.workload.is_training,
    }
    return [name for name, is_there in present.items() if is_there]


@pytest.mark.parametrize("shard", range(SHARDS))
def test_random_problems(shard: int) -> None:
    tally: Counter[str] = Counter()
    for seed in range(shard, N_PROBLEMS, SHARDS):
        graph, document = random_case(seed)
        problem = build_problem(graph, document)
        try:
            reference = solve(problem, "maxflow")
        except PlanError:
            continue
        for name in ("pulp", "pyomo"):
            solution = solve(problem, name)
            agree(solution, reference)
            assert not list(violations(graph, scenario_of(graph, document), solution.placement))
        latest, earliest = problem.constraints.extremes
        if (latest > earliest).sum() <= FEW:
            assert solve(problem, "brute-force").value == reference.value
            tally["exhausted"] += 1
        assert is_integral(relaxed_by_pulp(problem))
        if shard == 0:
            assert is_integral(relaxed_by_pyomo(problem))
        tally.update(["compared", *features(problem, reference.placement)])
    assert tally["compared"] >= 500 / SHARDS
    assert tally["exhausted"] >= 50 / SHARDS
    assert len(tally) == 13
    assert min(tally.values()) >= 40 / SHARDS


@pytest.mark.parametrize("name", REAL)
def test_real_files(name: str, shared_models: Path) -> None:
    graph = planner.load(shared_models / f"{name}.onnx")
    for mode in ("training", "inference"):
        for uplink in (1e5, 1e7, 1e9):
            problem = build_problem(graph, costs(mode, uplink))
            reference = solve(problem, "maxflow")
            for solver in ("pulp", "pyomo"):
                agree(solve(problem, solver), reference)
            assert is_integral(relaxed_by_pulp(problem))
            assert is_integral(relaxed_by_pyomo(problem))


def small_problem() -> tuple[Graph, Problem]:
    graph, document = random_case(3, 20)
    return graph, build_problem(graph, document)


def test_costs_far_below_the_known_bound_are_scaled_again() -> None:
    """A bound a million times the optimum must not eat the digits of the file."""
    _, problem = small_problem()
    reference = solve(problem, "maxflow")
    model = pulp_milp._Model(problem, problem.ticks.bound)
    loose = pulp_milp._Model(problem, problem.ticks.bound * 10**6)
    assert loose.unit < model.unit
    for solver in (PULP, PYOMO):
        agree(solve(problem, solver.name), reference)


def test_what_a_tick_too_much_costs_is_never_chosen() -> None:
    """Clipped costs are one tick above the bound, which float64 takes for the bound itself."""
    for seed in (291, 382, 591, 1908, 2161):
        problem = build_problem(*random_case(seed))
        reference = solve(problem, "maxflow")
        problem = problem.with_incumbent(reference.placement)
        for solver in ("pulp", "pyomo"):
            agree(solve(problem, solver), solve(problem, "maxflow"))


@pytest.mark.parametrize("solver", ["pulp", "pyomo"])
@pytest.mark.parametrize("gap", [0.02, 0.5])
def test_a_gap_is_kept(solver: str, gap: float) -> None:
    for seed in range(30):
        problem = build_problem(*random_case(seed, 30))
        try:
            reference = solve(problem, "maxflow")
        except PlanError:
            continue
        solution = solve(problem, solver, limits=Limits(gap=gap))
        assert solution.status in (Status.OPTIMAL, Status.BOUNDED)
        best_s = reference.value * reference.quantum_s
        assert solution.lower_bound * solution.quantum_s <= best_s * (1 + 1e-12)
        assert solution.value * solution.quantum_s >= best_s * (1 - 1e-12)
        assert solution.certificate.gap <= gap
