"""Rules: what they name must be there, and those that contradict are told as a chain."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import planner
from planner.costs.cost_file import check_costs
from planner.errors import PlanError, PlannerError
from planner.plans.solving import solve
from tests.support.toy_problems import codes, make, problem
from tests.support.toys import costs_document, diamond, graph_of, operator, tied_pair


def test_rules_name_what_is_there() -> None:
    pins = [{"node": "stme", "host": "h0"}, {"node": "left", "host": "h1"}]
    graph, costs = make(
        pins=pins,
        together=[["stem", "nobody"]],
        forbid_crossing=["nothing"],
        inputs=[{"name": "stem_out", "host": "h1"}],
    )
    with pytest.raises(PlannerError) as caught:
        planner.problem(graph, costs)
    assert codes(caught.value) == ["PLN303"] * 4
    assert "did you mean `stem`" in str(caught.value.problems[0].hint)


def test_a_pin_on_a_folded_operator_says_why_it_was_folded() -> None:
    unused = operator("unused", ["x"], 10)
    graph = graph_of([operator("only", ["x"], 10), unused], ["only_out"])
    with pytest.raises(PlannerError) as caught:
        problem(graph, pins=[{"node": "unused", "host": "h0"}])
    assert caught.value.code == "PLN304"
    assert "nobody reads its results" in caught.value.message


def test_costs_for_another_batch_are_refused() -> None:
    graph, costs = make(workload={"batch_size": 8})
    with pytest.raises(PlannerError) as caught:
        planner.problem(replace(graph, batch=4), costs)
    assert caught.value.code == "PLN310"


def test_no_placement_is_explained_as_a_chain() -> None:
    graph = graph_of([operator("a", ["x"], 1), operator("b", ["a_out"], 1)], ["b_out"])
    with pytest.raises(PlannerError) as caught:
        planner.plan(*make(graph, pins=[{"node": "a", "host": "h1"}, {"node": "b", "host": "h0"}]))
    assert (caught.value.code, caught.value.exit_code) == ("PLN401", 3)
    lines = caught.value.message.splitlines()
    assert [line.strip() for line in lines[1:]] == [
        "because `a` is pinned to `h1`, but its consumer `b` is pinned to `h0`"
    ]


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"pins": [{"node": "stem", "host": "h0"}, {"node": "stem", "host": "h1"}]}, "pinned"),
        (
            {
                "pins": [{"node": "stem", "host": "h0"}, {"node": "left", "host": "h1"}],
                "forbid_crossing": ["stem_out"],
            },
            "`stem_out` may not cross a link",
        ),
        (
            {
                "pins": [{"node": "stem", "host": "h0"}, {"node": "join", "host": "h1"}],
                "together": [["stem", "join"]],
            },
            "kept together",
        ),
        (
            {
                "inputs": [{"name": "x", "host": "h1"}],
                "pins": [{"node": "join", "host": "h0"}],
            },
            "reads `x`, which lives on `h1`",
        ),
        (
            {"forbid_crossing": ["x"], "pins": [{"node": "stem", "host": "h1"}]},
            "`x` may not cross a link",
        ),
    ],
)
def test_every_kind_of_rule_appears_in_the_chain(rules: dict[str, Any], words: str) -> None:
    with pytest.raises(PlannerError) as caught:
        solve(problem(**rules))
    assert caught.value.exit_code == 3
    assert words in caught.value.message


def test_tied_readers_apart_on_three_hosts_are_in_the_chain() -> None:
    pins = [{"node": "embed", "host": "h0"}, {"node": "head", "host": "h2"}]
    with pytest.raises(PlannerError, match="both read the trainable parameter `shared`"):
        solve(problem(tied_pair(), 3, pins=pins))


def test_a_limit_that_nothing_fits_is_explained() -> None:
    graph = diamond()
    document: Any = costs_document(graph, 2, pins=[{"node": "stem", "host": "h0"}])
    document["hosts"][0]["memory_bytes"] = 1
    with pytest.raises(PlanError) as caught:
        planner.plan(graph, check_costs(document, "test"))
    assert (caught.value.code, caught.value.exit_code) == ("PLN406", 3)
    assert "`h0` memory: the smallest feasible `h0` part needs 664.1 KiB" in caught.value.message
    assert "`stem` is pinned to `h0`" in caught.value.message


def test_pins_on_thousands_of_operators_do_not_overflow() -> None:
    chain = [operator("o0", ["x"], 1)]
    chain += [operator(f"o{i}", [f"o{i - 1}_out"], 1) for i in range(1, 3000)]
    graph = graph_of(chain, ["o2999_out"])
    pins = [{"node": f"o{i}", "host": "h0" if i < 1500 else "h1"} for i in range(3000)]
    solution = solve(problem(graph, pins=pins))
    assert solution.is_proved
    assert int((solution.placement == 0).sum()) == 1500
    pins[0], pins[-1] = {"node": "o0", "host": "h1"}, {"node": "o2999", "host": "h0"}
    with pytest.raises(PlanError) as caught:
        solve(problem(graph, pins=pins))
    assert caught.value.exit_code == 3
    assert len(caught.value.message.splitlines()) < 20
