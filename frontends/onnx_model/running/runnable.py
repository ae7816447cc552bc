"""ONNX models that onnxruntime can run although their weights are absent."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
import onnx
import onnx.numpy_helper
from google.protobuf.message import DecodeError

from planner.drafts.frontend import LoadOptions
from planner.drafts.runnable import Array, Json, RunnableInput, RunnableNode, RunnableWeight
from planner.errors import MeasuringError, PlannerError, raise_all
from planner.frontends.onnx_model.dims import bind_dimensions
from planner.frontends.onnx_model.draft import is_training_node
from planner.frontends.onnx_model.nodes import Node, read_nodes
from planner.frontends.onnx_model.parameters import (
    Initializer,
    Parameters,
    classify,
    read_initializers,
)
from planner.frontends.onnx_model.reading import opset_version, read_model
from planner.frontends.onnx_model.running.input_ranges import input_ranges
from planner.frontends.onnx_model.running.opsets import convert_down, lower_ir_version
from planner.frontends.onnx_model.running.parts import Parts
from planner.frontends.onnx_model.running.training_form import training_form
from planner.frontends.onnx_model.shapes import check_consistency, declare_types, infer
from planner.frontends.onnx_model.tensors import DTYPES, EXTERNAL, TensorChecker, attribute_tensors
from planner.frontends.onnx_model.types import Knowledge, TensorType
from planner.frontends.onnx_model.values import tensor_value
from planner.graphs.dtypes import count_elements, is_floating
from planner.graphs.operators import AttributeValue
from planner.probe.bundle import random_weight

LARGE_ELEMENTS = 64
"""Weights from this size on are left out of the files."""

WEIGHTS_FILE = "weights.bin"
"""What absent weights claim to be in; it need not exist."""

_VALUES = ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data")
_INTEGER_WEIGHTS = frozenset({"int8", "uint8"})
_MAX_ATTRIBUTE = 1024
"""Elements of a tensor attribute that the manifest shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxRunnable:
    """See `planner.drafts.runnable.RunnableModel`; `model` is typed throughout, its nodes are
    named."""

    model: onnx.ModelProto
    parts: Parts
    inputs: tuple[RunnableInput, ...]
    outputs: tuple[str, ...]
    weights: tuple[RunnableWeight, ...]
    constants: Mapping[str, Array]
    nodes: tuple[RunnableNode, ...]
    opset: int
    is_training_export: bool
    inference: bytes | None
    training: bytes | None
    notes: tuple[str, ...]

    def part(self, names: Collection[str]) -> bytes:
        """The nodes of these names as an ONNX file of their own."""
        return self.parts.extract(names).SerializeToString()


def make_runnable(
    data: bytes | Path, *, where: str, options: LoadOptions, max_opset: int | None
) -> OnnxRunnable:
    """See `planner.drafts.runnable.RunnableFrontend`."""
    model, _ = read_model(data, where=where, options=options)
    binding = bind_dimensions(model, options, where=where)
    if options.batch is not None and not binding.is_batch_bound:
        _set_batch(model, options.batch, where)
    _close_unread(model)
    _restore_values(model, data)
    nodes, initializers, known, weights = _understand(model, options, where)
    check_consistency(nodes, known, binding, where=where)
    opset = opset_version(model)
    is_training = any(is_training_node(node, known, opset) for node in nodes)
    if max_opset is not None and opset > max_opset:
        model = convert_down(model, known, max_opset, where=where)
        nodes, initializers, known, weights = _understand(model, options, where)
    lower_ir_version(model)
    return _finished(model, nodes, initializers, known, weights, is_training)


def _understand(
    model: onnx.ModelProto, options: LoadOptions, where: str
) -> tuple[list[Node], dict[str, Initializer], Knowledge, Parameters]:
    """Name and type everything in `model`, as the frontend does for the graph."""
    checker = TensorChecker(where)
    initializers = read_initializers(model.graph, checker, where=where)
    nodes, _ = read_nodes(model.graph, initializers, checker, where=where)
    raise_all(checker.problems)
    for node in nodes:
        node.proto.name = node.name
    weights = classify(initializers, nodes, [value.name for value in model.graph.output])
    constants = {}
    for name, item in weights.constants.items():
        value = tensor_value(item.proto) if item.proto is not None else None
        if value is not None:
            constants[name] = value
    opset = opset_version(model)
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    known = infer(copy, nodes, initializers.values(), constants, opset=opset, where=where)
    if options.shapes == "onnxruntime":
        from planner.frontends.onnx_model.runtime_shapes import add_runtime_shapes

        add_runtime_shapes(copy, nodes, known, opset=opset, where=where)
    _declare_all(model, nodes, known)
    return nodes, initializers, known, weights


