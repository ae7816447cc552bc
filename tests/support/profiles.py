"""Profiles made from a graph: documents of kind `profile` with given seconds and groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from planner.graphs.graph import Graph
from planner.graphs.signatures import (
    edges_between,
    gradient_digest,
    input_shapes,
    model_digest,
    operator_signature,
    output_bytes,
    read_outside,
)

Seconds = Callable[[int], float] | Mapping[str, float] | Sequence[float]
"""Of an operator, by its index, by its name, or in graph order."""

MACHINE = {"name": "bench", "processor": "Toy", "n_cores": 2, "memory_bytes": 2**30}
ENGINE = {"name": "onnxruntime", "version": "1.32.0", "provider": "cpu", "threads": 1}


def timing(seconds: float, origin: str = "measured", method: str = "kernel events") -> Any:
    """A duration as files hold it."""
    return {"typical_s": seconds, "spread_s": 0.0, "n_runs": 5, "origin": origin, "method": method}


def measurement_of(
    graph: Graph,
    forward: Seconds = lambda index: (index + 1) / 1000,
    backward: Seconds | None = None,
    *,
    groups: Sequence[Sequence[str]] = (),
    mode: str | None = None,
    batch: int | None = None,
    backward_origin: str = "measured",
    **changes: object,
) -> dict[str, Any]:
    """One measurement of a graph, at its own batch unless another is given.

    Args:
        graph: What was measured.
        forward, backward: Seconds; with `backward` the mode is training unless `mode` is given.
        groups: Names of operators that ran as one; their seconds are put at the first of each.
        mode: `inference` or `training`.
        batch: Leading dimension of the inputs.
        backward_origin: `measured` or `estimated`.
        changes: Other keys of the measurement.
    """
    firsts = {name: group[0] for group in groups for name in group}
    names = [operator.name for operator in graph.operators]

    def column(seconds: Seconds) -> dict[str, float]:
        found = dict.fromkeys(names, 0.0)
        for index, name in enumerate(names):
            found[firsts.get(name, name)] += _seconds(seconds, index, name)
        return found

    batch = graph.batch if batch is None else batch
    ahead = column(forward)
    back = column(backward) if backward is not None else None
    nodes = [
        {
            "name": operator.name,
            "op": operator.op,
            "signature": operator_signature(graph, index),
            "output_bytes": output_bytes(graph, index) * (batch or 1) // (graph.batch or 1),
            "forward": timing(ahead[operator.name]),
            "backward": timing(back[operator.name], backward_origin, "toy ratio") if back else None,
        }
        for index, operator in enumerate(graph.operators)
    ]
    return {
        "model": graph.name,
        "digest": model_digest(graph),
        "gradients": "" if backward is None else gradient_digest(graph),
        "batch": batch,
        "inputs": [
            {"name": name, "dtype": dtype, "shape": _at(batch, shape, graph.batch)}
            for name, (dtype, shape) in input_shapes(graph).items()
        ],
        "mode": mode or ("inference" if backward is None else "training"),
        "engine": ENGINE,
        "started": "2026-11-23T12:00:00Z",
        "is_complete": True,
        "whole": {
            "forward": timing(sum(ahead.values())),
            "sum_forward_s": sum(ahead.values()),
        },
        "nodes": nodes,
        "groups": [
            {
                "nodes": [*group],
                "edges": [[*edge] for edge in edges_between(graph, group)],
                "read_outside": [*read_outside(graph, group)],
                "reason": "one kernel",
            }
            for group in groups
        ],
        **changes,
    }


def profile_document(*measurements: dict[str, Any], **changes: object) -> dict[str, Any]:
    """A profile file of some measurements."""
    return {
        "kind": "profile",
        "version": 1,
        "tool": "dnn-partition-planner 0.1.0",
        "machine": MACHINE,
        "measurements": [*measurements],
        **changes,
    }


def _seconds(seconds: Seconds, index: int, name: str) -> float:
    if callable(seconds):
        return seconds(index)
    return seconds[name] if isinstance(seconds, Mapping) else seconds[index]


def _at(batch: int | None, shape: tuple[int, ...], graph_batch: int | None) -> list[int]:
    if batch is None or graph_batch is None or not shape:
        return [*shape]
    return [batch, *shape[1:]]
