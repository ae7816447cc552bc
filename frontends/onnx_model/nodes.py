"""The operators of an ONNX graph as plain records: names, attributes, what their bodies capture."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

import onnx

from planner.errors import GraphError, InputError, listed
from planner.frontends.onnx_model.tensors import TensorChecker, attribute_tensors
from planner.graphs.operators import AttributeValue
from planner.graphs.orders import topological_order

RANDOM_OPS = frozenset(
    {
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    }
)
_KNOWN_DOMAINS = frozenset({"", "com.microsoft", "ai.onnx.ml"})
_Kind = onnx.AttributeProto
# Plain numbers: looking them up in the message class costs more than the comparison.
_INT, _INTS, _FLOAT = int(_Kind.INT), int(_Kind.INTS), int(_Kind.FLOAT)
_PLAIN = frozenset({_INT, _INTS, _FLOAT, int(_Kind.FLOATS), int(_Kind.STRING), int(_Kind.STRINGS)})


@dataclass(slots=True)
class Node:
    """One operator of the file.

    `inputs` and `outputs` hold "" where an optional one is left out; trailing ones are dropped.
    `captured` are names of the enclosing graph that its bodies (If, Loop, Scan) read;
    `body_initializers` the weights that bodies bring along. `is_pure`: equal inputs give equal
    outputs, as far as its type, attributes and bodies can tell.
    """

    name: str
    op: str
    domain: str
    inputs: Sequence[str]
    outputs: Sequence[str]
    attributes: dict[str, AttributeValue]
    proto: onnx.NodeProto
    is_pure: bool
    bodies: tuple[onnx.GraphProto, ...] = ()
    captured: tuple[str, ...] = ()
    body_initializers: tuple[onnx.TensorProto, ...] = ()


def read_nodes(
    graph: onnx.GraphProto, initializers: Container[str], checker: TensorChecker, *, where: str
) -> tuple[list[Node], list[str]]:
    """The operators in a topological order that keeps the file's order wherever it is one.

    `graph` is put in that order as well. What is wrong with them goes to `checker`: PLN112 names
    that are no text, PLN201 tensors with two producers, and their tensors.

    Returns:
        The nodes, every one with a name of its own, and notes about names that were changed.
    """
    given = {value.name for value in graph.input}
    producer: dict[str, int] = {}
    nodes: list[Node] = []
    for index, proto in enumerate(graph.node):
        node = _record(proto, checker)
        for name in node.outputs:
            if name in producer or name in given or name in initializers:
                text = f"tensor `{name}` is produced twice, here by `{node.name or node.op}`"
                checker.problems.append(GraphError(text, code="PLN201", where=where))
            elif name:
                producer[name] = index
        nodes.append(node)
    if not _are_named_in_text(nodes):
        text = "not an ONNX model: a name is no UTF-8"
        checker.problems.append(InputError(text, code="PLN112", where=where))
    if checker.problems:
        return nodes, []
    notes = _name_all(nodes)
    in_order = _sorted(nodes, producer)
    if in_order is not nodes:  # onnx's inference goes through the file in its order
        del graph.node[:]
        graph.node.extend(node.proto for node in in_order)
    return in_order, notes


def _are_named_in_text(nodes: Sequence[Node]) -> bool:
    """Protobuf hands on what is no UTF-8 as bytes, which cannot be joined with text."""
    try:
        "".join([name for node in nodes for name in (node.name, node.op, node.domain)])
        for node in nodes:
            "".join(node.inputs)
            "".join(node.outputs)
            "".join(node.attributes)
            "".join(node.captured)
    except TypeError:
        return False
    return True


def _record(proto: onnx.NodeProto, checker: TensorChecker) -> Node:
    domain = proto.domain
    op = proto.op_type
    inputs = list(proto.input)
    outputs = list(proto.output)
    while inputs and not inputs[-1]:
        inputs.pop()
    while outputs and not outputs[-1]:
        outputs.pop()
    node = Node(
        proto.name,
        op,
        "" if domain == "ai.onnx" else domain,
        inputs,
        outputs,
        {},
        proto,
        op not in RANDOM_OPS and domain in _KNOWN_DOMAINS and "" not in outputs,
    )
    attributes = node.attributes
    for attribute in proto.attribute:
        kind = attribute.type
        if kind == _INTS:
            attributes[attribute.name] = tuple(attribute.ints)
        elif kind == _INT:
            attributes[attribute.name] = attribute.i
        elif kind == _FLOAT:
            attributes[attribute.name] = attribute.f
        elif op != "Constant":
            attributes[attribute.name] = _other_value(attribute)
            node.bodies += _bodies(attribute)
            node.is_pure = node.is_pure and not _lacks_values(attribute)
        if kind not in _PLAIN or attribute.HasField("t") or attribute.HasField("g"):
            checker.check_all(attribute_tensors(attribute))
    if node.bodies:
        _read_bodies(node)
    return node


def _other_value(attribute: onnx.AttributeProto) -> AttributeValue:
    kind = attribute.type
    if kind == _Kind.STRING:
        return _text(attribute.s)
    if kind == _Kind.FLOATS:
        return tuple(attribute.floats)
    if kind == _Kind.STRINGS:
        return tuple(_text(item) for item in attribute.strings)
    # A tensor, a body, a type: what matters is whether two are equal.
    return hashlib.sha256(attribute.SerializeToString(deterministic=True)).hexdigest()


def _text(value: bytes) -> str:
    return value.decode("utf-8", "backslashreplace")


def _bodies(attribute: onnx.AttributeProto) -> tuple[onnx.GraphProto, ...]:
    if attribute.type == _Kind.GRAPH:
        return (attribute.g,)
    return tuple(attribute.graphs) if attribute.type == _Kind.GRAPHS else ()


def _lacks_values(attribute: onnx.AttributeProto) -> bool:
    """Whether the bytes of a tensor attribute are elsewhere, so that equality cannot be seen."""
    tensors = [attribute.t] if attribute.type == _Kind.TENSOR else list(attribute.tensors)
    return any(t.data_location == onnx.TensorProto.EXTERNAL for t in tensors)


def _read_bodies(node: Node) -> None:
    """Fill in what the bodies of `node` read from outside and bring along; are they pure?"""
    captured: dict[str, None] = {}
    initializers: list[onnx.TensorProto] = []

    def visit(graph: onnx.GraphProto, outer: frozenset[str]) -> None:
        initializers.extend(graph.initializer)
        defined = {value.name for value in graph.input}
        defined.update(tensor.name for tensor in graph.initializer)
        defined.update(sparse.values.name for sparse in graph.sparse_initializer)
        defined.update(name for inner in graph.node for name in inner.output)
        known = outer | defined
        for inner in graph.node:
            captured.update((name, None) for name in inner.input if name and name not in known)
            record = _record_body_node(inner)
            node.is_pure = node.is_pure and record
            for attribute in inner.attribute:
                for body in _bodies(attribute):
                    visit(body, known)
        captured.update((v.name, None) for v in graph.output if v.name and v.name not in known)

    for body in node.bodies:
        visit(body, frozenset())
    node.captured = tuple(name for name in captured if name not in node.inputs)
    node.body_initializers = tuple(initializers)
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in initializers):
        node.is_pure = False


def _record_body_node(inner: onnx.NodeProto) -> bool:
    if inner.op_type in RANDOM_OPS or inner.op_type == "Dropout":
        return False
    if inner.domain not in _KNOWN_DOMAINS and inner.domain != "ai.onnx":
        return False
    return not any(_lacks_values(attribute) for attribute in inner.attribute)


def _name_all(nodes: list[Node]) -> list[str]:
    """Give unnamed nodes, and the later ones of a name, the name of their first output."""
    taken = Counter(node.name for node in nodes if node.name)
    used: set[str] = set()
    renamed: list[str] = []
    for index, node in enumerate(nodes):
        if node.name and node.name not in used:
            used.add(node.name)
            continue
        first = next((name for name in node.outputs if name), f"{node.op}_{index}")
        name, copies = first, 1
        while name in used or name in taken:
            copies += 1
            name = f"{first}#{copies}"
        if node.name:
            renamed.append(f"`{node.name}` to `{name}`")
        node.name = name
        used.add(name)
    if not renamed:
        return []
    return [f"renamed operators whose name was taken: {listed(renamed, 5)}"]


def _sorted(nodes: list[Node], producer: Mapping[str, int]) -> list[Node]:
    """In a topological order, the file's wherever it is one; what is on a cycle comes last."""
    find = producer.get
    for index, node in enumerate(nodes):
        reads = [*node.inputs, *node.captured] if node.captured else node.inputs
        if any([find(name, -1) >= index for name in reads]):
            break
    else:
        return nodes
    needs = [
        [i for name in (*node.inputs, *node.captured) if (i := find(name)) is not None]
        for node in nodes
    ]
    order, stuck = topological_order(needs)
    # Assembly tells which operators form the cycle.
    return [nodes[index] for index in (*order, *stuck)]
