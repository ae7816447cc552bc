"""Slices, gathering and scattering in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from .nodes import TorchNode, operator

if TYPE_CHECKING:
    from torch import Tensor

    from .nodes import Kernel


@operator("Slice")
def _slice(node: TorchNode) -> Kernel:
    readers = [
        node.reader(position, name)
        for position, name in ((1, "starts"), (2, "ends"), (3, "axes"), (4, "steps"))
    ]

    def run(x: Tensor, *given: Any) -> Tensor:
        read = [
            None if reader is None else reader(given[i] if i < len(given) else None)
            for i, reader in enumerate(readers)
        ]
        starts, ends = read[0] or [], read[1] or []
        axes = read[2] or list(range(len(starts)))
        steps = read[3] or [1] * len(starts)
        index = [slice(None)] * x.dim()
        for axis, start, end, step in zip(axes, starts, ends, steps):
            if step < 0:
                x = _reversed_slice(x, axis, (start, end, step))
            else:
                index[axis] = slice(start, end, step)
        return x[tuple(index)]

    return run


def _reversed_slice(x: Tensor, axis: int, bounds: tuple[int, int, int]) -> Tensor:
    """A slice with a negative step, which torch lacks."""
    start, end, step = bounds
    size = x.shape[axis]
    last = -1 if end < -size else (end + size if end < 0 else end)
    first = min(start + size if start < 0 else start, size - 1)
    return x.index_select(axis, torch.arange(first, last, step, device=x.device))


@operator("Gather")
def _gather(node: TorchNode) -> Kernel:
    axis = node.get("axis", 0)
    fixed = node.constants.get(1)
    if fixed is not None and fixed.ndim == 0:
        position = int(fixed)
        return lambda x, _: x.select(axis, position)

    def run(x: Tensor, indices: Tensor) -> Tensor:
        if fixed is None and axis == 0 and x.dim() == 2 and x.is_floating_point():
            return functional.embedding(indices, x)
        where: list[Any] = [slice(None)] * (axis % x.dim())
        return x[(*where, indices.to(torch.int64))]

    return run


@operator("GatherElements")
def _gather_elements(node: TorchNode) -> Kernel:
    axis = node.get("axis", 0)
    return lambda x, indices: torch.gather(x, axis, _positive(indices, x.shape[axis]))


def _positive(indices: Tensor, size: int) -> Tensor:
    return torch.where(indices < 0, indices + size, indices).to(torch.int64)


@operator("GatherND")
def _gather_nd(node: TorchNode) -> Kernel:
    n_batch = node.get("batch_dims", 0)

    def run(x: Tensor, indices: Tensor) -> Tensor:
        where: list[Any] = []
        n_free = indices.dim() - 1 - n_batch
        for axis in range(n_batch):
            counts = torch.arange(x.shape[axis], device=x.device)
            where.append(counts.reshape([-1] + [1] * (n_batch - 1 - axis + n_free)))
        where += indices.unbind(-1)
        return x[tuple(where)]

    return run


@operator("ScatterND")
def _scatter_nd(node: TorchNode) -> Kernel:
    if node.get("reduction", "none") not in ("none", "add"):
        raise node.unsupported("reduction")
    adds = node.get("reduction", "none") == "add"
    return lambda x, indices, updates: x.index_put(indices.unbind(-1), updates, adds)


@operator("ScatterElements")
def _scatter_elements(node: TorchNode) -> Kernel:
    axis, reduction = node.get("axis", 0), node.get("reduction", "none")
    if reduction not in ("none", "add"):
        raise node.unsupported("reduction")

    def run(x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
        where = _positive(indices, x.shape[axis])
        if reduction == "add":
            return x.scatter_add(axis, where, updates)
        return x.scatter(axis, where, updates)

    return run


@operator("NonZero")
def _nonzero(node: TorchNode) -> Kernel:
    return lambda x: torch.nonzero(x).t()


@operator("OneHot")
def _one_hot(node: TorchNode) -> Kernel:
    depth = int(node.number(1, "", 0))
    axis = node.get("axis", -1)

    def run(indices: Tensor, _: Tensor, values: Tensor) -> Tensor:
        hot = functional.one_hot(_positive(indices, depth), depth)
        if axis != -1:
            hot = torch.movedim(hot, -1, axis)
        return torch.where(hot.bool(), values[1], values[0])

    return run


@operator("TopK")
def _top_k(node: TorchNode) -> Kernel:
    count, axis = int(node.number(1, "k", 1)), node.get("axis", -1)
    is_largest, is_sorted = bool(node.get("largest", 1)), bool(node.get("sorted", 1))
    return lambda x, *_: tuple(torch.topk(x, count, axis, is_largest, is_sorted))
