"""Which tensors a backward pass sends a gradient for."""

from __future__ import annotations

import numpy as np

from planner.arrays import BoolArray
from planner.graphs.dtypes import is_floating
from planner.graphs.graph import Graph


def needs_gradient(graph: Graph) -> BoolArray:
    """Per tensor, whether training computes a gradient for it; shape [tensors].

    A tensor needs one when (a) it is floating point, (b) its producer has a trainable parameter or
    reads a floating-point tensor of which (b) is true, and (c) a path of floating-point tensors
    leads from it to a graph output. A tensor's `requires_grad` decides all three for it.
    """
    tensors = graph.tensors
    depends = [tensor.requires_grad is True for tensor in tensors]
    reaches = [tensor.requires_grad is True for tensor in tensors]
    is_open = [
        is_floating(tensor.dtype) if tensor.requires_grad is None else tensor.requires_grad
        for tensor in tensors
    ]
    trainable = [parameter.trainable for parameter in graph.parameters]
    for operator in graph.operators:
        if any([trainable[p] for p in operator.parameters]) or any(
            [depends[t] for t in operator.inputs]
        ):
            for t in operator.outputs:
                depends[t] = is_open[t]
    for t in graph.outputs:
        reaches[t] = is_open[t]
    for operator in reversed(graph.operators):
        if any([reaches[t] for t in operator.outputs]):
            for t in operator.inputs:
                reaches[t] = is_open[t]
    return np.array(depends, np.bool_) & np.array(reaches, np.bool_)
