"""What other programs write: layers of `trtexec`, traces of onnxruntime, profiles of PipeDream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import planner
from planner.graphs.graph import Graph
from planner.zoo import write


def zoo_graph(folder: Path, name: str, **options: Any) -> tuple[Path, Graph]:
    """A model of the zoo with random weights, and its graph."""
    path = folder / f"{name}.onnx"
    write(name, path, weights="random", **options)
    return path, planner.load(path)


def runtime_trace(path: Path, level: str, folder: Path, n_runs: int = 5) -> Path:
    """A trace that the installed onnxruntime writes of some runs of a model."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    options = runtime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "trace")
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(runtime.GraphOptimizationLevel, f"ORT_{level}")
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feeds = {item.name: np.ones(item.shape, np.float32) for item in session.get_inputs()}
    for _ in range(n_runs):
        session.run(None, feeds)
    return Path(session.end_profiling())


def layers(
    times: Mapping[str, float] | Sequence[tuple[str, float]],
    *,
    count: int | None = 100,
    has_median: bool = True,
) -> list[dict[str, Any]]:
    """The document of `trtexec --exportProfile`, from milliseconds per run."""
    pairs = list(times.items()) if isinstance(times, Mapping) else list(times)
    total = sum(time for _, time in pairs) or 1.0
    rows = [
        {
            "name": name,
            "timeMs": time * (count or 1),
            "averageMs": time * 1.01,
            **({"medianMs": time} if has_median else {}),
            "percentage": 100 * time / total,
        }
        for name, time in pairs
    ]
    return [{"count": count}, *rows] if count is not None else rows


def trace(
    runs: Sequence[Sequence[tuple[str, str, int]]], **details: object
) -> list[dict[str, Any]]:
    """A trace of runs, each a list of (kernel, operator type, microseconds)."""
    events: list[dict[str, Any]] = []
    clock = 1000
    for run in runs:
        start = clock
        for index, (name, op, duration) in enumerate(run):
            args = {"op_name": op, "provider": "CPUExecutionProvider", "node_index": str(index)}
            events.append(_event("Node", f"{name}_kernel_time", clock, duration, args | details))
            clock += duration + 1
        events.append(_event("Session", "model_run", start, clock - start, {}))
        clock += 10
    return events


def _event(
    category: str, name: str, start: int, duration: int, args: dict[str, Any]
) -> dict[str, Any]:
    head = {"cat": category, "pid": 1, "tid": 1, "dur": duration, "ts": start, "ph": "X"}
    return {**head, "name": name, "args": args}


def pipedream(nodes: Sequence[tuple[str, float, float, float, float]], edges: Sequence[str]) -> str:
    """A `graph.txt`: (layer, forward ms, backward ms, activation, parameters), edges as `1 2`."""
    lines = [
        f"node{number} -- {layer} -- forward_compute_time={forward:.3f}, "
        f"backward_compute_time={backward:.3f}, activation_size={activation:.3f}, "
        f"parameter_size={parameters:.3f}"
        for number, (layer, forward, backward, activation, parameters) in enumerate(nodes, 1)
    ]
    pairs = (edge.split() for edge in edges)
    lines += [f"\tnode{source} -- node{target}" for source, target in pairs]
    return "\n".join(lines) + "\n"


PIPEDREAM = pipedream(
    [
        ("Input", 20.0, 0.0, 4 * 602112.0, 0.0),
        ("Conv2d(3, 8, kernel_size=(3, 3), stride=(2, 2))", 3.0, 6.0, 1605632.0, 896.0),
        ("ReLU(inplace)", 0.5, 0.5, 1605632.0, 0.0),
        ("Add", 0.0, 0.0, 1605632.0, 0.0),
        ("AvgPool2d(kernel_size=112)", 0.2, 0.1, 128.0, 0.0),
        ("Size(0)", 0.0, 0.0, 4.0, 0.0),
        ("View(-1)", 0.0, 0.0, 128.0, 0.0),
        ("Linear(in_features=8, out_features=10, bias=True)", 0.3, 0.4, 160.0, 360.0),
        ("Linear(in_features=8, out_features=2, bias=True)", 0.1, 0.2, 32.0, 72.0),
    ],
    ["1 2", "2 3", "2 4", "3 4", "4 5", "5 6", "6 7", "5 7", "7 8", "7 9"],
)
"""A small image classifier with two heads, at batch 4."""
