"""Operators of TorchScript on numbers, lists, dictionaries and strings, as Python has them."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch._ops import OpOverload

SCALAR_TYPES: dict[int, torch.dtype] = {
    0: torch.uint8,
    1: torch.int8,
    2: torch.int16,
    3: torch.int32,
    4: torch.int64,
    5: torch.float16,
    6: torch.float32,
    7: torch.float64,
    9: torch.complex64,
    10: torch.complex128,
    11: torch.bool,
    15: torch.bfloat16,
}
"""TorchScript writes element types as numbers."""
_NUMBERS = {dtype: number for number, dtype in SCALAR_TYPES.items()}
_TYPE_VARIABLE = re.compile(r"\b(t\d?|tVal|T|AnyListType|AnyTuple)\b")

SCALAR_READS = {
    "aten::Bool.Tensor": bool,
    "aten::Int.Tensor": int,
    "aten::Float.Tensor": float,
    "aten::Complex.Tensor": complex,
    "aten::IntImplicit": int,
    "aten::FloatImplicit": float,
    "aten::ComplexImplicit": complex,
    "aten::ScalarImplicit": None,
    "aten::item": None,
}
"""Operators that make a number of a tensor, and of what type."""


def _append(items: list[Any], item: object) -> list[Any]:
    items.append(item)
    return items


def _extend(items: list[Any], more: list[Any]) -> None:
    items.extend(more)


def _set_item(items: Any, key: object, value: object) -> Any:
    items[key] = value
    return items


def _delete(items: Any, key: object) -> None:
    del items[key]


def _add_in_place(items: list[Any], more: list[Any]) -> list[Any]:
    items += more
    return items


def _tensor(data: object, dtype: int | None = None, *_: object) -> torch.Tensor:
    return torch.tensor(data, dtype=None if dtype is None else SCALAR_TYPES[dtype])


def _shown(text: str, *values: object) -> str:
    return text.format(*values)


def _nothing(*_: object) -> None:
    return None


_LISTS: dict[str, Callable[..., Any]] = {
    "append": _append,
    "extend": _extend,
    "insert": list.insert,
    "pop": list.pop,
    "clear": list.clear,
    "reverse": list.reverse,
    "copy": list,
    "list": list,
    "len": len,
    "_set_item": _set_item,
    "Delete": _delete,
    "__getitem__": operator.getitem,
    "slice": lambda items, start, end, step: items[start:end:step],
    "add": operator.add,
    "add_": _add_in_place,
}
_DICTS: dict[str, Callable[..., Any]] = {
    "__getitem__": operator.getitem,
    "__contains__": operator.contains,
    "_set_item": _set_item,
    "keys": list,
    "values": lambda items: list(items.values()),
    "items": lambda items: list(items.items()),
    "get": dict.get,
    "len": len,
    "Delete": _delete,
}
_OTHER_KINDS = ("cuda", "meta", "quantized", "sparse", "sparse_csr", "mkldnn", "nested", "xla")
_KEYS = ("str", "int", "bool", "float", "Tensor")

BUILTINS: dict[str, Callable[..., Any]] = {
    **{f"aten::{name}.t": function for name, function in _LISTS.items()},
    "aten::mul.left_t": operator.mul,
    "aten::mul.right_": operator.mul,
    **{f"aten::__contains__.{kind}_list": operator.contains for kind in ("int", "str", "float")},
    **{f"aten::{name}.{key}": function for name, function in _DICTS.items() for key in _KEYS[:4]},
    **{f"aten::{name}.Dict_{key}": function for name, function in _DICTS.items() for key in _KEYS},
    **{f"aten::get.default_{key}": dict.get for key in _KEYS[:4]},
    "aten::__is__": operator.is_,
    "aten::__isnot__": operator.is_not,
    "aten::__not__": operator.not_,
    "aten::_unwrap_optional": lambda value: value,
    "aten::format": _shown,
    "aten::warn": _nothing,
    "aten::dim": lambda tensor: tensor.dim(),
    "aten::size": lambda tensor: list(tensor.shape),
    "aten::size.int": lambda tensor, axis: tensor.shape[axis],
    "aten::eq.int": operator.eq,
    "aten::ne.int": operator.ne,
    "aten::tensor": _tensor,
    "aten::tensor.int": _tensor,
    "aten::tensor.float": _tensor,
    "aten::tensor.bool": _tensor,
    "prim::unchecked_cast": lambda value: value,
    "prim::unchecked_unwrap_optional": lambda value: value,
    "prim::ListConstruct": lambda *items: list(items),
    "prim::TupleConstruct": lambda *items: items,
    "prim::DictConstruct": lambda *items: dict(zip(items[::2], items[1::2], strict=True)),
    "prim::TupleIndex": operator.getitem,
    "prim::Uninitialized": _nothing,
    "prim::Print": _nothing,
    "prim::dtype": lambda tensor: _NUMBERS[tensor.dtype],
    # Programs ask in order to make more tensors there: everything is said to be on the CPU.
    "prim::device": lambda _: torch.device("cpu"),
    "prim::layout": lambda _: 0,
    "prim::is_cpu": lambda _: True,
    **{f"prim::is_{kind}": lambda _: False for kind in _OTHER_KINDS},
    "prim::requires_grad": lambda tensor: tensor.requires_grad,
    "prim::shape": lambda tensor: list(tensor.shape),
    "prim::rangelist": lambda n: list(range(n)),
    "prim::abs.int": abs,
    "prim::abs.float": abs,
    "prim::min.int": min,
    "prim::max.int": max,
    "prim::min.float": min,
    "prim::max.float": max,
    "prim::min.self_int": min,
    "prim::max.self_int": max,
    "prim::NumToTensor.Scalar": lambda number: torch.tensor(number, dtype=_wide(number)),
    "prim::NumToTensor.bool": lambda number: torch.tensor(number),
}
"""By the schema's name; a list that several names stand for stays one list."""


