"""From repeated timings to one number, in one place."""

from __future__ import annotations

from typing import Any, Sequence

import numpy as np

FASTEST_SHARE = 0.1
"""Share of the samples, the fastest, whose mean is the typical duration.

Disturbances only ever add time, so slow samples say something about the other load of the machine.
On a busy one the fastest tenth differs less between two series than quartiles do, and on a quiet
one less than the single fastest.
"""


def typical(samples: Sequence[float]) -> tuple[float, float]:
    """The typical duration of `samples` in seconds, and their interquartile range.

    Raises:
        ValueError: If there are none, or one is negative or not finite.
    """
    values = np.sort(np.asarray(samples, np.float64))
    if not len(values) or not np.isfinite(values).all() or values[0] < 0:
        raise ValueError("timings must be finite, not negative, and at least one")
    fastest = values[: max(1, round(len(values) * FASTEST_SHARE))]
    quartiles = np.percentile(values, [25, 75])
    return float(fastest.mean()), float(quartiles[1] - quartiles[0])


def timing(samples: Sequence[float], method: str, origin: str = "measured") -> dict[str, Any]:
    """`samples` in seconds as the profile's `Timing`; `origin` is `measured` or `estimated`."""
    typical_s, spread_s = typical(samples)
    return {
        "typical_s": typical_s,
        "spread_s": spread_s,
        "n_runs": len(samples),
        "origin": origin,
        "method": method,
    }


def scaled(entry: dict[str, Any], factor: float) -> dict[str, Any]:
    """A timing, multiplied."""
    return dict(entry, typical_s=entry["typical_s"] * factor, spread_s=entry["spread_s"] * factor)
