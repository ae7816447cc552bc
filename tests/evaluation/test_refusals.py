"""What evaluation refuses: placements that break rules, and those that are none."""

from __future__ import annotations

import pytest

import planner
from planner.errors import PlannerError
from tests.support.toy_problems import codes, make


def test_evaluation_lists_every_violation() -> None:
    graph, costs = make(
        pins=[{"node": "right", "host": "h1"}],
        together=[["left", "join"]],
        forbid_crossing=["mid_out"],
    )
    placement = {"stem": "h0", "left": "h1", "right": "h0", "mid": "h0", "join": "h0"}
    with pytest.raises(PlannerError) as caught:
        planner.evaluate(graph, costs, placement)
    assert codes(caught.value) == ["PLN403"] * 3
    text = str(caught.value)
    for words in ("flows back", "pinned to `h1`", "kept together"):
        assert words in text


def test_evaluation_refuses_a_placement_that_is_not_one() -> None:
    graph, costs = make()
    placement = {"stem": "h0", "left": "h9", "ghost": "h1"}
    with pytest.raises(PlannerError) as caught:
        planner.evaluate(graph, costs, placement)
    assert codes(caught.value) == ["PLN402"] * 3
    assert "`right`, `mid`, `join`" in str(caught.value)
