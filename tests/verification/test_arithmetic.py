"""Errors planted in the arithmetic: ticks, terms and totals that are a little off."""

from __future__ import annotations

from typing import Any

import pytest

import planner
from planner.verification.verifying import verify
from tests.support.toys import diamond
from tests.verification.planted import (
    CASES,
    costs_of,
    disagreeing,
    edited,
    made,
    texts,
    truncating,
    wide,
)

pytestmark = pytest.mark.plants_errors


def test_one_cost_rounded_wrongly_when_the_plan_was_made() -> None:
    graph = diamond()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("planner.problems.ticks.in_ticks", truncating)
        plan = made(graph, solver="maxflow")
    found = verify(plan, graph, costs_of(graph))
    assert "certificate" in disagreeing(found)
    assert "ticks in the plan, and the placement takes" in texts(found, "certificate")
    assert "flow" in disagreeing(found)  # by one tick


def test_one_cost_rounded_wrongly_when_the_plan_is_verified() -> None:
    graph = diamond()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("planner.problems.ticks.in_ticks", truncating)
        plan = made(graph, solver="maxflow")
        found = verify(plan, graph, costs_of(graph))
    assert {"certificate", "terms"} <= disagreeing(found)
    assert "ticks, and solvers see" in texts(found, "terms")


def test_a_term_that_is_not_what_the_evaluator_says() -> None:
    """A wrong price of what the plan does not pay: nothing about its own placement is wrong."""
    graph, costs = wide(), CASES["wrong arc"]
    with pytest.MonkeyPatch.context() as patch:
        seconds = planner.Problem.seconds.func  # type: ignore[attr-defined]

        def wrong(problem: planner.Problem) -> Any:
            terms = seconds(problem)
            terms.unary[1, 0] = 100.0
            return terms

        patch.setattr(planner.Problem.seconds, "func", wrong)
        plan = planner.plan(graph, costs, "maxflow")
        found = verify(plan, graph, costs, solver="brute-force")
    assert disagreeing(found) == {"terms"}
    assert "by the terms that solvers see" in texts(found, "terms")
    assert disagreeing(verify(plan, graph, costs)) >= {"flow", "second solver"}


@pytest.mark.parametrize("relative", [1e-6, -1e-6, 1e-8])
def test_a_total_that_is_a_little_off(relative: float) -> None:
    graph = diamond()
    plan = made(graph)
    nudged = edited(plan, total_s=plan.total_s * (1 + relative))
    found = verify(nudged, graph, costs_of(graph))
    assert disagreeing(found) == {"figures"}
    [difference] = found.differences
    assert difference.where == "$.total_s"
    assert difference.stated == nudged.total_s
    assert difference.found == plan.total_s
    percent = f"({100 * abs(relative):.3g}%)"
    assert f"{percent} {'more' if relative > 0 else 'less'}" in difference.text
