"""Parts of an ONNX model as models of their own: what a host, or a segment, has to run."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import onnx

from planner.errors import GraphError
from planner.frontends.onnx_nodes import Node, read_nodes
from planner.frontends.onnx_tensors import TensorChecker


def extract_part(
    model: onnx.ModelProto, node_names: Collection[str], *, outputs: Collection[str] = ()
) -> onnx.ModelProto:
    """The operators of these names as a model.

    Its inputs are what they read and do not make, its outputs what they make and others read or
    the model returns. What is computed from weights and constants alone never is either: every
    part that reads it computes it for itself. What the bodies of If, Loop and Scan capture counts
    as read.

    Args:
        model: The whole model, without local functions; its weights may be absent. Operators that
            are not in a topological order are put in one.
        node_names: Names as the frontend gives them: that of the operator if it is the first of
            that name, otherwise that of its first output.
        outputs: More tensors of the part that it shall return.

    Returns:
        A model whose initializers are those that are read, with absent ones still marked so.

    Raises:
        PlannerError: PLN207 if the type of an input cannot be found.
        ValueError: If a name is not one of an operator.
    """
    nodes = named_nodes(model)
    unknown = sorted(set(node_names).difference(node.name for node in nodes))
    if unknown:
        raise ValueError(f"the model has no operators {unknown}")
    weights = _initializer_names(model.graph)
    constant = _constant_nodes(nodes, weights)
    named = set(node_names)
    chosen = [node for node in nodes if node.name in named and node.name not in constant]
    own = {name for node in chosen for name in node.outputs if name}
    pulled = _pulled(nodes, named, chosen, constant, model)
    read = _reads((*chosen, *pulled))
    computed = {name for node in pulled for name in node.outputs}
    kept = {node.name for node in (*chosen, *pulled)}
    returned = {value.name for value in model.graph.output}
    read_outside = _reads(node for node in nodes if node.name not in kept)
    wanted = {name: None for node in (*chosen, *pulled) for name in node.outputs if name}
    leaving = (own & (read_outside.keys() | returned)) | (computed & returned) | set(outputs)
    return _assemble(
        model,
        [node for node in nodes if node.name in kept],
        inputs=[n for n in read if n not in own and n not in computed and n not in weights],
        outputs=[name for name in wanted if name in leaving],
        weights=weights & read.keys(),
    )


def named_nodes(model: onnx.ModelProto) -> list[Node]:
    """The operators in topological order, each with a name of its own, as in the graph.

    Raises:
        PlannerError: If the model is no graph.
    """
    checker = TensorChecker("model")
    nodes, _ = read_nodes(model.graph, _initializer_names(model.graph), checker, where="model")
    if checker.problems:
        raise checker.problems[0]
    return nodes


def with_types(model: onnx.ModelProto) -> onnx.ModelProto:
    """`model` with the types of all tensors that inference finds: for many parts of one model."""
    return onnx.shape_inference.infer_shapes(model, data_prop=True)


def _initializer_names(graph: onnx.GraphProto) -> set[str]:
    names = {tensor.name for tensor in graph.initializer}
    return names | {sparse.values.name for sparse in graph.sparse_initializer}


def _constant_nodes(nodes: Iterable[Node], weights: Collection[str]) -> set[str]:
    """Names of the operators whose results depend on weights and constants alone."""
    known = set(weights)
    found: set[str] = set()
    for node in nodes:
        if node.is_pure and all(name in known for name in _read_by(node)):
            known.update(node.outputs)
            found.add(node.name)
    return found


def _pulled(
    nodes: Sequence[Node],
    named: Collection[str],
    chosen: Iterable[Node],
    constant: Collection[str],
    model: onnx.ModelProto,
) -> list[Node]:
    """The constant operators that a part needs: for what it reads, or asked for and returned."""
    needed = set(_reads(chosen))
    returned = {value.name for value in model.graph.output}
    found: list[Node] = []
    for node in reversed(nodes):
        is_returned = node.name in named and not returned.isdisjoint(node.outputs)
        if node.name in constant and (is_returned or not needed.isdisjoint(node.outputs)):
            found.append(node)
            needed.update(_read_by(node))
    return found[::-1]


def _read_by(node: Node) -> Iterator[str]:
    yield from (name for name in node.inputs if name)
    yield from node.captured


def _reads(nodes: Iterable[Node]) -> dict[str, None]:
    """Everything that `nodes` read, in order, once."""
    return {name: None for node in nodes for name in _read_by(node)}


def _assemble(
    model: onnx.ModelProto,
    nodes: Iterable[Node],
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    weights: Collection[str],
) -> onnx.ModelProto:
    types = _types_of(model, inputs, outputs)
    part = onnx.ModelProto(ir_version=model.ir_version, producer_name=model.producer_name)
    part.opset_import.extend(model.opset_import)
    part.metadata_props.extend(model.metadata_props)
    graph = part.graph
    graph.name = model.graph.name
    for node in nodes:
        graph.node.add().CopyFrom(node.proto)
        graph.node[-1].name = node.name
    graph.initializer.extend(t for t in model.graph.initializer if t.name in weights)
    graph.sparse_initializer.extend(
        sparse for sparse in model.graph.sparse_initializer if sparse.values.name in weights
    )
    for name in inputs:
        if name not in types:
            raise GraphError(
                f"the type of `{name}` is unknown, and it is an input of a part",
                code="PLN207",
                where=name,
            )
        graph.input.add().CopyFrom(types[name])
    # The type of an output is found out by whoever loads the model.
    graph.output.extend(types.get(name, onnx.ValueInfoProto(name=name)) for name in outputs)
    made = {name for node in graph.node for name in node.output}.difference(inputs, outputs)
    graph.value_info.extend(value for name, value in types.items() if name in made)
    return part


def _types_of(
    model: onnx.ModelProto, inputs: Iterable[str], outputs: Iterable[str]
) -> Mapping[str, onnx.ValueInfoProto]:
    """What is known about the tensors of the model; inferred if the boundary needs it."""
    known = _declared(model)
    if all(name in known for name in (*inputs, *outputs)):
        return known
    try:
        return {**_declared(with_types(model)), **known}
    except (onnx.shape_inference.InferenceError, ValueError):
        return known


def _declared(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    graph = model.graph
    values = (*graph.value_info, *graph.output, *graph.input)
    return {value.name: value for value in values if value.HasField("type") and _is_typed(value)}


def _is_typed(value: onnx.ValueInfoProto) -> bool:
    kind = value.type
    return not kind.HasField("tensor_type") or kind.tensor_type.elem_type != 0
