"""Programs that solve a MILP file: CBC, and HiGHS in a Python process of its own.

Both are separate processes, so that a crash, a limit or an interrupt stays theirs, and so that
HiGHS and OR-tools, which cannot live in one process, need not. Models are files with at least one
column, to be minimised; columns and their values go by name.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import cast

from planner.errors import PluginError, SolverError

GRACE_S = 5.0
"""How long a program may run past its own time limit before it is killed."""


class EngineStatus(Enum):
    """Why an engine stopped."""

    OPTIMAL = "optimal"
    """Within the gap that was asked for."""
    STOPPED = "stopped"
    """On its time limit."""
    INFEASIBLE = "infeasible"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How to solve.

    Attributes:
        seconds: Wall time after which to stop; None for no limit.
        gap: Relative gap between the best solution and the bound at which to stop.
        relax: Solve the LP relaxation.
        start: Columns that are 1 in a known solution; an engine may ignore it.
    """

    seconds: float | None = None
    gap: float = 0.0
    relax: bool = False
    start: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAnswer:
    """What an engine found.

    Attributes:
        status: Why it stopped.
        values: Value of every column that is not zero; None if it has no solution.
        bound: The objective that it says no solution is below; None if it does not say.
        message: Its own words.
        version: Its name and version.
    """

    status: EngineStatus
    values: dict[str, float] | None
    bound: float | None
    message: str
    version: str


class EngineFailure(SolverError):  # noqa: N818 (it failed; whoever asked may know what to do)
    """An engine that was killed, crashed or said what cannot be understood.

    Attributes:
        bound: The objective that it said no solution is below, if it said so before.
    """

    def __init__(self, message: str, bound: float | None = None) -> None:
        super().__init__(message, code="PLN501")
        self.bound = bound


def run_cbc(executable: Path, model: Path, options: EngineOptions) -> EngineAnswer:
    """Solve a file with CBC; its solution and log are written beside the model.

    Raises:
        PluginError: If the program does not start (exit status 4).
        EngineFailure: If it is killed, crashes, or says what cannot be understood.
    """
    answer = _cbc_run(executable, model, options, ())
    if answer.status is EngineStatus.INFEASIBLE and not options.relax:
        # Its preprocessing has looser tolerances than its search, so ask again without. CBC 2.10.3
        # crashes then on some models that are infeasible at the root: the first answer stands.
        with suppress(EngineFailure):
            return _cbc_run(executable, model, options, ("-preprocess", "off"))
    return answer


def _cbc_run(
    executable: Path, model: Path, options: EngineOptions, extra: Sequence[str]
) -> EngineAnswer:
    solution, log = model.with_suffix(".sol"), model.with_suffix(".log")
    # Its own gaps would let it stop at a solution that is a little worse.
    command = [str(executable), str(model), "-ratioGap", repr(options.gap)]
    command += ["-allowableGap", "0", *extra]
    if options.seconds is not None:
        # CBC takes 0 for no limit at all.
        command += ["-timeMode", "elapsed", "-sec", repr(max(options.seconds, 1e-3))]
    if options.start:
        known = model.with_suffix(".start")
        # Its header is a status line; indices are not looked at.
        rows = [f"{i} {name} 1" for i, name in enumerate(options.start)]
        known.write_text("\n".join(["Stopped", *rows, ""]), encoding="utf-8")
        command += ["-mipstart", str(known)]
    command += ["-initialSolve" if options.relax else "-solve", "-printingOptions", "all"]
    started = time.monotonic()
    timed_out = _run([*command, "-solution", str(solution)], log, options.seconds)
    text = log.read_text("utf-8", "replace")
    found = re.search(r"^Version: (\S+)", text, re.MULTILINE)
    version = f"CBC {found[1]}" if found else "CBC"
    if timed_out:
        return _overdue(version, cbc_bound(text))
    if not solution.is_file():
        raise EngineFailure(f"CBC wrote no solution; {_last_words(text)}", cbc_bound(text))
    first, *rows = solution.read_text("utf-8").splitlines() or [""]
    status = _cbc_status(first)
    if status is EngineStatus.INFEASIBLE and options.seconds is not None:
        # A preprocessing that runs out of time says that there is no solution.
        is_late = time.monotonic() - started > options.seconds / 2
        status = EngineStatus.STOPPED if is_late else status
    has_values = status is EngineStatus.OPTIMAL or (
        status is EngineStatus.STOPPED
        and first.startswith("Stopped on")
        and "no integer solution" not in first
    )
    return EngineAnswer(
        status=status,
        values=_cbc_values(rows) if has_values else None,
        # Without integers, or with none left, CBC solves an LP and has no more to say of a bound.
        bound=cbc_bound(text) if "Result - " in text else _objective(first),
        # What follows is a value in the units of the file.
        message=" ".join(first.partition(" - objective value")[0].split()),
        version=version,
    )


def _overdue(version: str, bound: float | None) -> EngineAnswer:
    return EngineAnswer(
        status=EngineStatus.STOPPED,
        values=None,
        bound=bound,
        message="killed: it ran past its time limit",
        version=version,
    )


