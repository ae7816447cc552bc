"""Shape inference of one operator at a time, for what the inference of the whole left open.

Where shapes are computed by arithmetic that onnx's inference does not follow, each block of a model
waits for the one before it. Going through the operators once, with evaluation and inference in
turns, settles them all; inferring the whole model again would settle one block each time.
"""

from __future__ import annotations

import onnx
import onnx.checker
import onnx.defs
import onnx.shape_inference
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from planner.frontends.onnx_model.nodes import Node
from planner.frontends.onnx_model.types import Knowledge, TensorType, read_type
from planner.frontends.onnx_model.values import Array

REFUSALS = (
    onnx.shape_inference.InferenceError,
    onnx.checker.ValidationError,
    DecodeError,
    KeyError,
    RuntimeError,
    ValueError,
)
"""What onnx raises on models that it does not like; an encoding error among them."""

MAX_SHOWN = 1024
"""Values up to this many elements are shown to the inference: shapes are that short."""


class NodeInference:
    """Infers the outputs of single operators of one model."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._opsets = list(model.opset_import)
        self._versions = {o.domain: o.version for o in model.opset_import}
        self._versions.setdefault("", self._versions.get("ai.onnx", 1))
        self._ir_version = model.ir_version
        self._schemas: dict[tuple[str, str], onnx.defs.OpSchema | None] = {}
        self._protos: dict[TensorType, onnx.TypeProto] = {}
        self._cache: dict[bytes, TensorType] = {}

    def complete(self, node: Node, known: Knowledge) -> dict[str, TensorType]:
        """Add to `known`, and return, what follows from the types of all inputs of `node`."""
        schema = self._schema(node)
        if schema is None or node.bodies:
            return {}
        types: dict[str, onnx.TypeProto] = {}
        data: dict[str, onnx.TensorProto] = {}
        for name in node.inputs:
            value = known.values.get(name)
            kind = known.types.get(name) if value is None else _type_of(value)
            if name and (kind is None or kind.shape is None):
                return {}
            if name and kind is not None:
                types[name] = self._proto(kind)
            if value is not None and value.size <= MAX_SHOWN:
                data[name] = numpy_helper.from_array(value)
        try:
            outputs = onnx.shape_inference.infer_node_outputs(
                schema,
                node.proto,
                types,
                data,
                opset_imports=self._opsets,
                ir_version=self._ir_version,
            )
        except REFUSALS:
            return {}
        found = {name: read_type(proto, self._cache) for name, proto in outputs.items()}
        found = {n: kind for n, kind in found.items() if kind.shape is not None and kind.dtype}
        known.merge(found)
        return found

    def _schema(self, node: Node) -> onnx.defs.OpSchema | None:
        key = (node.domain, node.op)
        if key not in self._schemas:
            try:
                version = self._versions.get(node.domain, 1)
                self._schemas[key] = onnx.defs.get_schema(node.op, version, node.domain)
            except onnx.defs.SchemaError:
                self._schemas[key] = None
        return self._schemas[key]

    def _proto(self, kind: TensorType) -> onnx.TypeProto:
        found = self._protos.get(kind)
        if found is None:
            found = helper.make_tensor_type_proto(kind.dtype, kind.shape)
            self._protos[kind] = found
        return found


def _type_of(value: Array) -> TensorType:
    return TensorType(helper.np_dtype_to_tensor_dtype(value.dtype), tuple(value.shape))
