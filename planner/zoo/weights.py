"""The file beside a model that holds its weights: its layout, and two ways to fill it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Literal

from planner.zoo.graph import Parameter

Filling = Literal["random", "zeros"]

FLOAT32_BYTES = 4
PAGE_BYTES = 4096
"""A tensor of a page or more begins on one, so that runtimes can map it into memory."""
LINE_BYTES = 64
CHUNK_ELEMENTS = 1 << 20
"""Random numbers are made in pieces of 4 MiB: one matrix of VGG-16 alone has 411 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where in the weights file a parameter lies."""

    parameter: Parameter
    offset: int

    @property
    def n_bytes(self) -> int:
        return self.parameter.n_elements * FLOAT32_BYTES

    @property
    def end(self) -> int:
        return self.offset + self.n_bytes


def place(parameters: Iterable[Parameter]) -> tuple[Placement, ...]:
    """Lay parameters out one after another, aligned.

    >>> bias, matrix = Parameter(name="bias", shape=(3,)), Parameter(name="weight", shape=(64, 64))
    >>> [placement.offset for placement in place([bias, bias, matrix])]
    [0, 64, 4096]
    """
    placements: list[Placement] = []
    end = 0
    for parameter in parameters:
        is_large = parameter.n_elements * FLOAT32_BYTES >= PAGE_BYTES
        alignment = PAGE_BYTES if is_large else LINE_BYTES
        placement = Placement(parameter=parameter, offset=-(-end // alignment) * alignment)
        placements.append(placement)
        end = placement.end
    return tuple(placements)


def write_zeros(stream: BinaryIO, placements: Sequence[Placement]) -> None:
    """Make `stream` a file of zeros, which takes no space on most file systems."""
    stream.truncate(placements[-1].end)


def write_random(stream: BinaryIO, placements: Sequence[Placement], seed: int) -> None:
    """Write normally distributed weights, the same ones for the same seed.

    The memory that this takes does not depend on the size of the model.
    """
    import numpy as np

    generator = np.random.default_rng(seed)
    for placement in placements:
        stream.seek(placement.offset)
        parameter = placement.parameter
        for start in range(0, parameter.n_elements, CHUNK_ELEMENTS):
            size = min(CHUNK_ELEMENTS, parameter.n_elements - start)
            if parameter.std:
                values = generator.standard_normal(size, dtype=np.float32)
                values *= np.float32(parameter.std)
                values += np.float32(parameter.mean)
            else:
                values = np.full(size, parameter.mean, dtype=np.float32)
            stream.write(values.astype("<f4", copy=False).data)
