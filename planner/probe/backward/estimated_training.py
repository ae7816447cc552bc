"""The training measurement without torch: forward by onnxruntime, backward estimated from it."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Mapping, Sequence

import numpy as np

from ..errors import ProbeError
from ..forward.runs import measure_kernels, method_of
from ..forward.segments import measure_segments
from ..measurements import REMOVED
from .backward_ratios import RatioTable, read_ratios, variant_of

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..reporting import Reporter
    from ..settings import Settings

TRAINABLE_LEVELS = ("disabled", "basic")
"""Above these, kernels are fused and data laid out as no backward pass can be computed from.

The ratios, too, are to forward passes without either.
"""

_PROBE_BYTES = 2**24
_N_RUNS = 5


def measure(
    bundle: Bundle, settings: Settings, reporter: Reporter, unfinished: dict[str, Any] | None
) -> dict[str, Any]:
    """Measure the forward pass in training mode, and say what the backward pass would take.

    Returns:
        A measurement of the profile; not complete if it was interrupted.

    Raises:
        ProbeError: PLN601 to PLN606.
    """
    if unfinished is not None and "engine" in unfinished:
        unfinished = None  # it was another engine's
    if settings.level not in TRAINABLE_LEVELS:
        settings = replace(settings, optimization=TRAINABLE_LEVELS[-1])
    measurement = _forward(bundle, settings, reporter, unfinished)
    if measurement["is_complete"]:
        measurement["notes"] += removed_dropouts(measurement)
    if measurement["is_complete"] and settings.backward != "none":
        measured: dict[str, dict[str, Any]] = {}
        if settings.backward == "measure":
            from .gradient_timing import measure_gradients

            measured = measure_gradients(bundle, settings, reporter)
        add_backward(measurement, bundle, read_ratios(), measured)
    return measurement


def _forward(
    bundle: Bundle, settings: Settings, reporter: Reporter, unfinished: dict[str, Any] | None
) -> dict[str, Any]:
    """The forward pass of the training form; of the other one if that does not run."""
    reporter.phase("forward in training mode")
    files = bundle.manifest["files"]
    if method_of(settings) == "segments":
        return _by_segments(bundle, settings, reporter, unfinished)
    try:
        return measure_kernels(
            bundle, settings, reporter, files["training"], "training", unfinished
        )
    except ProbeError as error:
        if error.code != "PLN603" or files["inference"] in (None, files["training"]):
            raise
        reporter.note(f"forward is that of inference, because in training form {error.message}")
    return measure_kernels(bundle, settings, reporter, files["inference"], "training", unfinished)


def _by_segments(
    bundle: Bundle, settings: Settings, reporter: Reporter, unfinished: dict[str, Any] | None
) -> dict[str, Any]:
    """By the segments of the bundle, which are those of inference."""
    file = bundle.manifest["files"]["training"]
    measurement = measure_segments(bundle, settings, reporter, file, "training", unfinished)
    if file != bundle.manifest["files"]["inference"]:
        text = "the whole model was measured in training form, the segments that share its time out"
        measurement["notes"].append(f"{text} in that of inference")
    return measurement


def removed_dropouts(measurement: Mapping[str, Any]) -> list[str]:
    """A note where onnxruntime has removed what training cannot do without."""
    gone = [
        row["name"]
        for row in measurement["nodes"]
        if row["op"] == "Dropout" and row["forward"]["method"] == REMOVED
    ]
    if not gone:
        return []
    return [f"onnxruntime has removed {len(gone)} Dropout operators: their time is missing"]


def add_backward(
    measurement: dict[str, Any],
    bundle: Bundle,
    table: RatioTable,
    measured: Mapping[str, Mapping[str, Any]],
) -> None:
    """Give every operator that has a backward pass its timing, and the whole model their sum.

    Args:
        measurement: Complete, forward only; changed.
        bundle: What was measured.
        table: Ratios of backward to forward.
        measured: Timings by operator, for those that were measured.
    """
    rows = {row["name"]: row for row in measurement["nodes"]}
    has_backward = {o["name"] for o in bundle.manifest["operators"] if o["has_backward"]}
    units = [list(group["nodes"]) for group in measurement["groups"]]
    grouped = {name for unit in units for name in unit}
    units += [[name] for name in rows if name not in grouped]
    estimate = _Estimate(bundle, table)
    total_s, spread_s = 0.0, 0.0
    for unit in units:
        receivers = [name for name in unit if name in has_backward]
        if not receivers:
            continue
        entry = _unit_backward(unit, receivers, rows, measured, estimate)
        rows[receivers[0]]["backward"] = entry
        for name in receivers[1:]:
            rows[name]["backward"] = _timing(0.0, 0.0, f"in the time of `{receivers[0]}`")
        total_s += entry["typical_s"]
        spread_s += entry["spread_s"]
    text = "sum over the operators, most of them estimated from their forward pass"
    measurement["whole"]["backward"] = _timing(total_s, spread_s, text)
    measurement["whole"]["sum_backward_s"] = total_s
    measurement["notes"].append(
        f"backward: {len(measured)} operators measured, the others estimated by ratios to forward"
    )


def _unit_backward(
    unit: Sequence[str],
    receivers: Sequence[str],
    rows: Mapping[str, dict[str, Any]],
    measured: Mapping[str, Mapping[str, Any]],
    estimate: _Estimate,
) -> dict[str, Any]:
    """The backward pass of operators that ran as one kernel forward."""
    forward = rows[unit[0]]["forward"]
    if len(unit) == 1 and unit[0] in measured:
        return dict(measured[unit[0]])
    leading = [name for name in receivers if estimate.table.is_leading(rows[name]["op"])]
    known = [measured[name] for name in leading if name in measured]
    if known and len(known) == len(leading):
        seconds = sum(item["typical_s"] for item in known)
        spread = sum(item["spread_s"] for item in known)
        method = f"{known[0]['method']}; what is fused with it is left out"
        return {**known[0], "typical_s": seconds, "spread_s": spread, "method": method}
    return estimate.of(leading or receivers, rows, forward)


class _Estimate:
    """Backward passes from forward passes, and of embeddings from the size of their weights."""

    def __init__(self, bundle: Bundle, table: RatioTable) -> None:
        self.table = table
        weights = bundle.manifest["weights"]
        self._shapes = {item["name"]: item["shape"] for item in weights}
        self._receivers = bundle.manifest["gradient_inputs"]
        self._nodes = {node["name"]: node for node in bundle.manifest["nodes"]}
        self._update_s = 0.0

    def of(
        self,
        names: Sequence[str],
        rows: Mapping[str, dict[str, Any]],
        forward: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Of operators that took `forward` together."""
        found = []
        for name in names:
            node = self._nodes.get(name)
            variant = "" if node is None else variant_of(node, self._shapes, self._receivers[name])
            if variant == "embedding" and node is not None:
                return self._embedding(node["inputs"][0])
            found.append(self.table.find(rows[name]["op"], variant))
        ratio = sum(item.ratio for item in found) / len(found)
        method = f"{ratio:.3g} x forward: {found[0].provenance}"
        return _timing(ratio * forward["typical_s"], ratio * forward["spread_s"], method)

    def _embedding(self, weight: str) -> dict[str, Any]:
        """A gradient as large as the table, most of it zeros, and its descent."""
        elements = int(np.prod(self._shapes[weight]))
        if not self._update_s:
            self._update_s = _update_s_per_element()
        text = f"filling and descending a dense gradient of {elements} elements, by numpy"
        return _timing(elements * self._update_s, 0.0, text)


def _update_s_per_element() -> float:
    """Seconds for an element of a weight whose gradient is filled and descended by numpy."""
    weight = np.ones(_PROBE_BYTES // 4, np.float32)
    seconds = []
    for _ in range(_N_RUNS):
        started = time.perf_counter()
        gradient = np.full(weight.shape, 1e-9, np.float32)
        gradient *= np.float32(1e-6)
        weight -= gradient
        seconds.append(time.perf_counter() - started)
    return min(seconds) / len(weight)


def _timing(typical_s: float, spread_s: float, method: str) -> dict[str, Any]:
    return {
        "typical_s": typical_s,
        "spread_s": spread_s,
        "n_runs": 0,
        "origin": "estimated",
        "method": method,
    }
