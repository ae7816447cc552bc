"""ONNX operators in torch: the whole table."""

from __future__ import annotations

from . import torch_elementwise, torch_indexing, torch_layers, torch_shaping
from .torch_nodes import (
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
