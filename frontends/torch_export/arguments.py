"""Arguments, sizes and types as the JSON of torch.export writes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from planner.errors import InputError
from planner.frontends.torch_export.places import Place
from planner.frontends.torch_export.raw import RawArgument, RawGraph, Size, Symbol
from planner.frontends.torch_export.sizes import BadExpression, symbols_of
from planner.frontends.torch_programs.program import Ref

LEFT_OUT: Final = "\0left out"
"""Stands for an argument that says nothing about the computation: a device, a layout."""

DTYPES = {
    1: "uint8",
    2: "int8",
    3: "int16",
    4: "int32",
    5: "int64",
    6: "float16",
    7: "float32",
    8: "float64",
    9: "complex32",
    10: "complex64",
    11: "complex128",
    12: "bool",
    13: "bfloat16",
    28: "uint16",
    29: "float8e4m3fn",
    30: "float8e5m2",
    31: "float8e4m3fnuz",
    32: "float8e5m2fnuz",
    33: "float8e8m0",
    34: "uint32",
    35: "uint64",
}
"""Element types by torch's number; `complex32` is one that the planner has no use for."""

_MEMORY_FORMATS = {
    1: "contiguous_format",
    2: "channels_last",
    3: "channels_last_3d",
    4: "preserve_format",
}
_SYMBOLS = ("as_sym_int", "as_sym_float", "as_sym_bool")
_PLAIN: dict[str, Callable[[Place], RawArgument]] = {
    "as_int": Place.whole,
    "as_float": Place.number,
    "as_bool": Place.flag,
    "as_string": Place.text,
    "as_operator": Place.text,
    "as_tensor": lambda place: Ref(place.name()),
    "as_ints": lambda place: tuple(item.whole() for item in place.items()),
    "as_floats": lambda place: tuple(item.number() for item in place.items()),
    "as_bools": lambda place: tuple(item.flag() for item in place.items()),
    "as_strings": lambda place: tuple(item.text() for item in place.items()),
    "as_tensors": lambda place: tuple(Ref(item.name()) for item in place.items()),
    "as_nested_tensors": lambda place: tuple(
        tuple(Ref(item.name()) for item in inner.items()) for inner in place.items()
    ),
    "as_int_lists": lambda place: tuple(
        tuple(item.whole() for item in inner.items()) for inner in place.items()
    ),
    "as_float_lists": lambda place: tuple(
        tuple(item.number() for item in inner.items()) for inner in place.items()
    ),
    "as_complex": lambda place: (place.member("real").number(), place.member("imag").number()),
}


def argument_of(place: Place, graph: Callable[[Place], RawGraph]) -> RawArgument:
    """What an `Argument` is; `graph` reads the body of a higher-order operator."""
    kind, body = place.variant()
    if kind in _PLAIN:
        return _PLAIN[kind](body)
    if kind in _SYMBOLS:
        return _symbol(body)
    match kind:
        case "as_none":
            return None
        case "as_sym_ints" | "as_sym_floats" | "as_sym_bools":
            return tuple(_symbol(item) for item in body.items())
        case "as_optional_tensors":
            return tuple(_optional(item) for item in body.items())
        case "as_optional_tensor":
            return _optional(body)
        case "as_scalar_type":
            return dtype_of(body)
        case "as_memory_format":
            return _MEMORY_FORMATS.get(body.whole())
        case "as_device" | "as_layout":
            return LEFT_OUT
        case "as_graph":
            return graph(body.member("graph"))
        case "as_string_to_argument":
            return tuple(argument_of(item, graph) for _, item in body.entries())
    raise _unsupported(place, kind)


def name_of(place: Place) -> Ref | Symbol | None:
    """The tensor or symbol that an input or output of a graph is, None for anything else."""
    kind, body = place.variant()
    if kind == "as_tensor":
        return Ref(body.name())
    if kind == "as_optional_tensor":
        return _optional(body)
    if kind in _SYMBOLS:
        symbol = _symbol(body)
        return symbol if isinstance(symbol, Symbol) else None
    if kind == "as_custom_obj":
        raise _unsupported(place, kind)
    return None


def dtype_of(place: Place) -> str:
    """The name of an element type."""
    number = place.whole()
    if number not in DTYPES:
        raise place.error(f"is {number}, which is no element type that is known", code="PLN141")
    return DTYPES[number]


def size_of(place: Place) -> Size:
    """A number, or the text of an expression."""
    kind, body = place.variant()
    if kind == "as_int":
        return body.whole()
    if kind != "as_expr":
        raise place.expected("a size")
    text = body.member("expr_str").text()
    try:
        symbols_of(text)
    except BadExpression as error:
        raise body.error(f"is no expression of sizes: {error}") from error
    return text


def _symbol(place: Place) -> RawArgument:
    kind, body = place.variant()
    match kind:
        case "as_name":
            return Symbol(body.text())
        case "as_int":
            return body.whole()
        case "as_float":
            return body.number()
        case "as_bool":
            return body.flag()
    raise place.expected("a name or a number")


def _optional(place: Place) -> Ref | None:
    kind, body = place.variant()
    if kind not in ("as_tensor", "as_none"):
        raise place.expected("a tensor or nothing")
    return Ref(body.name()) if kind == "as_tensor" else None


def _unsupported(place: Place, kind: str) -> InputError:
    text = f"`{kind}` is not supported: the planner reads programs of tensors and numbers"
    return place.error(text, code="PLN143")
