"""`planner profile`: real measurements of small models, and everything that can go wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import pytest

from planner import zoo
from planner.costs.profile_file import read_profile
from planner.drafts.loading import load
from tests.support.cli import GRAPH, refused, run_planner, write_json_file

pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "lenet5.onnx"
    zoo.write("lenet5", path)
    return path


@pytest.fixture(scope="module")
def profile_path(model: Path) -> Path:
    path = model.with_name("device.json")
    outcome = run_planner("profile", model, "-o", path, "--repeat", "5", "--threads", "1")
    assert outcome.status == 0, outcome.stderr
    assert f"wrote {path}" in outcome.stderr
    assert "lenet5, inference: batch 1, onnxruntime" in outcome.stdout
    assert "Slowest operators" in outcome.stdout
    return path


def test_profile_is_of_the_model_and_adds_up(model: Path, profile_path: Path) -> None:
    before = model.read_bytes()
    profile = read_profile(profile_path)
    graph = load(model)
    assert [m.mode for m in profile.measurements] == ["inference", "training"]
    for measurement in profile.measurements:
        assert [row.node for row in measurement.nodes] == [o.name for o in graph.operators]
        assert measurement.whole is not None
        total = sum(row.forward.typical_s for row in measurement.nodes)
        assert total == pytest.approx(measurement.whole.forward.typical_s)
        assert measurement.engine.threads == 1
    training = profile.measurements[1]
    assert all(row.backward is not None for row in training.nodes)
    assert training.whole is not None
    assert training.whole.backward is not None
    total = sum(row.backward.typical_s for row in training.nodes if row.backward is not None)
    assert total == pytest.approx(training.whole.backward.typical_s)
    assert model.read_bytes() == before
    assert not list(model.parent.glob("*.weights"))


@pytest.mark.parametrize("mode", ["inference", "training"])
def test_profile_goes_where_a_costs_file_does(model: Path, profile_path: Path, mode: str) -> None:
    flags = ("--server", "a100", "--uplink", "50Mbit/s", "--downlink", "100Mbit/s", "--mode", mode)
    outcome = run_planner("plan", model, "--costs", profile_path, *flags, "--format", "json")
    assert outcome.status == 0, outcome.stderr
    made = json.loads(outcome.stdout)
    assert made["certificate"]["holds"]
    assert made["mode"] == mode


def test_operators_that_were_fused_stay_together(model: Path, profile_path: Path) -> None:
    measurement = read_profile(profile_path).measurements[0]
    assert measurement.groups
    first, second = measurement.groups[0].nodes[:2]
    flags = ("--server", "a100", "--uplink", "50Mbit/s", "--downlink", "1Gbit/s")
    pins = ("--pin", f"{first}=device", "--pin", f"{second}=server", "--mode", "inference")
    outcome = refused("plan", model, "--costs", profile_path, *flags, *pins, status=3)
    assert "kernel" in outcome.stderr
    assert second in outcome.stderr


def test_without_fusion_every_operator_is_apart(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "apart.json"
    flags = ("--repeat", "2", "--mode", "inference", "--no-fusion")
    assert run_planner("profile", model, "-o", output, *flags).status == 0
    (measurement,) = read_profile(output).measurements
    assert not measurement.groups
    assert measurement.engine.optimization == "disabled"


def test_segments_are_groups(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "segments.json"
    flags = ("--repeat", "2", "--mode", "inference", "--method", "segments")
    outcome = run_planner("profile", model, "-o", output, *flags)
    assert outcome.status == 0, outcome.stderr
    assert all(m.is_complete for m in read_profile(output).measurements)


def test_providers_are_listed() -> None:
    outcome = run_planner("profile", "--list-providers")
    assert outcome.status == 0
    assert "cpu" in outcome.stdout.split()


def test_absent_provider_names_those_present(model: Path, tmp_path: Path) -> None:
    outcome = refused("profile", model, "-o", tmp_path / "p.json", "--provider", "tensorrt")
    assert outcome.codes() == ["PLN601"]
    assert "`cpu`" in outcome.stderr
    assert not (tmp_path / "p.json").exists()


def test_graph_spec_cannot_be_run(tmp_path: Path) -> None:
    spec = write_json_file(tmp_path / "toy.json", GRAPH)
    assert refused("profile", spec, "-o", tmp_path / "p.json").codes() == ["PLN605"]


def test_nothing_to_go_on_with(model: Path, tmp_path: Path) -> None:
    outcome = refused("profile", model, "-o", tmp_path / "p.json", "--resume")
    assert outcome.codes() == ["PLN606"]


def test_complete_profile_is_not_gone_on_with_as_another(
    model: Path, profile_path: Path, tmp_path: Path
) -> None:
    other = tmp_path / "squeezenet.onnx"
    zoo.write("squeezenet1_1", other)
    before = profile_path.read_bytes()
    assert refused("profile", other, "-o", profile_path, "--resume").codes() == ["PLN606"]
    assert profile_path.read_bytes() == before


@pytest.mark.parametrize("words", [("profile",), ("profile", "MODEL"), ("profile", "-o", "x.json")])
def test_what_is_missing_is_said(model: Path, words: tuple[str, ...]) -> None:
    given = [str(model) if word == "MODEL" else word for word in words]
    assert run_planner(*given).status == 2


def test_output_that_exists_is_kept(model: Path, profile_path: Path) -> None:
    before = profile_path.read_bytes()
    assert refused("profile", model, "-o", profile_path).codes() == ["PLN120"]
    assert profile_path.read_bytes() == before


def test_without_onnxruntime_the_command_that_installs_it(model: Path, tmp_path: Path) -> None:
    with patch("planner.measuring.taking.find_spec", return_value=None):
        outcome = refused("profile", model, "-o", tmp_path / "p.json", status=4)
    assert outcome.codes() == ["PLN302"]
    assert "pip install 'dnn-partition-planner[measure]'" in outcome.stderr


def test_crash_in_a_native_library_is_an_error_in_words(model: Path, tmp_path: Path) -> None:
    crash = (sys.executable, "-c", "import os; os.abort()")
    with patch("planner.measuring.taking.PROGRAM", crash):
        outcome = refused("profile", model, "-o", tmp_path / "p.json")
    assert outcome.codes() == ["PLN607"]
    assert "signal 6" in outcome.stderr


def start(*arguments: str | Path) -> subprocess.Popen[str]:
    code = "from planner.cli import main; main()"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def wait_for(path: Path, process: subprocess.Popen[str]) -> None:
    """Until a file is there; a process that ends before is a failure."""
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def test_interrupted_profile_is_kept_marked_and_gone_on_with(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "p.json"
    flags = ("--mode", "inference", "--threads", "1")
    process = start("profile", model, "-o", output, "--repeat", "100000", *flags)
    wait_for(output, process)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "--resume" in errors
    assert not read_profile(output).measurements[0].is_complete
    plan = ("plan", model, "--costs", output, "--server", "a100")
    rates = ("--uplink", "1Mbit/s", "--downlink", "1Mbit/s", "--mode", "inference")
    refusal = refused(*plan, *rates)
    assert refusal.codes() == ["PLN319"]
    assert "--resume" in refusal.stderr
    again = run_planner("profile", model, "-o", output, "--repeat", "100", *flags, "--resume")
    assert again.status == 0, again.stderr
    assert read_profile(output).measurements[0].is_complete
    assert run_planner(*plan, *rates).status == 0


def test_killed_measurement_is_an_error_in_words(model: Path, tmp_path: Path) -> None:
    output = tmp_path / "p.json"
    process = start("profile", model, "-o", output, "--repeat", "100000", "--mode", "inference")
    wait_for(output, process)
    listing = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    )
    for pid in listing.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "error[PLN604]" in errors
    assert "--batch" in errors
    assert "--resume" in errors
    assert not read_profile(output).measurements[0].is_complete
