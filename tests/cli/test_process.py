"""What only a process of its own can show: streams, signals, and what is imported."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from planner.cli import COMMANDS
from tests.support.cli import COSTS, FLAGS, GRAPH, chain, changed, write_json_file


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    """`GRAPH --costs FILE`, both valid."""
    graph = write_json_file(tmp_path / "toy.json", GRAPH)
    return str(graph), "--costs", str(write_json_file(tmp_path / "costs.json", COSTS))


def planner_process(
    *arguments: str, code: str = "from planner.cli import main; main()", **options: object
) -> subprocess.CompletedProcess[bytes]:
    """The command line in a process of its own."""
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.update(options.pop("environment", {}))  # type: ignore[call-overload]
    return subprocess.run(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", code, *arguments], env=environment, check=False,
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )  # fmt: skip


HEAVY = ("onnx", "ortools", "torch", "numpy", "pydantic", "rich", "networkx")


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom planner.cli import run\n"
        f"for command in ([], *([name] for name in {tuple(COMMANDS)})):\n"
        "    assert run([*command, '--help']) == 0\n"
        f"    loaded = [m for m in {HEAVY} if m in sys.modules]\n"
        "    assert not loaded, (command, loaded)\n"
    )
    done = planner_process(code=code)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(b"Usage: planner")


@pytest.mark.parametrize("arguments", [("--help",), ("schema", "costs"), ("inspect", "GRAPH")])
def test_reader_that_goes_away(files: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    given = [files[0] if word == "GRAPH" else word for word in arguments]
    reading, writing = os.pipe()
    os.close(reading)
    done = planner_process(*given, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize("arguments", [("--help",), ("plan", "FILES"), ("schema", "costs")])
def test_stdout_that_is_full(files: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    given = [w for word in arguments for w in (files if word == "FILES" else (word,))]
    with Path("/dev/full").open("wb") as full:
        done = planner_process(*given, stdout=full)
    assert done.returncode == 2
    assert done.stderr == (
        b"error[PLN121]: cannot be written: No space left on device\n  --> standard output\n"
    )


def test_terminal_that_is_not_utf_8(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "g.json", changed(chain(2), "nodes.0.name", "né中"))
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    done = planner_process("plan", str(graph), *FLAGS, "--all", environment=ascii_only)
    assert done.returncode == 0, done.stderr
    assert b"device -> server: " in done.stdout
    assert rb"n\xe9\u4e2d" in done.stdout
    done = planner_process("plan", str(graph), *FLAGS, "--format", "json", environment=ascii_only)
    assert rb'"node": "n\u00e9\u4e2d"' in done.stdout
    done = planner_process("plan", str(graph), *FLAGS, "--pin", "né=device", environment=ascii_only)
    assert (done.returncode, done.stdout) == (2, b"")
    assert rb"did you mean `n\xe9\u4e2d`?" in done.stderr


def test_interrupt_leaves_nothing_partial(files: tuple[str, ...], tmp_path: Path) -> None:
    code = (
        "import os, signal, planner.files.writing as w\n"
        "w.os.fdopen = lambda *_, **__: signal.raise_signal(signal.SIGINT)\n"
        "from planner.cli import main\nmain()"
    )
    before = set(tmp_path.iterdir())
    done = planner_process("plan", *files, "-o", str(tmp_path / "plan.json"), code=code)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"interrupted\n")
    assert set(tmp_path.iterdir()) == before
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_closed_streams(files: tuple[str, ...]) -> None:
    code = "import sys; sys.stdout = sys.stderr = None\nfrom planner.cli import main; main()"
    assert planner_process("plan", *files, code=code).returncode == 0
    assert planner_process("plan", "nowhere", *files[1:], code=code).returncode == 2