def _declare_all(model: onnx.ModelProto, nodes: Iterable[Node], known: Knowledge) -> None:
    """Write down the type of every tensor that is known: parts of the model need them."""
    types: dict[str, TensorType] = {}
    for node in nodes:
        for name in node.outputs:
            value, found = known.values.get(name), known.types.get(name)
            if value is not None:
                code = onnx.helper.np_dtype_to_tensor_dtype(value.dtype)
                types[name] = TensorType(code, tuple(value.shape))
            elif found is not None and found.shape is not None and found.dtype:
                types[name] = found
    stale = [value for value in model.graph.value_info if value.name not in types]
    del model.graph.value_info[:]
    model.graph.value_info.extend(stale)
    declare_types(model, types)


def _set_batch(model: onnx.ModelProto, batch: int, where: str) -> None:
    """Rewrite the leading dimension of the inputs; whether the rest follows is checked later.

    Raises:
        MeasuringError: PLN608 if the inputs have no leading dimension in common.
    """
    given = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in given]
    firsts = [list(value.type.tensor_type.shape.dim)[:1] for value in inputs]
    sizes = {dims[0].dim_value for dims in firsts if dims}
    if sizes == {batch}:
        return
    if len(sizes) != 1 or not all(firsts):
        raise MeasuringError(
            f"batch {batch} cannot be set: the inputs have no leading dimension in common",
            code="PLN608",
            where=where,
            hint="leave the batch out, or export the model with it",
        )
    for (dim,) in firsts:
        dim.dim_value = batch
    del model.graph.value_info[:]
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")


def _close_unread(model: onnx.ModelProto) -> None:
    """Give inputs that nothing reads, but that are fed all the same, a size."""
    for value in model.graph.input:
        for dim in value.type.tensor_type.shape.dim:
            if not dim.HasField("dim_value") or dim.dim_value < 0:
                dim.dim_value = 1


def _restore_values(model: onnx.ModelProto, data: bytes | Path) -> None:
    """Bring back what is no weight: indices and masks decide what is computed.

    What cannot be had is made up: zeros are valid indices, and a mask of truths hides nothing.
    """
    lacking = {t.name: t for t in model.graph.initializer if _is_lost(t)}
    if lacking:
        for tensor in _whole_model(data).graph.initializer:
            target = lacking.get(tensor.name)
            if target is not None and tensor.data_location != EXTERNAL:
                target.CopyFrom(tensor)
    folder = data.parent if isinstance(data, Path) else None
    for tensor in lacking.values():
        if tensor.data_location == EXTERNAL:
            _read_beside(tensor, folder)
    for node in model.graph.node:
        for attribute in node.attribute:
            for tensor in attribute_tensors(attribute):
                if tensor.data_location == EXTERNAL or _is_empty(tensor):
                    _make_up(tensor)


def _is_lost(tensor: onnx.TensorProto) -> bool:
    dtype = DTYPES.get(tensor.data_type)
    if dtype is None or is_floating(dtype) or dtype in _INTEGER_WEIGHTS:
        return False
    return tensor.data_location == EXTERNAL or _is_empty(tensor)


def _is_empty(tensor: onnx.TensorProto) -> bool:
    if tensor.HasField("raw_data") or tensor.string_data:
        return False
    return not any(len(getattr(tensor, field)) for field in _VALUES[1:]) and all(tensor.dims)


def _whole_model(data: bytes | Path) -> onnx.ModelProto:
    try:
        content = data.read_bytes() if isinstance(data, Path) else data
        return onnx.ModelProto.FromString(content)
    except (OSError, MemoryError, ValueError, DecodeError):
        return onnx.ModelProto()


def _read_beside(tensor: onnx.TensorProto, folder: Path | None) -> None:
    try:
        if folder is None or not tensor.external_data:
            raise FileNotFoundError
        array = onnx.numpy_helper.to_array(tensor, str(folder))
    except (OSError, ValueError, TypeError, onnx.checker.ValidationError):
        _make_up(tensor)
        return
    tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))


def _make_up(tensor: onnx.TensorProto) -> None:
    """Give a tensor values of its own, in the file."""
    dtype = DTYPES.get(tensor.data_type)
    if dtype is None:
        return
    shape = tuple(tensor.dims)
    if dtype == "bool":
        array: Array = np.ones(shape, np.bool_)
    else:
        random = np.random.default_rng([0, crc32(tensor.name.encode())])
        array = random_weight(dtype, shape, random)
    del tensor.external_data[:]
    tensor.ClearField("data_location")
    for field in _VALUES:
        tensor.ClearField(field)
    tensor.raw_data = array.tobytes()


