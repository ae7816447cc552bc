"""Which values share their storage, and what stands for one after another has been written to.

A graph of tensors has no memory: what an in-place operator writes is a tensor of its own. So
whoever reads `x`, or a view of it, after `x.relu_()` must read what `relu_` wrote.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from planner.frontends.torch_programs.program import Value, Weight
from planner.graphs.dtypes import BITS, count_elements
from planner.graphs.operators import Shape


class Look(Enum):
    """How a value that is read relates to the one that stands for it now."""

    SAME = "same"
    """It is that value, or what was written in its place."""
    WHOLE = "whole"
    """It shows all of that value, perhaps in another layout."""
    PART = "part"
    """It shows a part of that value, which must be cut out again."""


class Found(NamedTuple):
    """The value to read, and how."""

    name: str
    look: Look


@dataclass(slots=True)
class _Storage:
    """What several values look at; `version` counts writes, `whole` holds all of it now."""

    whole: str
    version: int = 0


@dataclass(slots=True)
class _Seen:
    """A value: its storage, the write count at which it was made, whether it shows all of it."""

    storage: _Storage
    version: int
    is_whole: bool


@dataclass(slots=True)
class Aliases:
    """Every value of a program, in the order they come to be."""

    _seen: dict[str, _Seen] = field(default_factory=dict)
    _stand_ins: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, name: str) -> None:
        """A value with a storage of its own."""
        self._seen[name] = _Seen(_Storage(name), 0, True)

    def add_view(self, name: str, of: str, *, is_whole: bool) -> None:
        """A value that looks at all (`is_whole`) or some of what `of` looks at."""
        base = self._seen[of]
        storage = base.storage
        self._seen[name] = _Seen(storage, storage.version, is_whole and base.is_whole)

    def write(self, target: str, result: str) -> bool:
        """`result` is what `target` holds from now on.

        Returns:
            Whether that is the whole storage. If not, the caller makes a new value of the `whole`
            one and `result`, and says so with `replace_whole`.
        """
        seen = self._seen[target]
        storage = seen.storage
        storage.version += 1
        self._seen[result] = _Seen(storage, storage.version, seen.is_whole)
        self._stand_ins[target] = (storage.version, result)
        if seen.is_whole:
            storage.whole = result
        return seen.is_whole

    def whole(self, name: str) -> str:
        """The value that holds all of what `name` looks at now."""
        return self._seen[name].storage.whole

    def replace_whole(self, result: str, whole: str) -> None:
        """`whole` holds the entire storage since `result` was written to a part of it."""
        storage = self._seen[result].storage
        self._seen[whole] = _Seen(storage, storage.version, True)
        storage.whole = whole

    def read(self, name: str) -> Found:
        """The value to read for `name` now."""
        seen = self._seen[name]
        storage = seen.storage
        if seen.version == storage.version:
            return Found(name, Look.SAME)
        version, stand_in = self._stand_ins.get(name, (0, ""))
        if version == storage.version:
            return Found(stand_in, Look.SAME)
        return Found(storage.whole, Look.WHOLE if seen.is_whole else Look.PART)


def memory(weight: Weight) -> tuple[object, ...]:
    """What two weights have in common that are the same elements, perhaps in another layout."""
    value = weight.value
    if value.strides is None:
        return (weight.storage, value.dtype, value.shape)
    count = 1
    for stride, size in sorted(zip(value.strides, value.shape, strict=True)):
        if size != 1 and stride != count:
            return (weight.storage, value.dtype, value.shape, value.strides)
        count *= size
    return (weight.storage, value.dtype, count)


def shown_bits(value: Value) -> int:
    """How much of its storage a value shows, where it shows nothing twice."""
    return BITS.get(value.dtype, 0) * count_elements(value.shape)


def view_strides(shape: Shape, strides: Shape, wanted: Shape) -> bool:
    """Whether a tensor of `shape` and `strides` can be seen as `wanted` without a copy.

    Dimensions that lie in memory without a gap are one run; every run must be a product of wanted
    dimensions (the rule of torch's `Tensor.view`).

    >>> view_strides((2, 3, 4), (12, 4, 1), (6, 4))
    True
    >>> view_strides((3, 2, 4), (4, 12, 1), (6, 4))
    False
    """
    runs: list[int] = []
    expected = None
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size == 1:
            continue
        if expected is None or stride != expected:
            runs.append(1)
        runs[-1] *= size
        expected = stride * size
    left = [size for size in reversed(wanted) if size != 1]
    position = 0
    for run in runs:
        covered = 1
        while covered < run and position < len(left):
            covered *= left[position]
            position += 1
        if covered != run:
            return False
    return position == len(left)
