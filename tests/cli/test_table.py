"""`planner table`: what it prints, saves and draws, and how it refuses what it cannot do."""

from __future__ import annotations

import io
import json
import math
import re
import shlex
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import planner
from planner.cli import map_requests
from planner.cli.views import region_bar
from planner.cli.views import table as table_view
from planner.costs.cost_file import check_costs
from planner.tables.table import Table
from tests.support.cli import FLAGS, flat_costs, refused, run_planner, write_json_file
from tests.support.toys import costs_document, diamond

UP = ("--uplink", "10kbit/s..1Gbit/s")
DOWN = ("--downlink", "10kbit/s..1Gbit/s")
SPEED = ("--device-speed", "0.25..4")


def spec() -> dict[str, Any]:
    """The diamond as a graph spec."""
    graph = diamond()
    nodes = [
        {
            "name": op.name,
            "op": op.op,
            "inputs": [graph.tensors[t].name for t in op.inputs],
            "parameters": [graph.parameters[p].name for p in op.parameters],
            "outputs": [
                {"name": graph.tensors[t].name, "bytes": graph.tensors[t].size_bytes}
                for t in op.outputs
            ],
        }
        for op in graph.operators
    ]
    return {
        "kind": "graph",
        "version": 1,
        "name": "diamond",
        "inputs": [{"name": "x", "bytes": 600_000}],
        "outputs": ["join_out"],
        "parameters": [{"name": p.name, "bytes": p.size_bytes} for p in graph.parameters],
        "nodes": nodes,
    }


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    """`GRAPH --costs FILE`."""
    graph = write_json_file(tmp_path / "diamond.json", spec())
    document = costs_document(diamond(), 2, workload={"mode": "inference"})
    costs = write_json_file(tmp_path / "costs.json", document)
    return str(graph), "--costs", str(costs)


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


@pytest.mark.parametrize(
    ("arguments", "code", "place", "words"),
    [
        ((), "PLN412", "planner table", "there is no range"),
        (("--uplink", "20Mbit/s"), "PLN412", "planner table", "there is no range"),
        (("--uplink", "1Mbit/s-1Gbit/s"), "PLN119", "--uplink", "`--uplink 1Mbit/s..1Gbit/s`"),
        (("--uplink", "1Mbit/s…1Gbit/s"), "PLN119", "--uplink", "`--uplink 1Mbit/s..1Gbit/s`"),
        ((*DOWN, "--uplink", "1e-2 \u2013 1e9"), "PLN119", "--uplink", "`--uplink 1e-2..1e9`"),
        (("--device-speed", "0.5-1"), "PLN119", "--device-speed", "`--device-speed 0.5..1`"),
        (("--uplink", "1e-2Mbit"), "PLN119", "--uplink", "is no unit"),
        (("--uplink", "x..1Gbit/s"), "PLN119", "--uplink", "example `--uplink 1Mbit/s..1Gbit/s`"),
        (("--uplink", "0..1Gbit/s"), "PLN119", "--uplink", "example `--uplink 1Mbit/s..1Gbit/s`"),
        (("--device-speed", "x..1"), "PLN119", "--device-speed", "`--device-speed 0.25..1`"),
        (("--latency", "1ms..2ms"), "PLN119", "--latency", "latency cannot vary in a table"),
        ((*UP, "--latency", "1ms..2ms"), "PLN119", "--latency", "latency cannot vary in a table"),
        (
            ("--uplink", "1000000..1000000.0000000001"),
            "PLN412",
            "--uplink",
            "too close: 1 / low is 1 / high",
        ),
        (("--uplink", "1Mbit/s.."), "PLN119", "--uplink", "has no upper end"),
        (("--uplink", "..1Mbit/s"), "PLN119", "--uplink", "has no lower end"),
        (("--uplink", ".."), "PLN119", "--uplink", "has no lower end"),
        (("--uplink", "1Gbit/s..1Mbit/s"), "PLN119", "--uplink", "runs backwards"),
        (("--uplink", "1Mbit/s..1000kbit/s"), "PLN119", "--uplink", "is a single value"),
        (("--uplink", "0..1Mbit/s"), "PLN119", "--uplink", "is out of range"),
        (("--uplink", "-1Mbit/s..1Mbit/s"), "PLN119", "--uplink", "is out of range"),
        (("--uplink", "1Mbit/s..1e20"), "PLN119", "--uplink", "is out of range"),
        (("--uplink", "1..10Mbit/s"), "PLN119", "--uplink", "unit at one end only"),
        (("--uplink", "1Mbit/s..1e9"), "PLN119", "--uplink", "unit at one end only"),
        (("--uplink", "1Mbit/s..1Gbits"), "PLN119", "--uplink", "is no unit"),
        (("--uplink", "a..b"), "PLN119", "--uplink", "is no quantity"),
        (("--uplink", "1Mbit/s...1Gbit/s"), "PLN119", "--uplink", "more than two dots"),
        (("--uplink", "nan..1Gbit/s"), "PLN119", "--uplink", "is no quantity"),
        ((*UP, "--uplink", "1Mbit/s"), "PLN119", "--uplink", "given 2 times"),
        (("--device-speed", "0.5"), "PLN119", "--device-speed", "is one value"),
        (("--device-speed", "1..0.25"), "PLN119", "--device-speed", "runs backwards"),
        (("--device-speed", "1..1"), "PLN119", "--device-speed", "is a single value"),
        (("--device-speed", "0..1"), "PLN119", "--device-speed", "is out of range"),
        (("--device-speed", "1..2GHz"), "PLN119", "--device-speed", "is no unit"),
        ((*UP, "--at", "uplink=1Mbit/s"), "PLN415", "--at", "there is no `--map`"),
        ((*UP, "--map", "m.svg"), "PLN415", "--map", "needs two ranges"),
        (
            (*UP, "--downlink", "7e6..7000000.000000002", "--map", "m.svg"),
            "PLN415",
            "--map",
            "too narrow to be drawn",
        ),
        ((*UP, *DOWN, "--map", "m.jpg"), "PLN415", "--map", "neither an SVG nor a PNG"),
        ((*UP, *DOWN, "--map", "-"), "PLN415", "--map", "neither an SVG nor a PNG"),
        ((*UP, *DOWN, *SPEED, "--map", "m.svg"), "PLN415", "--map", "there are three"),
        (
            (*UP, *DOWN, *SPEED, "--map", "m.svg", "--at", "latency=1ms"),
            "PLN415",
            "--at",
            "is no place for a map",
        ),
        ((*UP, *DOWN, "--map", "no/m.svg"), "PLN121", "no/m.svg", "no folder"),
        ((*UP, "--solver", "best-prefix"), "PLN501", "--solver", "has no proof"),
        ((*UP, "--solver", "maxfow"), "PLN301", "--solver", "is not registered"),
    ],
)
def test_what_is_refused(
    files: tuple[str, ...], arguments: tuple[str, ...], code: str, place: str, words: str
) -> None:
    status = 5 if code == "PLN501" else 2
    outcome = refused("table", *files, *arguments, status=status)
    assert (outcome.codes(), outcome.places()) == ([code], [place])
    assert words in outcome.stderr


