"""Merged operators: a quotient costs, to the tick, what the original costs."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.costs.cost_file import Costs
from planner.errors import PlanError
from planner.graphs.graph import Graph
from planner.problems.formulation import build_problem
from planner.problems.quotient import quotient
from planner.solvers.brute_force import enumerate_placements
from tests.support.strategies import problems


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(), st.data())
def test_a_quotient_costs_what_the_original_does(
    case: tuple[Graph, Costs], data: st.DataObject
) -> None:
    problem = build_problem(*case)
    n = problem.n_operators
    labels = data.draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n))
    group_of = np.unique(labels, return_inverse=True)[1].astype(np.int64)
    merged = quotient(problem, group_of)
    try:
        ticks = problem.ticks
        expected = {
            tuple(placement)
            for placement in enumerate_placements(problem).tolist()
            if all(
                len({placement[v] for v in np.flatnonzero(group_of == g)}) == 1
                for g in range(group_of.max() + 1)
            )
        }
        found = enumerate_placements(merged.problem).astype(np.int64)
    except PlanError:
        return
    assert {tuple(row) for row in merged.expand(found).tolist()} == expected
    if len(found):
        values = merged.problem.totals(merged.terms(ticks.terms), found)
        assert np.array_equal(values, problem.totals(ticks.terms, merged.expand(found)))
