"""From a normalised draft to a `Graph`: names become indices."""

from __future__ import annotations

from dataclasses import replace

from planner.drafts import Draft, DraftOperator, DraftParameter, DraftTensor, OperandKind
from planner.graphs import GRAPH_INPUT, Graph, Operator, Parameter, Tensor


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
        inputs: list[int] = []
        parameters: list[int] = []
        for kind, name, _ in operator.operands:
            if kind is OperandKind.TENSOR:
                tensor = tensor_index[name]
                if tensor not in inputs:
                    inputs.append(tensor)
                    consumers[tensor].append(index)
            elif kind is OperandKind.PARAMETER:
                parameter = parameter_index[name]
                if parameter not in parameters:
                    parameters.append(parameter)
                    readers[parameter].append(index)
        outputs = tuple([tensor_index[output.name] for output in operator.outputs])
        operators.append(_operator(operator, tuple(inputs), tuple(parameters), outputs))
    graph = Graph(
        name=draft.name,
        operators=tuple(operators),
        tensors=tuple(map(_tensor, specs, producers, consumers)),
        parameters=tuple(map(_parameter, draft.parameters, readers)),
        inputs=tuple(range(len(draft.inputs))),
        outputs=tuple([tensor_index[name] for name in draft.outputs]),
        folded=draft.folded,
        notes=tuple(draft.notes),
        warnings=tuple(draft.warnings),
        is_inference_export=draft.is_inference_export,
        digest=digest,
    )
    return replace(graph, batch=_leading_dimension(graph))


def _operator(
    spec: DraftOperator,
    inputs: tuple[int, ...],
    parameters: tuple[int, ...],
    outputs: tuple[int, ...],
) -> Operator:
    return Operator(
        name=spec.name,
        op=spec.op,
        domain=spec.domain,
        inputs=inputs,
        outputs=outputs,
        parameters=parameters,
        operand_shapes=tuple([shape for _, _, shape in spec.operands]),
        attributes=spec.attributes,
        forward_flops=spec.forward_flops,
    )


def _tensor(spec: DraftTensor, producer: int, consumers: list[int]) -> Tensor:
    return Tensor(
        name=spec.name,
        size_bytes=spec.size_bytes,
        dtype=spec.dtype,
        shape=spec.shape,
        producer=producer,
        consumers=tuple(consumers),
        requires_grad=spec.requires_grad,
    )


def _parameter(spec: DraftParameter, readers: list[int]) -> Parameter:
    return Parameter(
        name=spec.name,
        size_bytes=spec.size_bytes,
        trainable=spec.trainable,
        dtype=spec.dtype,
        shape=spec.shape,
        readers=tuple(readers),
    )


def _leading_dimension(graph: Graph) -> int | None:
    """The first dimension that all graph inputs with a shape share, if they do."""
    leading = {shape[0] for t in graph.inputs if (shape := graph.tensors[t].shape)}
    return leading.pop() if len(leading) == 1 and 0 not in leading else None
