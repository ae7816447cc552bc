"""Looking up states: one or many, of any kind of number, and those that are refused."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import planner
from planner.costs.cost_file import Costs, check_costs
from planner.errors import PlanError
from planner.graphs.graph import Graph
from planner.tables.table import Table
from tests.support.cli import error_of
from tests.support.strategies import problems
from tests.support.toys import costs_document, diamond
from tests.tables.states import NAN, Ranges, boxes, states_of


@pytest.fixture(scope="module")
def made() -> Table:
    graph = diamond()
    costs = check_costs(costs_document(graph, 2), "costs")
    return planner.table(graph, costs, uplink_bps=(1e5, 1e8), device_speed=(0.25, 1))


@pytest.fixture(scope="module")
def line() -> Table:
    graph = diamond()
    return planner.table(graph, check_costs(costs_document(graph, 2), "c"), uplink_bps=(1e5, 1e8))


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems(max_operators=6), boxes(), st.integers(0, 2**31))
def test_one_look_up_and_many_agree(case: tuple[Graph, Costs], ranges: Ranges, seed: int) -> None:
    try:
        table = planner.table(*case, **ranges)
    except PlanError:
        return
    states = states_of(table, seed, 10)
    many = table.best_many(**{name: [state[name] for state in states] for name in ranges})
    for state, index, total in zip(states, many.indices, many.totals_s, strict=True):
        choice = table.best(**state)
        assert (choice.index, choice.total_s) == (index, total)
        assert choice.plan is table.plans[choice.index]


def test_arrays_of_any_shape(made: Table) -> None:
    grid = np.geomspace(1e5, 1e8, 12).reshape(3, 4)
    choices = made.best_many(uplink_bps=grid, device_speed=0.5)
    assert choices.indices.shape == choices.totals_s.shape == (3, 4)
    assert choices.totals_s[1, 2] == made.best(uplink_bps=grid[1, 2], device_speed=0.5).total_s
    one = made.best_many(uplink_bps=2e6, device_speed=1)
    assert one.indices.shape == ()
    assert made.best_many(uplink_bps=[], device_speed=[]).indices.shape == (0,)
    many = made.best_many(uplink_bps=np.full(40_000, 2e6), device_speed=1)
    assert set(many.indices) == {int(one.indices)}


def test_whole_numbers_and_ends_are_fine(made: Table) -> None:
    assert made.best(uplink_bps=100_000, device_speed=1).total_s > 0
    assert made.best(uplink_bps=np.float64(1e8), device_speed=0.25).total_s > 0
    assert type(made.best(uplink_bps=np.float64(1e8), device_speed=0.25).total_s) is float
    exact: Any
    for exact in (Decimal("1e6"), Fraction(10**6), np.array(1e6), np.int64(10**6), np.float32(1e6)):
        assert made.best(uplink_bps=exact, device_speed=1) == made.best(
            uplink_bps=1e6, device_speed=1
        )


@pytest.mark.parametrize(
    ("state", "code", "where", "words"),
    [
        ({"uplink_bps": 9e4, "device_speed": 1}, "PLN413", "uplink_bps", "100000.0 to 100000000.0"),
        ({"uplink_bps": 2e8, "device_speed": 1}, "PLN413", "uplink_bps", "is 200000000.0"),
        ({"uplink_bps": 1e6, "device_speed": 1.1}, "PLN413", "device_speed", "from 0.25 to 1.0"),
        ({"uplink_bps": NAN, "device_speed": 1}, "PLN413", "uplink_bps", "is nan"),
        ({"uplink_bps": -1e6, "device_speed": 1}, "PLN413", "uplink_bps", "expected a number"),
        ({"uplink_bps": float("inf"), "device_speed": 1}, "PLN413", "uplink_bps", "is inf"),
        ({"uplink_bps": "1e6", "device_speed": 1}, "PLN413", "uplink_bps", None),
        ({"uplink_bps": None, "device_speed": 1}, "PLN413", "uplink_bps", None),
        ({"self": 1}, "PLN414", "self", "there is no parameter `self`"),
        ({"uplink_bps": 1e6}, "PLN414", "device_speed", "over `uplink_bps` and `device_speed`"),
        ({}, "PLN414", "uplink_bps", "is missing"),
        (
            {"uplink_bps": 1e6, "device_speed": 1, "downlink_bps": 1e6},
            "PLN414",
            "downlink_bps",
            "there is no parameter `downlink_bps`",
        ),
        ({"uplink": 1e6, "device_speed": 1}, "PLN414", "uplink", "`uplink_bps`"),
    ],
)
def test_state_that_is_refused(
    made: Table, line: Table, state: dict[str, float], code: str, where: str, words: str | None
) -> None:
    for look_up in (made.best, made.best_many):
        if state.get("uplink_bps", 0) in ("1e6", None) and look_up == made.best_many:
            continue
        with pytest.raises(PlanError) as caught:
            look_up(**state)
        assert error_of(caught.value) == [(code, where)]
        assert words is None or words in f"{caught.value.message} {caught.value.hint}"
    if where == "uplink_bps" and "device_speed" in state:
        with pytest.raises(PlanError) as caught:
            line.best(uplink_bps=state["uplink_bps"])
        assert error_of(caught.value) == [(code, where)]


def test_wrong_arrays_are_refused(made: Table) -> None:
    for states in (
        {"uplink_bps": ["x"], "device_speed": 1},
        {"uplink_bps": ["1e6"], "device_speed": 1},
        {"uplink_bps": None, "device_speed": 1},
        {"uplink_bps": [1e6] * 2, "device_speed": [1] * 3},
    ):
        with pytest.raises(PlanError) as caught:
            made.best_many(**states)
        assert error_of(caught.value) == [("PLN413", "best_many")]
    with pytest.raises(PlanError, match="is nan"):
        made.best_many(uplink_bps=[1e6, NAN], device_speed=1)


def test_hint_names_the_nearest_parameter(made: Table) -> None:
    with pytest.raises(PlanError) as caught:
        made.best(uplink=1e6, device_speed=1)
    assert caught.value.hint.startswith("did you mean `uplink_bps`? parameters: ")


@pytest.mark.parametrize(
    "value",
    [np.array([1e7]), [[1e7]], [1e7], Decimal("NaN"), Decimal("sNaN"), True, np.True_,
     pytest.param(10**400, id="large"), pytest.param(10**5000, id="larger"),
     np.array(True), b"1e7", 1e7j, Decimal("1e9")],
)  # fmt: skip
@pytest.mark.parametrize("count", [1, 2, 3])
def test_value_that_is_no_number(value: Any, count: int) -> None:
    graph = diamond()
    ranges = {"uplink_bps": (0.5, 1e8), "downlink_bps": (1e5, 1e8), "device_speed": (0.25, 1)}
    ranges = dict(list(ranges.items())[:count])
    table = planner.table(graph, check_costs(costs_document(graph, 2), "c"), **ranges)
    state: Any = {"downlink_bps": 1e6, "device_speed": 1}
    state = {"uplink_bps": value, **{n: v for n, v in state.items() if n in ranges}}
    with pytest.raises(PlanError) as caught:
        table.best(**state)
    assert error_of(caught.value) == [("PLN413", "uplink_bps")]