def test_all_bad_ranges_at_once(files: tuple[str, ...]) -> None:
    arguments = ("--uplink", "1Mbit/s..", "--downlink", "2..1", "--device-speed", "x..1")
    outcome = refused("table", *files, *arguments)
    assert outcome.places() == ["--uplink", "--downlink", "--device-speed"]


def test_a_range_is_no_value_for_other_commands(files: tuple[str, ...]) -> None:
    outcome = refused("plan", *files, *UP)
    assert (outcome.codes(), outcome.places()) == (["PLN119"], ["--uplink"])
    assert outcome.hints() == ["`planner table` takes ranges of rates"]


def test_map_is_drawn_and_is_the_same_again(files: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    texts = []
    for name in ("one.svg", "two.svg"):
        path = tmp_path / name
        outcome = run_planner("table", *files, *UP, *DOWN, "--map", path)
        assert (outcome.status, outcome.stderr) == (0, f"wrote {path}\n")
        texts.append(path.read_bytes())
    assert texts[0] == texts[1]
    drawn = "".join(ElementTree.fromstring(texts[0]).itertext())
    table = planner.table(
        planner.load(files[0]),
        planner.read_costs(files[2]),
        uplink_bps=(1e4, 1e9),
        downlink_bps=(1e4, 1e9),
    )
    for plan in table.plans:
        assert f"{plan.index}: " in drawn
    for word in ("uplink", "downlink", "diamond: the best plan", "1 Mbit/s", "operators per host"):
        assert word in drawn
    assert refused("table", *files, *UP, *DOWN, "--map", tmp_path / "one.svg").codes() == ["PLN120"]


def test_map_of_a_slice(files: tuple[str, ...], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    path = tmp_path / "map.png"
    flags = (*UP, *DOWN, *SPEED, "--map", path)
    assert run_planner("table", *files, *flags, "--at", "device-speed=0.5").status == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert run_planner("table", *files, *flags, "--at", "downlink=1Mbit/s", "--force").status == 0
    outcome = refused("table", *files, *flags, "--force", "--at", "device-speed=5")
    assert (outcome.codes(), outcome.places()) == (["PLN415"], ["--at"])
    outcome = refused("table", *files, *flags, "--force", "--at", "device-speed=fast")
    assert (outcome.codes(), outcome.places()) == (["PLN119"], ["--at"])
    outcome = refused("table", *files, *UP, *DOWN, "--map", "x.svg", "-o", "x.svg")
    assert (outcome.codes(), outcome.places()) == (["PLN121"], ["--map"])


def test_map_without_matplotlib(
    files: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(map_requests, "find_spec", lambda name: None)
    path = tmp_path / "map.svg"
    outcome = refused("table", *files, *UP, *DOWN, "--map", path, status=4)
    assert (outcome.codes(), outcome.places()) == (["PLN302"], ["--map"])
    assert outcome.hints() == ["pip install 'dnn-partition-planner[plot]'"]
    assert not path.exists()


def test_map_with_a_broken_matplotlib(
    files: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "matplotlib"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('no libfreetype')")
    for name in [m for m in sys.modules if m.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    output, path = tmp_path / "table.json", tmp_path / "map.svg"
    outcome = refused("table", *files, *UP, *DOWN, "-o", output, "--map", path, status=4)
    assert (outcome.codes(), outcome.places()) == (["PLN302"], ["--map"])
    assert "no libfreetype" in outcome.stderr
    assert not path.exists()
    assert not output.exists()


def made_over(**ranges: tuple[float, float]) -> Table:
    graph = diamond()
    return planner.table(graph, check_costs(costs_document(graph, 2), "costs"), **ranges)


def test_narrow_ranges_are_shared_out_and_labelled() -> None:
    """`np.geomspace` leaves them, by a bit."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from planner.cli.views.table_map import label_places

    for low in (1e6, 3e6, 7e6, 1.1e7, 1.7e7, 1e9 / 3):
        narrow = (low, low * (1 + 4e-16))
        table = made_over(uplink_bps=narrow, downlink_bps=(1e4, 1e9))
        assert sum(table_view.shares(table)) == pytest.approx(1)
        assert label_places(table, table.parameters, {})


def test_outlines_over_many_orders_of_magnitude() -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    from planner.cli.views.table_map import outlines

    for low, high in ((1e3, 1e9), (1e-1, 1e14), (1e-3, 1e18)):
        table = made_over(uplink_bps=(low, high), downlink_bps=(low, high))
        assert len(table.plans) > 1
        for plan, outline in outlines(table, table.parameters, {}):
            assert ((outline >= low) & (outline <= high)).all()
            totals = [plan.total_s(*state) for state in outline]
            best = table.best_many(uplink_bps=outline[:, 0], downlink_bps=outline[:, 1]).totals_s
            assert totals == pytest.approx(best.tolist(), rel=1e-12)
            steps = np.abs(np.diff(np.log(outline), axis=0, append=np.log(outline[:1])))
            assert steps.max() <= math.log(high / low) / 59 * 1.01


def test_what_a_gap_leaves_open() -> None:
    table = made_over(uplink_bps=(1e4, 1e9))
    assert table_view.verdict(table).startswith("Complete: no other plan")
    proof = table.proof.model_copy(update={"largest_relative_gap": 3e-8})
    lines = table_view.verdict(Table(file=table.file.model_copy(update={"proof": proof})))
    assert lines.startswith("Complete but for 3e-08 of the delay: no other plan is faster by more")
    assert all(len(line) <= 80 for line in lines.splitlines())


def test_map_of_strange_names(files: tuple[str, ...], tmp_path: Path) -> None:
    """Neither formulas, nor markup, nor what no XML file may hold, nor letters without a font."""
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    graph = write_json_file(tmp_path / "g.json", {**spec(), "name": "$a_b$ <&> \x1b[31m\x00"})
    document = costs_document(diamond(), 2, workload={"mode": "inference"})
    document["hosts"] = [
        {**host, "name": name}
        for host, name in zip(document["hosts"], ("$x$", "\u8bbe\u5907"), strict=True)
    ]
    costs = write_json_file(tmp_path / "c.json", document)
    for name in ("map.svg", "map.png"):
        outcome = run_planner(
            "table", graph, "--costs", costs, *UP, *DOWN, "--map", tmp_path / name
        )
        assert (outcome.status, outcome.stderr) == (0, f"wrote {tmp_path / name}\n")
    drawn = "".join(ElementTree.parse(tmp_path / "map.svg").getroot().itertext())
    assert "$a_b$ <&> \\x1b[31m\\x00: the best plan" in drawn
    assert "5 \u8bbe\u5907" in drawn


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
