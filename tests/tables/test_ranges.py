"""What a table can be made over: ranges, solvers, routes and hosts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import planner
from planner.costs.cost_file import check_costs
from planner.errors import PlanError, PlannerError, SolverError
from tests.support.cli import error_of
from tests.support.toys import costs_document, diamond
from tests.tables.states import NAN


@pytest.mark.parametrize(
    ("ranges", "where"),
    [
        ({}, "table"),
        ({"uplink_bps": (1e6, 1e6)}, "uplink_bps"),
        ({"uplink_bps": (1e7, 1e6)}, "uplink_bps"),
        ({"uplink_bps": (0, 1e6)}, "uplink_bps"),
        ({"uplink_bps": (-1, 1e6)}, "uplink_bps"),
        ({"uplink_bps": (1e6, float("inf"))}, "uplink_bps"),
        ({"uplink_bps": (1e6, NAN)}, "uplink_bps"),
        ({"uplink_bps": 1e6}, "uplink_bps"),
        ({"uplink_bps": (1e6,)}, "uplink_bps"),
        ({"uplink_bps": (1e6, 1e7, 1e8)}, "uplink_bps"),
        ({"uplink_bps": ("a", "b")}, "uplink_bps"),
        ({"downlink_bps": (1e6, 1e20)}, "downlink_bps"),
        ({"device_speed": (0, 1)}, "device_speed"),
        ({"device_speed": (0.5, 1e9)}, "device_speed"),
        ({"device_speed": (1.9, np.nextafter(1.9, 2.0))}, "device_speed"),
        ({"uplink_bps": "19"}, "uplink_bps"),
        ({"uplink_bps": {1: 2, 3: 4}}, "uplink_bps"),
        ({"uplink_bps": {1e6, 1e9}}, "uplink_bps"),
        ({"uplink_bps": ("1e6", "1e9")}, "uplink_bps"),
        ({"uplink_bps": (True, 5.0)}, "uplink_bps"),
        ({"uplink_bps": (1e6, 10**400)}, "uplink_bps"),
        ({"uplink_bps": (1e6, 10**5000)}, "uplink_bps"),
        ({"uplink_bps": np.array([[1e6], [1e9]])}, "uplink_bps"),
        ({"uplink_bps": np.array([False, True])}, "uplink_bps"),
    ],
)
def test_range_that_is_none(ranges: Any, where: str) -> None:
    graph = diamond()
    with pytest.raises(PlanError) as caught:
        planner.table(graph, check_costs(costs_document(graph, 2), "c"), **ranges)
    assert error_of(caught.value) == [("PLN412", where)]


def test_ranges_may_be_lists_and_arrays() -> None:
    graph = diamond()
    costs = check_costs(costs_document(graph, 2), "costs")
    made: Any = [planner.table(graph, costs, uplink_bps=ends)
                 for ends in ((10**5, 1e8), [1e5, 1e8], np.array([1e5, 1e8]))]  # fmt: skip
    assert made[0] == made[1] == made[2]


def test_ends_that_are_one_state() -> None:
    graph = diamond()
    ends = (1e6, float(np.nextafter(1e6, 2e6)))
    assert 1 / ends[0] == 1 / ends[1]
    with pytest.raises(PlanError, match=r"too close: 1 / low is 1 / high"):
        planner.table(graph, check_costs(costs_document(graph, 2), "c"), uplink_bps=ends)


@pytest.mark.parametrize("solver", [None, 3, [], True])
def test_solver_that_is_no_name(solver: Any) -> None:
    graph = diamond()
    costs = check_costs(costs_document(graph, 2), "costs")
    with pytest.raises(PlannerError) as caught:
        planner.table(graph, costs, uplink_bps=(1e5, 1e8), solver=solver)
    assert error_of(caught.value) == [("PLN301", "solver")]


def test_policies_cannot_make_tables() -> None:
    graph = diamond()
    costs = check_costs(costs_document(graph, 2), "costs")
    with pytest.raises(SolverError, match="has no proof") as caught:
        planner.table(graph, costs, uplink_bps=(1e5, 1e8), solver="best-prefix")
    assert error_of(caught.value) == [("PLN501", "solver")]


def test_range_sets_all_links_of_a_route() -> None:
    graph = diamond()
    document = costs_document(graph, 3)
    document["links"] = [
        {"uplink_bps": 1e5, "downlink_bps": 1e7},
        {"uplink_bps": 1e9, "downlink_bps": 2e7},
    ]
    table = planner.table(graph, check_costs(document, "costs"), uplink_bps=(1e5, 1e9))
    assert [link.uplink_bps for link in table.file.links] == [None, None]
    assert [link.downlink_bps for link in table.file.links] == [1e7, 2e7]
    for uplink in (1e5, 3e6, 1e9):
        document["links"] = [{**link, "uplink_bps": uplink} for link in document["links"]]
        plan = planner.plan(graph, check_costs(document, "costs"))
        assert table.best(uplink_bps=uplink).total_s == pytest.approx(plan.total_s, rel=1e-12)


def test_hosts_of_any_name() -> None:
    """Not even `self` is taken for a keyword."""
    graph = diamond()
    document = costs_document(graph, 2)
    document["hosts"][0]["name"] = "self"
    table = planner.table(graph, check_costs(document, "costs"), device_speed=(0.5, 2))
    assert set(table.best(device_speed=1).placement.values()) <= {"self", "h1"}


def test_nothing_costs_anything() -> None:
    graph = diamond()
    document = costs_document(graph, 2, workload={"mode": "inference"})
    zero = {"forward_s": 0.0, "backward_s": 0.0}
    document["hosts"] = [{"name": n, "model": "table", "default": zero} for n in ("a", "b")]
    table = planner.table(graph, check_costs(document, "costs"), uplink_bps=(1e5, 1e8))
    assert len(table.plans) == 1
    assert table.best(uplink_bps=1e6).total_s == 0
