"""Table files: written as the schema says, read back equal, refused where they are wrong."""

from __future__ import annotations

import copy
import itertools
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator

import planner
from planner.cli.schemas import generate
from planner.costs.cost_file import Costs, check_costs
from planner.errors import PlanError, PlannerError
from planner.files.writing import json_text, write_text
from planner.graphs.graph import Graph
from planner.tables.table import Table
from tests.support.cli import changed, error_of
from tests.support.strategies import problems
from tests.support.toys import costs_document, diamond
from tests.tables.states import Ranges, boxes

VALIDATOR = Draft202012Validator(json.loads(generate("table.v1")))


def make(**ranges: tuple[float, float]) -> Table:
    graph = diamond()
    document = costs_document(graph, 2, workload={"mode": "inference"})
    return planner.table(graph, check_costs(document, "costs"), **ranges)


@pytest.fixture(scope="module")
def made() -> Table:
    return make(uplink_bps=(1e4, 1e9))


@pytest.fixture(scope="module")
def square() -> Table:
    return make(uplink_bps=(1e4, 1e9), downlink_bps=(1e4, 1e9))


def document_of(table: Table) -> dict[str, Any]:
    found = json.loads(json_text(table.to_dict()))
    assert isinstance(found, dict)
    return found


def saved(table: Table, path: Path) -> Path:
    write_text(path, json_text(table.to_dict()), force=True)
    return path


def test_table_is_read_back_equal(made: Table, square: Table, tmp_path: Path) -> None:
    assert len(made.plans) > 2
    for table in (made, square):
        again = planner.read_table(saved(table, tmp_path / "table.json"))
        assert again == table
        assert hash(again) == hash(table)
        assert json_text(again.to_dict()) == json_text(table.to_dict())
    assert made != square


def test_look_ups_are_those_of_the_file(square: Table, tmp_path: Path) -> None:
    again = planner.read_table(saved(square, tmp_path / "table.json"))
    rates = np.geomspace(1e4, 1e9, 30)
    for uplink in rates:
        one = square.best(uplink_bps=uplink, downlink_bps=3e6)
        other = again.best(uplink_bps=uplink, downlink_bps=3e6)
        assert (one.index, one.total_s) == (other.index, other.total_s)
        assert one.placement == other.placement


def test_same_input_gives_the_same_bytes(made: Table) -> None:
    assert json_text(make(uplink_bps=(1e4, 1e9)).to_dict()) == json_text(made.to_dict())


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, *HealthCheck],
)
@given(problems(max_operators=5), boxes())
def test_any_table_is_valid_and_read_back_equal(
    tmp_path: Path, case: tuple[Graph, Costs], ranges: Ranges
) -> None:
    try:
        table = planner.table(*case, **ranges)
    except PlanError:
        return
    path = saved(table, tmp_path / "table.json")
    VALIDATOR.validate(json.loads(path.read_text(encoding="utf-8")))
    assert planner.read_table(path) == table


@pytest.mark.parametrize(
    ("path", "value", "code", "where"),
    [
        ("kind", "plan", "PLN110", "$.kind"),
        ("version", 2, "PLN109", "$.version"),
        ("extra", 1, "PLN107", "$.extra"),
        ("plans", [], "PLN109", "$.plans"),
        ("parameters.0.name", "latency_s", "PLN109", "$.parameters[0].name"),
        ("parameters.0.low", 1e9, "PLN109", "$.parameters[0]"),
        ("parameters.0.high", 1e4, "PLN109", "$.parameters[0]"),
        ("hosts.1", "h0", "PLN105", "$.hosts"),
        ("hosts", ["h0", "h1", "h2"], "PLN109", "$.links"),
        ("nodes.1", "stem", "PLN105", "$.nodes"),
        ("plans.0.placement.0", 2, "PLN109", "$.plans[0].placement"),
        ("plans.0.placement.0", -1, "PLN109", "$.plans[0].placement[0]"),
        ("plans.0.placement", [0], "PLN109", "$.plans[0].placement"),
        ("plans.0.slopes", [1.0, 2.0], "PLN109", "$.plans[0].slopes"),
        ("plans.0.slopes.0", -1.0, "PLN109", "$.plans[0].slopes[0]"),
        ("plans.0.region.0", 99, "PLN109", "$.plans[0].region"),
        ("plans.0.region", [0], "PLN109", "$.plans[0].region"),
        ("plans.1.crossing.0.link", 1, "PLN109", "$.plans[1].crossing"),
        ("proof.vertices.0.state", [1e6, 1e6], "PLN109", "$.proof.vertices[0].state"),
        ("proof.vertices.0.state.0", 1e3, "PLN109", "$.proof.vertices[0].state"),
        ("proof.vertices.1.total_s", 1e-3, "PLN125", "$.proof.vertices[1].total_s"),
        ("plans.0.region", [0, 2], "PLN125", "$.plans[0].region"),
        ("plans.1.region", [1, 3], "PLN125", None),
        ("links.0.uplink_bps", 1e6, "PLN125", "$.links[0].uplink_bps"),
        ("links.0.downlink_bps", None, "PLN125", "$.links[0].downlink_bps"),
        ("proof.largest_relative_gap", 2e-6, "PLN125", "$.proof.largest_relative_gap"),
    ],
)
def test_one_thing_wrong(
    made: Table, tmp_path: Path, path: str, value: object, code: str, where: str | None
) -> None:
    file = tmp_path / "table.json"
    document = document_of(made)
    assert document["plans"][1]["crossing"]
    file.write_text(json.dumps(changed(document, path, value)))
    with pytest.raises(PlannerError) as caught:
        planner.read_table(file)
    found = error_of(caught.value)
    assert (found[0] if where else found[0][0]) == ((code, f"{file}: {where}") if where else code)


