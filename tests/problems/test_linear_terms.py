"""The delay is linear in the state: coefficients of a placement against the terms of a state."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.costs.cost_file import Costs
from planner.errors import PlanError
from planner.graphs.graph import Graph
from planner.problems.formulation import build_problem
from planner.problems.linear_terms import basis_of, coefficients, state_of
from tests.support.strategies import problems


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(), st.data())
def test_basis_times_state_is_every_term_in_seconds(
    case: tuple[Graph, Costs], data: st.DataObject
) -> None:
    problem = build_problem(*case)
    rates = st.floats(1e3, 1e10)
    problem = problem.with_links(
        uplink_bps=data.draw(rates),
        downlink_bps=data.draw(rates),
        latency_s=data.draw(st.floats(0, 1)),
    ).with_speed(**{problem.hosts[0]: data.draw(st.floats(0.1, 10))})
    flat = sum(
        value * terms.flat()
        for value, terms in zip(state_of(problem), basis_of(problem), strict=True)
    )
    np.testing.assert_allclose(flat, problem.seconds.flat(), rtol=1e-12)
    try:
        placements = np.stack(problem.constraints.extremes)
    except PlanError:
        return
    np.testing.assert_allclose(
        coefficients(problem, placements) @ state_of(problem),
        problem.totals(problem.seconds, placements),
        rtol=1e-12,
    )
