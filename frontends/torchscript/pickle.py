"""Pickles of a TorchScript archive, looked at without unpickling: which tensors are in them.

Only tuples, strings, numbers, names of classes and storages are followed; nothing is imported or
called.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass, field
from typing import NamedTuple

_ITEM_BYTES = {
    "DoubleStorage": 8,
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "IntStorage": 4,
    "ShortStorage": 2,
    "CharStorage": 1,
    "ByteStorage": 1,
    "BoolStorage": 1,
    "ComplexFloatStorage": 8,
    "ComplexDoubleStorage": 16,
    "QInt8Storage": 1,
    "QUInt8Storage": 1,
    "QInt32Storage": 4,
}
_DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
_PUSHES = {"NONE", "NEWTRUE", "NEWFALSE", "EMPTY_LIST", "EMPTY_DICT", "EMPTY_SET"}
_NUMBERS = {"BININT", "BININT1", "BININT2", "LONG1", "LONG4", "BINFLOAT"}
_TEXTS = {"BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"}
_SAME = {"PROTO", "FRAME", "APPEND", "BUILD", "SETITEM"}
_DROPPED = {"APPEND": 1, "BUILD": 1, "SETITEM": 2, "PROTO": 0, "FRAME": 0}
_WIDTH = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class PickleError(ValueError):
    """Not a pickle as TorchScript writes it."""


class Name(NamedTuple):
    """A class or function, `torch FloatStorage`."""

    text: str


class Record(NamedTuple):
    """A tensor's storage: type, file in the archive, and number of elements.

    `start` and `end` are where the pickle says on which device it is.
    """

    storage: str
    key: str
    elements: int
    start: int
    end: int

    @property
    def n_bytes(self) -> int:
        """Bytes; of types that are not known as if they had the widest elements."""
        return self.elements * _ITEM_BYTES.get(self.storage, 16)


class _Item(NamedTuple):
    """Something on the stack, and the operation that put it there."""

    value: object
    start: int = 0
    end: int = 0


@dataclass(slots=True)
class Contents:
    """What a pickle holds.

    Attributes:
        records: Storages, in order of appearance.
        tensors: Type and shape of each tensor, in order of appearance.
    """

    records: list[Record] = field(default_factory=list)
    tensors: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)


_MARK = _Item(Name("mark"))


def read_contents(data: bytes) -> Contents:
    """Follow a pickle's operations.

    Raises:
        PickleError: If it is malformed, or has operations that TorchScript does not write.
    """
    contents = Contents()
    stack: list[_Item] = []
    memo: dict[int, object] = {}
    try:
        operations = list(pickletools.genops(data))
        ends = [start or 0 for _, _, start in operations[1:]] + [len(data)]
        for (code, argument, start), end in zip(operations, ends, strict=True):
            _follow(code.name, argument, (start or 0, end), (stack, memo, contents))
    except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
        raise PickleError(str(error).splitlines()[0] if str(error) else "cut off") from error
    return contents


def _follow(
    name: str,
    argument: object,
    span: tuple[int, int],
    state: tuple[list[_Item], dict[int, object], Contents],
) -> None:
    stack, memo, contents = state
    if name in _TEXTS or name in _NUMBERS:
        stack.append(_Item(argument, *span))
    elif name in _PUSHES:
        stack.append(_Item(None))
    elif name in ("BINPUT", "LONG_BINPUT") and isinstance(argument, int):
        memo[argument] = stack[-1].value
    elif name in ("BINGET", "LONG_BINGET") and isinstance(argument, int):
        stack.append(_Item(memo[argument], *span))
    elif name == "GLOBAL":
        stack.append(_Item(Name(str(argument))))
    elif name == "MARK":
        stack.append(_MARK)
    elif name == "EMPTY_TUPLE":
        stack.append(_Item(()))
    elif name == "TUPLE":
        stack.append(_Item(tuple(_to_mark(stack))))
    elif name in _WIDTH:
        items = tuple(stack.pop() for _ in range(_WIDTH[name]))[::-1]
        stack.append(_Item(items))
    elif name in ("LIST", "DICT"):
        _to_mark(stack)
        stack.append(_Item(None))
    elif name in ("APPENDS", "SETITEMS", "ADDITEMS"):
        _to_mark(stack)
    elif name in _SAME:
        del stack[len(stack) - _DROPPED[name] :]
    elif name == "BINPERSID":
        record = _record(stack.pop().value)
        contents.records.append(record)
        stack.append(_Item(record))
    elif name in ("REDUCE", "NEWOBJ"):
        arguments, function = stack.pop().value, stack.pop().value
        stack.append(_Item(_reduced(function, arguments, contents)))
    elif name != "STOP":
        raise PickleError(f"it has the operation {name}")


def _to_mark(stack: list[_Item]) -> list[_Item]:
    position = len(stack) - 1
    while stack[position] is not _MARK:
        if position == 0:
            raise PickleError("a mark is missing")
        position -= 1
    items = stack[position + 1 :]
    del stack[position:]
    return items


def _record(value: object) -> Record:
    """What a persistent id `('storage', type, key, location, elements)` stands for."""
    match value:
        case (
            _Item("storage"),
            _Item(Name(storage)),
            _Item(str() as key),
            _Item(str(), start, end),
            _Item(int() as elements),
        ) if elements >= 0 and not isinstance(elements, bool):
            return Record(storage.split(" ")[-1], key, elements, start, end)
    raise PickleError("a persistent id is not that of a tensor")


def _reduced(function: object, arguments: object, contents: Contents) -> object:
    match function, arguments:
        case Name("torch._utils _rebuild_tensor_v2"), (
            _Item(Record() as record),
            _,
            _Item(tuple() as sizes),
            *_,
        ):
            shape = tuple(item.value for item in sizes)
            if all(isinstance(size, int) for size in shape):
                kept = tuple(size for size in shape if isinstance(size, int))
                contents.tensors.append((_DTYPES.get(record.storage, "float32"), kept))
    return None
