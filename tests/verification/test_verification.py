"""`planner.verify`: errors planted in plans, in their making and in solvers are all caught."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import planner
from planner.costs.cost_file import Costs, check_costs
from planner.errors import PlanError, PlannerError, SolverError
from planner.graphs.graph import Graph
from planner.plans.plan_file import Plan, PlanFile, PlanHead
from planner.problems.formulation import build_problem
from planner.problems.solution import SOLVERS, Capabilities, Certificate, Limits, Solution, Status
from planner.problems.ticks import in_ticks
from planner.solvers.flow import network as networks
from planner.verification.ledger import Finding
from planner.verification.verifying import Verification, verify
from tests.support.cli import write_json_file
from tests.support.strategies import problems
from tests.support.toys import costs_document, diamond, graph_of, operator, tied_pair

pytestmark = pytest.mark.plants_errors


def costs_of(graph: Graph, n_hosts: int = 2, **changes: object) -> Costs:
    return check_costs(costs_document(graph, n_hosts, **changes), "costs")


def made(graph: Graph, n_hosts: int = 2, solver: str = "auto", **changes: object) -> Plan:
    return planner.plan(graph, costs_of(graph, n_hosts, **changes), solver)


def rebuilt(document: dict[str, Any]) -> Plan:
    """A plan as a file with this content would be read."""
    file = PlanFile.model_validate(document)
    head = PlanHead(**{name: getattr(file, name) for name in PlanHead.model_fields})
    return Plan(head=head, placement={entry.node: entry.host for entry in file.placement})


def edited(plan: Plan, **changes: object) -> Plan:
    """A plan with other certificate entries, or others of its head."""
    document: dict[str, Any] = copy.deepcopy(plan.to_dict())
    for name, value in changes.items():
        place = document["certificate"] if name in document["certificate"] else document
        place[name] = value
    return rebuilt(document)


def texts(found: Verification, check: str) -> str:
    return "\n".join(d.text for d in found.differences if d.check == check)


def disagreeing(found: Verification) -> set[str]:
    assert found.ok == (not found.differences)
    named = {check.name for check in found.checks if check.finding is Finding.DIFFERS}
    assert named == {difference.check for difference in found.differences}
    return named


# Plans that hold.


@pytest.mark.parametrize("second", ["auto", "pulp", "networkx", "brute-force"])
@pytest.mark.parametrize("n_hosts", [2, 3])
def test_a_good_plan_holds(second: str, n_hosts: int) -> None:
    graph = diamond()
    plan = made(graph, n_hosts)
    found = verify(plan, graph, costs_of(graph, n_hosts), solver=second)
    assert found.ok, found.differences
    assert found.is_complete
    assert found.second is not None
    assert found.second.solver == ("pulp" if second == "auto" else second)
    assert found.second.value_s == pytest.approx(plan.total_s, rel=1e-12)
    assert [check.name for check in found.checks] == [
        "inputs", "placement", "rules", "figures", "certificate", "terms", "flow",
        "second solver", "baselines",
    ]  # fmt: skip
    assert json.loads(json.dumps(found.to_dict()))["ok"] is True


@pytest.mark.parametrize(
    ("solver", "workload", "second"),
    [
        ("segments", {}, "pulp"),
        ("pulp", {}, "pyomo"),
        ("brute-force", {"objective": "throughput"}, "pyomo"),
        ("pyomo", {"objective": "throughput"}, "brute-force"),
    ],
)
def test_the_second_solver_is_not_the_first(
    solver: str, workload: dict[str, object], second: str
) -> None:
    graph = diamond()
    plan = made(graph, solver=solver, workload=workload)
    found = verify(plan, graph, costs_of(graph, workload=workload))
    assert found.ok, found.differences
    assert found.second is not None
    assert found.second.solver == second


def test_rather_the_first_solver_again_than_none(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = diamond()
    workload = {"objective": "throughput"}
    plan = made(graph, solver="pyomo", workload=workload)
    few = dataclasses.replace(SOLVERS.get("brute-force").capabilities, max_free_operators=1)
    monkeypatch.setattr(type(SOLVERS.get("brute-force")), "capabilities", few)
    found = verify(plan, graph, costs_of(graph, workload=workload))
    [second] = [check for check in found.checks if check.name == "second solver"]
    assert second.finding is Finding.AGREES
    assert second.text.startswith("`pyomo`, which made the plan, finds")


@pytest.mark.parametrize("solver", ["best-prefix", "server-only", "dads"])
def test_a_policy_is_not_proved_and_does_not_disagree(solver: str) -> None:
    graph = diamond()
    found = verify(made(graph, solver=solver), graph, costs_of(graph))
    assert found.ok, found.differences
    [flow] = [check.text for check in found.checks if check.name == "flow"]
    assert flow.startswith("not proved")


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=problems(max_operators=6), solver=st.sampled_from(["auto", "maxflow", "best-prefix"]))
def test_whatever_is_planned_holds(case: tuple[Graph, Costs], solver: str) -> None:
    graph, costs = case
    try:
        plan = planner.plan(graph, costs, solver)
    except PlannerError:
        return
    found = verify(plan, graph, costs, solver="brute-force")
    assert found.ok, found.differences
    assert found.is_complete


def limited(graph: Graph, sizes: tuple[int | None, ...], **changes: object) -> Costs:
    document: dict[str, Any] = costs_document(graph, len(sizes), **changes)
    for host, size in zip(document["hosts"], sizes, strict=True):
        if size is not None:
            host["memory_bytes"] = size
    return check_costs(document, "costs")


def test_memory_limits_leave_the_flow_a_lower_bound() -> None:
    graph = diamond()
    free = made(graph)
    [server] = [entry.total_bytes for entry in free.memory if entry.host == "h1"]
    costs = limited(graph, (None, server - 1))
    plan = planner.plan(graph, costs, "brute-force")
    found = verify(plan, graph, costs)
    assert found.ok, found.differences
    [flow] = [check.text for check in found.checks if check.name == "flow"]
    assert flow.startswith("a maximum flow without the memory limits is a lower bound")
    over = rebuilt(plan.to_dict() | {"placement": free.to_dict()["placement"]})
    wrong = verify(over, graph, costs, solver="brute-force")
    assert "rules" in disagreeing(wrong)
    assert "`h1` memory: needs" in texts(wrong, "rules")


def test_throughput_has_no_flow() -> None:
    graph = diamond()
    costs = costs_of(graph, 3, workload={"objective": "throughput"})
    found = verify(planner.plan(graph, costs, "brute-force"), graph, costs)
    assert found.ok, found.differences
    [flow] = [check for check in found.checks if check.name == "flow"]
    assert flow.finding is Finding.NOT_APPLICABLE


# Errors planted in the network: the plan is wrong, or the verifier's own network is.


def wide() -> Graph:
    """A tensor with three readers, which a network without its auxiliary vertex charges thrice."""
    return graph_of(
        [
            operator("stem", ["x"], 600_000, ["stem.weight"]),
            *(operator(f"branch{i}", ["stem_out"], 1000) for i in range(3)),
            operator("join", [f"branch{i}_out" for i in range(3)], 10),
        ],
        ["join_out"],
        parameters=[("stem.weight", 1000)],
        input_bytes=6_000_000,
    )


def each_reader_pays(builder: Any, k: int) -> None:
    """`_add_transfers` without auxiliary vertices."""
    x = builder.problem.transfers
    rows = np.repeat(np.arange(len(x)), np.diff(x.indptr))
    tails = np.where(x.source < 0, networks.SOURCE, builder.vertex[k][np.maximum(x.source, 0)])[
        rows
    ]
    builder._add(tails, builder.vertex[k][x.readers], builder.slots.transfer[rows, k])


def wrong_slot(builder: Any) -> None:
    """`_add_unary` with what the first operator costs on the device charged on the server."""
    vertex, unary = builder.vertex, builder.slots.unary.copy()
    unary[-1, 0] = unary[0, 0]
    last = builder.problem.n_links
    builder._add(np.full(1, networks.SOURCE), vertex[last - 1], unary[last])
    builder._add(vertex[0], np.full(1, networks.SINK), unary[0])


NETWORK_ERRORS = {
    "missing auxiliary vertex": ("_add_transfers", each_reader_pays),
    "wrong arc": ("_add_unary", wrong_slot),
}

PRICES = {
    "stem": (1.0, 0.5), "branch0": (1.0, 0.5), "branch1": (1.0, 0.5), "branch2": (1.0, 0.5),
    "join": (1.0, 0.5),
}  # fmt: skip


def priced_costs(prices: dict[str, tuple[float, float]], bps: float) -> Costs:
    hosts = [
        {
            "name": name,
            "model": "table",
            "nodes": [
                {"name": node, "forward_s": both[position], "backward_s": 0.0}
                for node, both in prices.items()
            ],
        }
        for position, name in enumerate(("h0", "h1"))
    ]
    links = [{"uplink_bps": bps, "downlink_bps": bps}]
    document = {"kind": "costs", "version": 1, "hosts": hosts, "links": links}
    return check_costs(document, "costs")


CASES = {
    # Cut after the stem: its output crosses once, in 0.96 s, not thrice.
    "missing auxiliary vertex": priced_costs(PRICES, 1e7),
    # Everything on the server: the stem costs half a second there, not two.
    "wrong arc": priced_costs(PRICES | {"stem": (2.0, 0.5)}, 1e8),
}


@pytest.fixture(params=NETWORK_ERRORS)
def planted(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def plan_with_wrong_network(name: str, patch: pytest.MonkeyPatch) -> tuple[Graph, Costs, Plan]:
    """A plan whose maker took the flow of a wrong network for a proof."""
    graph, costs = wide(), CASES[name]
    method, wrong = NETWORK_ERRORS[name]
    patch.setattr(networks._Builder, method, wrong)
    return graph, costs, planner.plan(graph, costs, "maxflow")


def test_a_wrong_network_made_the_plan(planted: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        graph, costs, plan = plan_with_wrong_network(planted, patch)
    assert plan.certificate.holds
    best = planner.plan(graph, costs, "brute-force")
    assert best.total_s < plan.total_s * 0.999
    found = verify(plan, graph, costs)
    # One of the policies is a minimum cut, too.
    assert disagreeing(found) - {"baselines"} == {"flow", "second solver"}
    gap = f"({100 * (1 - best.total_s / plan.total_s):.3g}%) less"
    for check in ("flow", "second solver"):
        assert "by the plan nothing takes less than" in texts(found, check)
    assert gap in texts(found, "second solver")
    assert "`pulp` has a placement of" in texts(found, "second solver")


def test_a_wrong_network_made_the_plan_and_verifies_it(planted: str) -> None:
    """The flow agrees with the error; what shares nothing with the network does not."""
    with pytest.MonkeyPatch.context() as patch:
        graph, costs, plan = plan_with_wrong_network(planted, patch)
        found = verify(plan, graph, costs, solver="pulp")
        assert "second solver" in disagreeing(found)
        assert "`pulp` has a placement of" in texts(found, "second solver")
        assert "second solver" in disagreeing(verify(plan, graph, costs, solver="brute-force"))


def test_a_wrong_network_verifies_a_good_plan(planted: str) -> None:
    graph, costs = wide(), CASES[planted]
    plan = planner.plan(graph, costs, "brute-force")
    with pytest.MonkeyPatch.context() as patch:
        method, wrong = NETWORK_ERRORS[planted]
        patch.setattr(networks._Builder, method, wrong)
        found = verify(plan, graph, costs, solver="pulp")
    assert disagreeing(found) - {"baselines"} == {"flow"}
    assert "by the maximum flow nothing takes less than" in texts(found, "flow")


def backward() -> tuple[Graph, Costs]:
    """An operator that only the device is fast at, behind one that only the server is fast at."""
    operators = [operator("a", ["x"], 1000), operator("b", ["a_out"], 10)]
    graph = graph_of(operators, ["b_out"], input_bytes=10)
    return graph, priced_costs({"a": (9.0, 1.0), "b": (1.0, 9.0)}, 1e9)


def test_missing_reverse_arcs() -> None:
    """Without them data flows back for free: the planner refuses such an answer itself."""
    graph, costs = backward()
    good = planner.plan(graph, costs)
    document = good.to_dict()
    document["placement"] = [{"node": "a", "host": "h1"}, {"node": "b", "host": "h0"}]
    found = verify(rebuilt(document), graph, costs)
    assert {"rules", "figures", "certificate"} <= disagreeing(found)
    assert "`a_out` flows back from `h1` to `b` on `h0`" in texts(found, "rules")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(networks, "network_of", lambda p: networks.network_without_reverse_arcs(p))
        patch.setattr("planner.verification.flow.network_of", networks.network_of)
        patch.setattr("planner.solvers.flow.whole.network_of", networks.network_of)
        with pytest.raises(SolverError, match="does not hold"):
            planner.plan(graph, costs, "maxflow")
        found = verify(good, graph, costs, solver="pulp")
    assert disagreeing(found) == {"flow"}
    assert "the minimum cut of the network is no placement" in texts(found, "flow")


def test_a_flow_that_is_none() -> None:
    graph = diamond()
    plan = made(graph)

    def lies(network: networks.Network, capacities: Any) -> Any:
        flows, side = maximum_flow(network, capacities)
        flows[np.flatnonzero(flows)[0]] += 1
        return flows, side

    from planner.solvers.flow.cuts import maximum_flow

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("planner.verification.flow.maximum_flow", lies)
        found = verify(plan, graph, costs_of(graph))
    assert disagreeing(found) == {"flow"}
    assert "what OR-tools calls a flow is none" in texts(found, "flow")


# Errors planted in the arithmetic.


def truncating(flat: Any, paid: Any) -> tuple[Any, float, int]:
    """`in_ticks` that cuts what is behind the point of the costliest term."""
    ticks, quantum_s, bound = in_ticks(flat, paid)
    worst = int(np.argmax(np.where(paid[0], flat, 0)))
    ticks[worst] = int(flat[worst] / quantum_s) - 1
    return ticks, quantum_s, bound


def test_one_cost_rounded_wrongly_when_the_plan_was_made() -> None:
    graph = diamond()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("planner.problems.ticks.in_ticks", truncating)
        plan = made(graph, solver="maxflow")
    found = verify(plan, graph, costs_of(graph))
    assert "certificate" in disagreeing(found)
    assert "ticks in the plan, and the placement takes" in texts(found, "certificate")
    assert "flow" in disagreeing(found)  # by one tick


def test_one_cost_rounded_wrongly_when_the_plan_is_verified() -> None:
    graph = diamond()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("planner.problems.ticks.in_ticks", truncating)
        plan = made(graph, solver="maxflow")
        found = verify(plan, graph, costs_of(graph))
    assert {"certificate", "terms"} <= disagreeing(found)
    assert "ticks, and solvers see" in texts(found, "terms")


def test_a_term_that_is_not_what_the_evaluator_says() -> None:
    """A wrong price of what the plan does not pay: nothing about its own placement is wrong."""
    graph, costs = wide(), CASES["wrong arc"]
    with pytest.MonkeyPatch.context() as patch:
        seconds = planner.Problem.seconds.func  # type: ignore[attr-defined]

        def wrong(problem: planner.Problem) -> Any:
            terms = seconds(problem)
            terms.unary[1, 0] = 100.0
            return terms

        patch.setattr(planner.Problem.seconds, "func", wrong)
        plan = planner.plan(graph, costs, "maxflow")
        found = verify(plan, graph, costs, solver="brute-force")
    assert disagreeing(found) == {"terms"}
    assert "by the terms that solvers see" in texts(found, "terms")
    assert disagreeing(verify(plan, graph, costs)) >= {"flow", "second solver"}


@pytest.mark.parametrize("relative", [1e-6, -1e-6, 1e-8])
def test_a_total_that_is_a_little_off(relative: float) -> None:
    graph = diamond()
    plan = made(graph)
    nudged = edited(plan, total_s=plan.total_s * (1 + relative))
    found = verify(nudged, graph, costs_of(graph))
    assert disagreeing(found) == {"figures"}
    [difference] = found.differences
    assert difference.where == "$.total_s"
    assert difference.stated == nudged.total_s
    assert difference.found == plan.total_s
    percent = f"({100 * abs(relative):.3g}%)"
    assert f"{percent} {'more' if relative > 0 else 'less'}" in difference.text


# Solvers that are wrong, and those that do not answer.


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


# Plans for something else.


def stale(plan: Plan, graph: Graph, costs: Costs) -> PlanError:
    with pytest.raises(PlanError) as caught:
        verify(plan, graph, costs)
    assert (caught.value.code, caught.value.exit_code, caught.value.where) == ("PLN420", 2, "plan")
    return caught.value


def test_a_stale_plan_of_other_links() -> None:
    graph = diamond()
    faster = [{"uplink_bps": 16e6, "downlink_bps": 16e6, "latency_s": 0.01}]
    pins = [{"node": "stem", "host": "h0"}, {"node": "join", "host": "h1"}]
    plan = made(graph, pins=pins)
    error = stale(plan, graph, costs_of(graph, pins=pins, links=faster))
    lines = error.message.splitlines()
    assert lines[0] == "the plan was made for other costs than these"
    assert lines[1].strip().startswith("`delay.uplink_s` is ")
    assert lines[1].endswith("(100%) more")


def test_a_stale_plan_of_another_graph() -> None:
    plan = made(dataclasses.replace(tied_pair(), digest="tied"))
    error = stale(plan, diamond(), costs_of(diamond()))
    assert "from another graph than this one and for other costs" in error.message
    assert "`embed`, `layer`, `head` are not in this graph" in error.message
    assert "`stem`, `left`, `right` and 2 more are not in the plan" in error.message


@pytest.mark.parametrize(
    ("workload", "hint"),
    [
        ({"mode": "inference"}, "add `--mode training`"),
        ({"iterations_per_round": 3}, "add `--iterations 1`"),
        ({"objective": "throughput"}, "add `--objective delay`"),
    ],
)
def test_a_stale_plan_of_other_work(workload: dict[str, object], hint: str) -> None:
    graph = diamond()
    error = stale(made(graph), graph, costs_of(graph, workload=workload))
    assert str(error.hint).endswith(hint)
    assert next(iter(workload)) in error.message


def test_a_stale_plan_of_another_batch() -> None:
    graph = dataclasses.replace(diamond(), batch=8, digest="8")
    error = stale(made(graph), dataclasses.replace(graph, batch=4, digest="4"), costs_of(graph))
    assert "`batch` is 8 in the plan and 4 here" in error.message
    assert str(error.hint).endswith("add `--batch 8`")


def test_a_stale_plan_that_breaks_a_new_rule() -> None:
    graph = diamond()
    plan = made(graph, pins=[{"node": "join", "host": "h0"}])
    error = stale(plan, graph, costs_of(graph, pins=[{"node": "join", "host": "h1"}]))
    assert "`join` is pinned to `h1`, but placed on `h0`" in error.message


def test_a_stale_plan_without_a_visible_difference() -> None:
    graph = diamond()
    error = stale(made(graph), dataclasses.replace(graph, digest="of a comment"), costs_of(graph))
    assert "of no consequence" in error.message


# One field changed at a time.


def fields_of(document: Any, where: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every number, name and truth value of a plan that can be checked."""
    words = ("tool", "solver", "solver_version", "message", "notes", "warnings")
    if isinstance(document, dict):
        for key, value in document.items():
            if key not in words:
                yield from fields_of(value, (*where, key))
    elif isinstance(document, list):
        for position, value in enumerate(document):
            yield from fields_of(value, (*where, position))
    else:
        yield where


