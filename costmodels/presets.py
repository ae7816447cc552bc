"""Figures of known hardware, from `hardware.json`, each with its source; read on first use."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Field, model_validator

from planner.errors import PluginError, nearest
from planner.files.documents import Items, StrictModel, parse_json, validate

Positive = Annotated[float, Field(gt=0)]


class PeakFlops(StrictModel):
    """Dense arithmetic, FLOP/s (integer operations for int8); None where the vendor gives none."""

    float32: Positive
    float16: Positive | None = None
    bfloat16: Positive | None = None
    int8: Positive | None = None

    def by_dtype(self) -> dict[str, float]:
        """The peaks that are known."""
        found = {dtype: getattr(self, dtype) for dtype in type(self).model_fields}
        return {dtype: peak for dtype, peak in found.items() if peak is not None}


class Preset(StrictModel):
    """One piece of hardware.

    Attributes:
        name: What a costs file calls it in `hardware`.
        peak_flops: Dense peaks by element type.
        memory_bandwidth_bytes_per_s: Theoretical bandwidth of the main or graphics memory.
        memory_bytes: Its size; decimal, because a part is always taken by others.
        efficiency: Fraction of the peak that kernels reach.
        overhead_s: Seconds to launch a kernel.
        source: Where each figure comes from, by field; peaks as `peak_flops.float32`.
    """

    name: Annotated[str, Field(min_length=1)]
    peak_flops: PeakFlops
    memory_bandwidth_bytes_per_s: Positive
    memory_bytes: Annotated[int, Field(gt=0)]
    efficiency: Annotated[float, Field(gt=0, le=1)]
    overhead_s: Annotated[float, Field(ge=0)]
    source: dict[str, Annotated[str, Field(min_length=1)]]

    @model_validator(mode="after")
    def _is_sourced(self) -> Preset:
        plain = set(type(self).model_fields) - {"name", "source", "peak_flops"}
        figures = plain | {f"peak_flops.{dtype}" for dtype in self.peak_flops.by_dtype()}
        if wrong := sorted(figures ^ set(self.source)):
            raise ValueError(f"figures and sources differ in: {', '.join(wrong)}")
        return self


class _Hardware(StrictModel):
    kind: Literal["hardware"]
    version: Literal[1]
    note: str
    presets: Items[Preset]


@cache
def _presets() -> dict[str, Preset]:
    file = files("planner.costmodels") / "hardware.json"
    document = parse_json(file.read_bytes(), str(file))
    hardware = validate(_Hardware, document, str(file))
    return {preset.name: preset for preset in hardware.presets}


def names() -> tuple[str, ...]:
    """The presets, in the order of the file.

    >>> "jetson-tx2" in names()
    True
    """
    return tuple(_presets())


def get(name: str, *, where: str | None = None) -> Preset:
    """The figures of a piece of hardware.

    Args:
        name: One of `names()`.
        where: Place that asked for it, for the error.

    Raises:
        PluginError: If there is no such preset.

    >>> get("rtx-3090").memory_bytes
    24000000000
    """
    found = _presets().get(name)
    if found is None:
        raise PluginError(
            f"hardware `{name}` is not known",
            code="PLN305",
            where=where,
            hint=_hint(name),
        )
    return found


def _hint(name: str) -> str:
    """The nearest preset, and all of them: there is no other list."""
    close = nearest(name, _presets())
    listing = f"presets: {', '.join(f'`{known}`' for known in _presets())}"
    return f"did you mean `{close}`? {listing}" if close else listing
