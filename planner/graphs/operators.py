"""What a graph is made of: operators, the tensors between them, and the parameters they read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from planner.graphs.dtypes import ASSUMED_BITS, BITS, count_elements

Shape = tuple[int, ...]
AttributeValue = (
    int | float | str | bool | None | tuple["AttributeValue", ...] | Mapping[str, "AttributeValue"]
)

GRAPH_INPUT = -1
"""`Tensor.producer` of a graph input."""

MAX_BYTES = 2**53
"""Sizes above this are refused: they are not exact as float64, and no model has them."""


# Named tuples, not dataclasses: a large model has hundreds of thousands, and they are made faster.
class Tensor(NamedTuple):
    """An activation: what one operator (or the input) produces and others consume.

    `shape` is as exported; `size_bytes` already includes the graph's `batch_scale`. A `dtype` of
    None means that only the size is known; the tensor then counts as floating point.
    """

    name: str
    size_bytes: int
    dtype: str | None
    shape: Shape | None
    producer: int
    consumers: tuple[int, ...]
    requires_grad: bool | None


class Parameter(NamedTuple):
    """A weight, or a buffer (not `trainable`). `readers` are operator indices, ascending."""

    name: str
    size_bytes: int
    trainable: bool
    dtype: str | None
    shape: Shape | None
    readers: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of elements; a size without a type is taken as float32."""
        if self.shape is not None:
            return count_elements(self.shape)
        return self.size_bytes * 8 // (BITS[self.dtype] if self.dtype else ASSUMED_BITS)


class Operator(NamedTuple):
    """One computation.

    `inputs`, `outputs` and `parameters` are indices into the graph's tuples, without repetition;
    `operand_shapes` are the shapes of everything the operator reads, by position, constants
    included (None where absent or unknown): with `op`, `domain` and `attributes` they are its
    signature. `forward_flops` is set only where the model's file gives it.
    """

    name: str
    op: str
    domain: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    parameters: tuple[int, ...]
    operand_shapes: tuple[Shape | None, ...]
    attributes: Mapping[str, AttributeValue]
    forward_flops: float | None
