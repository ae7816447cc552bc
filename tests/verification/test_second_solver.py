"""The second solver: one that is wrong, one that does not answer, one that shares the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import planner
from planner.errors import PlanError, PlannerError, PluginError, SolverError
from planner.plans.plan_file import Plan
from planner.problems.solution import SOLVERS, Capabilities, Certificate, Limits, Solution, Status
from planner.verification.ledger import Finding
from planner.verification.second_solver import PATIENCE
from planner.verification.verifying import verify
from tests.support.toys import diamond
from tests.verification.planted import costs_of, disagreeing, late, made, texts

pytestmark = pytest.mark.plants_errors


@dataclasses.dataclass(frozen=True)
class Stub:
    """A second solver that says whatever a test wants."""

    solution: Solution | PlannerError
    capabilities = Capabilities(is_exact=True, summary="for tests")
    name = "stub"
    requires: tuple[str, ...] = ()

    def solve(self, problem: planner.Problem, *, limits: Limits) -> Solution:
        if isinstance(self.solution, PlannerError):
            raise self.solution
        return self.solution


def solution(plan: Plan, value: int, lower: int, status: Status = Status.OPTIMAL) -> Solution:
    hosts = list(plan.head.hosts)
    return Solution(
        placement=np.array([hosts.index(host) for host in plan.placement.values()]),
        certificate=Certificate(
            value=value, lower_bound=lower, quantum_s=plan.certificate.quantum_s
        ),
        status=status,
        message="said the stub",
        solver="stub",
        solver_version="0",
        seconds=0.0,
    )


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Register a stub; gives a function that sets its answer."""

    def answer(said: Solution | PlannerError) -> str:
        made = Stub(said)
        monkeypatch.setitem(SOLVERS._usable, "stub", made)  # type: ignore[arg-type]
        monkeypatch.setitem(SOLVERS._loaded, "stub", made)  # type: ignore[arg-type]
        return "stub"

    return answer


@pytest.mark.parametrize(
    ("off", "words"),
    [(-1, "by the plan nothing takes less"), (1, "by `stub` nothing takes less")],
)
def test_a_second_solver_that_is_off_by_one_tick(stub: Any, off: int, words: str) -> None:
    graph = diamond()
    plan = made(graph)
    value = plan.certificate.value + off
    found = verify(plan, graph, costs_of(graph), solver=stub(solution(plan, value, value)))
    assert disagreeing(found) == {"second solver"}
    assert words in texts(found, "second solver")


def test_a_second_solver_that_stops_early(stub: Any) -> None:
    graph = diamond()
    plan = made(graph)
    value = plan.certificate.value
    answer = solution(plan, value + 9, value // 2, Status.LIMIT)
    found = verify(plan, graph, costs_of(graph), solver=stub(answer))
    assert found.ok
    assert not found.is_complete
    better = solution(plan, value - 9, value // 2, Status.LIMIT)
    assert not verify(plan, graph, costs_of(graph), solver=stub(better)).ok


@pytest.mark.parametrize(
    ("error", "ok", "words"),
    [
        (SolverError("out of time", code="PLN501"), True, "`stub` gave no answer: out of time"),
        (
            SolverError("too many", code="PLN503", exit_code=2),
            True,
            "`stub` gave no answer: too many",
        ),
        (
            SolverError("no", code="PLN502", exit_code=70),
            False,
            "`stub` contradicts itself: no",
        ),
        (PlanError("nothing fits", code="PLN406", exit_code=3), False, "by `stub` nothing fits"),
    ],
)
def test_a_second_solver_without_an_answer(
    stub: Any, error: PlannerError, ok: bool, words: str
) -> None:
    graph = diamond()
    found = verify(made(graph), graph, costs_of(graph), solver=stub(error))
    assert found.ok == ok
    assert found.is_complete != ok
    assert found.second is None
    said = [check.text for check in found.checks] + [d.text for d in found.differences]
    assert words in said


def test_a_second_solver_that_breaks_a_rule(stub: Any) -> None:
    graph = diamond()
    plan = made(graph, pins=[{"node": "left", "host": "h1"}])
    answer = solution(plan, plan.certificate.value, plan.certificate.value)
    wrong = dataclasses.replace(answer, placement=np.zeros(5, np.int64))
    costs = costs_of(graph, pins=[{"node": "left", "host": "h1"}])
    found = verify(plan, graph, costs, solver=stub(wrong))
    assert "`stub` breaks a rule: `left` is pinned to `h1`" in texts(found, "second solver")


@pytest.mark.parametrize(
    ("solver", "n_hosts", "code"),
    [("server-only", 2, "PLN405"), ("maxfow", 2, "PLN301"), ("networkx", 3, "PLN405")],
)
def test_a_second_solver_that_cannot_tell_is_refused(
    solver: str, n_hosts: int, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = diamond()
    workload = {"objective": "throughput"} if n_hosts == 3 else {}
    costs = costs_of(graph, n_hosts, workload=workload)
    plan = planner.plan(graph, costs, "brute-force")
    monkeypatch.setattr("planner.verification.flow.maximum_flow", None)
    with pytest.raises(PlannerError) as caught:
        verify(plan, graph, costs, solver=solver)
    assert (caught.value.code, caught.value.where) == (code, "solver")


def test_a_second_solver_has_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    from planner.plans.solving import solve

    seen: list[Limits] = []

    def spy(*given: Any, **options: Any) -> Any:
        seen.append(options["limits"])
        return solve(*given, **options)

    monkeypatch.setattr("planner.verification.second_solver.solve", spy)
    graph = diamond()
    assert verify(made(graph), graph, costs_of(graph)).is_complete
    assert verify(made(graph), graph, costs_of(graph), limits=Limits(gap=0.0)).is_complete
    assert seen == [PATIENCE, Limits(gap=0.0)]
    assert PATIENCE.seconds == 60


def test_what_else_was_checked_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("planner.verification.second_solver.solve", late)
    graph = diamond()
    found = verify(made(graph), graph, costs_of(graph))
    assert found.ok
    findings = {check.name: check.finding for check in found.checks}
    assert findings.pop("second solver") is Finding.NOT_MADE
    assert set(findings.values()) == {Finding.AGREES}


def test_a_solver_that_lacks_something_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    get = SOLVERS.get

    def without(name: str, **options: Any) -> Any:
        if name in ("pulp", "networkx"):
            raise PluginError(f"`{name}` needs what is not installed", code="PLN302")
        return get(name, **options)

    monkeypatch.setattr(SOLVERS, "get", without)
    graph = diamond()
    found = verify(made(graph, solver="maxflow"), graph, costs_of(graph))
    assert found.ok
    assert found.second is not None
    assert found.second.solver == "pyomo"


@pytest.mark.parametrize(("second", "shares"), [("networkx", True), ("pulp", False)])
def test_who_shares_the_network_of_the_flow_says_so(second: str, shares: bool) -> None:
    graph = diamond()
    found = verify(made(graph), graph, costs_of(graph), second)
    [text] = [check.text for check in found.checks if check.name == "second solver"]
    assert text.endswith("on the network of the flow") == shares
