"""The optimum, checked by exhaustion, by another flow solver and by an independent evaluator."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from planner.costs.cost_file import Costs
from planner.errors import PlanError
from planner.evaluation.delay import evaluate
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.formulation import build_problem
from planner.problems.solution import SOLVERS
from planner.problems.ticks import rounding_s
from tests.support.strategies import problems

# Integer programs are compared in `test_milp.py`: by value, and a hundredth as often.
EXACT = [
    name
    for name, solver in SOLVERS
    if solver.capabilities.is_exact and not solver.capabilities.tolerance
]
OTHERS = [name for name in EXACT if name != "brute-force"]


def test_solvers_agree_exactly() -> None:
    tally: Counter[str] = Counter()

    @settings(max_examples=6_300, deadline=None, suppress_health_check=list(HealthCheck))
    @given(problems())
    def check(case: tuple[Graph, Costs]) -> None:
        tally[compare(*case)] += 1

    check()
    # Not counted: problems without a feasible placement. A real cut: more than one host is used.
    assert tally["one host"] + tally["real cut"] >= 5_000
    assert tally["real cut"] >= 1_500


def compare(graph: Graph, costs: Costs) -> str:
    problem = build_problem(graph, costs)
    try:
        reference = solve(problem, "brute-force")
    except PlanError:
        for name in OTHERS:
            with pytest.raises(PlanError, match="no placement satisfies the rules"):
                solve(problem, name)
        return "infeasible"
    for name in OTHERS:
        solution = solve(problem, name)
        assert solution.is_proved
        assert solution.quantum_s == reference.quantum_s
        assert solution.value == reference.value
        assert np.array_equal(solution.placement, reference.placement)
    hosts = [host.name for host in costs.hosts]
    placement = {
        op.name: hosts[h] for op, h in zip(graph.operators, reference.placement, strict=True)
    }
    delay = evaluate(graph, costs, placement)
    ticks_s = reference.value * reference.quantum_s
    # The ticks are fine enough for the problem, whatever its rates and costs.
    assert rounding_s(problem, reference.quantum_s) <= 1e-3 * delay.total_s or delay.total_s == 0
    assert delay.total_s == pytest.approx(
        ticks_s, abs=rounding_s(problem, reference.quantum_s), rel=1e-12
    )
    return "real cut" if len(set(placement.values())) > 1 else "one host"
