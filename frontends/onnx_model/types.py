"""What is known about the tensors of an ONNX graph: types, shapes, small values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import onnx

from planner.frontends.onnx_model.nodes import Node
from planner.frontends.onnx_model.values import Array, array_name
from planner.graphs.dtypes import count_elements
from planner.graphs.operators import MAX_BYTES, Shape


class TensorType(NamedTuple):
    """Element type as ONNX numbers it (0: unknown), static shape (None: unknown), other kind."""

    dtype: int
    shape: Shape | None
    kind: str = "tensor"


@dataclass(slots=True, kw_only=True)
class Knowledge:
    """What is known about the tensors of a graph, by name.

    `values` are small arrays that do not depend on the inputs' values, `names` what `array_name`
    calls them; `evaluated` are the operators whose outputs are all among them; `contradicted` the
    tensors for which the file declares another shape than its operators compute.
    """

    types: dict[str, TensorType] = field(default_factory=dict)
    values: dict[str, Array] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    evaluated: set[str] = field(default_factory=set)
    contradicted: list[str] = field(default_factory=list)

    def add(self, name: str, array: Array) -> None:
        """Take note of the value of a tensor."""
        self.values[name] = array
        self.names[name] = array_name(array)

    def shape(self, name: str) -> Shape | None:
        """The static shape of a tensor, if known."""
        value = self.values.get(name)
        if value is not None:
            return tuple(value.shape)
        found = self.types.get(name)
        return found.shape if found else None

    def merge(self, found: Mapping[str, TensorType]) -> None:
        """Take over types, but never an unknown shape in place of a known one."""
        types = self.types
        for name, kind in found.items():
            if kind.shape is not None or name not in types or types[name].shape is None:
                types[name] = kind

    def lacks(self, node: Node) -> bool:
        """Whether the shape of an output of `node` is unknown."""
        for name in node.outputs:
            found = self.types.get(name)
            if (found is None or found.shape is None) and name and name not in self.values:
                return True
        return False


def has_unknown(nodes: Iterable[Node], known: Knowledge) -> bool:
    """Whether any operator has an output of unknown shape."""
    return any(map(known.lacks, nodes))


def read_type(proto: onnx.TypeProto, cache: dict[bytes, TensorType]) -> TensorType:
    """A type as a plain tuple; equal types, which are most of them, are read once."""
    key = proto.SerializeToString()
    found = cache.get(key)
    if found is None:
        found = cache[key] = _read_type(proto)
    return found


def _read_type(proto: onnx.TypeProto) -> TensorType:
    kind = proto.WhichOneof("value")
    if kind not in (None, "tensor_type"):
        return TensorType(0, None, kind.removesuffix("_type").replace("_", " "))
    tensor = proto.tensor_type
    if not tensor.HasField("shape"):
        return TensorType(tensor.elem_type, None)
    dims = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in tensor.shape.dim)
    is_static = all(d >= 0 for d in dims) and count_elements(dims) <= MAX_BYTES
    return TensorType(tensor.elem_type, dims if is_static else None)
