"""Convolutions, matrix products, pooling and normalisation in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Callable, Sequence

import torch
from torch.nn import functional

from .nodes import TorchNode, operator

if TYPE_CHECKING:
    from torch import Tensor

    from .nodes import Kernel

_CONV: dict[int, Any] = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}
_CONV_TRANSPOSE: dict[int, Any] = {
    1: functional.conv_transpose1d,
    2: functional.conv_transpose2d,
    3: functional.conv_transpose3d,
}
_MAX_POOL: dict[int, Any] = {
    1: functional.max_pool1d,
    2: functional.max_pool2d,
    3: functional.max_pool3d,
}
_AVG_POOL: dict[int, Any] = {
    1: functional.avg_pool1d,
    2: functional.avg_pool2d,
    3: functional.avg_pool3d,
}


class Window:
    """A sliding window: kernel, strides, dilations and padding of a convolution or pooling."""

    def __init__(self, node: TorchNode, kernel: Sequence[int]) -> None:
        self.kernel = list(kernel)
        rank = len(self.kernel)
        self.rank = rank
        self.strides = list(node.get("strides", [1] * rank))
        self.dilations = list(node.get("dilations", [1] * rank))
        self.pads = list(node.get("pads", [0] * 2 * rank))
        self.auto_pad: str = node.get("auto_pad", "NOTSET")
        if self.auto_pad == "VALID":
            self.pads = [0] * 2 * rank

    def padding(self, shape: Sequence[int]) -> tuple[list[int], list[int]]:
        """Padding at the begin and at the end of each spatial dimension of an input's `shape`."""
        if self.auto_pad not in ("SAME_UPPER", "SAME_LOWER"):
            return self.pads[: self.rank], self.pads[self.rank :]
        begins, ends = [], []
        for size, kernel, stride, dilation in zip(
            shape[2:], self.kernel, self.strides, self.dilations
        ):
            steps = -(-size // stride)
            total = max((steps - 1) * stride + (kernel - 1) * dilation + 1 - size, 0)
            small, large = total // 2, total - total // 2
            is_upper = self.auto_pad == "SAME_UPPER"
            begins.append(small if is_upper else large)
            ends.append(large if is_upper else small)
        return begins, ends


def pad(x: Tensor, begins: Sequence[int], ends: Sequence[int], value: float = 0.0) -> Tensor:
    """Constant padding of the last dimensions."""
    widths = [w for pair in zip(reversed(begins), reversed(ends)) for w in pair]
    return functional.pad(x, widths, value=value)


@operator("Conv")
def _conv(node: TorchNode) -> Kernel:
    groups = node.get("group", 1)
    windows: dict[int, Window] = {}

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        rank = x.dim() - 2
        if rank not in windows:
            windows[rank] = Window(node, weight.shape[2:])
        window = windows[rank]
        begins, ends = window.padding(x.shape)
        if begins != ends:
            x, begins = pad(x, begins, ends), [0] * rank
        kernel = _CONV[rank]
        return kernel(x, weight, bias, window.strides, begins, window.dilations, groups)  # type: ignore[no-any-return]

    return run


@operator("ConvTranspose")
def _conv_transpose(node: TorchNode) -> Kernel:
    groups = node.get("group", 1)
    if node.get("output_shape") or node.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        raise node.unsupported("output_shape or auto_pad")

    def run(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        window = Window(node, weight.shape[2:])
        begins, ends = window.padding(x.shape)
        extra = list(node.get("output_padding", [0] * window.rank))
        kernel = _CONV_TRANSPOSE[window.rank]
        if begins == ends:
            return kernel(x, weight, bias, window.strides, begins, extra, groups, window.dilations)  # type: ignore[no-any-return]
        zeros = [0] * window.rank
        full = kernel(x, weight, bias, window.strides, zeros, extra, groups, window.dilations)
        return pad(full, [-b for b in begins], [-e for e in ends])

    return run


@operator("Gemm")
def _gemm(node: TorchNode) -> Kernel:
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    is_left, is_right = bool(node.get("transA", 0)), bool(node.get("transB", 0))

    def run(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        a, b = (a.t() if is_left else a), (b.t() if is_right else b)
        if c is None:
            product = torch.mm(a, b)
            return product if alpha == 1 else alpha * product
        return torch.addmm(c, a, b, beta=beta, alpha=alpha)

    return run


@operator("MatMul")
def _matmul(node: TorchNode) -> Kernel:
    return torch.matmul


@operator("Einsum")
def _einsum(node: TorchNode) -> Kernel:
    equation = node.get("equation")
    return lambda *operands: torch.einsum(equation, *operands)


@operator("MaxPool")
def _max_pool(node: TorchNode) -> Kernel:
    window = Window(node, node.get("kernel_shape"))
    is_ceil, with_indices = bool(node.get("ceil_mode", 0)), node.wants(1)
    if with_indices and node.get("storage_order", 0):
        raise node.unsupported("storage_order")
    kernel = _MAX_POOL[window.rank]

    def run(x: Tensor) -> Any:
        begins, ends = window.padding(x.shape)
        if begins != ends or any(2 * b > k for b, k in zip(begins, window.kernel)):
            if with_indices:
                raise node.unsupported("indices with this padding")
            x, begins = pad(x, begins, ends, -float("inf")), [0] * window.rank
        found = kernel(
            x, window.kernel, window.strides, begins, window.dilations, is_ceil, with_indices
        )
        if not with_indices:
            return found
        plane = x[0, 0].numel()
        planes = torch.arange(x.shape[0] * x.shape[1], device=x.device) * plane
        return found[0], found[1] + planes.reshape(list(x.shape[:2]) + [1] * window.rank)

    return run


@operator("AveragePool")
def _average_pool(node: TorchNode) -> Kernel:
    window = Window(node, node.get("kernel_shape"))
    if any(d != 1 for d in window.dilations):
        raise node.unsupported("dilations")
    is_ceil, counts_pad = bool(node.get("ceil_mode", 0)), bool(node.get("count_include_pad", 0))
    kernel = _AVG_POOL[window.rank]

    def run(x: Tensor) -> Tensor:
        begins, ends = window.padding(x.shape)
        if begins == ends and all(2 * b <= k for b, k in zip(begins, window.kernel)):
            return kernel(x, window.kernel, window.strides, begins, is_ceil, counts_pad)  # type: ignore[no-any-return]
        total = kernel(pad(x, begins, ends), window.kernel, window.strides, 0, is_ceil)
        if counts_pad:
            return total  # type: ignore[no-any-return]
        ones = pad(torch.ones_like(x[:1, :1]), begins, ends)
        return total / kernel(ones, window.kernel, window.strides, 0, is_ceil)  # type: ignore[no-any-return]

    return run


@operator("GlobalAveragePool")
def _global_average_pool(node: TorchNode) -> Kernel:
    kernels: dict[int, Callable[..., Tensor]] = {
        1: functional.adaptive_avg_pool1d,
        2: functional.adaptive_avg_pool2d,
        3: functional.adaptive_avg_pool3d,
    }
    return lambda x: kernels[x.dim() - 2](x, 1)


@operator("GlobalMaxPool")
def _global_max_pool(node: TorchNode) -> Kernel:
    return lambda x: torch.amax(x, list(range(2, x.dim())), True)


@operator("BatchNormalization")
def _batch_norm(node: TorchNode) -> Kernel:
    epsilon, momentum = node.get("epsilon", 1e-5), 1 - node.get("momentum", 0.9)
    in_file = bool(node.get("training_mode", 0)) if node.opset >= 14 else node.wants(1)
    is_training = node.is_training or in_file
    has_cudnn = torch.backends.cudnn.enabled

    def run(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Any:
        y = torch.batch_norm(
            x, scale, bias, mean, variance, is_training, momentum, epsilon, has_cudnn
        )
        return (y, mean, variance)[: len(node.outputs)] if node.wants(1) else y

    return run


@operator("LayerNormalization")
def _layer_norm(node: TorchNode) -> Kernel:
    axis, epsilon = node.get("axis", -1), node.get("epsilon", 1e-5)
    with_statistics = node.wants(1) or node.wants(2)

    def run(x: Tensor, scale: Tensor | None, bias: Tensor | None = None) -> Any:
        shape = list(x.shape[axis:])
        if with_statistics:
            return torch.native_layer_norm(x, shape, scale, bias, epsilon)
        return functional.layer_norm(x, shape, scale, bias, epsilon)

    return run


@operator("RMSNormalization", "SimplifiedLayerNormalization")
def _rms_norm(node: TorchNode) -> Kernel:
    axis, epsilon = node.get("axis", -1), node.get("epsilon", 1e-5)

    def run(x: Tensor, scale: Tensor) -> Tensor:
        axes = list(range(axis % x.dim(), x.dim()))
        return x * torch.rsqrt(torch.mean(x * x, axes, True) + epsilon) * scale

    return run


@operator("InstanceNormalization")
def _instance_norm(node: TorchNode) -> Kernel:
    epsilon = node.get("epsilon", 1e-5)
    return lambda x, scale, bias: functional.instance_norm(
        x, weight=scale, bias=bias, use_input_stats=True, eps=epsilon
    )


@operator("GroupNormalization")
def _group_norm(node: TorchNode) -> Kernel:
    groups, epsilon = node.get("num_groups"), node.get("epsilon", 1e-5)

    def run(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        repeats = x.shape[1] // scale.numel()  # one number for each group before opset 21
        if repeats > 1:
            scale, bias = scale.repeat_interleave(repeats), bias.repeat_interleave(repeats)
        return functional.group_norm(x, groups, scale, bias, epsilon)

    return run


@operator("LRN")
def _lrn(node: TorchNode) -> Kernel:
    size = node.get("size")
    if size % 2 == 0:
        raise node.unsupported("of even size")
    alpha, beta, bias = node.get("alpha", 1e-4), node.get("beta", 0.75), node.get("bias", 1.0)
    return lambda x: functional.local_response_norm(x, size, alpha, beta, bias)


@operator("LpNormalization")
def _lp_normalization(node: TorchNode) -> Kernel:
    axis, power = node.get("axis", -1), node.get("p", 2)
    return lambda x: x / torch.norm(x, power, axis, True)
