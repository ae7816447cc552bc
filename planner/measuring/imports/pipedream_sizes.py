"""Sizes that a PipeDream profile does not have: 0 for layers that do produce a tensor."""

from __future__ import annotations

import re

from planner.errors import MeasuringError, listed
from planner.measuring.imports.pipedream import Layer, LayerGraph

_LINEAR = re.compile(r"Linear\(in_features=(?P<n_in>[1-9]\d*), out_features=(?P<n_out>[1-9]\d*)")
_SAME_SIZE = re.compile(
    r"Flatten|Identity|Reshape|View|(Alpha)?Dropout(\dd)?|(Batch|Instance)Norm\dd|(Group|Layer)Norm"
    r"|(Leaky|P)?ReLU6?|S?ELU|GELU|SiLU|Hard(swish|tanh)|(Log)?(Softmax|Sigmoid)|Softplus|Tanh"
)
_POOLING = re.compile(r"(Adaptive)?(Avg|Max|LP)Pool\dd")


def complete_sizes(graph: LayerGraph, where: str) -> tuple[dict[str, int], list[str]]:
    """Bytes of what every layer writes, and what is to be said about those that were missing.

    A size follows from a layer that keeps the size, from a reader that does, or from a `Linear`
    that reads it; that of a pooling layer is at most that of its input.

    Raises:
        MeasuringError: Listing layers whose size follows from nothing.
    """
    sizes = {name: layer.activation_bytes for name, layer in graph.layers.items()}
    missing = [name for name, size in sizes.items() if not size]
    readers = graph.readers()
    for rule in (_exact, _at_most):
        n_left = -1
        while n_left != (n_left := sum(not size for size in sizes.values())):
            for name in missing:
                if not sizes[name]:
                    sizes[name] = rule(graph, readers, sizes, name)
    lost = [f"`{name}` ({graph.layers[name].op})" for name in missing if not sizes[name]]
    if lost:
        raise MeasuringError(
            f"`activation_size` of layers that produce a tensor is 0: {listed(lost, 10)}",
            code="PLN615",
            where=where,
            hint="write the bytes of the tensor into the file; 0 would make it free to send",
        )
    if not missing:
        return sizes, []
    shown = listed([f"`{name}` {sizes[name]:,}" for name in missing], 10)
    return sizes, [
        f"`activation_size` is 0 where a tensor is produced; these bytes follow from neighbours: "
        f"{shown}"
    ]


def _exact(
    graph: LayerGraph, readers: dict[str, list[str]], sizes: dict[str, int], name: str
) -> int:
    """The size that a neighbour implies; 0 if none does."""
    sources = graph.sources[name]
    if _SAME_SIZE.fullmatch(graph.layers[name].op) and len(sources) == 1 and sizes[sources[0]]:
        return sizes[sources[0]]
    for reader in readers[name]:
        layer, size = graph.layers[reader], sizes[reader]
        linear = _LINEAR.match(layer.layer)
        if linear and size:
            return size * int(linear["n_in"]) // int(linear["n_out"])
        if _SAME_SIZE.fullmatch(layer.op) and size and len(graph.sources[reader]) == 1:
            return size
    return 0


def _at_most(
    graph: LayerGraph, readers: dict[str, list[str]], sizes: dict[str, int], name: str
) -> int:
    """The size of what a pooling layer reads, or what `_exact` makes of another such."""
    layer: Layer = graph.layers[name]
    if _POOLING.fullmatch(layer.op) and len(graph.sources[name]) == 1:
        return sizes[graph.sources[name][0]]
    return _exact(graph, readers, sizes, name)
