"""What every stored run is made of, and where runs are stored."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict

from benchmarks import ROOT

RESULTS = ROOT / "benchmarks" / "results"


class Record(BaseModel):
    """Strict and frozen: a file of another version is refused, not guessed at."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Machine(Record):
    """What it ran on."""

    processor: str
    cores: int
    python: str
    libraries: dict[str, str]


def rounded(value: float, digits: int = 4) -> float:
    """`value` with so many significant digits: more would be noise, and noise in every commit.

    >>> rounded(123456.0), rounded(0.00123456)
    (123500.0, 0.001235)
    """
    if value == 0 or not math.isfinite(value):
        return value
    return round(value, digits - 1 - math.floor(math.log10(abs(value))))
