"""How a measurement ends that is not let finish: nothing is lost, and nothing left behind."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import patch

import pytest
from onnx import TensorProto, helper

from planner import zoo
from planner.costs.profile_file import read_profile
from planner.drafts.frontend import LoadOptions
from planner.measuring.bundles import write_bundle
from planner.measuring.export import export_probe
from planner.probe.__main__ import main
from planner.probe.bundle import Bundle
from planner.probe.forward import runs as forward
from planner.probe.forward.traces import read_trace
from planner.probe.forward.wire import Kernel
from planner.probe.reporting import Reporter
from planner.probe.settings import Settings
from tests.support.cli import refused
from tests.support.onnx_models import model, tensor

pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

FLAGS = ("--mode", "inference", "--threads", "1", "--repeat")
ENDLESS = "100000"


@pytest.fixture(scope="module")
def lenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lenet") / "lenet5.onnx"
    zoo.write("lenet5", path)
    return path


@pytest.fixture(scope="module")
def bundle(lenet: Path) -> Path:
    folder = lenet.parent / "bundle"
    folder.mkdir()
    write_bundle(folder, lenet, options=LoadOptions())
    return folder


def started(lenet: Path, output: Path, temporary: Path) -> subprocess.Popen[str]:
    """`planner profile` without an end, whose measurement has begun."""
    temporary.mkdir()
    code = "from planner.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "profile", lenet, "-o", output, *FLAGS, ENDLESS],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )
    while not list(temporary.rglob("trace*")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    return process


@pytest.mark.parametrize("method", ["trace", "segments"])
def test_what_is_gone_on_with_survives_an_early_interruption(bundle: Path, method: str) -> None:
    settings = Settings(repeat=50, method=method)
    reporter = Reporter()
    reporter.step = lambda units=1: setattr(reporter, "interrupted", True)  # type: ignore[method-assign]
    first = forward.measure_inference(Bundle(bundle), settings, reporter)
    assert len(first["unfinished"]["whole"]) == 1
    assert reporter.interrupted
    second = forward.measure_inference(Bundle(bundle), settings, reporter, first["unfinished"])
    assert not second["is_complete"]
    assert second["unfinished"]["whole"] == first["unfinished"]["whole"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_ended_from_outside_it_keeps_what_was_measured(
    lenet: Path, tmp_path: Path, number: signal.Signals
) -> None:
    output = tmp_path / "p.json"
    process = started(lenet, output, tmp_path / "temporary")
    process.send_signal(number)
    process.send_signal(number)  # as `timeout` does
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "--resume" in errors
    assert not read_profile(output).measurements[0].is_complete
    assert not list((tmp_path / "temporary").glob("p*"))


def test_killed_it_leaves_no_files_behind(lenet: Path, tmp_path: Path) -> None:
    process = started(lenet, tmp_path / "p.json", tmp_path / "temporary")
    listing = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True, check=True
    )
    for pid in listing.stdout.split():
        os.kill(int(pid), signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert "error[PLN604]" in errors
    assert not list((tmp_path / "temporary").glob("p*"))


def test_it_ends_with_the_program_that_reads_its_events(bundle: Path, tmp_path: Path) -> None:
    output = tmp_path / "p.json"
    command = [sys.executable, "-m", "planner.probe", bundle, "-o", output, "--progress", "json"]
    process = subprocess.Popen(
        [*command, *FLAGS, ENDLESS], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    while json.loads(process.stdout.readline()).get("done", 0) == 0:
        pass
    process.stdout.close()
    assert process.wait(timeout=60) == 130
    (found,) = read_profile(output).measurements
    assert not found.is_complete


def test_a_run_that_does_not_return_ends_with_its_reader(tmp_path: Path) -> None:
    code = """if True:
        import time
        from planner.probe import reporting
        reporting.GRACE_S = 0.1
        reporter = reporting.Reporter(is_json=True)
        with reporter.catching_interrupts():
            reporter.phase("endless")
            time.sleep(3600)
    """
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert "endless" in process.stdout.readline()
    process.stdout.close()
    assert process.wait(timeout=60) == 130


def test_an_output_that_cannot_be_written_is_refused_at_once(
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for output in (tmp_path / "absent" / "p.json", tmp_path, "-"):
        assert main([str(bundle), "-o", str(output), *FLAGS, ENDLESS, "--force"]) == 2
        assert "PLN121" in capsys.readouterr().err


def test_absurdly_many_threads_are_refused(lenet: Path, tmp_path: Path) -> None:
    outcome = refused("profile", lenet, "-o", tmp_path / "p.json", "--threads", "4096")
    assert outcome.codes() == ["PLN119"]
    assert "cores" in outcome.stderr


def test_inputs_of_bfloat16_are_refused_in_words(tmp_path: Path) -> None:
    node = helper.make_node("Relu", ["x"], ["y"], name="relu")
    inputs = [tensor("x", (1, 4), TensorProto.BFLOAT16)]
    outputs = [tensor("y", (1, 4), TensorProto.BFLOAT16)]
    source = tmp_path / "m.onnx"
    source.write_bytes(model([node], inputs, outputs))
    outcome = refused("profile", source, "-o", tmp_path / "p.json", "--repeat", "2")
    assert outcome.codes() == ["PLN605"]
    assert "input `x`" in outcome.stderr


@pytest.mark.parametrize("command", [("profile",), ("probe", "export")])
def test_standard_output_is_no_place_for_a_profile(command: tuple[str, ...], lenet: Path) -> None:
    outcome = refused(*command, lenet, "-o", "-")
    assert outcome.codes() == ["PLN121"]
    assert "--format" not in outcome.stderr


def test_the_archive_is_not_replaced_by_its_profile(
    lenet: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = tmp_path / "probe.zip"
    export_probe(lenet, archive, load_options=LoadOptions(), force=False)
    before = archive.read_bytes()
    assert main([str(archive), "-o", str(archive), *FLAGS, "2", "--force"]) == 2
    assert "PLN121" in capsys.readouterr().err
    assert archive.read_bytes() == before


@pytest.mark.parametrize("flags", [("--seed", "-1"), ("--repeat", "x"), ("--threads", "0")])
def test_numbers_that_are_none_are_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([str(bundle), "-o", str(tmp_path / "p.json"), *flags])
    assert caught.value.code == 2
    assert "_positive" not in capsys.readouterr().err


def test_a_full_disk_is_told_where_it_is(lenet: Path, tmp_path: Path) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    with patch("planner.measuring.bundles.write_gradient_models", side_effect=full):
        outcome = refused("profile", lenet, "-o", tmp_path / "p.json")
    assert outcome.codes() == ["PLN121"]
    assert "TMPDIR" in outcome.stderr
    assert "standard output" not in outcome.stderr


def test_a_trace_with_unescaped_names_is_read(tmp_path: Path) -> None:
    run = '{"cat": "Session", "name": "model_run", "ts": 0, "dur": 9}'
    node = '"cat": "Node", "name": "a\nb_kernel_time", "ts": 1, "dur": 2'
    kernel = f'{{{node}, "args": {{"op_name": "Relu"}}}}'
    path = tmp_path / "trace.json"
    path.write_text(f"[{run}, {kernel}]", encoding="utf-8")
    assert read_trace(path, [Kernel("a\nb", "Relu", "", (), (), "")])[0, 0] > 0


@pytest.mark.parametrize(
    "change", [{"whole": None}, {"whole": [None]}, {"rounds_left": "a"}, {"settings": 3}]
)
def test_damaged_remains_are_refused(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, object]
) -> None:
    output = tmp_path / "p.json"
    assert main([str(bundle), "-o", str(output), *FLAGS, "2"]) == 0
    document = json.loads(output.read_text())
    state = {"settings": {}, "rounds_left": 1, "whole": [1.0], **change}
    document["measurements"][0].update(is_complete=False, unfinished=state)
    output.write_text(json.dumps(document))
    assert main([str(bundle), "-o", str(output), *FLAGS, "2", "--resume"]) == 2
    assert "PLN606" in capsys.readouterr().err
