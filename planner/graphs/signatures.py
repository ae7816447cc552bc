"""What a profile and a graph are matched by: digests of a whole model, and of one operator.

The model's digest leaves out what the batch changes (shapes of activations), so that profiles
taken at two batches are of one model; the operator's signature holds everything that its time
depends on: type, attributes, shapes and types of what it reads and writes. Two models of one digest
may still differ in constants, such as the factor of a Resize: what that changes is seen in the
signatures at one batch, and at others in the sizes of activations.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from hashlib import sha256

from planner.graphs.gradients import needs_gradient
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT


def model_digest(graph: Graph) -> str:
    """SHA-256 over operators, attributes, edges and parameters by name; not over activations."""
    digest = sha256()
    for part in _parts(graph):
        digest.update(repr(part).encode())
    return digest.hexdigest()


def _parts(graph: Graph) -> Iterator[object]:
    names = [tensor.name for tensor in graph.tensors]
    for index in graph.inputs:
        tensor = graph.tensors[index]
        yield ("input", tensor.name, tensor.dtype, len(tensor.shape or ()))
    for parameter in graph.parameters:
        yield ("parameter", parameter.name, parameter.dtype, parameter.shape, parameter.size_bytes)
    for operator in graph.operators:
        yield (
            operator.name,
            operator.domain,
            operator.op,
            sorted(operator.attributes.items()),
            [names[t] for t in operator.inputs],
            [names[t] for t in operator.outputs],
            [graph.parameters[p].name for p in operator.parameters],
        )
    yield ("outputs", [names[t] for t in graph.outputs])


def operator_signature(graph: Graph, index: int) -> str:
    """What the time of operator `index` depends on, as 32 hexadecimal digits.

    Graphs that are planned at another batch than they were exported at have other signatures.
    """
    operator = graph.operators[index]
    outputs = [graph.tensors[t] for t in operator.outputs]
    inputs = [graph.tensors[t] for t in operator.inputs]
    scale = graph.batch_scale
    content = (
        operator.domain,
        operator.op,
        sorted(operator.attributes.items()),
        operator.operand_shapes,
        [(tensor.dtype, tensor.shape or tensor.size_bytes) for tensor in (*inputs, *outputs)],
        [graph.parameters[p].dtype for p in operator.parameters],
        None if scale == 1 else str(scale),
    )
    return sha256(repr(content).encode()).hexdigest()[:32]


def gradient_digest(graph: Graph) -> str:
    """SHA-256 over what training computes a gradient for; other than that if weights are frozen."""
    trained = [parameter.name for parameter in graph.parameters if parameter.trainable]
    needed = needs_gradient(graph)
    reached = [t.name for t, is_needed in zip(graph.tensors, needed, strict=True) if is_needed]
    return sha256(repr((trained, reached)).encode()).hexdigest()


def output_bytes(graph: Graph, index: int) -> int:
    """Bytes of activations that operator `index` writes, at the planned batch.

    Without what a BatchNormalization in training writes of its statistics: it is scaled with the
    batch where a graph is, though its size is another's.
    """
    operator = graph.operators[index]
    written = operator.outputs[:1] if operator.op == "BatchNormalization" else operator.outputs
    return sum(graph.tensors[t].size_bytes for t in written)


def input_shapes(graph: Graph) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Type and shape of each graph input, at the exported batch; () for one without a shape."""
    return {
        graph.tensors[t].name: (graph.tensors[t].dtype or "", graph.tensors[t].shape or ())
        for t in graph.inputs
        if graph.tensors[t].producer == GRAPH_INPUT
    }


def edges_between(graph: Graph, names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The `edges` of a group: pairs of its operators of which the second reads the first.

    Args:
        graph: What was measured.
        names: The group; names that the graph does not have are left out.
    """
    index = graph.operator_index
    members = {index[name]: name for name in names if name in index}
    return tuple(
        (name, members[reader])
        for operator, name in members.items()
        for reader in sorted(
            {r for t in graph.operators[operator].outputs for r in graph.tensors[t].consumers}
        )
        if reader in members
    )


def read_outside(graph: Graph, names: Sequence[str]) -> tuple[str, ...]:
    """The `read_outside` of a group: those that others read, or whose results are returned."""
    members = {graph.operator_index[name]: name for name in names if name in graph.operator_index}
    return tuple(name for index, name in members.items() if _is_read_outside(graph, index, members))


def _is_read_outside(graph: Graph, index: int, members: Container[int]) -> bool:
    return any(
        tensor in graph.outputs or any(c not in members for c in graph.tensors[tensor].consumers)
        for tensor in graph.operators[index].outputs
    )
