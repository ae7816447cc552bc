"""What is measured, and how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

LEVELS = ("disabled", "basic", "extended", "all")
"""Optimisation levels of onnxruntime."""


TYPICAL_S = 8.0
"""Seconds that the rounds of one measurement take if nobody says how many there are."""

LONGEST_S = 20.0
"""Seconds that they may take where the machine turns out to be busy."""

MIN_ROUNDS, MAX_ROUNDS = 10, 400


@dataclass(frozen=True)
class Settings:
    """The measuring program's settings.

    Attributes:
        provider: Execution provider, in its short form: `cpu`, `cuda`, …
        threads: Threads of one operator.
        repeat: Rounds; None for as many as it takes (`rounds`).
        optimization: One of `LEVELS`; what is deployed.
        mode: `inference`, `training` or `both`.
        backward: `measure`, `ratio`, `none`, or None for whatever can be had.
        fusion: False measures every operator apart, as if `optimization` were `disabled`.
        seed: Of weights and inputs.
        method: `trace`, `segments`, or `auto` for what suits the provider.
    """

    provider: str = "cpu"
    threads: int = 1
    repeat: int | None = None
    optimization: str = "all"
    mode: str = "both"
    backward: str | None = None
    fusion: bool = True
    seed: int = 0
    method: str = "auto"

    def rounds(self, round_s: float) -> int:
        """How often to measure what takes `round_s` seconds each time."""
        if self.repeat is not None:
            return self.repeat
        return int(min(MAX_ROUNDS, max(MIN_ROUNDS, TYPICAL_S / max(round_s, 1e-9))))

    @property
    def level(self) -> str:
        """The optimisation level that is measured."""
        return self.optimization if self.fusion else "disabled"

    def as_dict(self) -> dict[str, Any]:
        """What has to be equal for an interrupted measurement to go on."""
        return {
            "provider": self.provider,
            "threads": self.threads,
            "level": self.level,
            "seed": self.seed,
            "method": self.method,
        }


WARM_UPS = 3
