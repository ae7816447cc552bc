"""Shapes of every tensor: infer, evaluate shape arithmetic, infer again until nothing changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import onnx
import onnx.shape_inference

from planner.errors import GraphError, PlannerError, raise_all
from planner.frontends.onnx_model.dims import Binding
from planner.frontends.onnx_model.evaluation import Evaluator, shape_value
from planner.frontends.onnx_model.node_shapes import MAX_SHOWN, REFUSALS, NodeInference
from planner.frontends.onnx_model.nodes import Node
from planner.frontends.onnx_model.parameters import Initializer
from planner.frontends.onnx_model.types import Knowledge, TensorType, has_unknown, read_type
from planner.frontends.onnx_model.values import Array, constant_value
from planner.graphs.dtypes import count_elements

_MAX_ROUNDS = 16


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
    declared = _set_aside(model, known.types)
    evaluator = Evaluator(opset)
    computed, _ = _walk(nodes, known, evaluator, None)
    _substitute(model, computed)
    known.merge(run_inference(model, where))
    refine(model, nodes, known, evaluator, where=where)
    if has_unknown(nodes, known):
        missing = {
            name: declared[name]
            for node in nodes
            for name in node.outputs
            if name in declared and known.shape(name) is None
        }
        known.merge(missing)
        declare_types(model, {n: k for n, k in missing.items() if k.shape is not None and k.dtype})
        known.merge(run_inference(model, where))
        refine(model, nodes, known, evaluator, where=where)
    known.contradicted = [
        name
        for name, kind in declared.items()
        if kind.shape is not None and known.shape(name) not in (None, kind.shape)
    ]
    return known


def refine(
    model: onnx.ModelProto, nodes: list[Node], known: Knowledge, evaluator: Evaluator, *, where: str
) -> None:
    """Evaluate with the shapes that are known and infer again, until nothing changes."""
    for _ in range(_MAX_ROUNDS):
        one_by_one = NodeInference(model) if has_unknown(nodes, known) else None
        computed, inferred = _walk(nodes, known, evaluator, one_by_one)
        if not (computed or inferred) or not has_unknown(nodes, known):
            break
        _substitute(model, computed)
        declare_types(model, inferred)
        known.merge(run_inference(model, where))


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


def _set_aside(model: onnx.ModelProto, given: Mapping[str, TensorType]) -> dict[str, TensorType]:
    """Take the types out of the model that it declares for results; inputs and weights keep theirs.

    Inference believes what is declared, though it may be a leftover from another batch. So
    declarations serve only where nothing can be inferred.
    """
    cache: dict[bytes, TensorType] = {}
    graph = model.graph
    declared = {value.name: read_type(value.type, cache) for value in graph.value_info}
    del graph.value_info[:]
    for value in graph.output:
        declared[value.name] = read_type(value.type, cache)
        kind = given.get(value.name)
        if kind is not None and kind.shape is not None and kind.dtype:
            _set_type(value, kind)
        else:
            value.ClearField("type")
    return declared


def _set_type(value: onnx.ValueInfoProto, kind: TensorType) -> None:
    value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind.dtype, kind.shape))


def _declared_types(
    model: onnx.ModelProto, initializers: Iterable[Initializer]
) -> dict[str, TensorType]:
    cache: dict[bytes, TensorType] = {}
    types = {value.name: read_type(value.type, cache) for value in model.graph.input}
    for item in initializers:
        types[item.name] = TensorType(item.code, item.shape)
    return types


def run_inference(model: onnx.ModelProto, where: str) -> dict[str, TensorType]:
    """One run of ONNX's own shape inference.

    Without its propagation of data: that makes an entry for each element of any vector that it
    meets, a billion if thirty bytes of a file say so. `refine` does the same, within limits.
    """
    try:
        inferred = onnx.shape_inference.infer_shapes(model)
    except (*REFUSALS, MemoryError) as error:
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


def _walk(
    nodes: list[Node], known: Knowledge, evaluator: Evaluator, one_by_one: NodeInference | None
) -> tuple[dict[str, Array], dict[str, TensorType]]:
    """Go through the operators once; returns the values and types that were not known before."""
    computed: dict[str, Array] = {}
    inferred: dict[str, TensorType] = {}
    values = known.values
    for node in nodes:
        inputs = node.inputs
        results = None
        # Most operators read an activation first: nothing to evaluate there.
        if inputs and (inputs[0] in values or node.op in ("Shape", "Size")):
            if node.name in known.evaluated:
                continue
            results = _evaluated(node, known, evaluator)
        if results is not None:
            known.evaluated.add(node.name)
            for name, array in zip(node.outputs, results, strict=True):
                known.add(name, array)
                computed[name] = array
        elif one_by_one is not None and known.lacks(node):
            inferred.update(one_by_one.complete(node, known))
    return computed, inferred


def _evaluated(node: Node, known: Knowledge, evaluator: Evaluator) -> tuple[Array, ...] | None:
    values, names, inputs = known.values, known.names, node.inputs
    if not node.outputs:
        return None
    if node.op in ("Shape", "Size") and not node.domain and len(inputs) == 1:
        size = shape_value(node, known.shape(inputs[0]))
        return None if size is None else (size,)
    if not all(name in values or not name for name in inputs):
        return None
    arrays = [values.get(name) for name in inputs]
    return evaluator.evaluate(node, arrays, [names.get(name, "") for name in inputs])


def declare_types(model: onnx.ModelProto, types: Mapping[str, TensorType]) -> None:
    """Tell the next inference of the whole model what is known."""
    outputs = {value.name: value for value in model.graph.output}
    for name, kind in types.items():
        info = onnx.helper.make_tensor_value_info(name, kind.dtype, kind.shape)
        if name in outputs:
            outputs[name].CopyFrom(info)
        else:
            model.graph.value_info.append(info)


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
    for value in graph.output:
        if value.name in computed:
            array = computed[value.name]
            code = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
            _set_type(value, TensorType(code, tuple(array.shape)))
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
    if array.size <= MAX_SHOWN:
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
