"""Shapes of every tensor: infer, evaluate shape arithmetic, infer again until nothing changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import onnx
import onnx.shape_inference
from google.protobuf.message import DecodeError

from planner.dtypes import count_elements
from planner.errors import GraphError, PlannerError, raise_all
from planner.frontends.onnx_dims import Binding
from planner.frontends.onnx_evaluation import Evaluator, shape_value
from planner.frontends.onnx_nodes import Node
from planner.frontends.onnx_parameters import Initializer
from planner.frontends.onnx_values import Array, array_name, constant_value
from planner.graphs import MAX_BYTES, Shape

_MAX_ROUNDS = 16
_MAX_INLINE = 1024
"""Computed values up to this many elements are shown to the inference: shapes are that short."""


class TensorType(NamedTuple):
    """Element type as ONNX numbers it (0: unknown), static shape (None: unknown), other kind."""

    dtype: int
    shape: Shape | None
    kind: str = "tensor"


@dataclass(slots=True, kw_only=True)
class Knowledge:
    """What is known about the tensors of a graph, by name.

    `values` are small arrays that do not depend on the inputs' values, `names` what `array_name`
    calls them; `evaluated` are the operators whose outputs are all among them.
    """

    types: dict[str, TensorType] = field(default_factory=dict)
    values: dict[str, Array] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    evaluated: set[str] = field(default_factory=set)

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


def infer(
    model: onnx.ModelProto,
    nodes: list[Node],
    initializers: Iterable[Initializer],
    constants: Mapping[str, Array],
    *,
    opset: int,
    where: str,
) -> Knowledge:
    """Types of all tensors, and values of what shapes and constants alone determine.

    Args:
        model: Parsed, sorted and bound; evaluated operators become initializers in it.
        nodes: Its operators in topological order.
        initializers: What `read_initializers` found.
        constants: Values of initializers that are no weights.
        opset: Version of the default operator set.
        where: What messages call the file.

    Raises:
        GraphError: PLN211 if the inference itself gives up.
    """
    known = Knowledge()
    for name, array in constants.items():
        known.add(name, array)
    for node in nodes:
        if node.op == "Constant" and not node.domain and len(node.outputs) == 1:
            value = constant_value(node)
            if value is not None:
                known.add(node.outputs[0], value)
                known.evaluated.add(node.name)
    _declare(model)
    known.types = _declared_types(model, initializers)
    evaluator = Evaluator(opset)
    _substitute(model, _evaluate(nodes, known, evaluator))
    known.types.update(run_inference(model, where))
    refine(model, nodes, known, evaluator, where=where)
    return known


def refine(
    model: onnx.ModelProto, nodes: list[Node], known: Knowledge, evaluator: Evaluator, *, where: str
) -> None:
    """Evaluate with the shapes that are known and infer again, until nothing changes."""
    for _ in range(_MAX_ROUNDS):
        computed = _evaluate(nodes, known, evaluator)
        if not computed or not has_unknown(nodes, known):
            break
        _substitute(model, computed)
        known.types.update(run_inference(model, where))


def _declare(model: onnx.ModelProto) -> None:
    """Make initializers plain constants: no inputs (as before IR 4), not sparse."""
    model.ir_version = max(model.ir_version, 8)
    graph = model.graph
    for sparse in graph.sparse_initializer:
        dense = graph.initializer.add(name=sparse.values.name, data_type=sparse.values.data_type)
        dense.dims.extend(sparse.dims)
        dense.data_location = onnx.TensorProto.EXTERNAL
    del graph.sparse_initializer[:]
    weights = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.input if value.name not in weights]
    if len(kept) < len(graph.input):
        del graph.input[:]
        graph.input.extend(kept)


def _declared_types(
    model: onnx.ModelProto, initializers: Iterable[Initializer]
) -> dict[str, TensorType]:
    cache: dict[bytes, TensorType] = {}
    types = {value.name: read_type(value.type, cache) for value in model.graph.input}
    for item in initializers:
        types[item.name] = TensorType(item.code, item.shape)
    return types


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


def run_inference(model: onnx.ModelProto, where: str) -> dict[str, TensorType]:
    """One run of ONNX's own shape inference."""
    try:
        inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    except (onnx.shape_inference.InferenceError, RuntimeError, ValueError, DecodeError) as error:
        reason = (str(error).splitlines() or ["no reason given"])[0]
        raise GraphError(
            f"shape inference gave up: {reason}",
            code="PLN211",
            where=where,
            hint="`python -c 'import onnx; onnx.checker.check_model(…)'` tells more about the file",
        ) from error
    graph = inferred.graph
    cache: dict[bytes, TensorType] = {}
    types = {value.name: read_type(value.type, cache) for value in graph.value_info}
    for value in graph.output:
        types[value.name] = read_type(value.type, cache)
    return types


