"""`planner.verify` against plans that claim too much, and against rules that all solvers share."""

from __future__ import annotations

import copy
import dataclasses
from math import frexp
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

import planner
from planner.costs.cost_file import Costs
from planner.costs.pricing import priced
from planner.errors import PlannerError, PluginError, SolverError
from planner.graphs.graph import Graph
from planner.plans.outcomes import objective_s
from planner.plans.plan_file import Plan
from planner.problems import formulation
from planner.problems.enumeration import enumerate_placements
from planner.problems.formulation import formulate
from planner.problems.instance import Transfers
from planner.problems.solution import SOLVERS, Limits
from planner.verification.case import ticks_of
from planner.verification.entries import outcome_entries
from planner.verification.ledger import Finding, apart, told
from planner.verification.second_solver import PATIENCE
from planner.verification.verifying import verify
from tests.support.strategies import problems as random_problems
from tests.support.toys import diamond, graph_of, operator, tied_pair
from tests.verification.test_verification import (
    costs_of,
    disagreeing,
    edited,
    limited,
    made,
    priced_costs,
    rebuilt,
    texts,
)

pytestmark = pytest.mark.plants_errors


def moved(plan: Plan, graph: Graph, costs: Costs, hosts: Any, quantum_s: float) -> Plan:
    """A plan for another placement, every figure consistent with it, in ticks of any size."""
    scenario, table = priced(graph, costs)
    problem = formulate(graph, table, scenario)
    hosts = np.asarray(hosts, np.int64)
    entries, _ = outcome_entries(graph, table, scenario, hosts)
    value = ticks_of(problem, hosts, quantum_s)
    document: dict[str, Any] = copy.deepcopy(plan.to_dict()) | entries | {"baselines": []}
    document["placement"] = [
        {"node": op.name, "host": scenario.route.hosts[host]}
        for op, host in zip(graph.operators, hosts.tolist(), strict=True)
    ]
    document["certificate"] |= {
        "value": value, "lower_bound": value, "quantum_s": quantum_s, "holds": True,
        "status": "optimal", "tolerance": 0.0,
    }  # fmt: skip
    return rebuilt(document)


# Claims.


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    case=random_problems(max_operators=5),
    data=st.data(),
    exponent=st.integers(-75, 20),
    second=st.sampled_from(["brute-force", "networkx"]),
)
def test_no_worse_placement_passes_in_any_ticks(
    case: tuple[Graph, Costs], data: st.DataObject, exponent: int, second: str
) -> None:
    graph, costs = case
    try:
        plan = planner.plan(graph, costs, baselines=())
    except PlannerError:
        return
    scenario, table = priced(graph, costs)
    placements = enumerate_placements(formulate(graph, table, scenario)).astype(np.int64)
    takes = [objective_s(graph, table, scenario, placement) for placement in placements]
    worse = [p for p, s in zip(placements, takes, strict=True) if s > min(takes) * (1 + 1e-9)]
    assume(worse)
    hosts = data.draw(st.sampled_from(range(len(worse))))
    quantum_s = 2.0**exponent
    try:
        wrong = moved(plan, graph, costs, worse[hosts], quantum_s)
    except ValueError:
        return  # more ticks than a file holds
    found = verify(wrong, graph, costs, second)
    assert disagreeing(found) >= {"flow", "second solver"}


@pytest.mark.parametrize("exponent", [-60, -10, 0, 6, 20])
@pytest.mark.parametrize("second", ["auto", "pulp", "networkx", "brute-force"])
def test_ticks_that_are_too_coarse(exponent: int, second: str) -> None:
    graph, costs = diamond(), costs_of(diamond())
    wrong = moved(made(graph), graph, costs, np.zeros(5), 2.0**exponent)
    found = verify(wrong, graph, costs, second)
    assert disagreeing(found) >= {"flow", "second solver"}
    right = moved(made(graph), graph, costs, np.ones(5), 2.0**exponent)
    found = verify(right, graph, costs, second)
    assert found.ok == (exponent == -60)
    if not found.ok:
        assert "are too coarse for a proof about 2.09 s" in texts(found, "certificate")


