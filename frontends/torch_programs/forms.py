"""What aten operators read and are told, in the order and the names of ONNX where it has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from string import ascii_letters
from types import MappingProxyType

from planner.frontends.torch_programs.program import Argument, Call, Ref
from planner.graphs.operators import AttributeValue, Shape

Told = dict[str, AttributeValue]

_OPERANDS: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
        "Conv": (("input", "self"), ("weight",), ("bias",)),
        "ConvTranspose": (("input", "self"), ("weight",), ("bias",)),
        "Linear": (("input",), ("weight",), ("bias",)),
        "Gemm": (("mat1", "mat", "input"), ("mat2", "vec", "weight"), ("self", "bias")),
        "MatMul": (("batch1", "self"), ("mat2", "other", "vec", "vec2", "tensor", "batch2")),
        "BatchNormalization": (
            ("input",),
            ("weight",),
            ("bias",),
            ("running_mean",),
            ("running_var",),
        ),
        "LayerNormalization": (("input",), ("weight",), ("bias",)),
        "GroupNormalization": (("input",), ("weight",), ("bias",)),
        "RMSNormalization": (("input",), ("weight",)),
        "Attention": (("query",), ("key",), ("value",), ("attn_mask", "attn_bias")),
    }
)
"""By type: the schema's names for what ONNX reads at each position."""


def operand_refs(call: Call, op: str, *, skip: str | None = None) -> list[Ref | None]:
    """What a call reads, in order; None where an optional operand before others is left out.

    Args:
        call: The call.
        op: Its type in the graph.
        skip: An argument that is written to and not read.
    """
    arguments = call.arguments
    forms = _OPERANDS.get(op)
    found: list[Ref | None] = []
    used = {skip} if skip is not None else set()
    for names in forms or ():
        name = next((name for name in names if name in arguments and name not in used), None)
        value = arguments[name] if name is not None else None
        if name is not None:
            used.add(name)
        found.append(value if isinstance(value, Ref) else None)
    for name, argument in arguments.items():
        if name not in used:
            found += _refs(argument)
    while found and found[-1] is None:
        found.pop()
    return found


def all_refs(call: Call) -> list[Ref]:
    """Everything among the arguments that is a tensor."""
    return [ref for argument in call.arguments.values() for ref in _refs(argument)]


def _refs(argument: Argument) -> list[Ref]:
    if isinstance(argument, Ref):
        return [argument]
    if isinstance(argument, tuple):
        return [ref for item in argument for ref in _refs(item)]
    return []


def no_weights(call: Call) -> set[str]:
    """Names of operands with two dimensions that no product is with, though weights have two."""
    names = ("mask", "hx") if call.operator.endswith("_cell") else ("mask",)
    return {ref.name for name in names for ref in _refs(call.arguments.get(name))}


def attributes(call: Call, op: str, shapes: Sequence[Shape | None]) -> Told:
    """What the call is told beside tensors; `shapes` are those of its operands."""
    told: Told = {
        name: plain
        for name, argument in call.arguments.items()
        if (plain := _plain(argument)) is not None
    }
    if op == "Einsum":
        return _einsum(told, shapes)
    form = _FORMS.get(op)
    first = shapes[0] if shapes else None
    return form(told, len(first) if first is not None else 0) if form is not None else told


def _plain(argument: Argument) -> AttributeValue:
    if isinstance(argument, Ref):
        return None
    if isinstance(argument, tuple):
        return None if _refs(argument) else tuple(_plain(item) for item in argument)
    return argument


def _convolution(told: Told, rank: int) -> Told:
    spatial = rank - 2
    result: Told = {
        "dilations": _spread(told.get("dilation", 1), spatial),
        "group": told.get("groups", 1),
        "strides": _spread(told.get("stride", 1), spatial),
    }
    padding = told.get("padding", 0)
    if isinstance(padding, str):
        result["auto_pad"] = "SAME_UPPER" if padding == "same" else padding.upper()
    else:
        result["pads"] = _both_ends(padding, spatial)
    if told.get("transposed"):
        result["output_padding"] = _spread(told.get("output_padding", 0), spatial)
    return result


def _pool(told: Told, rank: int) -> Told:
    if "output_size" in told:
        return told
    spatial = rank - 2
    kernel = _spread(told.get("kernel_size", 1), spatial)
    stride = told.get("stride") or kernel
    result: Told = {
        "ceil_mode": int(bool(told.get("ceil_mode", False))),
        "kernel_shape": kernel,
        "pads": _both_ends(told.get("padding", 0), spatial),
        "strides": _spread(stride, spatial),
    }
    if "count_include_pad" in told:
        result["count_include_pad"] = int(bool(told["count_include_pad"]))
    if "dilation" in told:
        result["dilations"] = _spread(told["dilation"], spatial)
    return result


def _batch_norm(told: Told, rank: int) -> Told:
    momentum = told.get("momentum", 0.1)
    return {
        "epsilon": told.get("eps", 1e-5),
        "momentum": 1 - momentum if isinstance(momentum, (int, float)) else 0.9,
        "training_mode": int(bool(told.get("training", False))),
    }


def _gemm(told: Told, rank: int) -> Told:
    return {
        "alpha": float(_number(told.get("alpha", 1))),
        "beta": float(_number(told.get("beta", 1))),
        "transB": told.get("transB", 0),
    }


def _einsum(told: Told, shapes: Sequence[Shape | None]) -> Told:
    """With a letter for every dimension that `...` stands for, and an equation of `tensordot`."""
    if None in shapes:
        return told
    ranks = [len(shape) for shape in shapes if shape is not None]
    equation, mine, others = (told.get(name) for name in ("equation", "dims_self", "dims_other"))
    if isinstance(mine, tuple) and isinstance(others, tuple) and len(ranks) == 2:
        left = list(ascii_letters[: ranks[0]])
        right = list(ascii_letters[ranks[0] : sum(ranks)])
        for i, j in zip(mine, others, strict=False):
            if isinstance(i, int) and isinstance(j, int):
                right[j] = left[i]
        return {"equation": f"{''.join(left)},{''.join(right)}"}
    if not isinstance(equation, str) or "..." not in equation:
        return told
    terms, arrow, result = equation.replace(" ", "").partition("->")
    free = "".join(letter for letter in ascii_letters if letter not in equation)
    split = terms.split(",")
    stands_for = [r - len(t) + 3 if "..." in t else 0 for t, r in zip(split, ranks, strict=False)]
    most = max(stands_for, default=0)
    written = [
        term.replace("...", free[most - n : most])
        for term, n in zip(split, stands_for, strict=False)
    ]
    return told | {"equation": ",".join(written) + arrow + result.replace("...", free[:most])}


def _number(value: AttributeValue) -> float:
    return value if isinstance(value, (int, float)) else 1.0


def _spread(value: AttributeValue, count: int) -> AttributeValue:
    """One number for all spatial dimensions, or one for each."""
    if not isinstance(value, tuple):
        return (value,) * count
    return value * count if len(value) == 1 else value


def _both_ends(value: AttributeValue, count: int) -> AttributeValue:
    spread = _spread(value, count)
    return spread * 2 if isinstance(spread, tuple) else spread


_FORMS: Mapping[str, Callable[[Told, int], Told]] = {
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "MaxPool": _pool,
    "AveragePool": _pool,
    "BatchNormalization": _batch_norm,
    "Gemm": _gemm,
}
