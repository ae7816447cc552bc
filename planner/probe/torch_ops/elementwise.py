"""Activations, arithmetic, comparisons, reductions and selections in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional

from .nodes import TorchNode, operator, torch_dtype

if TYPE_CHECKING:
    from torch import Tensor

    from .nodes import Kernel

_PLAIN: dict[str, Any] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "And": torch.logical_and,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Equal": torch.eq,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "IsNaN": torch.isnan,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Log": torch.log,
    "Mish": functional.mish,
    "Mul": torch.mul,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Or": torch.logical_or,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Round": torch.round,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Softplus": functional.softplus,
    "Softsign": functional.softsign,
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
    "Tan": torch.tan,
    "Tanh": torch.tanh,
    "Add": torch.add,
    "Xor": torch.logical_xor,
}


@operator(*_PLAIN)
def _plain(node: TorchNode) -> Kernel:
    kernel: Kernel = _PLAIN[node.op]
    return kernel


@operator("Identity")
def _identity(node: TorchNode) -> Kernel:
    return lambda x: x


@operator("Div")
def _div(node: TorchNode) -> Kernel:
    def run(x: Tensor, y: Tensor) -> Tensor:
        if x.is_floating_point():
            return torch.div(x, y)
        return torch.div(x, y, rounding_mode="trunc")

    return run


@operator("Mod")
def _mod(node: TorchNode) -> Kernel:
    return torch.fmod if node.get("fmod", 0) else torch.remainder


@operator("Pow")
def _pow(node: TorchNode) -> Kernel:
    if 1 in node.constants and node.constants[1].size == 1:
        # A number spares the gradient of the exponent, and has short cuts for 2 and 0.5.
        exponent = node.constants[1].reshape(-1)[0].item()
        rank = node.constants[1].ndim
        return lambda x, _: torch.pow(x, exponent) if x.dim() >= rank else x.pow(exponent)

    def run(x: Tensor, y: Tensor) -> Tensor:
        return torch.pow(x, y).to(x.dtype)

    return run


@operator("Min", "Max", "Sum", "Mean")
def _variadic(node: TorchNode) -> Kernel:
    combine: Any = {"Min": torch.minimum, "Max": torch.maximum}.get(node.op, torch.add)

    def run(first: Tensor, *others: Tensor) -> Tensor:
        total = first
        for other in others:
            total = combine(total, other)
        return total / (len(others) + 1) if node.op == "Mean" else total

    return run


@operator("Where")
def _where(node: TorchNode) -> Kernel:
    return lambda condition, x, y: torch.where(condition, x, y)


@operator("IsInf")
def _isinf(node: TorchNode) -> Kernel:
    if not (node.get("detect_negative", 1) and node.get("detect_positive", 1)):
        raise node.unsupported("of one sign")
    return torch.isinf


@operator("Cast")
def _cast(node: TorchNode) -> Kernel:
    dtype = torch_dtype(node.get("to"), node.op)
    return lambda x: x.to(dtype)


@operator("CastLike")
def _cast_like(node: TorchNode) -> Kernel:
    return lambda x, like: x.to(like.dtype)


@operator("Clip")
def _clip(node: TorchNode) -> Kernel:
    low, high = node.reader(1, "min"), node.reader(2, "max")

    def run(x: Tensor, lower: Any = None, upper: Any = None) -> Tensor:
        least = None if low is None else low(lower)[0]
        most = None if high is None else high(upper)[0]
        if least is None and most is None:
            return x
        return torch.clamp(x, least, most)

    if (low, high) != (None, None) and not _is_computed(node, 1) and not _is_computed(node, 2):
        least = None if low is None else low(None)[0]
        most = None if high is None else high(None)[0]
        if least == 0 and most is not None and most > 0:
            # What a ReLU6 is in torch.
            return lambda x, *_: functional.hardtanh(x, 0.0, most)
        return lambda x, *_: torch.clamp(x, least, most)
    return run


def _is_computed(node: TorchNode, position: int) -> bool:
    return node.has(position) and position not in node.constants


@operator("LeakyRelu", "Elu", "Selu", "Celu", "ThresholdedRelu", "HardSigmoid", "HardSwish")
def _activation(node: TorchNode) -> Kernel:
    alpha = node.get("alpha")
    if node.op == "LeakyRelu":
        return lambda x: functional.leaky_relu(x, 0.01 if alpha is None else alpha)
    if node.op == "Elu":
        return lambda x: functional.elu(x, 1.0 if alpha is None else alpha)
    if node.op == "Celu":
        return lambda x: functional.celu(x, 1.0 if alpha is None else alpha)
    if node.op == "ThresholdedRelu":
        return lambda x: functional.threshold(x, 1.0 if alpha is None else alpha, 0.0)
    if node.op == "HardSwish":
        return functional.hardswish
    if node.op == "HardSigmoid":
        slope = 0.2 if alpha is None else alpha
        shift = node.get("beta", 0.5)
        return lambda x: torch.clamp(slope * x + shift, 0.0, 1.0)
    selu_alpha = node.get("alpha", 1.6732632423543772)
    gamma = node.get("gamma", 1.0507009873554805)
    if abs(selu_alpha - 1.6732632) < 1e-5 and abs(gamma - 1.0507010) < 1e-5:
        return functional.selu
    return lambda x: gamma * functional.elu(x, selu_alpha)


@operator("Gelu", "FastGelu", "QuickGelu")
def _gelu(node: TorchNode) -> Kernel:
    if node.op == "QuickGelu":
        alpha = node.get("alpha", 1.702)
        return lambda x: x * torch.sigmoid(alpha * x)
    if node.op == "FastGelu" and node.has(1):
        raise node.unsupported("with a bias")
    if node.op == "FastGelu" or node.get("approximate", "none") == "tanh":
        # Before torch 1.12, `gelu` had no approximation.
        try:
            functional.gelu(torch.zeros(1), approximate="tanh")
        except TypeError:
            return _tanh_gelu
        return lambda x: functional.gelu(x, approximate="tanh")
    return functional.gelu


def _tanh_gelu(x: Tensor) -> Tensor:
    return 0.5 * x * (1 + torch.tanh(0.7978845608028654 * (x + 0.044715 * torch.pow(x, 3))))


@operator("Swish")
def _swish(node: TorchNode) -> Kernel:
    alpha = node.get("alpha", 1.0)
    if alpha == 1:
        return functional.silu
    return lambda x: x * torch.sigmoid(alpha * x)


@operator("PRelu")
def _prelu(node: TorchNode) -> Kernel:
    def run(x: Tensor, slope: Tensor) -> Tensor:
        per_channel = x.dim() > 1 and slope.numel() == x.shape[1] == (slope.shape or (1,))[0]
        if slope.numel() == 1 or (per_channel and slope.dim() == x.dim() - 1):
            return functional.prelu(x, slope.reshape(-1))
        return torch.where(x < 0, x * slope, x)

    return run


@operator("Softmax", "LogSoftmax")
def _softmax(node: TorchNode) -> Kernel:
    kernel: Any = torch.softmax if node.op == "Softmax" else torch.log_softmax
    if node.opset >= 13:
        axis = node.get("axis", -1)
        return lambda x: kernel(x, axis)
    start = node.get("axis", 1)

    def run(x: Tensor) -> Tensor:
        if start in (-1, x.dim() - 1):
            return kernel(x, -1)  # type: ignore[no-any-return]
        flat = torch.flatten(x, start) if start else x.reshape(-1)
        return kernel(flat, -1).reshape(x.shape)  # type: ignore[no-any-return]

    return run


@operator("Dropout")
def _dropout(node: TorchNode) -> Kernel:
    ratio = float(node.number(1, "ratio", 0.5))
    in_file = bool(node.number(2, "", False)) if node.has(2) else node.opset < 12
    is_random = node.is_training or (in_file and node.opset >= 12)
    if not node.wants(1):
        return lambda x, *_: torch.dropout(x, ratio, is_random)

    def with_mask(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
        mask = torch.ones_like(x, dtype=torch.bool)
        if is_random and ratio:
            mask = torch.rand_like(x) >= ratio
            return x * mask / (1 - ratio), mask
        return x, mask

    return with_mask


@operator("ArgMax", "ArgMin")
def _arg(node: TorchNode) -> Kernel:
    kernel: Any = torch.argmax if node.op == "ArgMax" else torch.argmin
    if node.get("select_last_index", 0):
        raise node.unsupported("select_last_index")
    axis, keep = node.get("axis", 0), bool(node.get("keepdims", 1))
    return lambda x: kernel(x, dim=axis, keepdim=keep)


@operator("CumSum")
def _cumsum(node: TorchNode) -> Kernel:
    axis = node.number(1, "axis", 0)
    is_reverse, is_exclusive = bool(node.get("reverse", 0)), bool(node.get("exclusive", 0))

    def run(x: Tensor, *_: Any) -> Tensor:
        given = torch.flip(x, [axis]) if is_reverse else x
        total = torch.cumsum(given, axis).to(x.dtype)
        if is_exclusive:
            total = total - given
        return torch.flip(total, [axis]) if is_reverse else total

    return run


_REDUCTIONS: dict[str, Any] = {
    "ReduceL1": lambda x, axes, keep: torch.sum(torch.abs(x), axes, keep),
    "ReduceL2": lambda x, axes, keep: torch.sqrt(torch.sum(x * x, axes, keep)),
    "ReduceLogSum": lambda x, axes, keep: torch.log(torch.sum(x, axes, keep)),
    "ReduceLogSumExp": lambda x, axes, keep: torch.logsumexp(x, axes, keep),
    "ReduceMax": lambda x, axes, keep: torch.amax(x, axes, keep),
    "ReduceMean": lambda x, axes, keep: torch.mean(x, axes, keep),
    "ReduceMin": lambda x, axes, keep: torch.amin(x, axes, keep),
    "ReduceSum": lambda x, axes, keep: torch.sum(x, axes, keep, dtype=x.dtype),
    "ReduceSumSquare": lambda x, axes, keep: torch.sum(x * x, axes, keep),
}


@operator(*_REDUCTIONS)
def _reduce(node: TorchNode) -> Kernel:
    kernel, keep = _REDUCTIONS[node.op], bool(node.get("keepdims", 1))
    read = node.reader(1, "axes")
    is_noop = bool(node.get("noop_with_empty_axes", 0))

    def run(x: Tensor, given: Any = None) -> Tensor:
        axes = [] if read is None else read(given)
        if not axes and is_noop:  # the sum of one square is still a square
            return kernel(x.unsqueeze(-1), [-1], False)  # type: ignore[no-any-return]
        axes = axes or list(range(x.dim()))
        return kernel(x, axes, keep)  # type: ignore[no-any-return]

    return run


@operator("ReduceProd")
def _reduce_prod(node: TorchNode) -> Kernel:
    keep, read = bool(node.get("keepdims", 1)), node.reader(1, "axes")
    is_noop = bool(node.get("noop_with_empty_axes", 0))

    def run(x: Tensor, given: Any = None) -> Tensor:
        axes = [] if read is None else read(given)
        if not axes and not is_noop:
            axes = list(range(x.dim()))
        for axis in sorted((a % x.dim() for a in axes), reverse=True):
            x = torch.prod(x, axis, keep, dtype=x.dtype)
        return x

    return run
