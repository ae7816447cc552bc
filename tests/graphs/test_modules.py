"""Modules by operator names: the tree, placements read by it, and placements and rules given."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import planner
from planner.costs.cost_file import Costs, check_costs
from planner.costs.pricing import scenario_of
from planner.errors import PlannerError
from planner.graphs.graph import Graph
from planner.graphs.modules import (
    ModuleTree,
    module_paths,
    modules_of,
    placement_by_module,
    resolved,
)
from planner.plans.plan_file import Plan
from tests.support.cli import chain, error_of, flat_costs

NAMES = ("conv", "layer1.0.conv", "layer1.0.relu", "layer1.0.relu@1", "layer1.1.conv", "fc")


def named(*names: str) -> dict[str, Any]:
    """A spec of operators in a row."""
    document = chain(len(names))
    for node, name in zip(document["nodes"], names, strict=True):
        node["name"] = name
    return document


def graph_of(*names: str) -> Graph:
    return planner.load(json.dumps(named(*names)).encode())


def costs_of(**sections: object) -> Costs:
    return check_costs(flat_costs(**sections), "c.json")  # type: ignore[arg-type]


def pin(node: str, host: str = "device") -> dict[str, str]:
    return {"node": node, "host": host}


def test_an_operator_is_in_every_prefix_of_its_name() -> None:
    modules = modules_of(graph_of(*NAMES))
    assert dict(modules) == {
        "conv": (0,),
        "layer1": (1, 2, 3, 4),
        "layer1.0": (1, 2, 3),
        "layer1.0.conv": (1,),
        "layer1.0.relu": (2, 3),
        "layer1.1": (4,),
        "layer1.1.conv": (4,),
        "fc": (5,),
    }
    assert len(modules) == 8
    assert "layer1.0.relu@1" not in modules
    assert "" not in modules
    assert "layer" not in modules
    with pytest.raises(KeyError):
        modules["layer1."]


@pytest.mark.parametrize("name", [".a", "a.", "a..b", ".", "..", "/m/a.0/Conv", "a.b/c", " ", "@1"])
def test_names_that_look_like_no_path(name: str) -> None:
    tree = ModuleTree([name, "x.y", "x.z"])
    assert list(tree) == [name, "x", "x.y", "x.z"]
    assert tree[name] == (0,)
    rows = placement_by_module({name: "a", "x.y": "b", "x.z": "b"})
    assert [(row.name, row.operators) for row in rows] == [(name, (name,)), ("x", ("x.y", "x.z"))]


def test_calls_within_a_path_are_of_one_module() -> None:
    tree = ModuleTree(["b.conv", "b@1.conv", "b@12.relu@3", "b@x.conv", "@7.conv"])
    assert dict(tree) == {
        "b": (0, 1, 2),
        "b.conv": (0, 1),
        "b.relu": (2,),
        "b@x": (3,),
        "b@x.conv": (3,),
        "@7": (4,),
        "@7.conv": (4,),
    }


PARTS = st.sampled_from(["a", "b", "c", "a@1", "b@2", "@1", "", "x/y"])
PATHS = st.lists(PARTS, min_size=1, max_size=4).map(".".join).filter(bool)
PLACEMENTS = st.dictionaries(PATHS, st.sampled_from(["device", "edge", "server"]), min_size=1)


def _ancestors(name: str) -> set[str]:
    """By the definition: every prefix, without the numbers of calls."""
    if "/" in name or not all(name.split(".")):
        return {name}
    parts = [re.sub(r"(.)@[0-9]+$", r"\1", part) for part in name.split(".")]
    return {".".join(parts[: i + 1]) for i in range(len(parts))}


@given(st.lists(PATHS, unique=True))
def test_the_tree_is_what_the_definition_says(names: list[str]) -> None:
    expected: dict[str, tuple[int, ...]] = {}
    for operator, name in enumerate(names):
        for path in _ancestors(name):
            expected[path] = (*expected.get(path, ()), operator)
    assert dict(ModuleTree(names)) == expected


@given(PLACEMENTS)
def test_rows_expand_to_exactly_the_placement(placement: dict[str, str]) -> None:
    rows = placement_by_module(placement)
    expanded = [(name, row.host) for row in rows for name in row.operators]
    assert sorted(expanded) == sorted(placement.items())
    firsts = [list(placement).index(row.operators[0]) for row in rows]
    assert firsts == sorted(firsts)
    by_hand = {row.name: row.host for row in rows}
    assert len(by_hand) == len(rows)
    assert resolved(ModuleTree([*placement]), by_hand) == list(placement.values())


@given(PLACEMENTS)
def test_rows_are_as_coarse_as_can_be(placement: dict[str, str]) -> None:
    tree, rows = ModuleTree([*placement]), placement_by_module(placement)
    if len(set(placement.values())) == 1:
        assert [row.name for row in rows] == [""]
    for path, members in tree.items():
        hosts = {placement[tree.names[v]] for v in members}
        if len(hosts) == 1 and (path not in placement or len(members) == 1):
            names = {tree.names[v] for v in members}
            assert sum(bool(names & set(row.operators)) for row in rows) == 1


def test_a_split_module_is_opened() -> None:
    hosts = dict.fromkeys(NAMES, "server") | {"conv": "device", "layer1.0.conv": "device"}
    rows = [(row.name, row.host, len(row.operators)) for row in placement_by_module(hosts)]
    assert rows == [
        ("conv", "device", 1),
        ("layer1.0.conv", "device", 1),
        ("layer1.0.relu", "server", 1),
        ("layer1.0.relu@1", "server", 1),
        ("layer1.1", "server", 1),
        ("fc", "server", 1),
    ]


def test_very_deep_names_take_linear_time() -> None:
    deep = ".".join(["m"] * 10_000)
    names = [f"{deep}.{i}" for i in range(20)]
    began = time.process_time()
    tree = ModuleTree(names)
    rows = placement_by_module({name: "ab"[i % 2] for i, name in enumerate(names)})
    assert [row.name for row in rows] == names
    assert tree[deep] == tuple(range(20))
    assert module_paths(names) == []
    assert resolved(tree, {deep: 1, names[3]: 2})[2:5] == [1, 2, 1]
    assert time.process_time() - began < 5  # 0.1 s; a square of it would be minutes


def test_rules_name_modules() -> None:
    graph = graph_of(*NAMES)
    costs = costs_of(pins=[pin("layer1.0")], together=[["layer1", "fc", "layer1.0.conv"]])
    rules = scenario_of(graph, costs).rules
    assert rules.pins == ((1, 0), (2, 0), (3, 0))
    assert rules.together == ((1, 2, 3, 4, 5),)


def test_an_operators_name_means_the_operator() -> None:
    graph = graph_of(*NAMES, "block", "block.conv")
    pins = [pin("layer1.0.relu"), pin("block")]
    assert scenario_of(graph, costs_of(pins=pins)).rules.pins == ((2, 0), (6, 0))
    assert scenario_of(graph, costs_of(pins=[pin("layer1.0.relu@1")])).rules.pins == ((3, 0),)


def test_pins_that_agree_are_no_contradiction() -> None:
    pins = [pin("layer1.0"), pin("layer1.0.conv"), pin("layer1.0")]
    assert scenario_of(graph_of(*NAMES), costs_of(pins=pins)).rules.pins == ((1, 0), (2, 0), (3, 0))


@pytest.mark.parametrize("inner", ["layer1.0.conv", "layer1.0"])
@pytest.mark.parametrize("is_reversed", [False, True])
def test_contradictory_pins_name_both(inner: str, is_reversed: bool) -> None:
    pins = [pin("layer1"), pin(inner, "server")]
    costs = costs_of(pins=pins[::-1] if is_reversed else pins)
    with pytest.raises(PlannerError) as caught:
        planner.plan(graph_of(*NAMES), costs)
    assert error_of(caught.value) == [("PLN401", "c.json: $.pins[1].node")]
    assert caught.value.exit_code == 3
    assert "`layer1` is pinned to `device`" in caught.value.message
    assert f"`{inner}` is pinned to `server`" in caught.value.message
    assert "no host is left for `layer1.0.conv`" in caught.value.message


@pytest.mark.parametrize("name", ["layer", "layer1.", ".layer1", "layer1..0", "layer1.0.relu@2"])
def test_unknown_names_suggest_modules(name: str) -> None:
    with pytest.raises(PlannerError) as caught:
        planner.plan(graph_of(*NAMES), costs_of(pins=[pin(name)], together=[[name]]))
    assert [code for code, _ in error_of(caught.value)] == ["PLN303", "PLN303"]
    hint = caught.value.problems[0].hint or ""
    assert hint.startswith("did you mean `layer1")
    assert "operators and modules: `conv`, `fc`, `layer1`, `layer1.0`, " in hint


def constants() -> dict[str, Any]:
    """A spec whose module `scale` has a constant, and whose module `gone` is nothing else."""
    document = named("scale.mul", "fc")
    for i, name in enumerate(("scale.constant", "gone.one", "gone.two")):
        node = {"name": name, "op": "F", "outputs": [{"name": f"c{i}", "bytes": 4}]}
        document["nodes"].append(node)
    return document


def test_folded_operators_of_a_module_are_left_out() -> None:
    graph = planner.load(json.dumps(constants()).encode())
    assert scenario_of(graph, costs_of(pins=[pin("scale")])).rules.pins == ((0, 0),)
    with pytest.raises(PlannerError) as caught:
        scenario_of(graph, costs_of(pins=[pin("gone"), pin("gone.one")]))
    assert [code for code, _ in error_of(caught.value)] == ["PLN304", "PLN304"]
    assert "module `gone` is not placed: all of it was folded away" in str(caught.value)


def test_a_placement_by_hand() -> None:
    graph, costs = graph_of(*NAMES), costs_of()
    full = dict.fromkeys(NAMES, "server") | dict.fromkeys(NAMES[:4], "device")
    for short in (
        {"": "server", "conv": "device", "layer1.0": "device"},
        {"conv": "device", "layer1": "device", "layer1.1": "server", "fc": "server"},
        {"": "device", "layer1": "server", "layer1.0": "device", "fc": "server"},
        full,
    ):
        assert planner.evaluate(graph, costs, short) == planner.evaluate(graph, costs, full)
    made = planner.plan(graph, costs_of(pins=[pin("layer1.0"), pin("layer1.1", "server")]))
    rows = {row.name: row.host for row in made.by_module}
    assert planner.evaluate(graph, costs, rows).total_s == made.total_s


def test_a_placement_by_hand_that_does_not_fit() -> None:
    graph, costs = graph_of(*NAMES), costs_of()
    for placement, words in (
        ({"layer1": "server"}, ["the placement lacks 2 operators: `conv`, `fc`"]),
        ({"": "cloud"}, ["`` is placed on unknown host `cloud`"]),
        ({"": "server", "layer2": "device"}, ["the graph has no operator or module `layer2`"]),
        # An operator's name is no module's.
        ({"conv": "device", "layer1.0.relu": "device"}, ["the placement lacks 4 operators: "]),
        ({"layer1": "moon", "x": "server"}, ["unknown host `moon`", "module `x`", "lacks 2"]),
    ):
        with pytest.raises(PlannerError) as caught:
            planner.evaluate(graph, costs, placement)
        assert {code for code, _ in error_of(caught.value)} == {"PLN402"}
        messages = "\n".join(problem.message for problem in caught.value.problems)
        assert len(caught.value.problems) == len(words)
        assert all(word in messages for word in words), messages
    with pytest.raises(PlannerError) as caught:
        planner.evaluate(graph, costs, {"": "device", 5: "server"})  # type: ignore[dict-item]
    assert error_of(caught.value) == [("PLN402", "placement")]


def test_a_plan_file_names_operators_alone() -> None:
    graph, costs = graph_of(*NAMES), costs_of()
    made = planner.plan(graph, costs)
    short = Plan(head=made.head, placement={"": "server"})
    assert planner.verify(made, graph, costs).ok
    found = planner.verify(short, graph, costs)
    assert not found.ok


def test_rows_of_a_plan() -> None:
    made = planner.plan(graph_of(*NAMES), costs_of(pins=[pin("layer1", "server")]))
    assert [(row.name, row.host) for row in made.by_module] in (
        [("", "server")],
        [("conv", "device"), ("layer1", "server"), ("fc", "server")],
    )
