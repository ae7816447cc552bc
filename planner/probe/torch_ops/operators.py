"""ONNX operators in torch: the whole table."""

from __future__ import annotations

from . import elementwise as torch_elementwise
from . import indexing as torch_indexing
from . import layers as torch_layers
from . import shaping as torch_shaping
from .nodes import (
    TorchNode,
    UnsupportedByTorch,
    known_operators,
    make_kernel,
    to_tensor,
    torch_dtype,
)

__all__ = [
    "TorchNode",
    "UnsupportedByTorch",
    "known_operators",
    "make_kernel",
    "to_tensor",
    "torch_dtype",
]

TABLES = (torch_elementwise, torch_indexing, torch_layers, torch_shaping)
"""The modules whose import fills the table."""
