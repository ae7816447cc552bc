"""From samples to the profile's `Measurement`: one timing per operator, adding up to the whole."""

from __future__ import annotations

import time
from typing import Any, Iterable, NamedTuple, Sequence

from .bundle import Bundle
from .errors import ProbeError
from .settings import Settings
from .statistics import scaled, timing

REMOVED = "the optimiser has removed it"
"""What a timing says of an operator without a kernel."""


class Samples(NamedTuple):
    """Seconds of what was measured as one; no seconds at all for what has no kernel."""

    operators: tuple[str, ...]
    seconds: list[float]


def start_measurement(
    bundle: Bundle, settings: Settings, mode: str, *, method: str
) -> dict[str, Any]:
    """A measurement by onnxruntime, of which nothing is measured yet."""
    import onnxruntime

    engine = {
        "name": "onnxruntime",
        "version": onnxruntime.__version__,
        "provider": settings.provider,
        "threads": settings.threads,
        "optimization": settings.level,
        "settings": {"method": method, "seed": str(settings.seed)},
    }
    return empty_measurement(bundle, mode, engine)


def empty_measurement(bundle: Bundle, mode: str, engine: dict[str, Any]) -> dict[str, Any]:
    """A measurement by any engine, of which nothing is measured yet."""
    model = bundle.manifest["model"]
    return {
        "model": model["name"],
        "digest": model["digest"],
        "gradients": model["gradients"] if mode == "training" else "",
        "batch": model["batch"],
        "inputs": [
            {key: item[key] for key in ("name", "dtype", "shape")}
            for item in bundle.manifest["inputs"]
        ],
        "mode": mode,
        "engine": engine,
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "is_complete": False,
        "nodes": [],
        "notes": list(bundle.manifest.get("notes", ())),
    }


def finish_measurement(
    measurement: dict[str, Any],
    bundle: Bundle,
    forward: dict[str, Any],
    units: Iterable[Samples],
    *,
    method: str,
    reason: str,
) -> dict[str, Any]:
    """The finished measurement: operators are scaled so that they add up to the whole model.

    Args:
        measurement: What `start_measurement` gave.
        bundle: What was measured.
        forward: The timing of the whole model.
        units: Seconds of its parts, which cover every operator once.
        method: How the parts were measured.
        reason: Why operators of one unit have one time.
    """
    units = list(units)
    n_runs = forward["n_runs"]
    parts = {unit.operators[0]: timing(unit.seconds, method) for unit in units if unit.seconds}
    total_s = sum(entry["typical_s"] for entry in parts.values())
    factor = forward["typical_s"] / total_s if total_s else 1.0
    timings: dict[str, dict[str, Any]] = {}
    for unit in units:
        first = unit.operators[0]
        if first in parts:
            timings[first] = scaled(parts[first], factor)
        else:
            timings[first] = _nothing(n_runs, REMOVED)
        timings.update(
            (name, _nothing(n_runs, f"in the time of `{first}`")) for name in unit.operators[1:]
        )
    _settle(timings, forward["typical_s"])
    return {
        **measurement,
        "is_complete": True,
        "whole": {"forward": forward, "sum_forward_s": total_s},
        "nodes": [
            {
                "name": operator["name"],
                "op": operator["op"],
                "signature": operator["signature"],
                "output_bytes": operator["output_bytes"],
                "forward": timings[operator["name"]],
            }
            for operator in bundle.manifest["operators"]
        ],
        "groups": [
            _group(bundle, unit.operators, reason) for unit in units if len(unit.operators) > 1
        ],
    }


def _group(bundle: Bundle, names: Sequence[str], reason: str) -> dict[str, Any]:
    """Operators with one time, who of them reads whom, and whom others read."""
    chosen = set(names)
    known = {o["name"]: o for o in bundle.manifest["operators"] if o["name"] in chosen}
    readers = [(name, reader) for name in names for reader in known[name]["readers"]]
    outside = {name for name, reader in readers if reader not in chosen}
    return {
        "nodes": list(names),
        "edges": [list(pair) for pair in readers if pair[1] in chosen],
        "read_outside": [n for n in names if n in outside or known[n]["is_returned"]],
        "reason": reason,
    }


def _nothing(n_runs: int, method: str) -> dict[str, Any]:
    return {
        "typical_s": 0.0,
        "spread_s": 0.0,
        "n_runs": n_runs,
        "origin": "measured",
        "method": method,
    }


def _settle(timings: dict[str, dict[str, Any]], whole_s: float) -> None:
    """Put what rounding has left into the largest entry."""
    largest = max(timings.values(), key=lambda entry: float(entry["typical_s"]))
    difference = whole_s - sum(entry["typical_s"] for entry in timings.values())
    if largest["typical_s"] + difference > 0:
        largest["typical_s"] += difference


def check_unfinished(bundle: Bundle, settings: Settings, unfinished: Any) -> Any:
    """What an interrupted measurement has left, if it can be gone on with.

    Raises:
        ProbeError: PLN606 if it was measured in another way.
    """
    if unfinished is None:
        return None
    before, now = unfinished.get("settings", {}), settings.as_dict()
    for key in now:
        if before.get(key) != now[key]:
            raise ProbeError(
                f"the unfinished profile was measured with {key} {before.get(key)}, not {now[key]}",
                code="PLN606",
                hint="give the same flags, or leave out `--resume`",
            )
    return unfinished
