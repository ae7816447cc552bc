"""From ONNX records and what is known about their tensors to a draft of the planner's graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import onnx

from planner.drafts import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.dtypes import is_floating, size_in_bytes
from planner.errors import GraphError, PlannerError, raise_all
from planner.frontends.onnx_dtypes import DTYPES
from planner.frontends.onnx_nodes import Node
from planner.frontends.onnx_parameters import Parameters
from planner.frontends.onnx_shapes import Knowledge, TensorType
from planner.frontends.onnx_values import (
    computed_name,
    constant_node_name,
    opaque_name,
)
from planner.graphs import Graph

_ABSENT = Operand(OperandKind.ABSENT, "")
_MAX_LISTED = 20
_DROPOUTS = frozenset({"Dropout", "BitmaskDropout", "BiasDropout", "BitmaskBiasDropout"})


@dataclass(slots=True, kw_only=True)
class Builder:
    """Collects a draft; `unsized` are tensors without a size, dead ones as well."""

    draft: Draft
    known: Knowledge
    parameters: dict[str, DraftParameter]
    constants: dict[str, Operand] = field(default_factory=dict)
    unsized: dict[str, tuple[str, TensorType | None]] = field(default_factory=dict)
    opset: int = 0


def build_draft(
    model: onnx.ModelProto, nodes: list[Node], known: Knowledge, weights: Parameters, *, opset: int
) -> Builder:
    """Everything the file says, by name; what constants and static shapes determine is folded."""
    graph = model.graph
    draft = Draft(name=graph.name, inputs=[], outputs=[], parameters=[], operators=[])
    builder = Builder(draft=draft, known=known, parameters=weights.parameters, opset=opset)
    _collect_constants(builder, weights)
    for value in graph.input:
        draft.inputs.append(_tensor(builder, value.name, f"input `{value.name}`", "an input"))
    for node in nodes:
        _add_node(builder, node)
    draft.parameters = list(builder.parameters.values())
    _add_outputs(builder, graph)
    draft.is_inference_export = not any(_is_training(node, known, opset) for node in nodes)
    return builder


def _collect_constants(builder: Builder, weights: Parameters) -> None:
    known = builder.known
    for name, item in weights.constants.items():
        value_name = known.names.get(name)
        if value_name is None and item.proto is not None:
            value_name = opaque_name(item.proto)
        builder.constants[name] = Operand(
            OperandKind.CONSTANT, value_name or f"unread#{name}", item.shape
        )
    for name, array in known.values.items():
        if name not in builder.constants:
            builder.constants[name] = Operand(
                OperandKind.CONSTANT, known.names[name], tuple(array.shape)
            )


def _tensor(builder: Builder, name: str, where: str, op: str) -> DraftTensor:
    found = builder.known.types.get(name)
    if found is not None and found.shape is not None:
        dtype = DTYPES.get(found.dtype)
        if dtype is not None:
            return DraftTensor(
                name=name,
                size_bytes=size_in_bytes(dtype, found.shape),
                dtype=dtype,
                shape=found.shape,
                where=where,
            )
    builder.unsized[name] = (op, found)
    return DraftTensor(name=name, size_bytes=0, where=where)


def _add_node(builder: Builder, node: Node) -> None:
    draft, known = builder.draft, builder.known
    if node.name in known.evaluated:
        draft.folded[node.name] = "constant: computed from constants and static shapes alone"
        return
    operands = [_operand(builder, name) for name in node.inputs]
    if node.bodies:
        operands += [_operand(builder, name) for name in node.captured]
        operands += _body_operands(builder, node)
    is_random = node.op in _DROPOUTS and _is_training(node, known, builder.opset)
    if (
        node.is_pure
        and not node.bodies
        and not is_random
        and _fold_constant(builder, node, operands)
    ):
        return
    where = f"operator `{node.name}`"
    outputs = tuple(_tensor(builder, name, where, node.op) for name in node.outputs if name)
    draft.operators.append(
        DraftOperator(
            name=node.name,
            op=node.op,
            operands=tuple(operands),
            outputs=outputs,
            domain=node.domain,
            attributes=node.attributes,
            is_mergeable=node.is_pure and not is_random,
            where=where,
        )
    )


def _operand(builder: Builder, name: str) -> Operand:
    if not name:
        return _ABSENT
    constant = builder.constants.get(name)
    if constant is not None:
        return constant
    parameter = builder.parameters.get(name)
    if parameter is not None:
        return Operand(OperandKind.PARAMETER, name, parameter.shape)
    return Operand(OperandKind.TENSOR, name, builder.known.shape(name))


def _fold_constant(builder: Builder, node: Node, operands: list[Operand]) -> bool:
    """Whether constants alone determine `node`; its outputs are then constants without a value."""
    kinds = {operand.kind for operand in operands}
    if OperandKind.TENSOR in kinds or OperandKind.PARAMETER in kinds:
        return False
    if not operands and (node.op != "Constant" or node.domain):
        return False
    for position, name in enumerate(node.outputs):
        if node.op == "Constant":
            value_name = constant_node_name(node) or f"unread#{name}"
        else:
            value_name = computed_name(node, (operand.name for operand in operands), position)
        builder.constants[name] = Operand(
            OperandKind.CONSTANT, value_name, builder.known.shape(name)
        )
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
            where=f"operator `{node.name}`",
        )
        operands.append(Operand(OperandKind.PARAMETER, name, shape))
    return operands


def _add_outputs(builder: Builder, graph: onnx.GraphProto) -> None:
    """Outputs that are no operator's result: constants are left out, weights get an Identity."""
    draft = builder.draft
    names = {operator.name for operator in draft.operators}
    for value in graph.output:
        name = value.name
        if name in builder.constants:
            draft.notes.append(f"output `{name}` is a constant: every host has it")
            continue
        if name in builder.parameters and name not in draft.outputs:
            operator = name
            while operator in names or operator in draft.folded:
                operator += "#output"
            where = f"output `{name}`"
            draft.operators.append(
                DraftOperator(
                    name=operator,
                    op="Identity",
                    operands=(_operand(builder, name),),
                    outputs=(_tensor(builder, name, where, "Identity"),),
                    where=where,
                )
            )
        draft.outputs.append(name)
        draft.output_wheres.append(f"output `{name}`")


def _is_training(node: Node, known: Knowledge, opset: int) -> bool:
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
                f"the shapes of {len(shapeless)} tensors are unknown: {_listed(shapeless)}",
                code="PLN207",
                where=where,
                hint="bind dimensions with `--dim NAME=SIZE`, export with static shapes, or "
                "`pip install dnn-partition-planner[measure]` and use `--shapes onnxruntime`",
            )
        )
    if untyped:
        problems.append(
            GraphError(
                f"only dense tensors can cross a link: {_listed(untyped)}",
                code="PLN210",
                where=where,
            )
        )
    raise_all(problems)


def _listed(items: list[str]) -> str:
    more = f" and {len(items) - _MAX_LISTED} more" if len(items) > _MAX_LISTED else ""
    return ", ".join(items[:_MAX_LISTED]) + more
