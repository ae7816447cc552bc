"""What is wrong with a tensor before anybody looks at it: where its values are, and how many."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import onnx

from planner.errors import GraphError, InputError, PlannerError
from planner.graphs.dtypes import BITS, count_elements, size_in_bytes

_ODD_NAMES = {"FLOAT": "float32", "DOUBLE": "float64"}
DTYPES: dict[int, str] = {
    code: name
    for label, code in onnx.TensorProto.DataType.items()
    if (name := _ODD_NAMES.get(label, label.lower())) in BITS
}
"""Names of the element types by their number in ONNX; strings are not among them."""

EXTERNAL: int = onnx.TensorProto.EXTERNAL
_PACKED = {"int4": 2, "uint4": 2, "float4e2m1": 2, "int2": 4, "uint2": 4}
"""Elements per stored value, for types that share one."""


class TensorChecker:
    """Collects problems: PLN112 names, PLN114 external paths, PLN204 values that fit no shape.

    External files are never opened, but a model that points elsewhere is not to be passed on. And
    onnx's inference takes the shape of a value at its word: it would loop 2^62 times over 8 bytes.
    """

    def __init__(self, where: str) -> None:
        self.problems: list[PlannerError] = []
        self._where = where
        self._leaves: dict[str, bool] = {}

    def check(self, tensor: onnx.TensorProto) -> None:
        """Look at one tensor; one without any values is marked external."""
        if tensor.data_location == EXTERNAL:
            self._check_location(tensor)
            return
        reason = _misfit(tensor)
        if reason:
            text = f"tensor `{tensor.name}` {reason}"
            self.problems.append(GraphError(text, code="PLN204", where=self._where))

    def check_all(self, tensors: Iterable[onnx.TensorProto]) -> None:
        """Look at several tensors."""
        for tensor in tensors:
            self.check(tensor)

    def _check_location(self, tensor: onnx.TensorProto) -> None:
        for entry in tensor.external_data:
            if entry.key != "location":
                continue
            location = entry.value
            leaves = self._leaves.get(location)
            if leaves is None:
                leaves = self._leaves[location] = _leaves_folder(location)
            if leaves:
                text = f"external data of `{tensor.name}` is at `{location}`"
                expected = "expected a relative path inside the model's folder"
                self.problems.append(
                    InputError(f"{text}, {expected}", code="PLN114", where=self._where)
                )


def _leaves_folder(location: str | bytes) -> bool:
    if isinstance(location, bytes):  # what protobuf makes of text that is no UTF-8
        location = location.decode("utf-8", "backslashreplace")
    if location.startswith(("/", "\\")) or re.match(r"[A-Za-z]:", location):
        return True
    depth = 0
    for part in re.split(r"[/\\]", location):
        depth += {"..": -1, ".": 0, "": 0}.get(part, 1)
        if depth < 0:
            return True
    return False


def _misfit(tensor: onnx.TensorProto) -> str | None:
    shape = tuple(tensor.dims)
    if shape and min(shape) < 0:
        return f"has shape {list(shape)}, expected dimensions >= 0"
    dtype = DTYPES.get(tensor.data_type)
    if tensor.HasField("raw_data"):
        found, unit = len(tensor.raw_data), "bytes"
        expected = size_in_bytes(dtype, shape) if dtype else found
    else:
        found, unit = _n_stored(tensor), "values"
        expected = -(-count_elements(shape) // _PACKED.get(dtype or "", 1))
        if dtype is not None and dtype.startswith("complex"):
            expected *= 2
        if not found and expected:
            tensor.data_location = onnx.TensorProto.EXTERNAL
            return None
    if found == expected:
        return None
    return f"has {found} {unit}, expected {expected} for {list(shape)}"


def _n_stored(tensor: onnx.TensorProto) -> int:
    """Entries of the typed value fields, of which a valid tensor uses one."""
    return (
        len(tensor.float_data)
        + len(tensor.int32_data)
        + len(tensor.int64_data)
        + len(tensor.double_data)
        + len(tensor.uint64_data)
        + len(tensor.string_data)
    )


def graph_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor with values: initializers and attributes, of bodies as well."""
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in graph.node:
        for attribute in node.attribute:
            yield from attribute_tensors(attribute)


def attribute_tensors(attribute: onnx.AttributeProto) -> Iterator[onnx.TensorProto]:
    """Every tensor in an attribute, whatever its `type` says: onnx does not look at that either."""
    if attribute.HasField("t"):
        yield attribute.t
    yield from attribute.tensors
    for sparse in attribute.sparse_tensors:
        yield sparse.values
        yield sparse.indices
    if attribute.HasField("sparse_tensor"):
        yield attribute.sparse_tensor.values
        yield attribute.sparse_tensor.indices
    if attribute.HasField("g"):
        yield from graph_tensors(attribute.g)
    for graph in attribute.graphs:
        yield from graph_tensors(graph)
