"""From a normalised draft to a `Graph`: names become indices."""

from __future__ import annotations

from dataclasses import replace

from planner.drafts.draft import Draft, OperandKind
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT, Operator, Parameter, Tensor


def index_draft(draft: Draft, digest: str) -> Graph:
    """Number everything; edges become index tuples without repetition.

    The draft's names must be unique and its operators in topological order.
    """
    specs = list(draft.inputs)
    producers = [GRAPH_INPUT] * len(specs)
    for index, operator in enumerate(draft.operators):
        for output in operator.outputs:
            specs.append(output)
            producers.append(index)
    tensor_index = {spec.name: index for index, spec in enumerate(specs)}
    parameter_index = {spec.name: index for index, spec in enumerate(draft.parameters)}
    consumers: list[list[int]] = [[] for _ in specs]
    readers: list[list[int]] = [[] for _ in draft.parameters]
    operators: list[Operator] = []
    for index, operator in enumerate(draft.operators):
        inputs: dict[int, None] = {}  # an ordered set: an operator may have very many
        parameters: dict[int, None] = {}
        for kind, name, _ in operator.operands:
            if kind is OperandKind.TENSOR:
                tensor = tensor_index[name]
                if tensor not in inputs:
                    inputs[tensor] = None
                    consumers[tensor].append(index)
            elif kind is OperandKind.PARAMETER:
                parameter = parameter_index[name]
                if parameter not in parameters:
                    parameters[parameter] = None
                    readers[parameter].append(index)
        outputs = tuple([tensor_index[output.name] for output in operator.outputs])
        operators.append(
            Operator(
                operator.name,
                operator.op,
                operator.domain,
                tuple(inputs),
                outputs,
                tuple(parameters),
                tuple([shape for _, _, shape in operator.operands]),
                operator.attributes,
                operator.forward_flops,
            )
        )
    graph = Graph(
        name=draft.name,
        operators=tuple(operators),
        tensors=tuple(
            [
                Tensor(
                    s.name, s.size_bytes, s.dtype, s.shape, made_by, tuple(read_by), s.requires_grad
                )
                for s, made_by, read_by in zip(specs, producers, consumers, strict=True)
            ]
        ),
        parameters=tuple(
            [
                Parameter(s.name, s.size_bytes, s.trainable, s.dtype, s.shape, tuple(read_by))
                for s, read_by in zip(draft.parameters, readers, strict=True)
            ]
        ),
        inputs=tuple(range(len(draft.inputs))),
        outputs=tuple([tensor_index[name] for name in draft.outputs]),
        folded=draft.folded,
        notes=tuple(draft.notes),
        warnings=tuple(draft.warnings),
        is_inference_export=draft.is_inference_export,
        digest=digest,
    )
    return replace(graph, batch=_leading_dimension(graph))


def _leading_dimension(graph: Graph) -> int | None:
    """The first dimension that all graph inputs with a shape share, if they do."""
    leading = {shape[0] for t in graph.inputs if (shape := graph.tensors[t].shape)}
    return leading.pop() if len(leading) == 1 and 0 not in leading else None