def _evaluate(nodes: list[Node], known: Knowledge, evaluator: Evaluator) -> dict[str, Array]:
    """One pass over the operators; returns what was not known before."""
    computed: dict[str, Array] = {}
    results: tuple[Array, ...] | None
    values, names = known.values, known.names
    for node in nodes:
        inputs = node.inputs
        # Most operators read an activation first: they are done with here.
        if not inputs or (inputs[0] not in values and node.op not in ("Shape", "Size")):
            continue
        if node.name in known.evaluated or not node.outputs:
            continue
        if node.op in ("Shape", "Size") and not node.domain and len(inputs) == 1:
            size = shape_value(node, known.shape(inputs[0]))
            results = None if size is None else (size,)
        elif all(name in values or not name for name in inputs):
            results = evaluator.evaluate(
                node,
                [values.get(name) for name in inputs],
                [names.get(name, "") for name in inputs],
            )
        else:
            continue
        if results is None:
            continue
        known.evaluated.add(node.name)
        for name, array in zip(node.outputs, results, strict=True):
            known.add(name, array)
            computed[name] = array
    return computed


def has_unknown(nodes: Iterable[Node], known: Knowledge) -> bool:
    """Whether any operator has an output of unknown shape."""
    types, values = known.types, known.values
    for node in nodes:
        for name in node.outputs:
            found = types.get(name)
            if (found is None or found.shape is None) and name not in values:
                return True
    return False


def _substitute(model: onnx.ModelProto, computed: Mapping[str, Array]) -> None:
    """Put computed values into the model in place of the operators that computed them."""
    if not computed:
        return
    graph = model.graph
    kept = [node for node in graph.node if not any(name in computed for name in node.output)]
    read = {name for node in kept for name in node.input}
    read.update(value.name for value in graph.output)
    read.update(_captured(kept))
    for name, array in computed.items():
        if name in read:
            graph.initializer.append(_as_initializer(name, array))
    del graph.node[:]
    graph.node.extend(kept)


def _captured(nodes: Iterable[onnx.NodeProto]) -> Iterable[str]:
    for node in nodes:
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                for inner in body.node:
                    yield from inner.input
                yield from (value.name for value in body.output)
                yield from _captured(body.node)


def _as_initializer(name: str, array: Array) -> onnx.TensorProto:
    code = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    if array.size <= _MAX_INLINE:
        return onnx.numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape), name)
    tensor = onnx.TensorProto(name=name, data_type=code, dims=array.shape)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    return tensor


def check_consistency(
    nodes: Iterable[Node], known: Knowledge, binding: Binding, *, where: str
) -> None:
    """What a shape that was baked into the file would make silently wrong.

    Raises:
        PlannerError: PLN209 for a Reshape whose sides differ in size, or an output that does not
            follow the dimension that was bound.
    """
    problems: list[PlannerError] = []
    hint = "export with dynamic axes, or plan the file as exported and scale it with `--batch`"
    for node in nodes:
        if node.op != "Reshape" or node.domain or not node.inputs or not node.outputs:
            continue
        before, after = known.shape(node.inputs[0]), known.shape(node.outputs[0])
        if before is None or after is None or count_elements(before) == count_elements(after):
            continue
        text = f"`{node.name}` reshapes {list(before)} to {list(after)}, which has another size"
        problems.append(GraphError(text, code="PLN209", where=where, hint=hint))
    for name, position, dim, value in binding.expected:
        shape = known.shape(name)
        if shape is not None and shape[position : position + 1] != (value,):
            text = (
                f"output `{name}` is {list(shape)}, expected dim {position} to be `{dim}` = {value}"
            )
            problems.append(GraphError(text, code="PLN209", where=where, hint=hint))
    raise_all(problems)
