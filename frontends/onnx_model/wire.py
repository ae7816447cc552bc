"""A walk over the bytes of an ONNX file that leaves the weights where they are.

The protobuf parser copies everything it is given and refuses more than 2 GiB. What is given to it
here is the file without the payloads of large tensors, so that memory stays flat whatever the
model weighs. Only message lengths are read; what is inside a small message is the parser's affair.
"""

from __future__ import annotations

import mmap
from typing import Final

LARGE_BYTES: Final = 16 * 1024
"""Tensors of at most this size keep their values: shapes, indices and small masks are needed."""

_MAX_DEPTH = 100
"""As deep as protobuf itself nests messages."""

# Message types by name; each maps the fields that can hold tensors to their own type.
_NESTED: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
    "training": {1: "graph", 2: "graph"},
    "tensor": {},
}
_PAYLOADS = frozenset({4, 5, 6, 7, 9, 10, 11})
"""Fields of TensorProto with values: float, int32, string, int64, raw, double and uint64 data."""

_MARKED_EXTERNAL = b"\x70\x01"
"""TensorProto.data_location = EXTERNAL: what a tensor without values has to say."""


class WireError(ValueError):
    """The bytes are no protobuf message, or one that ends too early."""


def strip_payloads(data: bytes | mmap.mmap) -> bytes:
    """The serialized ModelProto `data` without the values of tensors above `LARGE_BYTES`.

    Raises:
        WireError: If the outer messages are malformed or cut off.
    """
    pieces: list[bytes] = []
    _strip(data, 0, len(data), "model", pieces, 0)
    return b"".join(pieces)


def looks_like_model(head: bytes) -> bool:
    """Whether `head` starts like a serialized ModelProto: known fields, right wire types."""
    expected = {1: 0, 2: 2, 3: 2, 4: 2, 5: 0, 6: 2, 7: 2, 8: 2, 14: 2, 20: 2, 25: 2}
    position = seen = 0
    try:
        while position < len(head) and seen < 3:
            tag, position = _varint(head, position, len(head))
            if expected.get(tag >> 3) != tag & 7:
                return False
            value, position = _varint(head, position, len(head))
            if tag >> 3 == 1 and not 0 < value < 2**16:
                return False
            position += value if tag & 7 == 2 else 0
            seen += 1
    except WireError:
        return seen > 0
    return seen > 0


def _strip(
    data: bytes | mmap.mmap, start: int, end: int, message: str, pieces: list[bytes], depth: int
) -> int:
    """Append to `pieces` what is kept of `data[start:end]`; return its length."""
    if depth > _MAX_DEPTH:
        raise WireError(f"messages nested more than {_MAX_DEPTH} deep at byte {start}")
    nested = _NESTED[message]
    is_tensor = message == "tensor"
    position = kept_from = start
    size = 0
    while position < end:
        field_start = position
        # Nearly all tags and many lengths are one byte: not worth a call.
        tag = data[position]
        position += 1
        if tag > 127:
            tag, position = _varint(data, field_start, end)
        length = -1
        kind = tag & 7
        if kind == 2:
            if position < end and data[position] < 128:
                length = data[position]
                position += 1
            else:
                length, position = _varint(data, position, end)
            content = position
            position += length
        else:
            position = _skip(data, position, end, kind)
        if position > end:
            raise WireError(f"a field at byte {field_start} ends after its message")
        if is_tensor and tag >> 3 in _PAYLOADS:
            pieces.append(data[kept_from:field_start])
            size += field_start - kept_from
            kept_from = position
        elif length > LARGE_BYTES and tag >> 3 in nested:
            pieces.append(data[kept_from:field_start])
            size += field_start - kept_from
            kept_from = position
            place = len(pieces)
            pieces.append(b"")
            inner = _strip(data, content, position, nested[tag >> 3], pieces, depth + 1)
            pieces[place] = _encode(tag) + _encode(inner)
            size += len(pieces[place]) + inner
    pieces.append(data[kept_from:end])
    size += end - kept_from
    if is_tensor:
        pieces.append(_MARKED_EXTERNAL)
        size += len(_MARKED_EXTERNAL)
    return size


def _skip(data: bytes | mmap.mmap, position: int, end: int, kind: int) -> int:
    if kind == 0:
        return _varint(data, position, end)[1]
    if kind == 1:
        return position + 8
    if kind == 5:
        return position + 4
    raise WireError(f"wire type {kind} at byte {position - 1}")


def _varint(data: bytes | mmap.mmap, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise WireError(f"no whole number at byte {position}")


def _encode(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
