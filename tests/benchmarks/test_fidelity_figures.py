"""What split runs and profiles came to: figures are computed right, and the page shows them.

Nothing here depends on how long anything took.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.costs.profile_file import Profile, check_profile
from planner.graphs.graph import Graph
from planner.graphs.signatures import model_digest
from tests.benchmarks.branched import branched
from tests.conftest import ROOT
from tests.support import onnx_models as models

pytest.importorskip("onnxruntime")

from benchmarks.fidelity import predictions, profiling, repeatability, report


def cut_result(name: str, *states: tuple[float, float, bool]) -> report.CutResult:
    return report.CutResult(
        name=name,
        n_on_device=1,
        n_crossing=1,
        up_bytes=4,
        predicted_device_s=0.1,
        device_s=0.1,
        predicted_server_s=0.1,
        server_s=0.1,
        states=tuple(
            report.State(
                uplink_bps=rate,
                predicted_s=predicted,
                measured_s=measured,
                spread_s=0.0,
                undisturbed_s=measured / 1.25,
                is_chosen=chosen,
            )
            for rate, (predicted, measured, chosen) in zip((5e7, 1e9), states, strict=True)
        ),
    )


def fidelity(mode: str = "inference") -> report.ModelFidelity:
    return report.ModelFidelity(
        model="net",
        mode=mode,
        batch=1,
        n_operators=3,
        repeat=2,
        cuts=(
            cut_result("one", (1.1, 1.0, True), (1.0, 1.0, False)),
            cut_result("two", (2.0, 2.5, False), (0.9, 1.25, True)),
        ),
        seconds=1.0,
    )


def test_figures_are_computed_right() -> None:
    found = fidelity()
    assert found.mean_error == pytest.approx((0.1 + 0 + 0.2 + 0.28) / 4)
    assert found.worst_error == pytest.approx(0.28)
    assert found.regrets == {5e7: 0.0, 1e9: pytest.approx(0.25)}
    assert [text.split(": ")[1].split()[0] for text in found.misses] == ["mean", "regret", "2"]
    assert "mean" not in " ".join(fidelity("training").misses)
    (row,) = report.table([found])[2:]
    assert row == (
        "| net | inference | 2 | 0 | 50 Mbit/s, 1 Gbit/s | 14.5% | 28.0% | 0.0% | 0.0%, 25.0% "
        "| 18.1%, 25.0% | one, two |"
    )


def test_report_is_stored_and_read(tmp_path: Path) -> None:
    stored = report.Fidelity(
        is_quick=True,
        machine={"processor": "p", "cores": 2, "python": "3", "libraries": {"numpy": "2"}},
        settings={"repeat": "2"},
        models=(fidelity(),),
        notes=(),
    )
    report.write(stored, tmp_path / "found.json")
    assert report.read(tmp_path / "found.json") == stored
    assert "p, 2 cores" in "\n".join(report.summary(stored))
    assert "one" in "\n".join(report.details(stored.models[0]))


def profile_of(graph: Graph, seconds: list[float]) -> Profile:
    """A profile of the device; the first two operators ran as one kernel."""

    def timing(typical_s: float) -> dict[str, object]:
        return {"typical_s": typical_s, "n_runs": 3, "origin": "measured", "method": "test"}

    nodes = [
        {"name": operator.name, "op": operator.op, "forward": timing(s)}
        for operator, s in zip(graph.operators, seconds, strict=True)
    ]
    total = sum(seconds)
    measurement = {
        "model": graph.name,
        "digest": model_digest(graph),
        "batch": graph.batch,
        "mode": "inference",
        "engine": {"name": "test", "version": "1"},
        "started": "",
        "is_complete": True,
        "whole": {"forward": timing(total), "sum_forward_s": 1.02 * total},
        "nodes": nodes,
        "groups": [{"nodes": [graph.operators[0].name, graph.operators[1].name], "reason": "test"}],
    }
    document = {"kind": "profile", "version": 1, "machine": {"name": "test"}}
    return check_profile(document | {"measurements": [measurement]}, "test")


def test_profiles_are_compared_by_what_their_plans_cost() -> None:
    graph = models.load(branched(96))
    size = len(graph.operators)
    even = profile_of(graph, [0.01, 0.0, *[0.01] * (size - 2)])
    same = repeatability.compare("net", graph, even, even, 20, 1.0)
    assert (same.states, same.same, same.near, same.worst, same.share) == (20, 20, 0, 0.0, 1.0)
    assert same.whole_s == pytest.approx((0.09, 0.09))
    slow = profile_of(graph, [1e-9, 0.0, *[1e-9] * (size - 2)])
    other = repeatability.compare("net", graph, even, slow, 20, 1.0)
    # By the second profile the device is faster than anything that has to cross.
    assert other.same == 0
    assert other.worst > 1
    assert other.share < 0.5
    assert "| net | 20 | 0.0% |" in repeatability.table([other])[2]


def test_sums_and_seconds_are_judged() -> None:
    found = profiling.Profiling(
        machine={"processor": "p", "cores": 2, "python": "3", "libraries": {}},
        default_s=61.0,
        models=[
            {"model": "good", "whole_s": 1.0, "sum_s": 0.98, "n_groups": 1, "seconds": 1.0},
            {"model": "bad", "whole_s": 1.0, "sum_s": 1.04, "n_groups": 1, "seconds": 1.0},
        ],
    )
    assert found.misses == ["bad: sum is +4.0% off the whole", "resnet50: 61 s > 60 s"]
    assert "| bad | 1000.00 | 1040.00 | +4.00% | 1 | 1.0 |" in profiling.table(found)


def test_page_shows_the_stored_runs() -> None:
    page = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
    shown = page.partition(predictions.BEGIN)[2].partition(predictions.END)[0]
    assert shown.strip() == predictions.render()
