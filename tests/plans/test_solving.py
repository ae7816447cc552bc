"""From a solver's answer to a plan: refusals, policies, and answers that are defects."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import planner
from planner.costs.cost_file import check_costs
from planner.errors import PlanError, PlannerError, PluginError, SolverError
from planner.plans.solving import solve
from planner.problems.problem import Problem
from planner.problems.solution import (
    SOLVERS,
    Capabilities,
    Certificate,
    Limits,
    Solution,
    Status,
    bounded_solution,
)
from tests.support.cli import run_planner
from tests.support.toy_problems import make, problem
from tests.support.toys import costs_document, diamond, graph_of, operator

ONE_OPERATOR = (
    '{"kind": "graph", "version": 1, "inputs": [{"name": "x", "bytes": 1000}], "outputs": ["y"],'
    ' "nodes": [{"name": "f", "op": "F", "inputs": ["x"], "outputs": [{"name": "y", "bytes": 8}]}]}'
)


def test_a_policy_without_an_answer_makes_no_plan() -> None:
    graph, costs = make(pins=[{"node": "stem", "host": "h0"}])
    with pytest.raises(PlannerError) as caught:
        planner.plan(graph, costs, "server-only")
    assert (caught.value.code, caught.value.exit_code) == ("PLN404", 3)
    plan = planner.plan(graph, costs)
    rows = {row.policy: row for row in plan.baselines}
    assert not rows["server-only"].is_feasible
    assert rows["device-only"].is_feasible


def test_a_policy_far_above_the_bound_is_planned_at_its_true_delay() -> None:
    graph, costs = make(links=[{"uplink_bps": 1e3, "downlink_bps": 16e6}])
    plan = planner.plan(graph, costs, "server-only")
    assert not plan.certificate.holds
    assert plan.total_s == planner.evaluate(graph, costs, plan.placement).total_s
    assert plan.delay.uplink_s == pytest.approx(8 * 600_000 / 1e3)


def test_a_solver_that_cannot_honour_the_problem_is_refused_before_it_starts() -> None:
    with pytest.raises(PlanError) as caught:
        solve(problem(n_hosts=3), "dads")
    assert caught.value.code == "PLN405"
    chain = [operator("o0", ["x"], 1)] + [
        operator(f"o{i}", [f"o{i - 1}_out"], 1) for i in range(1, 30)
    ]
    with pytest.raises(PlanError) as caught:
        solve(problem(graph_of(chain, ["o29_out"])), "brute-force")
    assert caught.value.code == "PLN405"
    assert "`maxflow`" in str(caught.value.hint)


def test_exhaustion_gives_up_on_too_many_placements() -> None:
    wide = [operator(f"o{i}", ["x"], 1) for i in range(16)]
    with pytest.raises(SolverError) as caught:
        solve(problem(graph_of(wide, [f"o{i}_out" for i in range(16)]), 3), "brute-force")
    assert caught.value.code == "PLN503"


def test_an_unknown_solver_is_named_with_the_nearest() -> None:
    with pytest.raises(PluginError) as caught:
        solve(problem(), "maxfow")
    assert caught.value.code == "PLN301"
    assert "did you mean `maxflow`" in str(caught.value.hint)


class _Liar:
    """Claims everything on the last host to be optimal, at one tick below its cost."""

    name = "segments"
    requires: tuple[str, ...] = ()
    capabilities = Capabilities(is_exact=True, summary="lies")

    def __init__(self, error: int) -> None:
        self.error = error

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        honest = SOLVERS.peek("networkx").solve(problem, limits=limits)
        return replace(
            honest,
            certificate=Certificate(
                value=honest.value + self.error,
                lower_bound=honest.value,
                quantum_s=honest.quantum_s,
            ),
        )


def test_an_answer_that_contradicts_the_evaluator_is_a_defect(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(SOLVERS._loaded, "segments", _Liar(2**50))
    with pytest.raises(SolverError) as caught:
        planner.plan(*make(), baselines=())
    assert (caught.value.code, caught.value.exit_code) == ("PLN502", 70)


def test_a_placement_below_its_own_bound_is_a_defect() -> None:
    instance = problem()
    latest = np.ones(instance.n_operators, np.int64)
    value = int(instance.total(instance.ticks.terms, latest))
    words: Any = {"solver": "s", "solver_version": "1", "message": "", "started": 0.0}
    assert bounded_solution(instance, latest, value, **words).is_proved
    assert bounded_solution(instance, latest, value - 1, **words).status is Status.LIMIT
    with pytest.raises(SolverError, match="nothing is below"):
        bounded_solution(instance, latest, value + 1, **words)


def test_a_solver_that_stops_without_a_proof_makes_no_optimal_plan(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Cut(_Liar):
        def solve(self, problem: Problem, *, limits: Limits) -> Solution:
            honest = SOLVERS.peek("networkx").solve(problem, limits=limits)
            certificate = Certificate(
                value=honest.value, lower_bound=honest.value - 1, quantum_s=honest.quantum_s
            )
            return replace(honest, solver=self.name, certificate=certificate, status=Status.LIMIT)

    monkeypatch.setitem(SOLVERS._loaded, "segments", Cut(0))
    graph_file, costs_file = tmp_path / "graph.json", tmp_path / "costs.json"
    graph_file.write_text(ONE_OPERATOR)
    graph = planner.load(graph_file)
    costs_file.write_text(json.dumps(costs_document(graph, 2)))
    outcome = run_planner("plan", str(graph_file), "--costs", str(costs_file))
    assert outcome.status == 5
    assert "Optimal" not in outcome.stdout
    assert "Not proved: at most 0.00% above the optimum" in outcome.stdout
    assert "no trainable parameter" in outcome.stderr


def test_a_policy_where_the_optimum_takes_no_time() -> None:
    """All costs are above a bound of 0 ticks; a tick is then no measure of them."""
    graph = diamond()
    document: Any = costs_document(graph, 2, workload={"mode": "inference"})
    for row in document["hosts"][0]["nodes"]:
        row["forward_s"] = 0.0
    for row in document["hosts"][1]["nodes"]:
        row["forward_s"] = 0.01
    costs = check_costs(document, "free device")
    assert planner.plan(graph, costs).total_s == 0
    plan = planner.plan(graph, costs, "server-only")
    assert plan.total_s > 0.05
    assert not plan.certificate.holds


@pytest.mark.parametrize("seconds", [1e-300, 1e-310])
def test_times_at_the_end_of_what_floats_hold(seconds: float) -> None:
    """The least total is subnormal, ratios to it are infinite: no defect, and no `inf`."""
    graph = diamond()
    document: Any = costs_document(graph, 2, links=[{"uplink_bps": 1.0, "downlink_bps": 1.0}])
    for host, price in zip(document["hosts"], (seconds, 1e9), strict=True):
        for row in host["nodes"]:
            row["forward_s"] = row["backward_s"] = price
    document["workload"] = {"mode": "inference"}
    plan = planner.plan(graph, check_costs(document, "tiny"))
    assert set(plan.placement.values()) == {"h0"}
    ratios = {entry.policy: entry.ratio for entry in plan.baselines}
    assert ratios["server-only"] is None