def nothing_to_pay() -> tuple[Graph, Costs]:
    """The device takes no time, and the server half a second for each of two operators."""
    operators = [operator("a", ["x"], 10), operator("b", ["a_out"], 10)]
    graph = graph_of(operators, ["b_out"], input_bytes=10)
    return graph, priced_costs({"a": (0.0, 0.5), "b": (0.0, 0.5)}, 1e18)


@pytest.mark.parametrize("exponent", [-60, -30, 0, 30])
def test_an_optimum_of_nothing(exponent: int) -> None:
    graph, costs = nothing_to_pay()
    plan = planner.plan(graph, costs)
    assert plan.total_s == 0
    assert verify(plan, graph, costs).ok
    found = verify(moved(plan, graph, costs, [1, 1], 2.0**exponent), graph, costs)
    assert disagreeing(found) >= {"flow", "second solver"}
    assert "1.00 s" in texts(found, "flow")


def test_other_ticks_that_are_fine() -> None:
    """The same claim in ticks of another sharpening is as good."""
    graph, costs = diamond(), costs_of(diamond())
    plan = made(graph)
    for factor in (0.5, 2.0):
        other = moved(plan, graph, costs, np.ones(5), plan.certificate.quantum_s * factor)
        assert frexp(other.certificate.quantum_s)[0] == 0.5
        assert verify(other, graph, costs).ok


@pytest.mark.parametrize(
    ("solver", "changes", "words"),
    [
        ("maxflow", {"tolerance": 1e-12}, "expected at most 0 by `maxflow`"),
        ("pulp", {"tolerance": 1e-7}, "expected at most 1e-12 by `pulp`"),
        ("mine", {"tolerance": 1e-5}, "expected at most 1e-06"),
        ("dads", {}, "`dads` is a policy and proves nothing"),
        ("best-prefix", {"holds": False, "status": "limit"}, "`best-prefix` is a policy"),
        ("maxflow", {"holds": False, "status": "infeasible"}, "which no plan has"),
    ],
)
def test_certificates_that_nobody_makes(solver: str, changes: dict[str, Any], words: str) -> None:
    graph = diamond()
    found = verify(edited(made(graph), solver=solver, **changes), graph, costs_of(graph))
    assert "certificate" in disagreeing(found)
    assert words in texts(found, "certificate")


def test_a_solver_that_is_not_installed_may_have_made_a_plan() -> None:
    graph = diamond()
    found = verify(edited(made(graph), solver="theirs"), graph, costs_of(graph))
    assert found.ok, found.differences


def test_memory_may_be_left_out_only_without_limits() -> None:
    graph = diamond()
    assert verify(edited(made(graph), memory=[]), graph, costs_of(graph)).ok
    costs = limited(graph, (2**40, None))
    plan = planner.plan(graph, costs)
    assert verify(plan, graph, costs).ok
    assert disagreeing(verify(edited(plan, memory=[]), graph, costs)) == {"figures"}


# Rules, memory and costs that every solver shares.


def extra_bound(rules: Any, side: str) -> Any:
    bound = getattr(rules, side).copy()
    bound[2] = rules.n_hosts - 1 if side == "low" else 0
    return dataclasses.replace(rules, **{side: bound})


def extra_arc(rules: Any) -> Any:
    """The last operator not after the first."""
    ends = {"before": len(rules.low) - 1, "after": 0}
    per_arc = {
        field.name: np.append(array, ends.get(field.name, 0)).astype(array.dtype)
        for field in dataclasses.fields(rules)
        if isinstance(array := getattr(rules, field.name), np.ndarray)
        and field.name not in ("low", "high")
    }
    return dataclasses.replace(rules, **per_arc)


RULE_ERRORS = {
    "low": lambda rules: extra_bound(rules, "low"),
    "high": lambda rules: extra_bound(rules, "high"),
    "arc": extra_arc,
    "lost": lambda rules: rules.take(np.arange(len(rules.before)) > 0),
}


