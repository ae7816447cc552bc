"""Running the command line within the test process, and the files that such tests start from."""

from __future__ import annotations

import copy
import io
import json
import os
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

from planner.cli import run
from planner.errors import PlannerError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command left behind."""

    status: int
    stdout: str
    stderr: str

    def codes(self) -> list[str]:
        """The codes of the errors, in the order in which they were shown."""
        lines = self.stderr.splitlines()
        return [line[6:12] for line in lines if line.startswith("error[PLN")]

    def places(self) -> list[str]:
        """Where the errors are."""
        lines = self.stderr.splitlines()
        return [line.removeprefix("  --> ") for line in lines if line.startswith("  --> ")]

    def hints(self) -> list[str]:
        """What would help."""
        lines = self.stderr.splitlines()
        return [line.removeprefix("hint: ") for line in lines if line.startswith("hint: ")]


def run_planner(*arguments: str | Path, columns: int | None = None) -> Outcome:
    """`planner arguments…`, both streams in UTF-8 and no terminal, `columns` wide if given."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err), patch.dict(os.environ):
        os.environ.pop("COLUMNS", None)  # pytest-xdist sets it
        if columns is not None:
            os.environ["COLUMNS"] = str(columns)
        status = run([str(argument) for argument in arguments])
    texts = []
    for stream in (out, err):
        stream.flush()
        stream.seek(0)
        texts.append(stream.read())
    return Outcome(status, *texts)


def refused(*arguments: str | Path, status: int = 2) -> Outcome:
    """A command that must end in errors in words: nothing on stdout, no traceback, no defect."""
    outcome = run_planner(*arguments)
    assert outcome.status == status, outcome
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("error[PLN"), outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert len(outcome.codes()) == len(outcome.places()), outcome.stderr
    return outcome


def error_of(caught: BaseException) -> list[tuple[str, str | None]]:
    """(code, place) of every problem behind an error."""
    assert isinstance(caught, PlannerError)
    return [(problem.code, problem.where) for problem in caught.problems]


GRAPH: dict[str, Any] = {
    "kind": "graph",
    "version": 1,
    "name": "toy",
    "inputs": [{"name": "image", "dtype": "float32", "shape": [4, 3, 8, 8]}],
    "outputs": ["logits"],
    "parameters": [
        {"name": "w1", "dtype": "float32", "shape": [8, 3, 3, 3], "trainable": True},
        {"name": "w2", "bytes": 100, "trainable": False},
    ],
    "nodes": [
        {
            "name": "conv",
            "op": "Conv",
            "inputs": ["image"],
            "parameters": ["w1"],
            "attributes": {"strides": [1, 1], "group": 1, "nested": {"a": [None, True]}},
            "outputs": [{"name": "c", "dtype": "float32", "shape": [4, 8, 6, 6]}],
        },
        {
            "name": "relu",
            "op": "Relu",
            "inputs": ["c"],
            "outputs": [
                {"name": "r", "dtype": "float32", "shape": [4, 8, 6, 6], "bytes": 4608},
            ],
        },
        {
            "name": "fc",
            "op": "Custom",
            "inputs": ["r"],
            "parameters": ["w2"],
            "parameter_bytes": 40,
            "forward_flops": 100,
            "outputs": [{"name": "logits", "bytes": 64, "requires_grad": True}],
        },
    ],
}

COSTS: dict[str, Any] = {
    "kind": "costs",
    "version": 1,
    "workload": {
        "mode": "training",
        "iterations_per_round": 5,
        "label_bytes": 4,
        "return_outputs": False,
        "batch_size": 4,
        "wire_dtype": "float16",
        "optimizer_states": 1,
    },
    "hosts": [
        {
            "name": "device",
            "model": "table",
            "nodes": [{"name": "conv", "forward_s": 0.1, "backward_s": 0.2}],
            "default": {"forward_s": 0.01, "backward_s": 0.02},
        },
        {
            "name": "server",
            "model": "analytical",
            "hardware": "rtx-3090",
            "efficiency": 0.5,
            "overhead_s": 0.0,
        },
    ],
    "links": [{"uplink_bps": 5e7, "downlink_bps": 1e8, "latency_s": 0.002}],
    "inputs": [{"name": "image", "host": "device"}],
    "pins": [{"node": "conv", "host": "device"}],
    "together": [["conv", "relu"]],
    "forbid_crossing": ["image"],
}

FLAGS = ("--device", "jetson-tx2", "--server", "a100", "--uplink", "9Mbit/s", "--downlink", "9MB/s")
"""What replaces a costs file."""


def changed(document: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with one value replaced; `path` is such as `nodes.0.name`."""
    result = copy.deepcopy(document)
    *way, last = (int(step) if step.isdigit() else step for step in path.split("."))
    place: Any = result
    for step in way:
        place = place[step]
    place[last] = value
    return result


def write_json_file(path: Path, document: object) -> Path:
    """The document as a file."""
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def chain(length: int) -> dict[str, Any]:
    """Operators n0, n1, … in a row, over tensors t0, t1, … of four bytes."""
    return {
        "kind": "graph",
        "version": 1,
        "name": "chain",
        "inputs": [{"name": "x", "bytes": 4}],
        "outputs": [f"t{length - 1}"],
        "nodes": [
            {
                "name": f"n{i}",
                "op": "F",
                "inputs": [f"t{i - 1}" if i else "x"],
                "outputs": [{"name": f"t{i}", "bytes": 4}],
            }
            for i in range(length)
        ],
    }


def flat_costs(**sections: object) -> dict[str, Any]:
    """Two hosts on which every operator costs the same, and whatever else a test needs."""
    price = {"forward_s": 1e-3, "backward_s": 1e-3}
    hosts = [{"name": n, "model": "table", "default": price} for n in ("device", "server")]
    links = [{"uplink_bps": 1e6, "downlink_bps": 1e6}]
    return {"kind": "costs", "version": 1, "hosts": hosts, "links": links, **sections}
