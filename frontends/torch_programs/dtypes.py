"""Element types of torch by the names that numpy and ONNX give them."""

from __future__ import annotations

import torch

from planner.graphs.dtypes import BITS

_RENAMED = {
    "float8_e4m3fn": "float8e4m3fn",
    "float8_e4m3fnuz": "float8e4m3fnuz",
    "float8_e5m2": "float8e5m2",
    "float8_e5m2fnuz": "float8e5m2fnuz",
    "float8_e8m0fnu": "float8e8m0",
}


def dtype_name(dtype: torch.dtype) -> str:
    """As numpy and ONNX call it.

    >>> dtype_name(torch.bfloat16)
    'bfloat16'
    """
    name = str(dtype).removeprefix("torch.")
    return _RENAMED.get(name, name)


def dtypes_by_name() -> dict[str, torch.dtype]:
    """Every type that a tensor of torch can have and the planner knows."""
    whole = [name for name, bits in BITS.items() if bits >= 8]  # narrower ones are only names
    candidates = (getattr(torch, _torch_name(name), None) for name in whole)
    return {dtype_name(found): found for found in candidates if isinstance(found, torch.dtype)}


def _torch_name(name: str) -> str:
    return next((ours for ours, other in _RENAMED.items() if other == name), name)
