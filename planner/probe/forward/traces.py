"""What onnxruntime's profiler wrote: seconds of each kernel in each run."""

from __future__ import annotations

import json
from collections import defaultdict, deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, Sequence

import numpy as np

from .wire import Kernel

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

_SUFFIX = "_kernel_time"
_HALF = 0.5
"""Durations are whole microseconds, cut off: half of one is missing on average."""


def read_trace(path: Path, kernels: Sequence[Kernel]) -> Array:
    """Seconds by run and kernel; shape [runs, kernels]. Kernels inside bodies are left out.

    Raises:
        ValueError: If the trace is cut off.
    """
    with path.open(encoding="utf-8", errors="replace") as file:
        events = json.load(file, strict=False)  # names are written as they are
    runs = [e for e in events if e.get("cat") == "Session" and e.get("name") == "model_run"]
    nodes = [e for e in events if e.get("cat") == "Node" and e["name"].endswith(_SUFFIX)]
    nodes.sort(key=lambda event: int(event["ts"]))
    runs.sort(key=lambda event: int(event["ts"]))
    found = np.zeros((len(runs), len(kernels)))
    position = 0
    for row, run in enumerate(runs):
        end = int(run["ts"]) + int(run["dur"])
        first = position
        while position < len(nodes) and int(nodes[position]["ts"]) <= end:
            position += 1
        _fill(found[row], nodes[first:position], kernels)
    return found


def _fill(row: Array, events: Sequence[dict[str, Any]], kernels: Sequence[Kernel]) -> None:
    """Match the events of a run with the kernels, by name and type, in order."""
    waiting: dict[tuple[str, str], deque[int]] = defaultdict(deque)
    for index, kernel in enumerate(kernels):
        waiting[kernel.name, kernel.op].append(index)
    for event in events:
        key = (event["name"][: -len(_SUFFIX)], event["args"]["op_name"])
        if waiting[key]:
            row[waiting[key].popleft()] = (event["dur"] + _HALF) * 1e-6
