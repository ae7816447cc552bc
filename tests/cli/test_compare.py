"""`planner compare`: every solver and policy side by side."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from planner.problems.solution import SOLVERS
from tests.support.cli import (
    COSTS,
    FLAGS,
    GRAPH,
    chain,
    flat_costs,
    refused,
    run_planner,
    write_json_file,
)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, ...]:
    graph = write_json_file(tmp_path / "toy.json", GRAPH)
    return graph, write_json_file(tmp_path / "costs.json", COSTS)


def test_every_solver_has_a_row(files: tuple[Path, ...]) -> None:
    graph, costs = files
    outcome = run_planner("compare", graph, "--costs", costs, "--format", "json")
    assert (outcome.status, outcome.stderr) == (0, "")
    rows = json.loads(outcome.stdout)["rows"]
    assert [row["solver"] for row in rows] == SOLVERS.names()
    proved = [row for row in rows if row["is_proved"]]
    assert {row["ratio"] for row in proved} == {1.0}


def test_table(files: tuple[Path, ...]) -> None:
    graph, costs = files
    outcome = run_planner("compare", graph, "--costs", costs)
    lines = outcome.stdout.splitlines()
    assert lines[0] == "toy: 3 operators"
    assert lines[1].split() == ["solver", "round", "ratio", "solved", "in", "proof"]
    assert {line.split()[0] for line in lines[2:] if line} == set(SOLVERS.names())


def test_only_the_solvers_that_are_named(files: tuple[Path, ...]) -> None:
    graph, _ = files
    names = ("--solver", "dads", "--solver", "maxflow", "--format", "json")
    outcome = run_planner("compare", graph, *FLAGS, *names)
    assert [row["solver"] for row in json.loads(outcome.stdout)["rows"]] == ["dads", "maxflow"]


def test_policy_that_breaks_a_rule_is_shown(files: tuple[Path, ...]) -> None:
    graph, costs = files
    outcome = run_planner("compare", graph, "--costs", costs)
    assert any(
        line.split()[:3] == ["server-only", "not", "feasible"]
        for line in outcome.stdout.splitlines()
    )


def test_a_narrow_terminal(files: tuple[Path, ...]) -> None:
    graph, costs = files
    lines = run_planner("compare", graph, "--costs", costs, columns=60).stdout.splitlines()
    assert max(map(len, lines)) <= 60
    assert any(line.startswith("brute-force") for line in lines)


def test_problem_without_an_answer(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "g.json", chain(2))
    costs = write_json_file(tmp_path / "c.json", flat_costs())
    pins = ("--pin", "n0=server", "--pin", "n1=device")
    outcome = refused("compare", graph, "--costs", costs, *pins, status=3)
    assert outcome.stderr.startswith("error[PLN401]")


def test_unknown_solver_and_missing_costs(files: tuple[Path, ...]) -> None:
    graph, costs = files
    outcome = refused("compare", graph, "--costs", costs, "--solver", "maxfow")
    assert (outcome.codes(), outcome.places()) == (["PLN301"], ["--solver"])
    assert outcome.hints()[0].startswith("did you mean `maxflow`?")
    outcome = refused("compare", graph)
    assert outcome.codes() == ["PLN122"]
    assert outcome.hints()[0].startswith(f"planner compare {graph} --device jetson-tx2 ")
