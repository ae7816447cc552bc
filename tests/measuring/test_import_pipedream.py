"""PipeDream's profiles as graphs and costs; those that were published, planned by three solvers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.errors import PlannerError
from planner.measuring.imports.pipedream_files import Imported, Scenario, import_pipedream
from planner.measuring.imports.recognition import recognise
from tests.conftest import ROOT
from tests.support.cli import error_of, refused, run_planner
from tests.support.imported import PIPEDREAM, pipedream

PUBLISHED = ROOT.parent / "shared" / "profiles"
FLAGS = ("--server-speed", "10", "--uplink", "50Mbit/s", "--downlink", "100Mbit/s")
SCENARIO = Scenario(server_speed=10.0, uplink_bps=5e7, downlink_bps=1e8, batch=4)


def made(folder: Path, text: str, scenario: Scenario = SCENARIO) -> Imported:
    path = folder / "toy.graph.txt"
    path.write_text(text, encoding="utf-8")
    return import_pipedream(recognise(path), "toy", scenario)


def nodes(document: Imported) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in document.graph["nodes"]}


def test_a_small_profile(tmp_path: Path) -> None:
    found = made(tmp_path, PIPEDREAM)
    graph = planner.load(json.dumps(found.graph).encode())
    assert graph.batch == 4
    assert graph.summary()["parameters"] == (896 + 360 + 72) // 4
    assert [graph.tensors[t].name for t in graph.outputs] == ["node8.output", "node9.output"]
    assert nodes(found)["node4"]["inputs"] == ["node2.output", "node3.output"]
    assert nodes(found)["node2"]["op"] == "Conv2d"
    assert "node6" not in nodes(found)
    device, server = ({row["name"]: row for row in host["nodes"]} for host in found.costs["hosts"])
    assert device["node2"] == {"name": "node2", "forward_s": 0.003, "backward_s": 0.006}
    assert server["node2"]["backward_s"] == pytest.approx(0.0006)
    assert any("20.000 ms" in note for note in found.notes)
    assert any("`--server-speed`" in note for note in found.notes)
    assert found.costs["workload"] == {"mode": "training", "batch_size": 4}


def test_without_a_batch_sizes_are_bytes(tmp_path: Path) -> None:
    scenario = Scenario(server_speed=2.0, uplink_bps=1e6, downlink_bps=1e6)
    found = made(tmp_path, PIPEDREAM, scenario)
    assert found.graph["inputs"] == [{"name": "node1.output", "bytes": 4 * 602112}]
    assert planner.load(json.dumps(found.graph).encode()).batch is None
    assert "batch_size" not in found.costs["workload"]


def test_other_samples_than_pictures(tmp_path: Path) -> None:
    found = made(tmp_path, pipedream([("Input", 1, 0, 160, 0), ("ReLU", 1, 1, 160, 0)], ["1 2"]))
    assert found.graph["inputs"][0]["shape"] == [4, 10]


def test_missing_sizes_follow_from_neighbours(tmp_path: Path) -> None:
    text = pipedream(
        [
            ("Input", 0, 0, 4 * 602112, 0),
            ("Conv2d(3, 8)", 1, 1, 4000, 96),
            ("ReLU()", 0, 0, 0, 0),
            ("AvgPool2d(kernel_size=7)", 0, 0, 0, 0),
            ("View(-1)", 0, 0, 0, 0),
            ("Linear(in_features=30, out_features=10, bias=True)", 1, 1, 160, 1240),
            ("MaxPool2d(2)", 0, 0, 0, 0),
        ],
        ["1 2", "2 3", "3 4", "4 5", "5 6", "3 7"],
    )
    sizes = {
        name: node["outputs"][0]["bytes"] for name, node in nodes(made(tmp_path, text)).items()
    }
    assert sizes == {
        "node2": 4000,
        "node3": 4000,
        "node4": 480,
        "node5": 480,
        "node6": 160,
        "node7": 4000,
    }
    lost = pipedream([("Input", 0, 0, 4 * 602112, 0), ("Conv2d(3, 8)", 1, 1, 0, 0)], ["1 2"])
    with pytest.raises(PlannerError, match=r"`node2` \(Conv2d\)") as caught:
        made(tmp_path, lost)
    assert [code for code, _ in error_of(caught.value)] == ["PLN615"]


def test_lists_of_sizes_and_stages(tmp_path: Path) -> None:
    text = PIPEDREAM.replace("activation_size=160.000", "activation_size=[100.0; 60.0]")
    text = "\n".join(
        line if line.startswith("\t") else f"{line} -- stage_id=2" for line in text.splitlines()
    )
    assert nodes(made(tmp_path, text))["node8"]["outputs"][0]["bytes"] == 160


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("forward_compute_time=3.000", "forward_compute_time=nan", "PLN611", "is `nan`"),
        ("forward_compute_time=3.000", "forward_compute_time=-3", "PLN611", "is `-3`"),
        ("forward_compute_time=3.000", "forward_compute_time=1e300", "PLN611", "milliseconds"),
        ("backward_compute_time=6.000, ", "", "PLN611", "is missing"),
        ("activation_size=160.000", "activation_size=1e30", "PLN611", "bytes"),
        ("activation_size=160.000", "activation_size=[1;x]", "PLN611", "bytes"),
        ("node9 -- ", "node8 -- ", "PLN615", "listed twice"),
        ("\tnode7 -- node9", "\tnode7 -- node10", "PLN615", "`node10`, which is no node"),
        ("\tnode7 -- node9", "\tnode7 -- node9\n\tnode9 -- node2", "PLN615", "circle"),
        ("\tnode7 -- node9", "\tnode7 -- node9\n\tnode9 -- node1", "PLN615", "circle"),
        ("\tnode7 -- node9", "\tnode7 -", "PLN611", "neither a node nor an edge"),
        ("Input", "Data", "PLN615", "has no layer `Input`"),
        (
            "activation_size=2408448.000, parameter_size=0.000",
            "activation_size=2408448.000, parameter_size=4.000",
            "PLN615",
            "or has parameters",
        ),
        ("activation_size=2408448.000", "activation_size=2408450.000", "PLN616", "no 4 samples"),
    ],
)
def test_refused_profiles(tmp_path: Path, old: str, new: str, code: str, said: str) -> None:
    assert old in PIPEDREAM
    with pytest.raises(PlannerError) as caught:
        made(tmp_path, PIPEDREAM.replace(old, new, 1))
    assert code in [found for found, _ in error_of(caught.value)]
    assert said in str(caught.value)


def test_only_an_input_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(PlannerError, match="no layer beside") as caught:
        made(tmp_path, pipedream([("Input", 1, 0, 160, 0)], []))
    assert [code for code, _ in error_of(caught.value)] == ["PLN615"]


def test_the_command(tmp_path: Path) -> None:
    source = tmp_path / "toy.graph.txt"
    source.write_text(PIPEDREAM, encoding="utf-8")
    graph, costs = tmp_path / "toy.json", tmp_path / "costs.json"
    base = ("import-profile", source, "-o", costs)
    outcome = run_planner(*base, "--graph-out", graph, *FLAGS, "--batch", "4")
    assert outcome.status == 0, outcome
    assert outcome.stdout.startswith("toy: 7 layers, 332 parameters, 4.10 ms forward")
    assert planner.load(graph).name == "toy"
    assert run_planner("plan", graph, "--costs", costs).status == 0
    missing = refused("import-profile", source, "-o", tmp_path / "other.json")
    assert missing.codes() == ["PLN616"] * 4
    assert missing.places() == ["--graph-out", "--server-speed", "--uplink", "--downlink"]
    whole = (*base, "--force", "--graph-out", graph)
    assert refused(*whole, *FLAGS, "--graph", tmp_path / "x").codes() == ["PLN616"]
    assert refused(*whole, *FLAGS, "--frozen", "x").codes() == ["PLN616"]
    assert refused(*whole, *FLAGS[2:], "--server-speed", "0").codes() == ["PLN119"]
    assert refused(*whole, *FLAGS[2:], "--server-speed", "fast").codes() == ["PLN119"]
    assert refused(*whole, *FLAGS, "--latency", "-1ms").codes() == ["PLN119"]
    assert refused(*whole, *FLAGS, "--uplink", "0").codes() == ["PLN119"]
    assert refused(*whole, *FLAGS, "--format", "trtexec").codes() == ["PLN610"]
    same = ("import-profile", source, "-o", tmp_path / "new.json")
    assert refused(*same, "--graph-out", tmp_path / "new.json", *FLAGS).codes() == ["PLN121"]


@pytest.mark.parametrize(
    ("name", "n_layers", "parameters", "forward_s", "backward_s"),
    [
        ("resnet50", 175, 25_557_032, 0.1825, 0.2609),
        ("vgg16", 39, 138_357_544, 0.2339, 0.4386),
        ("densenet121", 427, 7_978_856, 0.1774, 0.1488),
        ("nasnetamobile", 917, 8_585_954, 0.3229, 0.2614),
    ],
)
def test_published_profiles(
    tmp_path: Path, name: str, n_layers: int, parameters: int, forward_s: float, backward_s: float
) -> None:
    source = PUBLISHED / f"{name}.graph.txt"
    if not source.exists():
        pytest.skip("the folder of shared profiles is absent")
    batch = 64 if name == "densenet121" else 128
    scenario = Scenario(server_speed=10.0, uplink_bps=1e9, downlink_bps=1e9, batch=batch)
    found = import_pipedream(recognise(source), name, scenario)
    graph = planner.load(json.dumps(found.graph).encode())
    assert (len(graph.operators), graph.batch) == (n_layers, batch)
    assert graph.summary()["parameters"] == parameters
    rows = found.costs["hosts"][0]["nodes"]
    assert sum(row["forward_s"] for row in rows) == pytest.approx(forward_s, abs=5e-5)
    assert sum(row["backward_s"] for row in rows) == pytest.approx(backward_s, abs=5e-5)
    found.costs["workload"]["iterations_per_round"] = 100
    n_used = []
    for rate, forbidden in ((1e8, []), (1e9, []), (4e9, []), (1e11, ["node1.output"])):
        found.costs["links"][0] |= {"uplink_bps": rate, "downlink_bps": rate}
        found.costs["forbid_crossing"] = forbidden
        path = tmp_path / "costs.json"
        path.write_text(json.dumps(found.costs), encoding="utf-8")
        costs = planner.read_costs(path)
        best, *others = (planner.plan(graph, costs, s) for s in ("auto", "maxflow", "networkx"))
        assert best.certificate.holds
        assert best.certificate.status == "optimal"
        for other in others:
            assert other.certificate.holds
            assert other.placement == best.placement
            assert other.total_s == best.total_s
        n_used.append(len(set(best.placement.values())))
    assert n_used == [1, 1, 1, 2]
