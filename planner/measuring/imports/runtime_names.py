"""What onnxruntime calls a kernel, and which operator of the model that means.

conv1                           the node's own name; a fused node keeps that of its first
fused fc1                       with an activation
fc1.matmul/MatMulAddFusion      fused by the rule of that name
relu1.output_nchwc              in another layout, by the tensor that it wrote; `_bn_nchwc`
heads_new_reshape, x_token_12   made from a node, made unique
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT
from planner.measuring.imports.attribution import Kernel

_ENDING = re.compile(r"/\w+Fusion/?$|_new_reshape$|_token_\d+$|_bn_nchwc$|_nchwc$")

_LAYOUT = re.compile(
    r"Cast|Identity|Memcpy(From|To)Host|Reorder(In|Out)put|Reshape|Squeeze|Transpose|Unsqueeze"
)
"""Kernels that an optimiser inserts to bring tensors into another form."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a kernel's name means: an operator, or None for one that the graph folded away.

    `is_last`: the name is that of a tensor, so the operator is the last of those in the kernel.
    """

    operator: int | None
    is_last: bool = False


def is_layout(kernel: Kernel) -> bool:
    """Whether a kernel only moves data, as those do that belong to no operator."""
    return _LAYOUT.fullmatch(kernel.op) is not None


class KernelNames:
    """Looks operators up by what onnxruntime makes of their names."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph

    def find(self, name: str, op: str) -> Found | None:
        """What a kernel's name means; None if nothing of the model is called so."""
        while name:
            found = self._exactly(name) or self._exactly(name.removeprefix("fused "))
            if found is not None:
                return found
            shorter = _ENDING.sub("", name)
            if shorter == name:
                return None
            name = shorter
        return None

    def _exactly(self, name: str) -> Found | None:
        graph = self._graph
        if name in graph.operator_index:
            return Found(operator=graph.operator_index[name])
        if name in graph.folded:
            return Found(operator=None)
        tensor = graph.tensor_index.get(name)
        if tensor is None or graph.tensors[tensor].producer == GRAPH_INPUT:
            return None
        return Found(operator=graph.tensors[tensor].producer, is_last=True)
