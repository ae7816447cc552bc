"""Plan files: written as the schema says, read back equal, refused where they are wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from jsonschema import Draft202012Validator

from planner.cli.schemas import generate
from planner.costs.cost_file import Costs, check_costs
from planner.drafts.loading import load
from planner.errors import PlanError, PlannerError
from planner.files.writing import json_text, write_text
from planner.graphs.graph import Graph
from planner.plans.plan_file import Plan, read_plan
from planner.plans.planning import plan
from tests.support.cli import COSTS, GRAPH, changed, error_of
from tests.support.strategies import problems

VALIDATOR = Draft202012Validator(json.loads(generate("plan.v1")))


@pytest.fixture(scope="module")
def made() -> Plan:
    return plan(load(json.dumps(GRAPH).encode()), check_costs(COSTS, "costs"))


def saved(made: Plan, path: Path) -> Path:
    write_text(path, json_text(made.to_dict()), force=True)
    return path


def test_plan_is_read_back_equal(made: Plan, tmp_path: Path) -> None:
    again = read_plan(saved(made, tmp_path / "plan.json"))
    assert again == made
    assert list(again.placement) == list(made.placement)
    assert json_text(again.to_dict()) == json_text(made.to_dict())


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, *HealthCheck],
)
@given(problems(max_operators=5))
def test_any_plan_is_valid_and_read_back_equal(tmp_path: Path, case: tuple[Graph, Costs]) -> None:
    try:
        made = plan(*case)
    except PlanError as error:
        assert error.exit_code == 3  # noqa: PT017 (not every random problem has an answer)
        return
    path = saved(made, tmp_path / "plan.json")
    VALIDATOR.validate(json.loads(path.read_text(encoding="utf-8")))
    assert read_plan(path) == made


def test_same_input_gives_the_same_bytes(made: Plan) -> None:
    again = plan(load(json.dumps(GRAPH).encode()), check_costs(COSTS, "costs"))
    assert json_text(again.to_dict()) == json_text(made.to_dict())


@pytest.mark.parametrize(
    ("path", "value", "code", "where"),
    [
        ("kind", "graph", "PLN110", "$.kind"),
        ("version", 2, "PLN109", "$.version"),
        ("total_s", -1, "PLN109", "$.total_s"),
        ("total_s", None, "PLN109", "$.total_s"),
        ("mode", "both", "PLN109", "$.mode"),
        ("batch", 0, "PLN109", "$.batch"),
        ("extra", 1, "PLN107", "$.extra"),
        ("placement", None, "PLN109", "$.placement"),
        ("placement.0.host", 1, "PLN109", "$.placement[0].host"),
        ("placement.1.node", "conv", "PLN105", "$.placement[1]"),
        ("delay.uplink_s", "0", "PLN109", "$.delay.uplink_s"),
        ("delay.forward_s.0.secs", 1, "PLN107", "$.delay.forward_s[0].secs"),
        ("certificate.quantum_s", 0, "PLN109", "$.certificate.quantum_s"),
        ("certificate.status", "fine", "PLN109", "$.certificate.status"),
    ],
)
def test_one_thing_wrong(
    made: Plan, tmp_path: Path, path: str, value: object, code: str, where: str
) -> None:
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(changed(_document(made), path, value)))
    with pytest.raises(PlannerError) as caught:
        read_plan(file)
    assert error_of(caught.value) == [(code, f"{file}: {where}")]


def _document(made: Plan) -> dict[str, Any]:
    return json.loads(json_text(made.to_dict()))
