"""Reads what is needed of an ONNX file without the onnx package: its nodes, by name."""

from __future__ import annotations

from typing import Iterator, NamedTuple

_GRAPH, _NODE, _INITIALIZER = 7, 1, 5
_EXTERNAL = 1


class Kernel(NamedTuple):
    """A node of an optimised model; `activation` is that of a fused convolution, else empty."""

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    activation: str = ""


def read_kernels(model: bytes) -> list[Kernel]:
    """The nodes of a serialized ModelProto, in the order of the file."""
    return [
        _kernel(content)
        for graph in _messages(model, _GRAPH)
        for content in _messages(graph, _NODE)
    ]


def absent_initializers(model: bytes) -> list[str]:
    """Names of the initializers that a serialized ModelProto marks as external."""
    found = []
    for graph in _messages(model, _GRAPH):
        for tensor in _messages(graph, _INITIALIZER):
            name, is_external = "", False
            for field, value in _fields(tensor):
                if field == 8 and isinstance(value, bytes):
                    name = value.decode()
                elif field == 14:
                    is_external = value == _EXTERNAL
            if is_external:
                found.append(name)
    return found


def _kernel(content: bytes) -> Kernel:
    texts: dict[int, list[str]] = {1: [], 2: [], 3: [], 4: [], 7: []}
    activation = ""
    for field, value in _fields(content):
        if not isinstance(value, bytes):
            continue
        if field in texts:
            texts[field].append(value.decode())
        elif field == 5:
            activation = activation or _activation(value)
    name, op, domain = ("".join(texts[field]) for field in (3, 4, 7))
    return Kernel(name, op, domain, tuple(texts[1]), tuple(texts[2]), activation)


def _activation(attribute: bytes) -> str:
    values = {field: value for field, value in _fields(attribute) if field in (1, 4)}
    if values.get(1) != b"activation":
        return ""
    text = values.get(4, b"")
    return text.decode() if isinstance(text, bytes) else ""


def _messages(data: bytes, wanted: int) -> Iterator[bytes]:
    for field, value in _fields(data):
        if field == wanted and isinstance(value, bytes):
            yield value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message; fixed-width ones as bytes."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        kind = tag & 7
        if kind == 0:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        length = {1: 8, 5: 4}.get(kind, 0)
        if kind == 2:
            length, position = _varint(data, position)
        elif not length:
            raise ValueError(f"wire type {kind} at byte {position}")
        yield tag >> 3, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
