"""`planner plan`: what it prints and writes, and that every flag does what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planner.plans.plan_file import read_plan
from tests.support.cli import (
    COSTS,
    FLAGS,
    GRAPH,
    chain,
    changed,
    flat_costs,
    refused,
    run_planner,
    write_json_file,
)


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return write_json_file(tmp_path / "toy.json", GRAPH)


@pytest.fixture
def costs(tmp_path: Path) -> Path:
    return write_json_file(tmp_path / "costs.json", COSTS)


def planned(*arguments: str | Path) -> dict[str, Any]:
    outcome = run_planner("plan", *arguments, "--format", "json")
    assert outcome.status == 0, outcome.stderr
    found = json.loads(outcome.stdout)
    assert isinstance(found, dict)
    return found


def test_table_for_people(graph: Path, costs: Path) -> None:
    outcome = run_planner("plan", graph, "--costs", costs, "--server", "a100")
    assert (outcome.status, outcome.stderr) == (0, "")
    lines = outcome.stdout.splitlines()
    assert lines[0] == "toy: training, batch 4, 5 iterations per round, float16 on the wire"
    assert lines[1] == "device → server: 50 Mbit/s up, 100 Mbit/s down, 2.00 ms latency"
    for heading in ("Placement: 3 operators", "Crossing: ", "Delay", "Compared with", "Optimal: "):
        assert any(line.startswith(heading) for line in lines), heading
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in outcome.stdout


def test_json_is_one_document_and_what_is_saved(graph: Path, costs: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    outcome = run_planner("plan", graph, "--costs", costs, "--format", "json", "-o", path)
    assert outcome.status == 0
    assert outcome.stderr == f"wrote {path}\n"
    assert path.read_text(encoding="utf-8") == outcome.stdout
    assert read_plan(path).to_dict() == json.loads(outcome.stdout)
    assert path.stat().st_mode & 0o077 == 0o666 & ~_umask() & 0o077


def _umask() -> int:
    import os

    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_flags_replace_a_costs_file(graph: Path) -> None:
    found = planned(graph, *FLAGS)
    assert found["hosts"] == ["device", "server"]
    assert found["iterations_per_round"] == 1


def test_flags_override_the_costs_file(graph: Path, costs: Path) -> None:
    before = planned(graph, "--costs", costs)
    found = planned(graph, "--costs", costs, "--iterations", "9", "--latency", "1s")
    assert (before["iterations_per_round"], found["iterations_per_round"]) == (5, 9)
    assert before["costs_digest"] != found["costs_digest"]
    inference = planned(graph, "--costs", costs, "--mode", "inference")
    assert (inference["mode"], inference["iterations_per_round"]) == ("inference", 1)


def test_rules_from_flags(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "g.json", chain(4))
    costs = write_json_file(tmp_path / "c.json", flat_costs())
    found = planned(graph, "--costs", costs, "--pin", "n0=device", "--pin", "n2=server")
    hosts = [entry["host"] for entry in found["placement"]]
    assert (hosts[0], hosts[2], hosts[3]) == ("device", "server", "server")
    tied = planned(
        graph, "--costs", costs, "--pin", "n0=device", "--pin", "n3=server", "--forbid", "t1",
        "--together", "n0,n1,n2",
    )  # fmt: skip
    assert [entry["host"] for entry in tied["placement"]] == ["device"] * 3 + ["server"]


def test_rates_are_given_once_or_once_per_link(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "g.json", chain(3))
    document = flat_costs()
    document["hosts"].insert(1, {**document["hosts"][0], "name": "edge"})
    document["links"] *= 2
    costs = write_json_file(tmp_path / "c.json", document)
    pins = ("--pin", "n0=device", "--pin", "n1=edge", "--pin", "n2=server")
    once = planned(graph, "--costs", costs, *pins, "--uplink", "8bit/s")
    assert [entry["up_s"] for entry in once["crossing"]] == [4.0, 4.0]
    each = planned(graph, "--costs", costs, *pins, "--uplink", "8bit/s", "--uplink", "16bit/s")
    assert [entry["up_s"] for entry in each["crossing"]] == [4.0, 2.0]


def test_batch_overrides_that_of_the_costs(graph: Path, costs: Path) -> None:
    assert planned(graph, "--costs", costs, "--batch", "8")["batch"] == 8


def test_costs_for_a_batch_and_a_graph_that_knows_none(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "g.json", chain(2))
    costs = write_json_file(tmp_path / "c.json", flat_costs(workload={"batch_size": 32}))
    assert planned(graph, "--costs", costs)["batch"] is None
    outcome = refused("plan", graph, "--costs", costs, "--batch", "3")
    assert (outcome.codes(), outcome.places()) == (["PLN209"], [str(graph)])


def test_operator_that_was_folded(tmp_path: Path) -> None:
    document = chain(2)
    constant = {"name": "k", "op": "C", "outputs": [{"name": "kt", "bytes": 4}]}
    document["nodes"].append(constant)
    document["nodes"][0]["inputs"].append("kt")
    graph = write_json_file(tmp_path / "g.json", document)
    rows = {"name": "device", "model": "table", "nodes": [{"name": "k", "forward_s": 1}]}
    rows["default"] = {"forward_s": 1e-3, "backward_s": 1e-3}
    costs = write_json_file(tmp_path / "c.json", changed(flat_costs(), "hosts.0", rows))
    noted = run_planner("plan", graph, "--costs", costs)
    assert noted.status == 0
    note = "note: `device`: 1 row is for an operator that was folded away: `k`"
    assert note in noted.stderr.splitlines()
    by_flag = refused("plan", graph, "--costs", costs, "--pin", "k=server")
    assert (by_flag.codes(), by_flag.places()) == (["PLN304"], ["--pin"])
    assert "constant: computed from constants alone" in by_flag.stderr


def test_flags_of_the_other_mode_are_mentioned(graph: Path, costs: Path) -> None:
    outcome = run_planner("plan", graph, "--costs", costs, "--return-outputs")
    assert outcome.status == 0
    assert outcome.stderr.startswith("warning: `--return-outputs` has no effect in training")
    outcome = run_planner("plan", graph, "--costs", costs, "--mode", "inference", "--labels", "4B")
    assert outcome.stderr == "warning: `--labels` has no effect in inference\n"


def test_inference_shows_one_column_of_times(graph: Path, costs: Path) -> None:
    outcome = run_planner("plan", graph, "--costs", costs, "--mode", "inference")
    lines = outcome.stdout.splitlines()
    assert lines[0] == "toy: inference, batch 4, float16 on the wire"
    assert lines[lines.index("Delay") + 1].split() == ["term", "time", "share"]


LONG = "transformer/encoder/layer.11/attention/output/dense/MatMul_with_a_name_that_goes_on_and_on"


@pytest.mark.parametrize("extra", [(), ("--all",)])
def test_long_names_fit_into_80_columns(tmp_path: Path, extra: tuple[str, ...]) -> None:
    text = json.dumps(chain(3)).replace('"n1"', f'"{LONG}"').replace('"t0"', f'"{LONG}_0"')
    graph = tmp_path / "g.json"
    graph.write_text(text)
    costs = write_json_file(tmp_path / "c.json", flat_costs())
    outcome = run_planner(
        "plan",
        graph,
        "--costs",
        costs,
        "--pin",
        "n0=device",
        "--pin",
        f"{LONG}=server",
        *extra,
        columns=80,
    )
    assert outcome.status == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    start = next(i for i, line in enumerate(lines) if line.startswith("tensor "))
    table = lines[start : lines.index("", start)]
    assert "32.00 µs" in table[1]
    width = table[0].index("producer")
    assert "".join(line[:width].strip() for line in table[1:]) == f"{LONG}_0"


def test_a_pipe_gets_every_row_on_one_line(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "g.json", changed(chain(2), "nodes.0.name", LONG * 3))
    costs = write_json_file(tmp_path / "c.json", flat_costs())
    outcome = run_planner("plan", graph, "--costs", costs, "--all")
    assert f"device  {LONG * 3}" in outcome.stdout or f"server  {LONG * 3}" in outcome.stdout


NASTY = "a\x1b[31m\x07\n[red]b[/red]\x9b2J\u202e:smile:"


def test_names_cannot_steer_the_terminal(tmp_path: Path) -> None:
    document = changed(chain(2), "nodes.0.name", NASTY)
    document["name"] = document["nodes"][0]["outputs"][0]["name"] = NASTY
    document["nodes"][1]["inputs"] = [NASTY]
    graph = write_json_file(tmp_path / "g.json", document)
    costs = write_json_file(
        tmp_path / "c.json", flat_costs(pins=[{"node": "n1", "host": "server"}])
    )
    shown = r"a\x1b[31m\x07\n[red]b[/red]\x9b2J\u202e:smile:"
    outcome = run_planner("plan", graph, "--costs", costs, "--pin", f"{NASTY}=device", "--all")
    assert outcome.status == 0, outcome.stderr
    assert shown in outcome.stdout
    broken = refused("plan", graph, "--costs", costs, "--pin", "a=device")
    parsed = run_planner("plan", graph, "--costs", costs, "--format", "json")
    for text in (outcome.stdout, broken.stderr, parsed.stdout):
        assert not set(text) & {"\x1b", "\x07", "\x9b"}
    assert NASTY in json.loads(parsed.stdout)["graph"]


def test_three_hosts_inference_with_returned_outputs(tmp_path: Path) -> None:
    document = flat_costs(workload={"mode": "inference", "return_outputs": True})
    document["hosts"].insert(1, {**document["hosts"][0], "name": "edge"})
    document["links"] *= 2
    document["pins"] = [{"node": "n0", "host": "edge"}, {"node": "n1", "host": "server"}]
    costs = write_json_file(tmp_path / "c.json", document)
    graph = write_json_file(tmp_path / "g.json", chain(2))
    outcome = run_planner("plan", graph, "--costs", costs)
    assert outcome.status == 0
    assert "device → edge: 1 Mbit/s up, 1 Mbit/s down" in outcome.stdout
    assert "edge → server  t0" in outcome.stdout
