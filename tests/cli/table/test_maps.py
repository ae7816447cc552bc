"""`planner table --map`: what it draws, and what it does without matplotlib."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import planner
from planner.cli import map_requests
from planner.cli.views import table as table_view
from tests.cli.table.conftest import DOWN, SPEED, UP, made_over, spec
from tests.support.cli import refused, run_planner, write_json_file
from tests.support.toys import costs_document, diamond


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