def test_plans_that_leave_a_gap(made: Table, tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    for left_out, place in ((0, "$.plans[0].region"), (-1, "$.plans")):
        document = copy.deepcopy(document_of(made))
        del document["plans"][left_out]
        file.write_text(json.dumps(document))
        with pytest.raises(PlannerError) as caught:
            planner.read_table(file)
        assert {code for code, _ in error_of(caught.value)} == {"PLN125"}
        assert f"{file}: {place}" in [where for _, where in error_of(caught.value)]


def test_any_plan_or_vertex_left_out_is_noticed(square: Table, tmp_path: Path) -> None:
    """Also where all corners of a plan's region belong to other regions as well."""
    file = tmp_path / "table.json"
    assert len(square.plans) > 2
    for i in range(len(square.plans)):
        document = document_of(square)
        del document["plans"][i]
        file.write_text(json.dumps(document))
        with pytest.raises(PlannerError) as caught:
            planner.read_table(file)
        assert {code for code, _ in error_of(caught.value)} == {"PLN125"}
    document = document_of(square)
    last = document["proof"]["vertices"].pop()
    assert last["state"] == [1e9, 1e9]
    for plan in document["plans"]:
        plan["region"] = [k for k in plan["region"] if k < len(document["proof"]["vertices"])]
    file.write_text(json.dumps(document))
    with pytest.raises(PlannerError, match=r"lacks the state \(1e\+09, 1e\+09\)") as caught:
        planner.read_table(file)
    assert error_of(caught.value) == [("PLN125", f"{file}: $.proof.vertices")]


def problems_of(document: dict[str, Any], file: Path) -> list[tuple[str, str]]:
    file.write_text(json.dumps(document))
    with pytest.raises(PlannerError) as caught:
        planner.read_table(file)
    return error_of(caught.value)


def test_regions_without_a_corner_or_with_one_too_many(square: Table, tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    for i, plan in enumerate(square.file.plans):
        place = f"{file}: $.plans[{i}].region"
        for k in range(len(square.proof.vertices)):
            document = document_of(square)
            region = document["plans"][i]["region"]
            if k in region and len(region) == 2:
                continue
            region.remove(k) if k in plan.region else region.append(k)
            assert problems_of(document, file) == [("PLN125", place)]


def test_the_same_plan_twice(made: Table, square: Table, tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    for table in (made, square):
        document = document_of(table)
        document["plans"].append(copy.deepcopy(document["plans"][0]))
        assert ("PLN125", f"{file}: $.plans[{len(table.plans)}]") in problems_of(document, file)
        document["plans"][-1]["placement"] = [1 - h for h in document["plans"][0]["placement"]]
        assert ("PLN125", f"{file}: $.plans[{len(table.plans)}]") in problems_of(document, file)


def test_a_plan_that_is_best_nowhere(square: Table, tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    document = document_of(square)
    worse = copy.deepcopy(document["plans"][0])
    worse["constant_s"] *= 1 + 1e-12
    taken = {tuple(plan["placement"]) for plan in document["plans"]}
    worse["placement"] = next(
        list(p) for p in itertools.product((0, 1), repeat=5) if p not in taken
    )
    document["plans"].append(worse)
    place = f"{file}: $.plans[{len(square.plans)}]"
    assert problems_of(document, file) == [("PLN125", place)]


def test_tables_can_be_pickled_and_shown(made: Table) -> None:
    choice = made.best(uplink_bps=1e6)
    again = pickle.loads(pickle.dumps(made))
    assert again == made
    assert again.best(uplink_bps=1e6).total_s == choice.total_s
    assert repr(made) == f"<Table of 'toy': {len(made.plans)} plans over uplink_bps>"
    assert repr(choice) == f"Choice(plan=TablePlan(index=0), total_s={choice.total_s})"


def test_a_parameter_twice(square: Table, tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text(json.dumps(changed(document_of(square), "parameters.1.name", "uplink_bps")))
    with pytest.raises(PlannerError) as caught:
        planner.read_table(file)
    assert error_of(caught.value) == [("PLN105", f"{file}: $.parameters")]


def test_what_a_table_says_of_its_plans(made: Table) -> None:
    assert [(p.name, p.low, p.high) for p in made.parameters] == [("uplink_bps", 1e4, 1e9)]
    assert [plan.index for plan in made.plans] == list(range(len(made.plans)))
    ends = [plan.bounds[0] for plan in made.plans]
    assert ends[0][0] == 1e4
    assert ends[-1][1] == 1e9
    assert all(one[1] == other[0] for one, other in itertools.pairwise(ends))
    for plan, (low, high) in zip(made.plans, ends, strict=True):
        middle = made.best(uplink_bps=(low * high) ** 0.5)
        assert middle.index == plan.index
        assert middle.placement == plan.placement
        assert middle.total_s == pytest.approx(plan.total_s((low * high) ** 0.5), rel=1e-15)
        assert list(plan.placement) == list(made.file.nodes)
        crossing = {entry.tensor for entry in plan.crossing}
        assert ("labels" in crossing) is False
        assert bool(crossing) == ("h1" in plan.placement.values())
