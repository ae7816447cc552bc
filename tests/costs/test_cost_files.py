"""Costs files: defaults, every way to be wrong, and places that can be found."""

from __future__ import annotations

import copy
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.costmodels.table import TableModel
from planner.costs.cost_file import AnalyticalHost, PluginHost, TableHost, check_costs, parse_costs
from planner.costs.cost_table import HostCosts
from planner.drafts.loading import load
from planner.errors import PlannerError, PluginError
from planner.plans.planning import plan
from tests.support.cli import COSTS, chain, changed, error_of, flat_costs
from tests.support.mutations import mutated


def read(document: object) -> Any:
    return parse_costs(json.dumps(document).encode(), "c.json")


def problems_of(document: object) -> list[tuple[str, str | None]]:
    with pytest.raises(PlannerError) as caught:
        read(document)
    return error_of(caught.value)


def test_defaults() -> None:
    costs = read(flat_costs())
    workload = costs.workload
    assert (workload.mode, workload.iterations_per_round, workload.label_bytes) == (
        "training",
        1,
        0,
    )
    assert (workload.return_outputs, workload.batch_size, workload.wire_dtype) == (
        False,
        None,
        None,
    )
    assert costs.links[0].latency_s == 0
    assert (costs.pins, costs.together, costs.forbid_crossing, costs.inputs) == ((), (), (), ())


def test_hosts_are_told_apart_by_their_model() -> None:
    costs = read(COSTS)
    assert [type(host) for host in costs.hosts] == [TableHost, AnalyticalHost]
    plugin = read(changed(COSTS, "hosts.1", {"name": "s", "model": "mine", "knob": [1]}))
    assert isinstance(plugin.hosts[1], PluginHost)
    assert plugin.hosts[1].model_extra == {"knob": [1]}


@pytest.mark.parametrize(
    ("path", "value", "code", "where"),
    [
        ("version", 2, "PLN109", "version"),
        ("version", True, "PLN109", "version"),
        ("version", "1", "PLN109", "version"),
        ("kind", "plan", "PLN110", "kind"),
        ("kind", None, "PLN109", "kind"),
        ("kind", ["costs"], "PLN109", "kind"),
        ("pin", [], "PLN107", "pin"),
        ("", 1, "PLN107", '[""]'),
        ("workload.mode", "train", "PLN109", "workload.mode"),
        ("workload.iterations_per_round", 0, "PLN109", "workload.iterations_per_round"),
        ("workload.iterations_per_round", 1.5, "PLN109", "workload.iterations_per_round"),
        ("workload.iterations_per_round", True, "PLN109", "workload.iterations_per_round"),
        ("workload.label_bytes", -1, "PLN109", "workload.label_bytes"),
        ("workload.label_bytes", 2**53 + 1, "PLN109", "workload.label_bytes"),
        ("workload.wire_dtype", "int64", "PLN109", "workload.wire_dtype"),
        ("workload.return_outputs", 1, "PLN109", "workload.return_outputs"),
        ("workload.batch_size", "4", "PLN109", "workload.batch_size"),
        ("hosts", [], "PLN109", "hosts"),
        ("hosts", {}, "PLN109", "hosts"),
        ("hosts.0", "device", "PLN109", "hosts[0]"),
        ("hosts.0.name", "", "PLN109", "hosts[0].name"),
        ("hosts.0.model", None, "PLN109", "hosts[0].model"),
        ("hosts.0.nodes.0.forward_s", -0.5, "PLN109", "hosts[0].nodes[0].forward_s"),
        ("hosts.0.nodes.0.forward_s", 1e10, "PLN109", "hosts[0].nodes[0].forward_s"),
        ("hosts.0.nodes.0.forward_s", "1", "PLN109", "hosts[0].nodes[0].forward_s"),
        ("hosts.0.nodes.0.forward_s", True, "PLN109", "hosts[0].nodes[0].forward_s"),
        ("hosts.0.nodes.0.bakward_s", 1, "PLN107", "hosts[0].nodes[0].bakward_s"),
        ("hosts.1.efficiency", 0, "PLN109", "hosts[1].efficiency"),
        ("hosts.1.hardware", None, "PLN109", "hosts[1]"),
        ("hosts.1.hardwear", "a100", "PLN107", "hosts[1].hardwear"),
        ("hosts.1.name", "device", "PLN105", "hosts[1].name"),
        ("links.0.uplink_bps", 0, "PLN109", "links[0].uplink_bps"),
        ("links.0.uplink_bps", -5, "PLN109", "links[0].uplink_bps"),
        ("links.0.downlink_bps", 1e-300, "PLN109", "links[0].downlink_bps"),
        ("links.0.downlink_bps", 1e19, "PLN109", "links[0].downlink_bps"),
        ("links.0.latency_s", -1e-9, "PLN109", "links[0].latency_s"),
        ("links", [COSTS["links"][0]] * 2, "PLN109", "links"),
        ("links", [], "PLN109", "links"),
        ("pins.0.host", "sever", "PLN111", "pins[0].host"),
        ("pins.0", ["conv", "device"], "PLN109", "pins[0]"),
        ("inputs.0.host", "", "PLN109", "inputs[0].host"),
        ("inputs.0.host", "cloud", "PLN111", "inputs[0].host"),
        ("inputs", COSTS["inputs"] * 2, "PLN105", "inputs[1].name"),
        ("together", ["conv"], "PLN109", "together[0]"),
        ("together.0.1", 3, "PLN109", "together[0][1]"),
        ("forbid_crossing", "image", "PLN109", "forbid_crossing"),
        ("hosts.0.nodes", COSTS["hosts"][0]["nodes"] * 2, "PLN105", "hosts[0].nodes[1].name"),
    ],
)
def test_one_thing_wrong(path: str, value: object, code: str, where: str) -> None:
    place = f"c.json: ${where}" if where.startswith("[") else f"c.json: $.{where}"
    assert problems_of(changed(COSTS, path, value)) == [(code, place)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("workload.iterations_per_round", 1e5),
        ("workload.label_bytes", 100.0),
        ("hosts.0.nodes.0.forward_s", 1),
        ("hosts.0.nodes.0.forward_s", -0.0),
        ("version", 1.0),
        ("workload.batch_size", None),
        ("hosts.0.nodes.0.backward_s", None),
        ("together", [[], ["conv"]]),
    ],
)
def test_one_thing_unusual(path: str, value: object) -> None:
    assert read(changed(COSTS, path, value))