@pytest.mark.parametrize("error", RULE_ERRORS)
@pytest.mark.parametrize("n_hosts", [2, 3])
@pytest.mark.parametrize("workload", [{}, {"objective": "throughput"}])
def test_a_rule_that_there_is_not(error: str, n_hosts: int, workload: Any) -> None:
    """Every solver obeys it, so all agree; graph and scenario do not."""
    graph, costs = diamond(), costs_of(diamond(), n_hosts, workload=workload)
    make = formulation._constraints
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formulation, "_constraints", lambda *a: RULE_ERRORS[error](make(*a)))
        try:
            plan = planner.plan(graph, costs, "brute-force")
        except SolverError:  # its placement breaks a rule: refused as it is made
            assert error == "lost"
            return
        found = verify(plan, graph, costs, "brute-force")
    assert "terms" in disagreeing(found)
    assert "solvers" in texts(found, "terms")


@pytest.mark.parametrize("rule", ["pins", "together", "forbidden"])
def test_a_rule_that_is_forgotten(rule: str) -> None:
    graph = diamond()
    costs = costs_of(
        graph,
        pins=[{"node": "join", "host": "h1"}],
        together=[["left", "right"]],
        forbid_crossing=["left_out"],
    )
    make = formulation._constraints
    plan = planner.plan(graph, costs)
    assert verify(plan, graph, costs).ok

    def forgets(graph: Graph, scenario: Any, kept: Any) -> Any:
        rules = dataclasses.replace(scenario.rules, **{rule: ()})
        return make(graph, dataclasses.replace(scenario, rules=rules), kept)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formulation, "_constraints", forgets)
        found = verify(plan, graph, costs, "brute-force")
    assert "terms" in disagreeing(found)


@pytest.mark.parametrize("field", ["own_bytes", "set_bytes", "limits", None])
def test_memory_that_is_not_what_the_evaluator_says(field: str | None) -> None:
    graph = tied_pair()
    costs = limited(graph, (2**20, None))
    plan = planner.plan(graph, costs)
    assert verify(plan, graph, costs).ok
    make = formulation.memory_demand

    def wrong(*given: Any) -> Any:
        demand = make(*given)
        if field is None or demand is None:
            return None
        return dataclasses.replace(demand, **{field: getattr(demand, field) * 2 + 1})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formulation, "memory_demand", wrong)
        found = verify(plan, graph, costs, "brute-force")
    assert "terms" in disagreeing(found)


def long_chain(n: int = 300) -> tuple[Graph, Costs, str]:
    """Best cut in the middle, where the tensor is small."""
    middle = n // 2 + 3
    operators = [
        operator(f"o{i}", ["x"] if i == 0 else [f"o{i - 1}_out"], 1000 if i == middle else 10**6)
        for i in range(n)
    ]
    prices = {
        op.name: (1e-3, 2e-3) if i <= middle else (2e-3, 1e-3)
        for i, op in enumerate(graph_of(operators, [f"o{n - 1}_out"]).operators)
    }
    return graph_of(operators, [f"o{n - 1}_out"]), priced_costs(prices, 1e8), f"o{middle}_out"


@pytest.mark.parametrize("workload", ["delay", "throughput"])
def test_one_wrong_cost_on_a_larger_graph(workload: str) -> None:
    graph, costs, name = long_chain()
    costs = costs.model_copy(
        update={"workload": costs.workload.model_copy(update={"objective": workload})}
    )
    make = formulation._transfers

    def wrong(*given: Any) -> Transfers:
        transfers = make(*given)
        bits = transfers.up_bits.copy()
        bits[transfers.tensor == graph.tensor_index[name]] *= 1 + 1e-9
        return dataclasses.replace(transfers, up_bits=bits)

    solver = "maxflow" if workload == "delay" else "best-prefix"
    plan = planner.plan(graph, costs, solver, baselines=())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formulation, "_transfers", wrong)
        patch.setattr("planner.verification.second_solver.solve", late)
        found = verify(plan, graph, costs)
    assert "terms" in disagreeing(found)
    assert f"`{name}` over the link after `h0` takes" in texts(found, "terms")
    assert "by graph, prices and route" in texts(found, "terms")


