"""Shapes, padding and resizing in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Sequence

import numpy as np
import torch
from torch.nn import functional

from .nodes import TorchNode, operator, to_tensor

if TYPE_CHECKING:
    from torch import Tensor

    from .nodes import Kernel


@operator("Shape")
def _shape(node: TorchNode) -> Kernel:
    start, end = node.get("start", 0), node.get("end")
    return lambda x: torch.tensor(list(x.shape[start:end]), dtype=torch.int64)


@operator("Size")
def _size(node: TorchNode) -> Kernel:
    return lambda x: torch.tensor(x.numel(), dtype=torch.int64)


@operator("Constant")
def _constant(node: TorchNode) -> Kernel:
    value = constant_value(node)
    return lambda: value


def constant_value(node: TorchNode) -> Tensor:
    """The value of a Constant.

    Raises:
        UnsupportedByTorch: If the manifest lacks it.
    """
    for name in ("value_int", "value_ints"):
        if name in node.attributes:
            return torch.tensor(node.attributes[name], dtype=torch.int64)
    for name in ("value_float", "value_floats"):
        if name in node.attributes:
            return torch.tensor(node.attributes[name], dtype=torch.float32)
    return _attribute_tensor(node, "value")


def _attribute_tensor(node: TorchNode, name: str) -> Tensor:
    """An attribute that is a tensor: {"dtype", "shape", "values"}."""
    value = node.get(name)
    if not isinstance(value, dict):
        raise node.unsupported("its value is not known")
    return to_tensor(np.array(value["values"], value["dtype"]).reshape(value["shape"]))


@operator("ConstantOfShape")
def _constant_of_shape(node: TorchNode) -> Kernel:
    read = node.numbers(0)
    fill = _attribute_tensor(node, "value") if "value" in node.attributes else torch.zeros(1)

    def run(shape: Tensor) -> Tensor:
        return torch.full(
            read(shape), fill.reshape(-1)[0].item(), dtype=fill.dtype, device=node.device
        )

    return run


@operator("Range")
def _range(node: TorchNode) -> Kernel:
    def run(start: Tensor, limit: Tensor, delta: Tensor) -> Tensor:
        return torch.arange(
            start.item(), limit.item(), delta.item(), dtype=start.dtype, device=node.device
        )

    return run


@operator("Reshape")
def _reshape(node: TorchNode) -> Kernel:
    read, keeps_zero = node.numbers(1, "shape"), bool(node.get("allowzero", 0))

    def run(x: Tensor, shape: Any = None) -> Tensor:
        target = read(shape)
        if 0 in target and not keeps_zero:
            target = [x.shape[i] if size == 0 else size for i, size in enumerate(target)]
        return torch.reshape(x, target)

    return run


@operator("Flatten")
def _flatten(node: TorchNode) -> Kernel:
    axis = node.get("axis", 1)

    def run(x: Tensor) -> Tensor:
        if axis == 1 and x.dim() > 1:
            return torch.flatten(x, 1)
        rows = 1
        for size in x.shape[:axis]:
            rows *= size
        return x.reshape(rows, -1)

    return run


@operator("Transpose")
def _transpose(node: TorchNode) -> Kernel:
    order = node.get("perm")
    return lambda x: x.permute(order or list(range(x.dim()))[::-1])


@operator("Squeeze")
def _squeeze(node: TorchNode) -> Kernel:
    read = node.reader(1, "axes")

    def run(x: Tensor, axes: Any = None) -> Tensor:
        if read is None:
            return torch.squeeze(x)
        for axis in sorted((a % x.dim() for a in read(axes)), reverse=True):
            x = torch.squeeze(x, axis)
        return x

    return run


@operator("Unsqueeze")
def _unsqueeze(node: TorchNode) -> Kernel:
    read = node.numbers(1, "axes")

    def run(x: Tensor, axes: Any = None) -> Tensor:
        given = read(axes)
        rank = x.dim() + len(given)
        for axis in sorted(a % rank for a in given):
            x = torch.unsqueeze(x, axis)
        return x

    return run


@operator("Concat")
def _concat(node: TorchNode) -> Kernel:
    axis = node.get("axis")
    return lambda *parts: torch.cat(parts, axis)


@operator("Split")
def _split(node: TorchNode) -> Kernel:
    axis, read = node.get("axis", 0), node.reader(1, "split")

    def run(x: Tensor, sizes: Any = None) -> tuple[Tensor, ...]:
        if read is not None:
            return torch.split(x, read(sizes), axis)
        return torch.split(x, -(-x.shape[axis] // len(node.outputs)), axis)

    return run


@operator("Expand")
def _expand(node: TorchNode) -> Kernel:
    read = node.numbers(1)

    def run(x: Tensor, shape: Tensor) -> Tensor:
        return x.expand(_broadcast(x.shape, read(shape)))

    return run


def _broadcast(one: Sequence[int], other: Sequence[int]) -> list[int]:
    rank = max(len(one), len(other))
    first = [1] * (rank - len(one)) + list(one)
    second = [1] * (rank - len(other)) + list(other)
    return [b if a == 1 else a for a, b in zip(first, second)]


@operator("Tile")
def _tile(node: TorchNode) -> Kernel:
    read = node.numbers(1)

    def run(x: Tensor, repeats: Tensor) -> Tensor:
        return x.repeat(read(repeats))

    return run


@operator("Trilu")
def _trilu(node: TorchNode) -> Kernel:
    diagonal = int(node.number(1, "k", 0))
    if node.get("upper", 1):
        return lambda x, *_: torch.triu(x, diagonal)
    return lambda x, *_: torch.tril(x, diagonal)


@operator("DepthToSpace")
def _depth_to_space(node: TorchNode) -> Kernel:
    block, is_crd = node.get("blocksize"), node.get("mode", "DCR") == "CRD"

    def run(x: Tensor) -> Tensor:
        if is_crd:
            return functional.pixel_shuffle(x, block)
        n, c, h, w = x.shape
        parts = x.reshape(n, block, block, c // block**2, h, w).permute(0, 3, 4, 1, 5, 2)
        return parts.reshape(n, c // block**2, h * block, w * block)

    return run


@operator("SpaceToDepth")
def _space_to_depth(node: TorchNode) -> Kernel:
    block = node.get("blocksize")

    def run(x: Tensor) -> Tensor:
        n, c, h, w = x.shape
        parts = x.reshape(n, c, h // block, block, w // block, block).permute(0, 3, 5, 1, 2, 4)
        return parts.reshape(n, c * block**2, h // block, w // block)

    return run


@operator("Pad")
def _pad(node: TorchNode) -> Kernel:
    mode: str = node.get("mode", "constant")
    if mode not in ("constant", "reflect", "edge"):
        raise node.unsupported(f"mode {mode}")
    read, read_axes = node.numbers(1, "pads"), node.reader(3)
    fill = float(node.number(2, "value", 0.0))

    def run(x: Tensor, pads: Any = None, _: Any = None, axes: Any = None) -> Tensor:
        given = read(pads)
        chosen = list(range(x.dim())) if read_axes is None else read_axes(axes)
        widths = [0] * 2 * x.dim()
        for i, axis in enumerate(chosen):
            place = 2 * (x.dim() - 1 - axis % x.dim())
            widths[place], widths[place + 1] = given[i], given[len(chosen) + i]
        if mode == "constant":
            return functional.pad(x, widths, value=fill)
        while len(widths) > 2 and widths[-2:] == [0, 0] and len(widths) // 2 > x.dim() - 2:
            widths = widths[:-2]
        return functional.pad(x, widths, mode="replicate" if mode == "edge" else mode)

    return run


_LINEAR = {3: "linear", 4: "bilinear", 5: "trilinear"}


@operator("Resize", "Upsample")
def _resize(node: TorchNode) -> Kernel:
    at = 1 if node.op == "Upsample" or node.opset < 11 else 2
    scales, sizes = node.reader(at, "scales"), node.reader(3) if at == 2 else None
    mode, options = _interpolation(node)
    axes = node.get("axes")

    def run(x: Tensor, *given: Any) -> Tensor:
        def read(reader: Any, position: int) -> list[Any]:
            numbers: list[Any] = reader(given[position - 1] if len(given) >= position else None)
            is_spatial = axes is not None and len(axes) == x.dim() - 2
            return numbers if is_spatial else numbers[2:]

        name = _LINEAR[x.dim()] if mode == "linear" else mode
        if sizes is not None:
            return functional.interpolate(
                x, [int(s) for s in read(sizes, 3)], None, name, **options
            )
        return functional.interpolate(x, None, read(scales, at), name, **options)

    return run


def _interpolation(node: TorchNode) -> tuple[str, dict[str, Any]]:
    """Torch's mode, with its options, for a way to resize.

    Raises:
        UnsupportedByTorch: If it has none.
    """
    mode: str = node.get("mode", "nearest")
    is_old = node.op == "Upsample" or node.opset < 11
    coordinates = node.get(
        "coordinate_transformation_mode", "asymmetric" if is_old else "half_pixel"
    )
    if mode == "nearest":
        rounding = node.get("nearest_mode", "floor" if is_old else "round_prefer_floor")
        if coordinates == "asymmetric" and rounding == "floor":
            return "nearest", {}
        if coordinates in ("half_pixel", "pytorch_half_pixel") and "round" in rounding:
            return "nearest-exact", {}
        raise node.unsupported(f"nearest, {coordinates}, {rounding}")
    aligned = {"align_corners": True, "half_pixel": False, "pytorch_half_pixel": False}
    if coordinates not in aligned or node.get("exclude_outside", 0):
        raise node.unsupported(f"{mode}, {coordinates}")
    options: dict[str, Any] = {"align_corners": aligned[coordinates]}
    if node.get("antialias", 0):
        options["antialias"] = True
    return ("bicubic" if mode == "cubic" else mode), options
