"""The measuring program: what it writes, how it stops and goes on, and what it refuses."""

from __future__ import annotations

import ast
import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper

from planner import zoo
from planner.costs.profile_file import Machine, Measurement, read_profile
from planner.drafts.frontend import LoadOptions
from planner.measuring.bundles import write_bundle
from planner.probe.__main__ import main
from planner.probe.bundle import Bundle
from planner.probe.errors import ProbeError
from planner.probe.forward import providers
from planner.probe.forward import runs as forward
from planner.probe.forward.sessions import SessionMaker
from planner.probe.machine import default_threads, describe_machine
from planner.probe.reporting import Reporter
from planner.probe.settings import Settings
from planner.probe.statistics import timing, typical
from tests.support.onnx_models import model, tensor, weight

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

PROBE = Path(forward.__file__).parent.parent
SOURCES = sorted(PROBE.rglob("*.py"))


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of LeNet-5."""
    folder = tmp_path_factory.mktemp("lenet")
    source = folder / "lenet5.onnx"
    source.write_bytes(zoo.build("lenet5").SerializeToString())
    (folder / "bundle").mkdir()
    write_bundle(folder / "bundle", source, options=LoadOptions())
    return folder / "bundle"


def measure(bundle: Path, output: Path, *flags: str) -> int:
    common = ["-o", str(output), "--mode", "inference", "--threads", "1", "--repeat", "2"]
    return main([str(bundle), *common, *flags])


@pytest.mark.parametrize("method", ["trace", "segments"])
@pytest.mark.parametrize("level", ["all", "disabled"])
def test_a_profile_adds_up_to_the_whole(
    lenet: Path, tmp_path: Path, method: str, level: str
) -> None:
    output = tmp_path / "p.json"
    assert measure(lenet, output, "--method", method, "--optimization", level) == 0
    (found,) = read_profile(output).measurements
    manifest = json.loads((lenet / "manifest.json").read_text())
    assert found.is_complete
    assert found.whole is not None
    assert [row.node for row in found.nodes] == [o["name"] for o in manifest["operators"]]
    assert [row.signature for row in found.nodes] == [o["signature"] for o in manifest["operators"]]
    total = math.fsum(row.forward.typical_s for row in found.nodes)
    assert total == pytest.approx(found.whole.forward.typical_s, rel=1e-12)
    assert found.whole.sum_forward_s > 0
    assert found.digest == manifest["model"]["digest"]
    seconds = {row.node: row.forward.typical_s for row in found.nodes}
    for group in found.groups:
        assert all(seconds[name] == 0 for name in group.nodes[1:])
    if (method, level) == ("trace", "disabled"):
        assert not found.groups


def test_no_fusion_is_no_optimisation(lenet: Path, tmp_path: Path) -> None:
    assert measure(lenet, tmp_path / "p.json", "--no-fusion") == 0
    (found,) = read_profile(tmp_path / "p.json").measurements
    assert found.engine.optimization == "disabled"
    assert not found.groups


def test_a_shared_model_is_measured(shared_models: Path, tmp_path: Path) -> None:
    source = shared_models / "squeezenet1_1.dyn.onnx"
    write_bundle(tmp_path, source, options=LoadOptions())
    assert measure(tmp_path, tmp_path / "p.json") == 0
    (found,) = read_profile(tmp_path / "p.json").measurements
    assert any("Conv" in row.op for row in found.nodes)
    assert found.groups


def test_an_existing_file_is_kept(
    lenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "p.json"
    output.write_text("mine")
    assert measure(lenet, output) == 2
    assert "PLN121" in capsys.readouterr().err
    assert output.read_text() == "mine"
    assert measure(lenet, output, "--force") == 0


def interrupting(bundle: Path, settings: Settings, after: int) -> dict[str, Any]:
    """A measurement that is interrupted after some rounds."""
    reporter = Reporter()
    steps = 0

    def step(units: float = 1) -> None:
        nonlocal steps
        steps += 1
        reporter.interrupted = steps == after

    reporter.step = step  # type: ignore[method-assign]
    return forward.measure_inference(Bundle(bundle), settings, reporter)


@pytest.mark.parametrize("method", ["trace", "segments"])
def test_what_was_interrupted_goes_on(lenet: Path, method: str) -> None:
    settings = Settings(repeat=5, method=method)
    partial = interrupting(lenet, settings, 2)
    assert not Measurement.model_validate(partial).is_complete
    state = json.loads(json.dumps(partial["unfinished"]))
    assert len(state["whole"]) == 2
    done = forward.measure_inference(Bundle(lenet), settings, Reporter(), state)
    assert done["is_complete"]
    assert done["whole"]["forward"]["n_runs"] == 5


def test_resume_needs_the_same_model_and_settings(
    lenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "p.json"
    assert measure(lenet, output, "--resume") == 2
    assert "PLN606" in capsys.readouterr().err
    assert measure(lenet, output) == 0
    document = json.loads(output.read_text())
    complete = document["measurements"][0]
    assert measure(lenet, output, "--resume") == 0
    assert json.loads(output.read_text())["measurements"] == [complete]
    partial = interrupting(lenet, Settings(repeat=5, seed=3), 2)
    document["measurements"] = [partial]
    output.write_text(json.dumps(document))
    assert measure(lenet, output, "--resume") == 2
    assert "seed 3, not 0" in capsys.readouterr().err
    assert measure(lenet, output, "--resume", "--seed", "3") == 0
    assert read_profile(output).measurements[0].is_complete
    (fed,) = partial["inputs"]
    others = (
        ("digest", "0" * 64, "another model"),
        ("batch", 7, "batch 7"),
        ("inputs", [{**fed, "shape": [*fed["shape"][:-1], 99]}], "inputs of other shapes"),
        ("gradients", "0" * 64, "other parameters frozen"),
    )
    for key, value, text in others:
        changed = {**partial, key: value}
        output.write_text(json.dumps({**document, "measurements": [changed]}))
        assert measure(lenet, output, "--resume", "--seed", "3") == 2
        assert text in capsys.readouterr().err


def test_an_absent_provider_is_named_with_those_present(
    lenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert measure(lenet, tmp_path / "p.json", "--provider", "abacus", "--progress", "json") == 2
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    (event,) = [event for event in events if event["event"] == "error"]
    assert event["code"] == "PLN601"
    assert "`abacus`" in event["message"]
    assert "`cpu`" in event["hint"]
    assert "cpu" in providers.present()


def test_a_provider_that_does_not_start_is_refused(
    lenet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnxruntime

    listed = ["TensorrtExecutionProvider", "CPUExecutionProvider"]
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: listed)
    maker = SessionMaker(Bundle(lenet), Settings(provider="tensorrt"))
    with pytest.raises(ProbeError) as caught:
        maker.make((lenet / "inference.onnx").read_bytes())
    assert caught.value.code == "PLN602"


def test_an_operator_that_cannot_run_is_named(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "relu"),
        helper.make_node("Swirl", ["r"], ["y"], "swirling", domain="test.custom"),
    ]
    values = [tensor("x", (2, 3))]
    source = tmp_path / "m.onnx"
    source.write_bytes(model(nodes, values, [tensor("y", (2, 3))], domains=["test.custom"]))
    write_bundle(tmp_path, source, options=LoadOptions())
    with pytest.raises(ProbeError) as caught:
        forward.measure_inference(Bundle(tmp_path), Settings(repeat=1), Reporter())
    assert caught.value.code == "PLN603"
    assert "swirling" in str(caught.value)


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("Failed to allocate memory for requested buffer of size 9")],
)
def test_lack_of_memory_suggests_a_smaller_batch(lenet: Path, error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(ProbeError) as caught:
        SessionMaker(Bundle(lenet), Settings()).guard(fail)
    assert caught.value.code == "PLN604"
    assert "--batch" in str(caught.value.hint)


def test_a_file_in_training_form_has_no_inference_to_measure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = ("s", "b", "mean", "var")
    node = helper.make_node(
        "BatchNormalization", ["x", *names], ["y", "m", "v"], "norm", training_mode=1
    )
    weights = [weight(name, 3) for name in names]
    source = tmp_path / "m.onnx"
    source.write_bytes(model([node], [tensor("x", (4, 3))], ["y"], weights, opset=17))
    write_bundle(tmp_path, source, options=LoadOptions())
    assert measure(tmp_path, tmp_path / "p.json") == 2
    assert "PLN605" in capsys.readouterr().err


def test_it_runs_as_a_program_beside_its_bundle(lenet: Path, tmp_path: Path) -> None:
    folder = tmp_path / "device"
    shutil.copytree(lenet, folder)
    shutil.copytree(PROBE, folder / "probe", ignore=shutil.ignore_patterns("__py*"))
    output = tmp_path / "p.json"
    flags = ["-o", str(output), "--mode", "inference", "--repeat", "1", "--progress", "json"]
    done = subprocess.run(
        [sys.executable, "-m", "probe", *flags],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert events[-1] == {"event": "end", "is_complete": True}
    assert read_profile(output).measurements[0].engine.threads == default_threads()


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_sources_are_python_3_8_and_need_nothing_else(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 8))
    allowed = {"numpy", "onnxruntime", "torch", "__future__", *sys.stdlib_module_names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            assert {alias.name.partition(".")[0] for alias in node.names} <= allowed
        elif isinstance(node, ast.ImportFrom) and not node.level:
            assert str(node.module).partition(".")[0] in allowed


def test_the_machine_has_the_form_of_the_file() -> None:
    machine = Machine.model_validate(describe_machine())
    assert machine.n_cores >= 1
    assert 1 <= default_threads() <= machine.n_cores


@pytest.mark.parametrize("samples", [[], [math.nan], [-1.0], [math.inf, 1.0]])
def test_impossible_timings_are_refused(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="timings"):
        typical(samples)


def test_slow_runs_do_not_count() -> None:
    samples = [*np.linspace(1.0, 1.1, 20), *np.linspace(5.0, 50.0, 10)]
    entry = timing(samples, "test")
    assert entry["typical_s"] < 1.02
    assert entry["spread_s"] > 1
    assert entry["n_runs"] == 30


def test_rounds_follow_from_what_one_takes() -> None:
    assert Settings(repeat=7).rounds(100.0) == 7
    assert Settings().rounds(1e-9) > Settings().rounds(0.05) > Settings().rounds(100.0) > 1


def test_a_busy_machine_does_not_make_every_operator_slower(lenet: Path, tmp_path: Path) -> None:
    settings = Settings(repeat=20)
    sessions = SessionMaker(Bundle(lenet), settings)
    run = forward.KernelRun(sessions, Reporter(), "inference.onnx", tmp_path, unfinished=None)
    run.all_series(dict)
    run.whole = [3.0 + 0.1 * index for index in range(20)]
    run.rest = [0.0] * 20
    run.parts = [[0.1] * 20 for _ in run.units]
    entry = run.forward()
    assert entry["origin"] == "estimated"
    assert entry["typical_s"] == pytest.approx(0.1 * len(run.units), rel=0.01)
    run.whole = [3.0] * 20
    assert run.forward()["origin"] == "measured"
    assert "quiet machine" in " ".join(run.notes())