def _finished(
    model: onnx.ModelProto,
    nodes: Sequence[Node],
    initializers: Mapping[str, Initializer],
    known: Knowledge,
    classified: Parameters,
    is_training: bool,
) -> OnnxRunnable:
    weights, constants = _strip(model, classified)
    for node in nodes:
        if node.op == "Constant" and node.outputs:
            value = known.values.get(node.outputs[0])
            tensor = next((a.t for a in node.proto.attribute if a.name == "value"), None)
            if value is None and tensor is not None:
                value = onnx.numpy_helper.to_array(tensor)
            if value is not None:
                constants[node.outputs[0]] = value
    inputs = _inputs(model, initializers, nodes, known, constants)
    training = model if is_training else training_form(model)
    notes = [] if training is not None else ["the operator set has no training form"]
    content = model.SerializeToString()
    return OnnxRunnable(
        model=model,
        parts=Parts(model),
        inputs=inputs,
        outputs=tuple(value.name for value in model.graph.output),
        weights=weights,
        constants=constants,
        nodes=tuple(_node(node, known) for node in nodes),
        opset=opset_version(model),
        is_training_export=is_training,
        inference=None if is_training else content,
        training=_bytes(training, model, content),
        notes=tuple(notes),
    )


def _bytes(
    training: onnx.ModelProto | None, model: onnx.ModelProto, content: bytes
) -> bytes | None:
    if training is None:
        return None
    return content if training is model else training.SerializeToString()


def _strip(
    model: onnx.ModelProto, classified: Parameters
) -> tuple[tuple[RunnableWeight, ...], dict[str, Array]]:
    """Take the values of the weights out of `model`; returns the weights and what is left."""
    weights: list[RunnableWeight] = []
    constants: dict[str, Array] = {}
    for tensor in model.graph.initializer:
        dtype, shape = DTYPES.get(tensor.data_type), tuple(tensor.dims)
        is_absent = tensor.data_location == EXTERNAL or _is_empty(tensor)
        is_large = count_elements(shape) >= LARGE_ELEMENTS and tensor.name in classified.parameters
        is_weight = is_floating(dtype) or dtype in _INTEGER_WEIGHTS
        if dtype is not None and is_weight and (is_absent or is_large):
            _mark_absent(tensor)
            weights.append(RunnableWeight(name=tensor.name, dtype=dtype, shape=shape))
        elif dtype is not None and not is_absent:
            constants[tensor.name] = onnx.numpy_helper.to_array(tensor)
    return tuple(weights), constants


def _mark_absent(tensor: onnx.TensorProto) -> None:
    for field in _VALUES:
        tensor.ClearField(field)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    tensor.external_data.add(key="location", value=WEIGHTS_FILE)


def _inputs(
    model: onnx.ModelProto,
    initializers: Mapping[str, Initializer],
    nodes: Sequence[Node],
    known: Knowledge,
    constants: Mapping[str, Array],
) -> tuple[RunnableInput, ...]:
    """Everything that has to be fed.

    Raises:
        PlannerError: PLN605 for inputs that are no tensors.
    """
    values = [value for value in model.graph.input if value.name not in initializers]
    kinds = {value.name: DTYPES.get(value.type.tensor_type.elem_type) for value in values}
    problems: list[PlannerError] = [
        MeasuringError(
            f"input `{name}` is no dense tensor of numbers: no values can be made up for it",
            code="PLN605",
            where=name,
        )
        for name, dtype in kinds.items()
        if dtype is None
    ]
    raise_all(problems)
    whole = [n for n, dtype in kinds.items() if dtype and dtype.startswith(("int", "uint"))]
    ranges = input_ranges(whole, nodes, known, constants)
    return tuple(
        RunnableInput(
            name=value.name,
            dtype=str(kinds[value.name]),
            shape=tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim),
            low=ranges.get(value.name, (None, None))[0],
            high=ranges.get(value.name, (None, None))[1],
        )
        for value in values
    )


def _node(node: Node, known: Knowledge) -> RunnableNode:
    kinds = [known.types.get(name) for name in node.outputs]
    return RunnableNode(
        name=node.name,
        op=node.op,
        domain=node.domain,
        inputs=tuple(node.inputs),
        outputs=tuple(node.outputs),
        captured=tuple(node.captured),
        attributes=_attributes(node),
        is_floating=any(is_floating(DTYPES.get(kind.dtype)) for kind in kinds if kind),
    )


def _attributes(node: Node) -> dict[str, Json]:
    """Attributes for JSON: a tensor with its values if it is small, a body as its digest."""
    found: dict[str, Json] = {name: _plain(value) for name, value in node.attributes.items()}
    for attribute in node.proto.attribute:
        tensor = attribute.t
        if attribute.type != onnx.AttributeProto.TENSOR or tensor.data_type not in DTYPES:
            continue
        if count_elements(tuple(tensor.dims)) > _MAX_ATTRIBUTE:
            continue
        array = onnx.numpy_helper.to_array(tensor)
        if array.dtype.kind in "biuf":
            found[attribute.name] = {
                "dtype": DTYPES[tensor.data_type],
                "shape": list(array.shape),
                "values": array.ravel().tolist(),
            }
    return found


def _plain(value: AttributeValue) -> Json:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return value