def other(data: st.DataObject, key: Any, value: Any, plan: Plan) -> Any:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int():
            return data.draw(st.sampled_from([value + 1, max(0, value - 1), 2 * value + 3, 0]))
        case float():
            factor = data.draw(st.sampled_from([1 + 1e-6, 1 - 1e-6, 2.0, 0.5, 0.0]))
            return value * factor if value else 1e-3
        case None:
            return 3 if key in ("limit_bytes", "batch") else 0.5
    choices = {
        "host": (*plan.head.hosts, "nowhere"),
        "next_host": (*plan.head.hosts, "nowhere"),
        "mode": ("training", "inference"),
        "objective": ("delay", "throughput"),
        "status": ("optimal", "feasible", "limit", "repaired"),
        "kind": ("tensor", "labels", "host", "uplink", "downlink"),
    }.get(key, (value, f"{value}'"))
    return data.draw(st.sampled_from(choices))


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=problems(max_operators=5), data=st.data())
def test_no_field_can_be_changed_unnoticed(case: tuple[Graph, Costs], data: st.DataObject) -> None:
    graph, costs = case
    try:
        plan = planner.plan(graph, costs)
    except PlannerError:
        return
    document: Any = copy.deepcopy(plan.to_dict())
    where = data.draw(st.sampled_from(list(fields_of(document))))
    place = document
    for step in where[:-1]:
        place = place[step]
    before = place[where[-1]]
    changed = other(data, where[-1], before, plan)
    assume(changed != before)
    place[where[-1]] = changed
    try:
        found = verify(rebuilt(document), graph, costs, solver="brute-force")
    except (PlannerError, ValueError):
        return  # refused: not for these inputs, or no plan file at all
    assert not (found.ok and found.is_complete), where


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(case=problems(max_operators=5), data=st.data())
def test_no_entry_can_be_left_out_unnoticed(case: tuple[Graph, Costs], data: st.DataObject) -> None:
    graph, costs = case
    try:
        document: Any = planner.plan(graph, costs).to_dict()
    except PlannerError:
        return
    lists = [name for name in ("placement", "crossing", "hosts") if document[name]]
    entries = document[data.draw(st.sampled_from(lists))]
    entries.pop(data.draw(st.integers(0, len(entries) - 1)))
    assert not verify(rebuilt(document), graph, costs, solver="brute-force").ok


def test_a_file_that_was_edited(tmp_path: Path) -> None:
    graph = diamond()
    document: Any = made(graph).to_dict()
    document["crossing"] = []
    read = planner.read_plan(write_json_file(tmp_path / "plan.json", document))
    found = verify(read, graph, costs_of(graph))
    assert disagreeing(found) == {"figures"}
    assert "is nothing in the plan, and an entry for" in texts(found, "figures")


def test_the_problem_is_not_touched() -> None:
    graph = diamond()
    problem = build_problem(graph, costs_of(graph))
    assert verify(made(graph), graph, costs_of(graph)).ok
    assert problem.incumbent is None