def _wide(number: float) -> torch.dtype | None:
    """The type that torch gives a number which becomes a tensor."""
    return torch.float64 if isinstance(number, float) else None


def find_overload(schema: str) -> OpOverload | None:
    """The operator of a schema such as `aten::add.Tensor(…)`; None if Python cannot call it."""
    namespace, _, rest = schema.split("(", 1)[0].partition("::")
    name, _, overload = rest.partition(".")
    try:
        found: OpOverload = getattr(
            getattr(getattr(torch.ops, namespace), name), overload or "default"
        )
    except (AttributeError, RuntimeError):
        return None
    types = [str(argument.type) for argument in found._schema.arguments]
    is_generic = any(_TYPE_VARIABLE.search(text) for text in types) or "..." in schema
    return None if is_generic else found


def has_tensors(overload: OpOverload) -> bool:
    """Whether an operator reads or makes any."""
    schema = overload._schema
    return any("Tensor" in str(item.type) for item in [*schema.arguments, *schema.returns])


def modern(name: str, arguments: list[Any]) -> tuple[OpOverload, list[Any]] | None:
    """The convolution that a traced `aten::_convolution` came from: every other source says that.

    None if the operator is no such one.
    """
    if name != "aten::_convolution" or not 3 <= arguments[1].dim() <= 5:
        return None
    x, weight, bias, stride, padding, dilation, is_transposed, output_padding, groups = arguments[
        :9
    ]
    dims = weight.dim() - 2
    if is_transposed:
        transposed = getattr(torch.ops.aten, f"conv_transpose{dims}d")
        overload = transposed.default if dims == 1 else transposed.input
        return overload, [x, weight, bias, stride, padding, output_padding, groups, dilation]
    overload = getattr(torch.ops.aten, f"conv{dims}d").default
    return overload, [x, weight, bias, stride, padding, dilation, groups]
