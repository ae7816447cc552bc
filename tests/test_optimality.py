"""The optimum, checked by exhaustion, by another flow solver and by an independent evaluator."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from planner.cost_files import Costs
from planner.errors import PlanError
from planner.evaluation import evaluate
from planner.formulation import build_problem
from planner.graphs import Graph
from planner.solving import solve
from tests.strategies import problems


@settings(
    max_examples=5_000, deadline=None, suppress_health_check=list(HealthCheck), derandomize=False
)
@given(problems())
def test_solvers_agree_exactly(case: tuple[Graph, Costs]) -> None:
    graph, costs = case
    problem = build_problem(graph, costs)
    try:
        reference = solve(problem, "brute-force")
    except PlanError:
        for name in ("maxflow", "networkx"):
            with pytest.raises(PlanError, match="no placement satisfies the rules"):
                solve(problem, name)
        return
    for name in ("maxflow", "networkx"):
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
    n_terms = 4 * len(graph.operators) + 3 * len(graph.tensors) + 10
    assert delay.total_s == pytest.approx(
        reference.value * reference.quantum_s, abs=n_terms * reference.quantum_s, rel=1e-12
    )
