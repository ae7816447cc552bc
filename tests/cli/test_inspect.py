"""`planner inspect`, `plugins`, `schema`: what they say, for people and for programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from planner.cli.schemas import generate
from planner.costs.cost_table import COST_MODELS
from planner.drafts.frontend import FRONTENDS
from planner.problems.solution import SOLVERS
from tests.support.cli import GRAPH, chain, refused, run_planner, write_json_file


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return write_json_file(tmp_path / "toy.json", GRAPH)


def test_table(graph: Path) -> None:
    outcome = run_planner("inspect", graph)
    assert (outcome.status, outcome.stderr) == (0, "")
    lines = outcome.stdout.splitlines()
    assert lines[0] == "toy"
    assert "inputs          image (float32 4x3x8x8)" in lines
    assert "outputs         logits (64 B)" in lines
    assert "By type" in lines
    assert "Operators" not in lines


def test_all_operators(graph: Path) -> None:
    lines = run_planner("inspect", graph, "--all").stdout.splitlines()
    listed = lines[lines.index("Operators") + 2 :]
    assert [line.split()[0] for line in listed if line] == ["conv", "relu", "fc"]


def test_json(graph: Path) -> None:
    outcome = run_planner("inspect", graph, "--format", "json", "--batch", "8")
    found = json.loads(outcome.stdout)
    assert (found["operators"], found["batch"], found["name"]) == (3, 8, "toy")
    assert "nodes" not in found
    every = json.loads(run_planner("inspect", graph, "--format", "json", "--all").stdout)
    assert [node["name"] for node in every["nodes"]] == ["conv", "relu", "fc"]


def test_warnings_go_to_stderr(tmp_path: Path) -> None:
    document = {**chain(2), "parameters": [{"name": "w", "bytes": 4}]}
    outcome = run_planner("inspect", write_json_file(tmp_path / "g.json", document))
    assert outcome.stderr == "warning: dropped parameters that nobody reads: `w`\n"
    assert "warning" not in outcome.stdout


def test_file_without_a_suffix_is_known_by_its_content(tmp_path: Path) -> None:
    path = write_json_file(tmp_path / "graph", GRAPH)
    assert run_planner("inspect", path).status == 0
    (tmp_path / "text").write_text("what is this")
    outcome = refused("inspect", tmp_path / "text")
    assert (outcome.codes(), outcome.places()) == (["PLN118"], [str(tmp_path / "text")])


def test_plugins() -> None:
    outcome = run_planner("plugins", "--format", "json")
    rows = json.loads(outcome.stdout)["plugins"]
    names = [*FRONTENDS.names(), *COST_MODELS.names(), *SOLVERS.names()]
    assert [row["name"] for row in rows] == names
    lines = run_planner("plugins").stdout.splitlines()
    assert len(lines) == len(names) + 1


def test_schema() -> None:
    formats = ["graph.v1", "costs.v1", "profile.v1", "plan.v1", "table.v1"]
    assert run_planner("schema").stdout.split() == formats
    for name in ("costs", "costs.v1", "costs.v1.json"):
        assert run_planner("schema", name).stdout == generate("costs.v1")
    outcome = refused("schema", "cots")
    assert outcome.codes() == ["PLN123"]
    assert outcome.hints()[0].startswith("did you mean `costs`?")
    refused("schema", "../../etc/passwd")
