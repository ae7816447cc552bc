"""Items of text, each in a file of its own and with a digest: see `tools/behaviour.py`."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import re
import shlex
import sys
import tempfile
from collections.abc import Callable, Mapping
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import planner

MASKS = (
    # (items, pattern, word): what differs between two runs of one commit, and nothing else.
    # Said only after ten seconds, which depends on what else the machine does.
    ("", r"(?m)^note: still solving; .*\n", ""),
    # Where a model is written for onnxruntime, which says so if it refuses it.
    ("mistakes/", r"/\S+/planner-shapes-\w+", "<tmp>"),
    # When a profile was imported.
    ("profiles/", r'"started": "[^"]*"', '"started": "<time>"'),
    # How long solvers took.
    ("library/solve", r"seconds=[\d.e-]+", "seconds=<time>"),
    ("small/.*/verified-json|mistakes/verify", r'"seconds": [\d.e-]+', '"seconds": "<time>"'),
    ("small/.*/compared", r"((?: \d+\.\d{4}|feasible +|refused +) ) +[\d.]+ [nµm]?s", r"\1 <time>"),
    # How large the archive of a probe is: it holds sources of the planner.
    ("", r"(?m)^(wrote \w+\.zip )\([^)]*\)", r"\1(<size>)"),
)


@dataclass
class Record:
    """The items: a file for each below a folder, and its SHA-256."""

    folder: Path
    places: Mapping[str, str]
    digests: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, text: str) -> None:
        """Write one item, masked."""
        if name in self.digests:
            raise ValueError(f"there are two items {name}")
        for place, word in self.places.items():
            text = text.replace(place, word)
        for items, pattern, word in MASKS:
            if re.match(items, name):
                text = re.sub(pattern, word, text)
        target = self.folder / f"{name}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        self.digests[name] = hashlib.sha256(text.encode()).hexdigest()

    def run(self, name: str, *commands: str, columns: str = "80") -> str:
        """Add what `planner` says to some commands, without a terminal: streams and statuses.

        Returns:
            The standard output of all.
        """
        os.environ["COLUMNS"] = columns
        said, heard = "", ""
        for command in commands:
            arguments = ["planner", *shlex.split(command)]
            status, out, err = run_program(arguments)
            said += f"$ planner {command}\n{out}--- stderr ---\n{err}--- exit {status} ---\n"
            heard += out
        self.add(name, said)
        return heard


def run_program(arguments: list[str]) -> tuple[int, str, str]:
    """Run the command line in this process, whose descriptors 1 and 2 are files meanwhile."""
    (command,) = entry_points(group="console_scripts", name="planner")
    status: Any = 0
    with ExitStack() as stack:
        files = [stack.enter_context(tempfile.TemporaryFile("w+", encoding="utf-8")) for _ in "12"]
        for descriptor, file in enumerate(files, 1):
            kept = os.dup(descriptor)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, descriptor)
            os.dup2(file.fileno(), descriptor)
        with redirect_stdout(files[0]), redirect_stderr(files[1]):
            sys.argv = arguments
            try:
                command.load()()
            except SystemExit as finished:
                status = finished.code
        for file in files:
            file.seek(0)
        return status, files[0].read(), files[1].read()


def changed(document: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with other values in some places, such as `nodes.0.name`."""
    result = copy.deepcopy(document)
    for path, value in changes.items():
        *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
        place: Any = result
        for step in way:
            place = place[step]
        place[last] = value
    return result


def save(path: str, document: object) -> None:
    """Write a JSON file."""
    Path(path).write_text(json.dumps(document), encoding="utf-8")


def answer(ask: Callable[[], Any]) -> str:
    """What a call of the library returns, or every problem that it raises."""
    try:
        value = ask()
    except planner.PlannerError as error:
        return "".join(f"{type(p).__name__} {p.exit_code} {p}\n" for p in error.problems)
    if hasattr(value, "to_dict"):
        value = json.dumps(value.to_dict(), indent=1, ensure_ascii=False)
    return f"{value}\n"