def late(*_: Any, **__: Any) -> Any:
    raise SolverError("no placement within 60 s", code="PLN501")


def without_a_reader(x: Any) -> Any:
    """The second row lacks its last one."""
    indptr = x.indptr - (np.arange(len(x.indptr)) >= 2)
    return dataclasses.replace(x, readers=np.delete(x.readers, x.indptr[2] - 1), indptr=indptr)


TERM_ERRORS = {
    "a reader is lost": without_a_reader,
    "another source": lambda x: dataclasses.replace(x, source=np.where(x.source == 0, 1, x.source)),
    "a row is lost": lambda x: x.take(np.arange(len(x) - 1)),
    "no latency": lambda x: dataclasses.replace(x, latencies=x.latencies * 0),
}


@pytest.mark.parametrize("error", TERM_ERRORS)
def test_wrong_ends_of_what_crosses(error: str) -> None:
    graph, costs = diamond(), costs_of(diamond())
    plan = made(graph)
    make = formulation._transfers
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formulation, "_transfers", lambda *a: TERM_ERRORS[error](make(*a)))
        found = verify(plan, graph, costs, "brute-force")
    assert "terms" in disagreeing(found)


def test_a_tied_parameter_is_lost() -> None:
    graph, costs = tied_pair(), costs_of(tied_pair())
    plan = made(graph)
    assert verify(plan, graph, costs).ok
    make = formulation._parameters

    def wrong(*given: Any) -> Any:
        exchange, tied, kept = make(*given)
        return exchange, tied.take(np.zeros(0, np.int64)), kept

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formulation, "_parameters", wrong)
        found = verify(plan, graph, costs, "brute-force")
    assert "solvers see 0 tied parameters, not the 1 that are" in texts(found, "terms")


# The second solver.


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


# Words.


def test_whole_numbers_are_told_exactly() -> None:
    graph = diamond()
    plan = made(graph)
    value = plan.certificate.value
    found = verify(edited(plan, value=value + 1, lower_bound=value + 1), graph, costs_of(graph))
    assert f"takes {value} of them: 1 tick (" in texts(found, "certificate")
    assert "1 tick (" in texts(found, "flow")
    assert "0 s" not in texts(found, "flow")


def test_more_ticks_than_a_float64_holds() -> None:
    graph = diamond()
    found = verify(edited(made(graph), quantum_s=2.0**-1074), graph, costs_of(graph))
    assert "more of them than a float64 holds" in texts(found, "certificate")
    assert "nan" not in " ".join(d.text for d in found.differences)


def test_numbers_that_look_the_same() -> None:
    assert told("$.total_s", 1.0, 1.0 + 1e-9).startswith("`total_s` is 1.0 in the plan and 1.00000")
    assert apart("ticks", 5, float("inf")) == "less"


def test_memory_is_told_in_binary_units() -> None:
    text = told("$.memory[0].total_bytes", 2**30, 2**31)
    assert text.endswith("is 1.0 GiB in the plan and 2.0 GiB here: 1.0 GiB (50%) less")
    assert "2.1 GB here" in told("$.crossing[0].up_bytes", 2**30, 2**31)


# The wrong graph.


def test_costs_that_do_not_fit_the_wrong_graph() -> None:
    """Costs name operators that it lacks, which is not what is wrong."""
    graph = dataclasses.replace(diamond(), digest="diamond")
    costs = costs_of(graph, pins=[{"node": "left", "host": "h1"}])
    plan = planner.plan(graph, costs)
    with pytest.raises(PlannerError) as caught:
        verify(plan, dataclasses.replace(tied_pair(), digest="tied"), costs)
    assert (caught.value.code, caught.value.where) == ("PLN420", "plan")
    lines = caught.value.message.splitlines()
    assert lines[0] == "the plan was made from another graph than this one"
    assert "are not in this graph" in lines[1]
    with pytest.raises(PlannerError) as caught:
        verify(plan, graph, costs_of(tied_pair(), pins=[{"node": "layer", "host": "h1"}]))
    assert caught.value.code != "PLN420"
