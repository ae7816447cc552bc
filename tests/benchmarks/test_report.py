"""A short run of the benchmark: every solver agrees, in ticks and in placement. Times do not count.

The stored run of the whole benchmark is what docs/benchmarks.md shows.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.speed import report
from benchmarks.speed.results import read
from planner.problems.solution import SOLVERS
from tests.conftest import ROOT

STORED = ROOT / "benchmarks" / "results" / "latest.json"
PAGE = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")


def run(script: str, *arguments: str | Path) -> str:
    command = [sys.executable, "-m", f"benchmarks.speed.{script}", *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def exact_solvers() -> set[str]:
    return {name for name in ("segments", "blockwise", "networkx") if name in SOLVERS.names()}


def assert_exact(results: dict[str, Any], least_states: int) -> None:
    for graph in results["graphs"]:
        check = graph["exactness"]
        assert check["states"] >= least_states, graph["name"]
        for agreement in check["agreements"]:
            counted = ("other_values", "other_placements", "unproved")
            assert not any(agreement[key] for key in counted), (graph["name"], agreement)
        for table in graph["tables"]:
            assert table["wrong"] == 0, (graph["name"], table)


def test_short_run_finds_no_difference_between_solvers(tmp_path: Path) -> None:
    output = tmp_path / "quick.json"
    printed = run("bench", "--quick", "--output", output)
    results = json.loads(output.read_text(encoding="utf-8"))
    assert_exact(results, 20)
    assert len(results["graphs"]) >= 8
    for graph in results["graphs"]:
        assert f"| {graph['title']} |" in printed
        compared = {agreement["solver"] for agreement in graph["exactness"]["agreements"]}
        assert compared >= exact_solvers(), graph["name"]
    # Otherwise it would compare nothing but plans that leave everything on one host.
    assert sum(graph["exactness"]["split_states"] for graph in results["graphs"]) >= 20
    assert sum(graph["exactness"]["boundary_states"] for graph in results["graphs"]) >= 100
    (brute,) = (g for g in results["graphs"] if g["name"] == "lenet5")
    assert "brute-force" in {a["solver"] for a in brute["exactness"]["agreements"]}


def test_stored_run_is_whole_exact_and_anonymous() -> None:
    text = STORED.read_text(encoding="utf-8")
    results = json.loads(text)
    assert not results["is_quick"]
    assert not any("stopped" in note for note in results["notes"])
    assert_exact(results, 50)
    assert {"resnet50", "gpt2", "transformer3000", "transformer50000"} <= {
        graph["name"] for graph in results["graphs"]
    }
    assert not any(folder in text for folder in ("/home", "/root", "/tmp", "/work", "/Users"))


def test_page_shows_the_stored_run() -> None:
    printed = run("report").strip()
    begin = PAGE.index("<!-- benchmark: written by")
    shown = PAGE[PAGE.index("-->", begin) + 3 : PAGE.index("<!-- benchmark: end -->")]
    assert shown.strip() == printed, "python -m benchmarks.speed.report --update docs/benchmarks.md"


def test_readme_shows_its_headlines() -> None:
    shown = README.partition(report.HEADLINES_BEGIN)[2].partition(report.HEADLINES_END)[0]
    printed = report.headlines(read(STORED))
    assert shown.strip() == printed, "python -m benchmarks.speed.report --headlines README.md"


def test_plots_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the extra `plot` is not installed")
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        folder.mkdir()
        run("plots", STORED, folder)
    names = {path.name for path in folders[0].iterdir()}
    assert names == {path.name for path in STORED.parent.glob("*.svg")}
    for name in names:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
