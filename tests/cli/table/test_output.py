"""`planner table`: what it prints and saves."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path

import pytest

import planner
from planner.cli.views import region_bar
from planner.cli.views import table as table_view
from planner.tables.table import Table
from tests.cli.table.conftest import DOWN, SPEED, UP, made_over
from tests.support.cli import FLAGS, flat_costs, refused, run_planner, write_json_file
from tests.support.toys import costs_document, diamond


def test_one_parameter_for_people(files: tuple[str, ...]) -> None:
    outcome = run_planner("table", *files, *UP)
    assert (outcome.status, outcome.stderr) == (0, "")
    lines = outcome.stdout.splitlines()
    assert lines[0] == "diamond: inference"
    assert lines[1] == "h0 → h1: 10 kbit/s … 1 Gbit/s up, 16 Mbit/s down, 10.00 ms latency"
    table = planner.table(
        planner.load(files[0]), planner.read_costs(files[2]), uplink_bps=(1e4, 1e9)
    )
    assert lines[3] == f"{len(table.plans)} plans over uplink"
    assert re.fullmatch(r"├[─0-9┼]+┤", lines[4])
    assert re.findall(r"\d", lines[4]) == [str(i) for i in range(len(table.plans))]
    assert lines[5].startswith("10 kbit/s ")
    assert lines[5].endswith(" 1 Gbit/s")
    assert lines[6].split() == ["plan", "from", "to", "on", "h0", "round", "from", "to"]
    rows = lines[7 : 7 + len(table.plans)]
    for plan, row in zip(table.plans, rows, strict=True):
        counted = sum(host == "h0" for host in plan.placement.values())
        assert row.startswith(f"{plan.index} ")
        assert f" {counted} of 5 " in row
        sent = next(line for line in lines if re.match(rf"{plan.index} +\S+ k?B ", line))
        assert all(entry.tensor in sent for entry in plan.crossing)
    text = " ".join(lines)
    assert "Complete: no other plan is faster anywhere in the range." in text
    assert f"Proof: {table.proof.n_solves} exact solves ({table.proof.solver}, " in text
    assert f"one at each of the {len(table.proof.vertices)} corners of the regions" in text
    assert all(len(line) <= 80 for line in lines)
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in outcome.stdout


def test_several_parameters_for_people(files: tuple[str, ...]) -> None:
    outcome = run_planner("table", *files, *UP, *DOWN, *SPEED)
    assert (outcome.status, outcome.stderr) == (0, "")
    lines = outcome.stdout.splitlines()
    assert lines[2] == "h0: 0.25x … 4x its speed"
    assert lines[4].endswith(" plans over uplink, downlink and device speed")
    shares = re.findall(r"^\d+ +([\d.]+)%", outcome.stdout, re.MULTILINE)
    assert sum(map(float, shares)) == pytest.approx(100, abs=0.5)
    assert "Where each is best: within" in lines
    assert "Complete: " in outcome.stdout
    assert all(len(line) <= 90 for line in lines)


def test_one_plan_everywhere(tmp_path: Path, files: tuple[str, ...]) -> None:
    costs = write_json_file(tmp_path / "flat.json", flat_costs())
    outcome = run_planner("table", files[0], "--costs", costs, *UP, "--pin", "join=device")
    assert "1 plan over uplink" in outcome.stdout
    assert "Complete: this plan is best everywhere in the range." in outcome.stdout


def test_routes_of_three_hosts(tmp_path: Path, files: tuple[str, ...]) -> None:
    costs = write_json_file(tmp_path / "three.json", costs_document(diamond(), 3))
    outcome = run_planner("table", files[0], "--costs", costs, *UP)
    assert outcome.status == 0
    assert "h1 → h2: 10 kbit/s … 1 Gbit/s up" in outcome.stdout
    assert "per host" in outcome.stdout
    assert re.search(r" \d \+ \d \+ \d ", outcome.stdout)


@pytest.mark.parametrize("columns", [40, 60, 120])
def test_any_width(files: tuple[str, ...], columns: int) -> None:
    for ranges in (UP, (*UP, *DOWN)):
        outcome = run_planner("table", *files, *ranges, columns=columns)
        assert outcome.status == 0
        bars = [line for line in outcome.stdout.splitlines() if line.startswith("├")]
        assert [len(line) for line in bars] == [min(80, columns)] * (len(ranges) == 2)
        assert "Complete: " in outcome.stdout


def test_terminal_that_is_not_utf8(files: tuple[str, ...]) -> None:
    code = "from planner.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "table", *files, *UP],
        env={"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin"},
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.search(rb"^\+[-0-9+]+\+$", done.stdout, re.MULTILINE)
    assert b"10 kbit/s ... 1 Gbit/s up" in done.stdout


def test_bar_of_narrow_regions() -> None:
    graph = diamond()
    document = costs_document(graph, 2)
    costs = planner.costs.cost_file.check_costs(document, "costs")
    table = planner.table(graph, costs, uplink_bps=(1e-3, 1e18))
    with redirect_stdout(io.StringIO()):
        for width in (12, 30, 80):
            drawn, scale = region_bar.bar(table, width)
            assert len(drawn) == width
            assert scale.startswith("0.001 bit/s")
            assert scale.endswith("bit/s")


def test_json_is_one_document_and_what_is_saved(files: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    outcome = run_planner("table", *files, *UP, "--format", "json", "-o", path)
    assert (outcome.status, outcome.stderr) == (0, f"wrote {path}\n")
    assert path.read_text(encoding="utf-8") == outcome.stdout
    table = planner.read_table(path)
    assert table.to_dict() == json.loads(outcome.stdout)
    assert table.file.graph_digest == planner.load(files[0]).digest
    assert table.file.costs_digest == planner.read_costs(files[2]).digest


def test_existing_file_needs_force(files: tuple[str, ...], tmp_path: Path) -> None:
    path = tmp_path / "table.json"
    path.write_text("mine")
    assert refused("table", *files, *UP, "-o", path).codes() == ["PLN120"]
    assert path.read_text() == "mine"
    assert run_planner("table", *files, *UP, "-o", path, "--force").status == 0
    assert planner.read_table(path).plans
    outcome = refused("table", *files, *UP, "-o", files[2], "--force")
    assert (outcome.codes(), outcome.places()) == (["PLN121"], [files[2]])


def test_single_values_override_the_costs(files: tuple[str, ...]) -> None:
    found = [
        json.loads(run_planner("table", *files, *UP, *more, "--format", "json").stdout)
        for more in ((), ("--downlink", "1Mbit/s"))
    ]
    assert [document["links"][0]["downlink_bps"] for document in found] == [16e6, 1e6]
    assert found[0]["costs_digest"] != found[1]["costs_digest"]


def test_without_a_costs_file(tmp_path: Path, files: tuple[str, ...]) -> None:
    flags = list(FLAGS)
    flags[flags.index("--uplink") + 1] = "1Mbit/s..1Gbit/s"
    outcome = run_planner("table", files[0], *flags, "--format", "json")
    assert outcome.status == 0, outcome.stderr
    document = json.loads(outcome.stdout)
    assert document["links"] == [{"uplink_bps": None, "downlink_bps": 72e6, "latency_s": 0.0}]
    assert run_planner("table", files[0], *flags, *SPEED).status == 0
    outcome = refused("table", files[0], "--device", "jetson-tx2", *UP)
    assert outcome.codes() == ["PLN122"]
    assert "--uplink 10kbit/s..1Gbit/s" in outcome.hints()[0]
    outcome = refused("table", files[0], "--device", "jetson-tx2", "--device-speed", "0.5..1")
    command = shlex.split(outcome.hints()[0])[1:]
    assert command[-2:] == ["--device-speed", "0.5..1"]
    assert run_planner(*command).status == 0


def test_rules_hold_in_every_plan(files: tuple[str, ...]) -> None:
    outcome = run_planner("table", *files, *UP, "--pin", "stem=h0", "--format", "json")
    document = json.loads(outcome.stdout)
    stem = document["nodes"].index("stem")
    assert {plan["placement"][stem] for plan in document["plans"]} == {0}
    outcome = refused("table", *files, *UP, "--pin", "stem=h1", "--pin", "join=h0", status=3)
    assert outcome.codes() == ["PLN401"]


def test_what_a_gap_leaves_open() -> None:
    table = made_over(uplink_bps=(1e4, 1e9))
    assert table_view.verdict(table).startswith("Complete: no other plan")
    proof = table.proof.model_copy(update={"largest_relative_gap": 3e-8})
    lines = table_view.verdict(Table(file=table.file.model_copy(update={"proof": proof})))
    assert lines.startswith("Complete but for 3e-08 of the delay: no other plan is faster by more")
    assert all(len(line) <= 80 for line in lines.splitlines())


def test_tables_need_neither_matplotlib_nor_scipy(files: tuple[str, ...]) -> None:
    code = (
        "import sys\nfrom planner.cli import run\n"
        "assert run(sys.argv[1:]) == 0\n"
        "loaded = [m for m in ('matplotlib', 'scipy') if m in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    for command in (("table", *UP), ("table", *UP, *DOWN, *SPEED), ("plan",)):
        done = subprocess.run(
            [sys.executable, "-c", code, *command, *files], capture_output=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, b"")