def _cbc_status(line: str) -> EngineStatus:
    match line.split()[:1]:
        case ["Optimal"]:
            return EngineStatus.OPTIMAL
        case ["Stopped"]:
            return EngineStatus.STOPPED
        case ["Infeasible" | "Integer"]:
            return EngineStatus.INFEASIBLE
        case _:
            raise EngineFailure(f"CBC says `{line[:200]}`")


def _cbc_values(rows: Sequence[str]) -> dict[str, float]:
    """Column values of a solution file: lines of index, name, value and reduced cost."""
    fields = (row.removeprefix("**").split() for row in rows)
    return {row[1]: float(row[2]) for row in fields if len(row) >= 3 and float(row[2]) != 0}


def _objective(line: str) -> float | None:
    """The objective of an optimal solution, from the first line of its file."""
    found = re.search(r"^Optimal - objective value\s+(\S+)", line)
    return float(found[1]) if found else None


_BOUNDS = (
    r"^Result - Optimal solution found\s+Objective value:\s+(\S+)",
    r"^Lower bound:\s+(\S+)",
    r"^Cbc0005I Partial search .*best possible (\S+?)\)?,",
    r"^Cbc0010I .*best possible (\S+)",
    r"^Continuous objective value is (\S+)",
)
"""Where CBC's log says a bound, what it says at the end first."""


def cbc_bound(log: str) -> float | None:
    """The best bound in the words of CBC, less a unit in the last of the few digits it prints."""
    for pattern in _BOUNDS:
        found = [_rounded_down(text) for text in re.findall(pattern, log, re.MULTILINE)]
        if found and found[-1] is not None:
            return found[-1]
    return None


def _rounded_down(text: str) -> float | None:
    """A printed number less one unit in its last digit; None for CBC's infinity."""
    found = re.fullmatch(r"(-?\d+)(?:\.(\d*))?(?:e([+-]?\d+))?", text)
    if found is None or abs(float(text)) >= 1e50:
        return None
    return float(text) - 10.0 ** (int(found[3] or 0) - len(found[2] or ""))


def run_highs(model: Path, options: EngineOptions) -> EngineAnswer:
    """Solve a file with HiGHS, in a Python process of its own.

    Raises:
        PluginError: If highspy is not installed (exit status 4).
        EngineFailure: If the process is killed or HiGHS fails.
    """
    if find_spec("highspy") is None:
        raise absent_engine("highs", "pip install highspy")
    answer, log = model.with_suffix(".json"), model.with_suffix(".log")
    request = {
        "model": str(model),
        "answer": str(answer),
        "seconds": options.seconds,
        "gap": options.gap,
        "relax": options.relax,
    }
    # As a file, and -P: nothing that lies in the working folder is imported in its place.
    script = str(Path(__file__).with_name("highs_process.py"))
    command = [sys.executable, "-P", script, json.dumps(request)]
    if _run(command, log, options.seconds):
        return _overdue("HiGHS", None)
    if not answer.is_file():
        text = log.read_text("utf-8", "replace")
        raise EngineFailure(f"HiGHS wrote no answer; {_last_words(text)}")
    content = json.loads(answer.read_text("utf-8"))
    known = {status.value: status for status in EngineStatus}
    status = known.get(content["status"])
    if status is None:
        raise EngineFailure(f"HiGHS says `{content['status']}`")
    return EngineAnswer(
        status=status,
        values=content["values"],
        bound=content["bound"],
        message=content["message"],
        version=f"HiGHS {content['version']}",
    )


@contextmanager
def without_highspy() -> Iterator[None]:
    """Keep what is imported inside from loading highspy: OR-tools could then not be loaded."""
    if "highspy" in sys.modules:
        yield
        return
    blocked = cast(dict[str, ModuleType | None], sys.modules)
    blocked["highspy"] = None
    try:
        yield
    finally:
        del blocked["highspy"]


def absent_engine(name: str, command: str) -> PluginError:
    """The error for a program that is not installed (exit status 4), with what installs it."""
    return PluginError(
        f"the MILP program `{name}` is not installed",
        code="PLN302",
        where="engine",
        hint=command,
        exit_code=4,
    )


def _run(command: Sequence[str], log: Path, seconds: float | None) -> bool:
    """Run a program to its end; whether it had to be killed for its time limit.

    Whatever ends the wait, an interrupt included, leaves no process behind.
    """
    name = Path(command[0]).name
    with log.open("wb") as output:
        try:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        except OSError as error:
            raise PluginError(
                f"`{command[0]}` does not start: {error.strerror or error}",
                code="PLN302",
                hint="pip install --force-reinstall 'pulp>=3.3,<4'",
                exit_code=4,
            ) from error
        try:
            code = process.wait(None if seconds is None else seconds + GRACE_S)
        except subprocess.TimeoutExpired:
            return True
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if code == 0:
        return False
    text = log.read_text("utf-8", "replace")
    how = f"was killed by signal {-code}" if code < 0 else f"failed with exit status {code}"
    raise EngineFailure(f"`{name}` {how}; {_last_words(text)}", cbc_bound(text))


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f"its last words: `{lines[-1][:200]}`" if lines else "it said nothing"
