"""Taking a profile on this machine: a bundle, and the process that measures it.

The measuring runs in a process of its own: what runs out of memory or crashes in a native library
takes that process with it, and what was measured so far is in its file.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from planner.costs.profile_file import Profile, read_profile
from planner.drafts.frontend import LoadOptions
from planner.errors import MeasuringError, PluginError
from planner.measuring.bundles import write_bundle

PROGRAM = (sys.executable, "-m", "planner.probe")
INTERRUPTED = 130
SAME_S = 0.5
"""Signals within this time are one: `timeout` sends two at once."""

Event = Mapping[str, Any]
"""What the measuring process says: `{"event": "progress", "done": 3, "total": 60, …}`."""


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """How a profile is taken; None leaves the choice to the measuring program."""

    provider: str = "cpu"
    threads: int | None = None
    repeat: int | None = None
    optimization: str = "all"
    method: str | None = None
    mode: str | None = None
    backward: str | None = None
    fusion: bool = True
    seed: int = 0

    def arguments(self) -> list[str]:
        """The same as the measuring program takes it."""
        given = {
            "--provider": self.provider,
            "--threads": self.threads,
            "--repeat": self.repeat,
            "--optimization": self.optimization,
            "--method": self.method,
            "--mode": self.mode,
            "--backward": self.backward,
            "--seed": self.seed,
        }
        found = [
            word
            for flag, value in given.items()
            if value is not None
            for word in (flag, str(value))
        ]
        return found if self.fusion else [*found, "--no-fusion"]


class MeasuringInterrupted(Exception):  # noqa: N818 (a person's wish, not an error)
    """Ctrl-C; what was measured is in the file, if anything was."""


def require_onnxruntime() -> None:
    """Check, without importing it, that there is something to measure with.

    Raises:
        PluginError: PLN302 with the command that installs it.
    """
    if find_spec("onnxruntime") is None:
        raise PluginError(
            "measuring needs `onnxruntime`, which is not installed",
            code="PLN302",
            where="planner profile",
            hint="pip install 'dnn-partition-planner[measure]'",
            exit_code=4,
        )


def take_profile(
    source: Path,
    output: Path,
    *,
    load_options: LoadOptions,
    options: MeasureOptions,
    resume: bool = False,
    on_event: Callable[[Event], None] = lambda _: None,
) -> Profile:
    """Measure a model on this machine and write its profile.

    Args:
        source: The model; its file is not touched.
        output: The profile; replaced if it exists.
        load_options: How the model is read, and the batch to measure at.
        options: How it is measured.
        resume: Go on with an unfinished profile in `output`.
        on_event: Called with everything that the measuring process says.

    Raises:
        PlannerError: If the model cannot be read or run here, or memory does not suffice.
        MeasuringInterrupted: On Ctrl-C.
    """
    require_onnxruntime()
    with ended_like_interrupts(), tempfile.TemporaryDirectory(prefix="planner-") as folder:
        bundle = Path(folder) / "bundle"
        bundle.mkdir()
        write_bundle(bundle, source, options=load_options)
        command = [*PROGRAM, str(bundle), "-o", str(output)]
        command += ["--progress", "json", "--resume" if resume else "--force"]
        _run([*command, *options.arguments()], Path(folder) / "stderr", output, on_event)
    return read_profile(output)


@contextlib.contextmanager
def ended_like_interrupts() -> Iterator[None]:
    """Within, SIGTERM and a closed terminal are as Ctrl-C: what was measured is kept."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = ("SIGTERM", "SIGHUP")  # the second is not on every system
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {
        number: signal.signal(number, signal.default_int_handler)
        for number in numbers
        if signal.getsignal(number) is signal.SIG_DFL  # `nohup` ignores one of them
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(command: list[str], log: Path, output: Path, on_event: Callable[[Event], None]) -> None:
    failures: list[Event] = []
    with log.open("wb") as errors, _started(command, errors, log.parent) as process:
        assert process.stdout is not None
        is_interrupted, is_told, first = False, False, 0.0
        while True:
            try:
                if is_interrupted and not is_told:
                    process.send_signal(signal.SIGINT)
                    is_told = True
                for event in _events(process.stdout):
                    if event.get("event") == "error":
                        failures.append(event)
                    on_event(event)
                process.wait()
                break
            except KeyboardInterrupt:
                if is_interrupted and time.monotonic() - first > SAME_S:
                    raise  # twice: somebody does not want to wait
                first = first if is_interrupted else time.monotonic()
                is_interrupted = True
    if failures:
        raise _measuring_error(failures[0])
    if is_interrupted or process.returncode == INTERRUPTED:
        raise MeasuringInterrupted
    if process.returncode != 0:
        raise _died(process.returncode, log, output)


@contextlib.contextmanager
def _started(
    command: list[str], errors: IO[bytes], folder: Path
) -> Iterator[subprocess.Popen[str]]:
    """The process, in a session of its own: Ctrl-C reaches it through us, once.

    Its temporary files are in `folder`, so that they are deleted even if it is killed.
    """
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=errors,
        text=True,
        start_new_session=True,
        env={**os.environ, "TMPDIR": str(folder.absolute())},
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def _events(lines: IO[str]) -> Iterator[Event]:
    for line in lines:
        with contextlib.suppress(ValueError):  # a native library may print what it likes
            event = json.loads(line)
            if isinstance(event, dict):
                yield event


def _measuring_error(event: Event) -> MeasuringError:
    return MeasuringError(
        str(event.get("message")),
        code=str(event.get("code")),
        where=event.get("where") or "planner profile",
        hint=event.get("hint"),
    )


def _died(status: int, log: Path, output: Path) -> MeasuringError:
    """What to say about a process that ended without a word of its own."""
    kept = f"; what was measured is in `{output}`, `--resume` goes on" if output.exists() else ""
    if status == -signal.SIGKILL:
        return MeasuringError(
            f"the measuring process was killed, most likely because memory ran out{kept}",
            code="PLN604",
            where="planner profile",
            hint="measure a smaller `--batch`, or close other programs",
        )
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = f": {lines[-1]}" if lines else ""
    how = f"signal {-status}" if status < 0 else f"status {status}"
    text = f"the measuring process ended with {how}{last}{kept}"
    return MeasuringError(text, code="PLN607", where="planner profile")
