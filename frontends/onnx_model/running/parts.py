"""Parts of an ONNX model as models of their own: what a host, or a segment, has to run."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import onnx

from planner.errors import GraphError
from planner.frontends.onnx_model.nodes import Node, read_nodes
from planner.frontends.onnx_model.tensors import TensorChecker


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
    return Parts(model).extract(node_names, outputs=outputs)


class Parts:
    """Many parts of one model, which is not changed in the meantime; see `extract_part`."""

    def __init__(self, model: onnx.ModelProto) -> None:
        """Read the model, once for all of its parts.

        Raises:
            PlannerError: If it is no graph.
        """
        self._model = model
        self._nodes = named_nodes(model)
        self._index = {node.name: index for index, node in enumerate(self._nodes)}
        self._weights = _initializer_names(model.graph)
        self._constant = _constant_nodes(self._nodes, self._weights)
        self._constants = [node for node in self._nodes if node.name in self._constant]
        self._returned = {value.name for value in model.graph.output}
        self._readers: dict[str, set[str]] = {}
        for node in self._nodes:
            for name in _read_by(node):
                self._readers.setdefault(name, set()).add(node.name)
        self._types = _Types(model)

    def extract(
        self, node_names: Collection[str], *, outputs: Collection[str] = ()
    ) -> onnx.ModelProto:
        """The operators of these names as a model; arguments and errors as of `extract_part`."""
        named = set(node_names)
        unknown = sorted(named.difference(self._index))
        if unknown:
            raise ValueError(f"the model has no operators {unknown}")
        chosen = self._in_order(named - self._constant)
        own = {name for node in chosen for name in node.outputs if name}
        pulled = self._pulled(named, chosen)
        read = _reads((*chosen, *pulled))
        computed = {name for node in pulled for name in node.outputs}
        kept = {node.name for node in (*chosen, *pulled)}
        is_read_outside = {n for n in own if not self._readers.get(n, kept) <= kept}
        wanted = {name: None for node in (*chosen, *pulled) for name in node.outputs if name}
        leaving = is_read_outside | ((own | computed) & self._returned) | set(outputs)
        return _assemble(
            self._model,
            self._in_order(kept),
            self._types,
            inputs=[n for n in read if not (n in own or n in computed or n in self._weights)],
            outputs=[name for name in wanted if name in leaving],
            weights=self._weights & read.keys(),
        )

    def _in_order(self, names: Iterable[str]) -> list[Node]:
        return [self._nodes[index] for index in sorted(self._index[name] for name in names)]

    def _pulled(self, named: Collection[str], chosen: Iterable[Node]) -> list[Node]:
        """Constant operators that a part needs: for what it reads, or asked for and returned."""
        needed = set(_reads(chosen))
        found: list[Node] = []
        for node in reversed(self._constants):
            is_returned = node.name in named and not self._returned.isdisjoint(node.outputs)
            if is_returned or not needed.isdisjoint(node.outputs):
                found.append(node)
                needed.update(_read_by(node))
        return found[::-1]


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


def _read_by(node: Node) -> Iterator[str]:
    yield from (name for name in node.inputs if name)
    yield from node.captured


def _reads(nodes: Iterable[Node]) -> dict[str, None]:
    """Everything that `nodes` read, in order, once."""
    return {name: None for node in nodes for name in _read_by(node)}


def _assemble(
    model: onnx.ModelProto,
    nodes: Iterable[Node],
    known: _Types,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    weights: Collection[str],
) -> onnx.ModelProto:
    types = known.of((*inputs, *outputs))
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
    graph.value_info.extend(types[name] for name in sorted(made) if name in types)
    return part


class _Types:
    """What is known about the tensors of a model; inferred if a boundary needs it, once."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._known = _declared(model)
        self._is_inferred = False

    def of(self, names: Iterable[str]) -> Mapping[str, onnx.ValueInfoProto]:
        """All types that are known, those of `names` if they can be found."""
        if not self._is_inferred and not all(name in self._known for name in names):
            self._is_inferred = True
            with contextlib.suppress(onnx.shape_inference.InferenceError, ValueError):
                self._known = {**_declared(with_types(self._model)), **self._known}
        return self._known


def _declared(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    graph = model.graph
    values = (*graph.value_info, *graph.output, *graph.input)
    return {value.name: value for value in values if value.HasField("type") and _is_typed(value)}


def _is_typed(value: onnx.ValueInfoProto) -> bool:
    kind = value.type
    return not kind.HasField("tensor_type") or kind.tensor_type.elem_type != 0
