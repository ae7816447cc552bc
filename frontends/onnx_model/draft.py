"""From ONNX records and what is known about their tensors to a draft of the planner's graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx

from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.errors import GraphError, PlannerError, listed, raise_all
from planner.frontends.onnx_model.nodes import Node
from planner.frontends.onnx_model.parameters import Parameters
from planner.frontends.onnx_model.tensors import DTYPES
from planner.frontends.onnx_model.types import Knowledge, TensorType
from planner.frontends.onnx_model.values import (
    computed_name,
    constant_node_name,
    opaque_name,
)
from planner.graphs.dtypes import is_floating, size_in_bytes
from planner.graphs.graph import Graph

_MAX_LISTED = 20
_DROPOUTS = frozenset({"Dropout", "BitmaskDropout", "BiasDropout", "BitmaskBiasDropout"})


@dataclass(slots=True, kw_only=True)
class Builder:
    """Collects a draft.

    `operands` is what reading each name means; `unsized` are tensors without a size, dead ones as
    well; `sizes` spares computing the size of equal types again.
    """

    draft: Draft
    known: Knowledge
    parameters: dict[str, DraftParameter]
    operands: dict[str, Operand] = field(default_factory=dict)
    unsized: dict[str, tuple[str, TensorType | None]] = field(default_factory=dict)
    sizes: dict[TensorType, int] = field(default_factory=dict)
    opset: int = 0


def build_draft(
    graph: onnx.GraphProto,
    nodes: list[Node],
    known: Knowledge,
    weights: Parameters,
    *,
    opset: int,
    where: str,
) -> Builder:
    """Everything the file says, by name; what constants and static shapes determine is folded."""
    draft = Draft(
        name=graph.name or where, inputs=[], outputs=[], parameters=[], operators=[], where=where
    )
    builder = Builder(draft=draft, known=known, parameters=weights.parameters, opset=opset)
    _collect_operands(builder, weights)
    for value in graph.input:
        draft.inputs.append(_tensor(builder, value.name, "an input"))
    for node in nodes:
        _add_node(builder, node)
    draft.parameters = list(builder.parameters.values())
    _add_outputs(builder, graph)
    draft.is_inference_export = not any(is_training_node(node, known, opset) for node in nodes)
    return builder


def _collect_operands(builder: Builder, weights: Parameters) -> None:
    """What reading an initializer or an evaluated tensor means; "" is what is left out."""
    known, table = builder.known, builder.operands
    table[""] = Operand(OperandKind.ABSENT, "")
    for name, parameter in weights.parameters.items():
        table[name] = Operand(OperandKind.PARAMETER, name, parameter.shape)
    for name, item in weights.constants.items():
        value_name = known.names.get(name)
        if value_name is None and item.proto is not None:
            value_name = opaque_name(item.proto)
        value_name = value_name or f"unread#{name}"
        table[name] = Operand(OperandKind.CONSTANT, value_name, item.shape)
    for name, array in known.values.items():
        if name not in table:
            table[name] = Operand(OperandKind.CONSTANT, known.names[name], tuple(array.shape))


def _dangling(name: str) -> Operand:
    """What nothing has defined up to here; assembly tells whether that is a cycle or a gap."""
    return Operand(OperandKind.TENSOR, name)


def _tensor(builder: Builder, name: str, op: str) -> DraftTensor:
    found = builder.known.types.get(name)
    shape = None if found is None else found.shape
    builder.operands[name] = Operand(OperandKind.TENSOR, name, shape)
    if found is not None and shape is not None and found.dtype in DTYPES:
        dtype = DTYPES[found.dtype]
        size = builder.sizes.get(found)
        if size is None:
            size = builder.sizes[found] = size_in_bytes(dtype, shape)
        return DraftTensor(name=name, size_bytes=size, dtype=dtype, shape=shape)
    builder.unsized[name] = (op, found)
    return DraftTensor(name=name, size_bytes=0)


def _add_node(builder: Builder, node: Node) -> None:
    draft, known = builder.draft, builder.known
    if node.name in known.evaluated:
        draft.folded[node.name] = "constant: computed from constants and static shapes alone"
        return
    table = builder.operands
    operands = [table.get(name) or _dangling(name) for name in node.inputs]
    if node.bodies:
        operands += [table.get(name) or _dangling(name) for name in node.captured]
        operands += _body_operands(builder, node)
    is_random = node.op in _DROPOUTS and is_training_node(node, known, builder.opset)
    if (
        node.is_pure
        and not node.bodies
        and not is_random
        and _fold_constant(builder, node, operands)
    ):
        return
    op = node.op
    outputs = tuple([_tensor(builder, name, op) for name in node.outputs if name])
    draft.operators.append(
        DraftOperator(
            name=node.name,
            op=node.op,
            operands=tuple(operands),
            outputs=outputs,
            domain=node.domain,
            attributes=node.attributes,
            is_mergeable=node.is_pure and not is_random,
            is_random=is_random or not node.is_pure,
        )
    )


def _fold_constant(builder: Builder, node: Node, operands: list[Operand]) -> bool:
    """Whether constants alone determine `node`; its outputs are then constants without a value."""
    for kind, _, _ in operands:
        if kind is OperandKind.TENSOR or kind is OperandKind.PARAMETER:
            return False
    if not operands and (node.op != "Constant" or node.domain):
        return False
    for position, name in enumerate(node.outputs):
        if node.op == "Constant":
            value_name = constant_node_name(node) or f"unread#{name}"
        else:
            value_name = computed_name(node, (operand.name for operand in operands), position)
        shape = builder.known.shape(name)
        builder.operands[name] = Operand(OperandKind.CONSTANT, value_name, shape)
    builder.draft.folded[node.name] = "constant: computed from constants alone"
    return True


def _body_operands(builder: Builder, node: Node) -> list[Operand]:
    """The weights that the bodies of `node` bring along, as parameters of the whole operator."""
    operands = []
    for tensor in node.body_initializers:
        dtype, shape = DTYPES.get(tensor.data_type), tuple(tensor.dims)
        if dtype is None or not shape or min(shape) < 0 or not is_floating(dtype):
            continue
        name = base = f"{node.name}/{tensor.name}"
        copies = 1
        while name in builder.parameters:
            copies += 1
            name = f"{base}#{copies}"
        builder.parameters[name] = DraftParameter(
            name=name,
            size_bytes=size_in_bytes(dtype, shape),
            dtype=dtype,
            shape=shape,
        )
        operands.append(Operand(OperandKind.PARAMETER, name, shape))
    return operands


def _add_outputs(builder: Builder, graph: onnx.GraphProto) -> None:
    """Outputs that are no operator's result: constants are left out, weights get an Identity."""
    draft = builder.draft
    names = {operator.name for operator in draft.operators}
    for value in graph.output:
        name = value.name
        operand = builder.operands.get(name)
        if operand is not None and operand.kind is OperandKind.CONSTANT:
            draft.notes.append(f"output `{name}` is a constant: every host has it")
            continue
        if operand is not None and operand.kind is OperandKind.PARAMETER:
            _add_identity(builder, name, operand, names)
        draft.outputs.append(name)
        draft.output_wheres.append(f"output `{name}`")
    if graph.output and not draft.outputs:
        text = "every output is a constant, so there is nothing to place"
        raise GraphError(text, code="PLN206", where=draft.where or None)