def test_independent_problems_are_reported_together() -> None:
    document = copy.deepcopy(COSTS)
    document["hosts"][0]["nodes"][0]["forward_s"] = -1
    document["hosts"][1]["hardwear"] = "a100"
    document["links"][0].pop("uplink_bps")
    document["pins"] = [{"nod": "conv", "host": "device"}]
    assert problems_of(document) == [
        ("PLN109", "c.json: $.hosts[0].nodes[0].forward_s"),
        ("PLN107", "c.json: $.hosts[1].hardwear"),
        ("PLN108", "c.json: $.links[0].uplink_bps"),
        ("PLN108", "c.json: $.pins[0].node"),
        ("PLN107", "c.json: $.pins[0].nod"),
    ]
    across = changed(changed(COSTS, "pins.0.host", "x"), "hosts.0.name", "y")
    across["links"] *= 3
    assert problems_of(across) == [
        ("PLN109", "c.json: $.links"),
        ("PLN111", "c.json: $.pins[0].host"),
        ("PLN111", "c.json: $.inputs[0].host"),
    ]


@pytest.mark.parametrize(
    ("path", "value", "hint"),
    [
        ("hosts.1.hardwear", "a100", "did you mean `hardware`? keys here: `efficiency`, "),
        ("hosts.0.nodes.0.forwards", 1, "did you mean `forward_s`? keys here: `backward_s`, "),
        ("hosts.0.defaults", {}, "did you mean `default`? keys here: `default`, `memory_bytes`, "),
        ("links.0.uplink", 1, "did you mean `uplink_bps`? keys here: `downlink_bps`, "),
        ("workload.batch", 1, "did you mean `batch_size`? keys here: `batch_size`, "),
        ("pins.0.nodes", "x", "did you mean `node`? keys here: `host`, `node`"),
        ("workload.mode", "inferense", "did you mean `inference`?"),
        ("pins.0.host", "sever", "did you mean `server`? hosts: `device`, `server`"),
    ],
)
def test_hint_names_what_fits_there(path: str, value: object, hint: str) -> None:
    with pytest.raises(PlannerError) as caught:
        read(changed(COSTS, path, value))
    (problem,) = caught.value.problems
    assert str(problem.hint).startswith(hint)


def test_cost_model_that_is_not_installed() -> None:
    graph = load(json.dumps(chain(2)).encode())
    costs = read(changed(flat_costs(), "hosts.1.model", "tabel"))
    with pytest.raises(PluginError, match="cost model `tabel`") as caught:
        plan(graph, costs)
    assert error_of(caught.value) == [("PLN314", "c.json: $.hosts[1].model")]
    assert str(caught.value.hint).startswith("did you mean `table`?")


@pytest.mark.parametrize("seconds", [[1.0], [1.0, -1.0], [1.0, math.nan], [math.inf, 1.0]])
def test_cost_model_that_gives_no_costs(
    monkeypatch: pytest.MonkeyPatch, seconds: list[float]
) -> None:
    def cost(*_: object) -> HostCosts:
        return HostCosts(forward_s=np.array(seconds), backward_s=np.zeros(2))

    monkeypatch.setattr(TableModel, "cost", cost)
    with pytest.raises(PlannerError) as caught:
        plan(load(json.dumps(chain(2)).encode()), read(flat_costs()))
    assert [code for code, _ in error_of(caught.value)] == ["PLN309"] * 2


def test_digest_depends_on_the_content_alone() -> None:
    spaced = parse_costs(json.dumps(COSTS, indent=3).encode(), "other")
    assert spaced.digest == read(COSTS).digest == check_costs(COSTS, "c").digest
    assert read(changed(COSTS, "links.0.latency_s", 0.003)).digest != spaced.digest


@settings(max_examples=400, deadline=None)
@given(mutated(COSTS), st.booleans())
def test_mutated_file_is_read_or_refused(document: object, is_indented: bool) -> None:
    text = json.dumps(document, indent=1 if is_indented else None)
    try:
        assert parse_costs(text.encode(), "c.json").digest
    except PlannerError as error:
        for problem in error.problems:
            assert problem.exit_code == 2
            assert str(problem.where).startswith("c.json")
            str(problem).encode()
