"""Why there is no placement: chains of rules, and limits with the rules that make them too low.

Every explanation is checked by exhaustion: what it names cannot be kept, and anything less can.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.costs.cost_file import Costs, check_costs
from planner.costs.cost_table import CostTable
from planner.costs.pricing import priced
from planner.costs.scenario import Rules, Scenario
from planner.errors import PlanError
from planner.graphs.graph import Graph
from planner.plans.conflicts import Oracle, explain_memory, memory_conflict
from planner.problems.enumeration import enumerate_placements
from planner.problems.feasibility import Constraints, conflict_of
from planner.problems.formulation import build_problem, formulate
from planner.problems.memory import shortage
from planner.problems.problem import Problem
from tests.support.strategies import problems
from tests.support.toys import costs_document, diamond, graph_of, operator

RULES = tuple(Rules.__dataclass_fields__)


def can_be_kept(problem: Problem) -> bool:
    """By exhaustion, knowing nothing of how conflicts are found."""
    try:
        placements = enumerate_placements(problem)
    except PlanError:
        return False
    memory = problem.memory
    return memory is None or any(
        (memory.use(placement.astype(np.int64)) <= memory.limits).all() for placement in placements
    )


def never(problem: Problem) -> bool:
    """An oracle for what must be found without one."""
    raise AssertionError("nobody needs to be asked")


def reductions(scenario: Scenario) -> Iterator[Scenario]:
    """The same task without one of its limits or rules."""
    for host, limit in enumerate(scenario.memory_limits):
        if limit is not None:
            limits = [*scenario.memory_limits]
            limits[host] = None
            yield replace(
                scenario, memory_limits=tuple(limits) if any(m is not None for m in limits) else ()
            )
    for field in RULES:
        entries = getattr(scenario.rules, field)
        for position in range(len(entries)):
            fewer = entries[:position] + entries[position + 1 :]
            yield replace(scenario, rules=replace(scenario.rules, **{field: fewer}))


def with_limits(scenario: Scenario, limits: tuple[int | None, ...]) -> Scenario:
    return replace(scenario, memory_limits=limits if any(limits) else ())


def draw_limits(
    data: st.DataObject, graph: Graph, table: CostTable, scenario: Scenario
) -> tuple[int | None, ...]:
    """Limits as tight as some placement that breaks the rules, or parts of what all need."""
    hosts = len(scenario.route.hosts)
    ample = with_limits(replace(scenario, rules=Rules()), (10**15,) * hosts)
    problem = formulate(graph, table, ample)
    assert problem.memory is not None
    if data.draw(st.sampled_from([False, True, True])):
        placements = enumerate_placements(problem)
        some = data.draw(st.integers(0, len(placements) - 1))
        return tuple(map(int, 1 + problem.memory.use(placements[some].astype(np.int64))))
    total = int(problem.memory.use(np.zeros(len(graph.operators), np.int64))[0])
    shares = st.sampled_from([None, 0.05, 0.2, 0.35, 0.5, 0.6])
    drawn = [data.draw(shares) for _ in range(hosts)]
    return tuple(None if share is None else 1 + int(total * share) for share in drawn)


def test_every_memory_conflict_is_one_and_is_minimal() -> None:
    tally: Counter[str] = Counter()

    @settings(max_examples=900, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=problems(max_operators=6), data=st.data())
    def check(case: tuple[Graph, Costs], data: st.DataObject) -> None:
        graph, costs = case
        scenario, table = priced(graph, costs)
        limits = draw_limits(data, graph, table, scenario)
        scenario = with_limits(scenario, limits)
        try:
            formulate(graph, table, scenario).constraints.require_feasible()
        except PlanError:
            tally["rules alone"] += 1
            return
        if can_be_kept(formulate(graph, table, scenario)):
            tally["feasible"] += 1
            return
        tally[kind_of_conflict(graph, table, scenario)] += 1

    check()
    assert tally["one limit, rules"] >= 20, tally
    assert tally["several limits, no rule"] >= 20, tally


def kind_of_conflict(graph: Graph, table: CostTable, scenario: Scenario) -> str:
    """What is in the conflict of a task that has no answer; checks that it is one, and minimal."""
    conflict = memory_conflict(graph, table, scenario, can_be_kept)
    assert conflict.is_minimal
    assert not can_be_kept(formulate(graph, table, conflict.scenario))
    for fewer in reductions(conflict.scenario):
        assert can_be_kept(formulate(graph, table, fewer))
    is_single = len(conflict.hosts) == 1
    error = explain_memory(graph, table, scenario, never if is_single else can_be_kept)
    assert (error.code, error.exit_code) == ("PLN406", 3)
    n_rules = sum(len(getattr(conflict.scenario.rules, field)) for field in RULES)
    kind = "one limit" if is_single else "several limits"
    return f"{kind}, {'rules' if n_rules else 'no rule'}"


@pytest.mark.parametrize("n_hosts", [2, 3])
def test_limits_that_conflict_over_groups(n_hosts: int) -> None:
    """Without groups every operator could go where there is room; with them it may be too tight."""
    tally: Counter[str] = Counter()
    for seed in range(150):
        rng = np.random.default_rng(seed)
        names = [f"branch{i}" for i in range(6)]
        graph = graph_of(
            [
                *(operator(name, ["x"], 1, [f"{name}.w"]) for name in names),
                operator("join", [f"{name}_out" for name in names], 1),
            ],
            ["join_out"],
            parameters=[(f"{name}.w", int(rng.integers(1, 9)) * 10**6) for name in names],
            input_bytes=1,
        )
        groups = [rng.choice(names, 2, replace=False).tolist() for _ in range(2)]
        document = costs_document(graph, n_hosts, together=groups)
        scenario, table = priced(graph, check_costs(document, "costs"))
        free = replace(scenario, rules=Rules())
        problem = formulate(graph, table, with_limits(free, (10**15,) * n_hosts))
        assert problem.memory is not None
        placements = enumerate_placements(problem)
        use = problem.memory.use(placements[rng.integers(len(placements))].astype(np.int64))
        tight = with_limits(scenario, tuple(map(int, use + 1)))
        if not can_be_kept(formulate(graph, table, tight)):
            tally[kind_of_conflict(graph, table, tight)] += 1
    assert tally["several limits, rules"] >= 20, tally


def with_bounds(graph: Graph, changes: dict[str, object], n_hosts: int = 2) -> Constraints:
    costs = check_costs(costs_document(graph, n_hosts, **changes), "costs")
    return build_problem(graph, costs).constraints


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(problems())
def test_every_chain_of_rules_is_a_conflict_and_is_minimal(case: tuple[Graph, Costs]) -> None:
    rules = build_problem(*case).constraints
    conflict = conflict_of(rules)
    if conflict is None:
        rules.require_feasible()
        return
    chain = np.array(conflict.arcs, np.int64)
    low, high = np.zeros_like(rules.low), np.full_like(rules.high, rules.n_hosts - 1)
    low[conflict.late], high[conflict.early] = rules.low[conflict.late], rules.high[conflict.early]
    told = set(rules.rule[chain].tolist()) - {-1}
    # Data flows as it does, whatever rules are dropped.
    named = replace(rules, low=low, high=high).take(np.isin(rules.rule, [-1, *told]))
    assert conflict_of(named) is not None
    for without in told:
        assert conflict_of(named.take(named.rule != without)) is None
    assert conflict_of(replace(named, low=np.zeros_like(low))) is None
    assert conflict_of(replace(named, high=np.full_like(high, rules.n_hosts - 1))) is None
    with pytest.raises(PlanError, match="no placement satisfies the rules") as caught:
        rules.require_feasible()
    assert rules.describe_bound(conflict.late, True) in caught.value.message
    assert rules.describe_bound(conflict.early, False) in caught.value.message


def reasons(graph: Graph, n_hosts: int = 2, **changes: object) -> list[str]:
    with pytest.raises(PlanError) as caught:
        with_bounds(graph, changes, n_hosts).require_feasible()
    assert (caught.value.code, caught.value.exit_code) == ("PLN401", 3)
    return [line.strip() for line in caught.value.message.splitlines()]


def pins(**hosts: str) -> list[dict[str, str]]:
    return [{"node": node, "host": host} for node, host in hosts.items()]


def test_neighbours_that_are_pinned_apart() -> None:
    assert reasons(diamond(), pins=pins(stem="h1", right="h0")) == [
        "no placement satisfies the rules",
        "because `stem` is pinned to `h1`, but its consumer `right` is pinned to `h0`",
    ]


def test_rules_that_data_alone_would_replace_are_not_told() -> None:
    """`join` reads what descends from `stem`: that they are kept together adds nothing."""
    told = reasons(diamond(), pins=pins(stem="h1", join="h0"), together=[["stem", "join"]])
    assert not any("kept together" in line for line in told)
    assert told[1] == "because `join` is pinned to `h0`"


def test_the_shortest_of_several_chains_is_told() -> None:
    told = reasons(diamond(), 3, pins=pins(stem="h2", join="h0", mid="h1"))
    assert told == [
        "no placement satisfies the rules",
        "because `mid` is pinned to `h1`, but its consumer `join` is pinned to `h0`",
    ]


def test_a_chain_over_a_forbidden_tensor_and_a_group() -> None:
    assert reasons(
        diamond(),
        pins=pins(stem="h0", join="h1"),
        forbid_crossing=["left_out"],
        together=[["stem", "left"]],
    ) == [
        "no placement satisfies the rules",
        "because `stem` is pinned to `h0`",
        "and because `left` is not placed after `stem`: they are kept together",
        "and because `join` is not placed after `left`: `left_out` may not cross a link",
        "and because `join` is pinned to `h1`",
        "no host is left for it",
    ]


def test_an_input_that_lives_after_its_reader() -> None:
    told = reasons(diamond(), inputs=[{"name": "x", "host": "h1"}], pins=pins(left="h0"))
    assert told[1:] == [
        "because `stem` reads `x`, which lives on `h1`, but its consumer `left` is pinned to `h0`"
    ]


def weighty() -> Graph:
    """Three layers of 100, 300 and 50 MiB of frozen and trained parameters."""
    mebibyte = 2**20
    return graph_of(
        [
            operator("conv1", ["x"], 1000, ["conv1.weight"]),
            operator("fc", ["conv1_out"], 1000, ["fc.weight"]),
            operator("head", ["fc_out"], 1000, ["head.weight"]),
        ],
        ["head_out"],
        parameters=[
            ("conv1.weight", 50 * mebibyte),
            ("fc.weight", 150 * mebibyte),
            ("head.weight", 25 * mebibyte),
        ],
        input_bytes=1000,
    )


def explained(oracle: Oracle, limits: tuple[int | None, ...], **changes: object) -> PlanError:
    graph = weighty()
    costs = check_costs(costs_document(graph, len(limits), **changes), "costs")
    scenario, table = priced(graph, costs)
    return explain_memory(graph, table, with_limits(scenario, limits), oracle)


def test_the_smallest_device_part_is_too_large() -> None:
    error = explained(never, (300 * 2**20, None), pins=pins(conv1="h0", fc="h0", head="h1"))
    assert error.message.splitlines() == [
        "no placement fits the memory limits",
        "  because `h0` memory: the smallest feasible `h0` part needs 400.0 MiB, "
        "the limit is 300.0 MiB",
        "  and because `fc` is pinned to `h0`",
        "  the largest of 2 operators that must be there: `fc` 300.0 MiB, `conv1` 100.0 MiB",
    ]
    assert error.hint is not None
    assert error.hint.startswith("allow `h0` more memory (`memory_bytes` of at least 4194")
    assert error.hint.endswith(", or drop one of these rules")


def test_rules_that_are_not_needed_are_counted_but_not_told() -> None:
    error = explained(never, (90 * 2**20, None), pins=pins(fc="h0", conv1="h0", head="h1"))
    assert "needs 400.0 MiB, the limit is 90.0 MiB (100.0 MiB by these rules alone)" in str(error)
    assert "`fc` is pinned" not in error.message
    assert "and because `conv1` is pinned to `h0`" in error.message


def test_many_rules_are_counted() -> None:
    names = [f"branch{i}" for i in range(30)]
    graph = graph_of(
        [
            *(operator(name, ["x"], 1, [f"{name}.w"]) for name in names),
            operator("join", [f"{name}_out" for name in names], 1),
        ],
        ["join_out"],
        parameters=[(f"{name}.w", 1000) for name in names],
    )
    document = costs_document(graph, 2, pins=pins(**dict.fromkeys(names, "h0")))
    scenario, table = priced(graph, check_costs(document, "costs"))
    least = 30 * 2000 + 600_000  # every weight with its gradient, and the input
    error = explain_memory(graph, table, with_limits(scenario, (least - 1, None)), never)
    lines = error.message.splitlines()
    assert shortage(least, least - 1) in lines[1]
    assert lines[-2].strip() == "and because of 20 more rules"
    assert sum("is pinned to" in line for line in lines) == 10


def test_two_limits_that_are_too_low_together() -> None:
    error = explained(can_be_kept, (350 * 2**20, 80 * 2**20))
    assert error.message.splitlines() == [
        "no placement fits the memory limits",
        "  because `h0` memory: the limit is 350.0 MiB",
        "  and because `h1` memory: the limit is 80.0 MiB",
        "  all operators together need 450.0 MiB, the hosts have 430.0 MiB",
    ]
    assert error.hint == "allow `h0` or `h1` more memory"


def test_an_operator_that_fits_nowhere() -> None:
    error = explained(can_be_kept, (290 * 2**20, 290 * 2**20, 290 * 2**20))
    assert error.message.splitlines()[-1].strip() == (
        "`fc` alone needs 300.0 MiB, more than any host that it may be on"
    )


def test_limits_that_only_a_search_can_tell() -> None:
    error = explained(can_be_kept, (120 * 2**20, 340 * 2**20), together=[["fc", "head"]])
    assert error.message.splitlines() == [
        "no placement fits the memory limits",
        "  because `h0` memory: the limit is 120.0 MiB",
        "  and because `h1` memory: the limit is 340.0 MiB",
        "  every placement breaks one of these limits",
    ]


@pytest.mark.parametrize("answer", [None, True])
def test_an_oracle_that_does_not_know(answer: bool | None) -> None:
    """What is not known to be superfluous stays in the explanation, which says so."""
    error = explained(lambda _: answer, (350 * 2**20, 80 * 2**20), pins=pins(conv1="h0"))
    assert "`h0` memory" in error.message
    assert "`h1` memory" in error.message
    unsure = "some of this may not be needed" in error.message
    assert unsure == (answer is None)


def test_questions_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def oracle(problem: Problem) -> bool:
        asked.append(problem)
        return can_be_kept(problem)

    limits = (350 * 2**20, 80 * 2**20)
    some = {"together": [["conv1", "fc"]], "pins": pins(conv1="h0"), "forbid_crossing": ["x"]}
    monkeypatch.setattr("planner.plans.conflicts.MAX_QUESTIONS", 1)
    error = explained(oracle, limits, **some)
    assert len(asked) <= 1
    assert "PLN406" in str(error)


def test_an_explanation_ends_when_its_time_is_over() -> None:
    graph = weighty()
    costs = check_costs(costs_document(graph, 2, pins=pins(conv1="h0", fc="h0")), "costs")
    scenario, table = priced(graph, costs)
    error = explain_memory(
        graph, table, with_limits(scenario, (90 * 2**20, None)), never, until=-1.0
    )
    assert "`fc` is pinned" in error.message  # which it would not take
    assert "the search for a smaller set was cut short" in error.message