def _add_identity(builder: Builder, name: str, operand: Operand, names: set[str]) -> None:
    """Let an operator produce the output that is a weight itself."""
    operator = name
    while operator in names or operator in builder.draft.folded:
        operator += "#output"
    names.add(operator)
    outputs = (_tensor(builder, name, "Identity"),)
    builder.draft.operators.append(
        DraftOperator(name=operator, op="Identity", operands=(operand,), outputs=outputs)
    )


def is_training_node(node: Node, known: Knowledge, opset: int) -> bool:
    """Whether a BatchNormalization or Dropout is, or may be, in training mode."""
    if node.domain and node.op not in _DROPOUTS:
        return False
    attributes = node.attributes
    if node.op == "BatchNormalization":
        if opset < 14:  # the mode was told by the number of outputs, before 7 by an attribute
            return len(node.outputs) > 1
        return attributes.get("training_mode", 0) != 0
    if node.op not in _DROPOUTS:
        return False
    if opset < 12 and not node.domain:
        return opset < 7 and attributes.get("is_test", 0) == 0
    mode = 4 if "Bias" in node.op else 2
    if len(node.inputs) <= mode or not node.inputs[mode]:
        return False
    value = known.values.get(node.inputs[mode])
    return value is None or bool(value.any())


def check_sized(
    graph: Graph, unsized: Mapping[str, tuple[str, TensorType | None]], *, where: str
) -> None:
    """Complain about tensors of the finished graph whose size is not known.

    Raises:
        PlannerError: PLN207 for unknown shapes, PLN210 for types that have no size.
    """
    if not unsized:
        return
    shapeless: list[str] = []
    untyped: list[str] = []
    for tensor in graph.tensors:
        if tensor.name not in unsized:
            continue
        op, found = unsized[tensor.name]
        label = f"`{tensor.name}` ({op})"
        if found is not None and found.kind != "tensor":
            untyped.append(f"{label} is a {found.kind}")
        elif found is not None and found.dtype and found.dtype not in DTYPES:
            names = {code: name for name, code in onnx.TensorProto.DataType.items()}
            kind = names.get(found.dtype, f"type {found.dtype}").lower()
            untyped.append(f"{label} has elements of {kind}")
        else:
            shapeless.append(label)
    problems: list[PlannerError] = []
    if shapeless:
        problems.append(
            GraphError(
                f"the shapes of {len(shapeless)} tensors are unknown: "
                + listed(shapeless, _MAX_LISTED),
                code="PLN207",
                where=where,
                hint="bind dimensions with `--dim NAME=SIZE`, export with static shapes, or "
                "`pip install dnn-partition-planner[measure]` and use `--shapes onnxruntime`",
            )
        )
    if untyped:
        problems.append(
            GraphError(
                f"only dense tensors can cross a link: {listed(untyped, _MAX_LISTED)}",
                code="PLN210",
                where=where,
            )
        )
    raise_all(problems)
