"""The committed schemas are the readers' own, and say yes and no where the readers do."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from planner.cli.schemas import FORMATS, generate, schema_names, schema_text, write_all
from planner.costs.cost_file import check_costs
from planner.drafts.loading import load
from planner.errors import PlannerError
from planner.files.documents import parse_json, validate
from planner.files.writing import json_text
from planner.plans.planning import plan
from planner.tables.making import table
from tests.conftest import ROOT
from tests.support.cli import COSTS, GRAPH
from tests.support.mutations import mutated
from tests.support.profiles import measurement_of, profile_document

PLAN = json.loads(
    json_text(plan(load(json.dumps(GRAPH).encode()), check_costs(COSTS, "costs")).to_dict())
)
TABLE = json.loads(
    json_text(
        table(
            load(json.dumps(GRAPH).encode()), check_costs(COSTS, "costs"), uplink_bps=(1e4, 1e9)
        ).to_dict()
    )
)
PROFILE = profile_document(
    measurement_of(
        load(json.dumps(GRAPH).encode()),
        backward=lambda _: 0.25,
        groups=[("conv", "relu")],
        notes=["quiet"],
        unfinished={"samples": [1.0]},
    )
)
PROFILE["measurements"][0]["groups"][0]["edges"] = [["conv", "relu"]]
PROFILE["measurements"][0]["engine"]["settings"] = {"a": "b"}
MEASURED_COSTS = COSTS | {
    "hosts": [
        *COSTS["hosts"],
        {"name": "cloud", "model": "measured", "profile": PROFILE, "by_signature": True},
        {"name": "far", "model": "measured", "profile": "far.json"},
    ],
    "links": COSTS["links"] * 3,
}
DOCUMENTS: dict[str, dict[str, Any]] = {
    "graph.v1": GRAPH,
    "costs.v1": MEASURED_COSTS,
    "profile.v1": PROFILE,
    "plan.v1": PLAN,
    "table.v1": TABLE,
}
VALIDATORS = {name: Draft202012Validator(json.loads(generate(name))) for name in FORMATS}

BEYOND_SCHEMAS = ("but its `dtype` and `shape` make", "bytes, expected at most 2^53")
"""What the reader also checks, and no schema can say: products of dimensions."""


def test_every_format_has_a_document_here() -> None:
    assert set(DOCUMENTS) <= set(FORMATS) == set(schema_names())


@pytest.mark.parametrize("name", FORMATS)
def test_committed_schema_is_current(name: str) -> None:
    path = ROOT / "schemas" / f"{name}.json"
    assert path.read_text(encoding="utf-8") == generate(name), "run `make schemas`"
    assert schema_text(name) == generate(name)


@pytest.mark.parametrize("name", FORMATS)
def test_schema_is_a_schema(name: str) -> None:
    Draft202012Validator.check_schema(json.loads(generate(name)))


def test_all_schemas_are_written(tmp_path: Any) -> None:
    write_all(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"{n}.json" for n in FORMATS)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_valid_document_is_accepted_by_both(name: str) -> None:
    VALIDATORS[name].validate(DOCUMENTS[name])
    assert validate(FORMATS[name], DOCUMENTS[name], name)


@pytest.mark.parametrize("name", DOCUMENTS)
@settings(max_examples=700, deadline=None)
@given(data=st.data())
def test_schema_accepts_what_the_reader_accepts(name: str, data: st.DataObject) -> None:
    text = json.dumps(data.draw(mutated(DOCUMENTS[name])))
    try:
        document = parse_json(text.encode(), name)
    except PlannerError:
        return  # no JSON of ours: nothing that a schema sees
    accepted = VALIDATORS[name].is_valid(document)
    try:
        validate(FORMATS[name], document, name)
    except PlannerError as error:
        words = [problem.message for problem in error.problems]
        assert not accepted or all(any(b in word for b in BEYOND_SCHEMAS) for word in words)
    else:
        assert accepted, list(VALIDATORS[name].iter_errors(document))
