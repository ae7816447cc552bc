"""Verify mode runs: it sees every plan, and what is planted fails whoever makes the plan."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.costs.cost_file import check_costs
from planner.errors import SolverError
from planner.plans.planning import plan as imported_by_name
from tests.support.cli import chain, flat_costs, run_planner, write_json_file
from tests.support.toys import costs_document, diamond
from tests.support.verify_mode import MAX_OPERATORS, MODE, VerifyMode
from tests.verification.planted import rebuilt, truncating


def make_plan(make: Any = None) -> planner.Plan:
    graph = diamond()
    plan: planner.Plan = (make or planner.plan)(
        graph, check_costs(costs_document(graph, 2), "costs"), "maxflow"
    )
    return plan


@pytest.mark.parametrize("make", [None, imported_by_name])
def test_plans_of_the_library_are_verified(make: Any) -> None:
    before = MODE.n_verified
    make_plan(make)
    assert MODE.n_verified == before + 1


def test_plans_of_the_command_line_are_verified(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "g.json", chain(7))
    costs = write_json_file(tmp_path / "c.json", flat_costs(workload={"label_bytes": 77}))
    before = MODE.n_verified
    assert run_planner("plan", graph, "--costs", costs).status == 0
    assert MODE.n_verified == before + 1


def test_large_graphs_are_left_out(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "g.json", chain(MAX_OPERATORS + 1))
    costs = write_json_file(tmp_path / "c.json", flat_costs())
    before = MODE.n_plans, MODE.n_verified
    assert run_planner("plan", graph, "--costs", costs).status == 0
    assert (MODE.n_plans, MODE.n_verified) == (before[0] + 1, before[1])


def test_an_error_fails_the_test_that_made_the_plan(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("planner.problems.ticks.in_ticks", truncating)
    with pytest.raises(AssertionError, match="and solvers see"):
        make_plan()
    graph = write_json_file(tmp_path / "g.json", chain(9))
    costs = write_json_file(tmp_path / "c.json", flat_costs())
    outcome = run_planner("plan", graph, "--costs", costs, "--solver", "maxflow")
    assert outcome.status == 70
    assert "AssertionError: verify: " in outcome.stderr


@pytest.mark.plants_errors
def test_a_test_may_plant_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.problems.ticks.in_ticks", truncating)
    before = MODE.n_verified
    make_plan()
    assert MODE.n_verified == before


WRONG = {
    "crossing": lambda document: document["crossing"].clear(),
    "memory": lambda document: document["memory"][0].update(total_bytes=7),
    "baselines": lambda document: document["baselines"][0].update(ratio=9.9),
    "total_s": lambda document: document.update(total_s=2 * document["total_s"]),
}


@pytest.mark.plants_errors
@pytest.mark.parametrize("entry", WRONG)
def test_a_plan_that_says_anything_else_is_another(entry: str) -> None:
    """It has the placement, the delay and the certificate of one that was verified."""
    graph = dataclasses.replace(diamond(), digest="diamond")
    costs = check_costs(costs_document(graph, 2), "costs")
    plan = planner.plan(graph, costs)
    mode = VerifyMode()
    mode.check(plan, graph, costs)
    mode.check(plan, graph, costs)
    assert mode.n_verified == 1
    document: Any = copy.deepcopy(plan.to_dict())
    WRONG[entry](document)
    with pytest.raises(AssertionError, match=entry):
        mode.check(rebuilt(document), graph, costs)


def late(*_: Any, **__: Any) -> Any:
    raise SolverError("no placement within 60 s", code="PLN501")


def test_a_check_that_is_not_made_fails_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.verification.second_solver.solve", late)
    with pytest.raises(AssertionError, match="verify is not complete: `pulp` gave no answer"):
        make_plan()


@pytest.mark.partly_verified
def test_a_test_may_do_without_a_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.verification.second_solver.solve", late)
    before = MODE.n_incomplete
    make_plan()
    assert MODE.n_incomplete == before + 1


@pytest.mark.parametrize("was_asked_for", [False, True])
def test_a_plan_function_that_was_asked_for_before(
    monkeypatch: pytest.MonkeyPatch, was_asked_for: bool
) -> None:
    def made(*_: Any, **__: Any) -> Any:
        raise AssertionError("the first one")

    monkeypatch.setattr("planner.plans.planning.plan", made)
    if was_asked_for:
        monkeypatch.setattr(planner, "plan", made)
    else:
        monkeypatch.delitem(vars(planner), "plan", raising=False)
    VerifyMode().install()
    assert planner.plan.__wrapped__ is made
