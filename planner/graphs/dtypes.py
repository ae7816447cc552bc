"""Element types by the names that ONNX and numpy give them, and how wide they are."""

from __future__ import annotations

from collections.abc import Iterable

_FLOAT_BITS = {
    "float64": 64,
    "float32": 32,
    "float16": 16,
    "bfloat16": 16,
    "float8e4m3fn": 8,
    "float8e4m3fnuz": 8,
    "float8e5m2": 8,
    "float8e5m2fnuz": 8,
    "float8e8m0": 8,
    "float4e2m1": 4,
    "complex64": 64,
    "complex128": 128,
}
_OTHER_BITS = {
    "int64": 64,
    "int32": 32,
    "int16": 16,
    "int8": 8,
    "int4": 4,
    "int2": 2,
    "uint64": 64,
    "uint32": 32,
    "uint16": 16,
    "uint8": 8,
    "uint4": 4,
    "uint2": 2,
    "bool": 8,
}
BITS: dict[str, int] = _FLOAT_BITS | _OTHER_BITS
"""Width in bits of one element; strings have none and are refused."""

WIRE_DTYPES = ("float32", "bfloat16", "float16", "float8e4m3fn", "float8e5m2", "int8")
"""What floating-point activations and gradients may be sent as."""

ASSUMED_BITS = 32
"""The width assumed where a size is given in bytes alone: training is done in float32."""


def is_floating(dtype: str | None) -> bool:
    """Whether a gradient can exist for this type; a size alone (None) counts as floating."""
    return dtype is None or dtype in _FLOAT_BITS


def count_elements(shape: Iterable[int]) -> int:
    """The product of the dimensions, in unbounded integers; 1 for a scalar."""
    elements = 1
    for dimension in shape:
        elements *= dimension
    return elements


def size_in_bytes(dtype: str, shape: Iterable[int]) -> int:
    """Bytes of a dense tensor, rounded up to whole bytes for 4-bit types.

    Raises:
        KeyError: If `dtype` is not a key of `BITS`.

    >>> size_in_bytes("float16", (2, 3))
    12
    """
    return (BITS[dtype] * count_elements(shape) + 7) // 8
