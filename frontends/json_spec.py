"""Frontend `json`: graph specs (`graph.v1`) written by hand or by another tool."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from planner.drafts.assembly import assemble
from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.drafts.frontend import LoadOptions
from planner.drafts.spec_file import GraphFile, NodeEntry, SizedEntry, TensorEntry
from planner.errors import GraphError, InputError, raise_all
from planner.files.documents import check_kind, parse_json, read_bytes, validate
from planner.files.globs import matching
from planner.files.values import JsonValue
from planner.graphs.graph import Graph
from planner.graphs.operators import AttributeValue


class JsonSpec:
    """Reads graph specs."""

    name = "json"
    suffixes = (".json",)
    requires: tuple[str, ...] = ()

    def recognizes(self, head: bytes) -> bool:
        """Whether the file starts like a JSON object."""
        return head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"

    def load(self, data: bytes | Path, *, where: str, options: LoadOptions) -> Graph:
        """Read a graph spec.

        Raises:
            PlannerError: With every problem of the file, or an option that does not apply to it.
        """
        content = data if isinstance(data, bytes) else read_bytes(data)
        document = parse_json(content, where)
        check_kind(document, "graph", where)
        spec = validate(GraphFile, document, where)
        _refuse_options(options)
        graph = assemble(
            _draft(spec, where, options.frozen),
            digest=hashlib.sha256(content + json.dumps(options.frozen).encode()).hexdigest(),
        )
        if options.batch is None or options.batch == graph.batch:
            return graph
        if graph.batch is None:
            raise GraphError(
                "the inputs have no common leading dimension, so the batch is not known",
                code="PLN209",
                where=where,
                hint="leave out `--batch`, or give every input a shape that starts with the batch",
            )
        return graph.rebatched(options.batch)


def _refuse_options(options: LoadOptions) -> None:
    given = {
        "inputs": bool(options.inputs),
        "dims": bool(options.dims),
        "tied": bool(options.tied),
        "untied": bool(options.untied),
        "shapes": options.shapes != "onnx",
    }
    problems = [
        InputError(
            f"`{option}` does not apply to a graph spec, which states all shapes and parameters",
            code="PLN116",
            where=option,
        )
        for option, is_given in given.items()
        if is_given
    ]
    raise_all(problems)


def _draft(spec: GraphFile, where: str, frozen: tuple[str, ...]) -> Draft:
    parameters = [
        DraftParameter(
            name=entry.name,
            size_bytes=entry.n_bytes,
            trainable=entry.trainable,
            dtype=entry.dtype,
            shape=entry.shape,
            where=f"{where}: $.parameters[{i}]",
        )
        for i, entry in enumerate(spec.parameters)
    ]
    for i, node in enumerate(spec.nodes):
        if node.parameter_bytes:
            name = _own_parameter(node)
            parameters.append(
                DraftParameter(
                    name=name,
                    size_bytes=node.parameter_bytes,
                    where=f"{where}: $.nodes[{i}].parameter_bytes",
                )
            )
    by_name = {parameter.name: parameter for parameter in parameters}
    for name in matching(frozen, by_name, "frozen"):
        by_name[name].trainable = False
    shapes = {entry.name: entry for entry in _sized(spec)}
    return Draft(
        name=spec.name,
        where=where,
        inputs=[_tensor(t, f"{where}: $.inputs[{i}]") for i, t in enumerate(spec.inputs)],
        outputs=list(spec.outputs),
        output_wheres=[f"{where}: $.outputs[{i}]" for i in range(len(spec.outputs))],
        parameters=parameters,
        operators=[
            _operator(node, f"{where}: $.nodes[{i}]", shapes) for i, node in enumerate(spec.nodes)
        ],
    )


def _own_parameter(node: NodeEntry) -> str:
    return f"{node.name}.parameters"


def _sized(spec: GraphFile) -> list[SizedEntry]:
    tensors = [tensor for node in spec.nodes for tensor in node.outputs]
    return [*spec.inputs, *tensors, *spec.parameters]


def _tensor(entry: TensorEntry, where: str) -> DraftTensor:
    return DraftTensor(
        name=entry.name,
        size_bytes=entry.n_bytes,
        dtype=entry.dtype,
        shape=entry.shape,
        requires_grad=entry.requires_grad,
        where=where,
    )


def _operator(node: NodeEntry, where: str, sized: Mapping[str, SizedEntry]) -> DraftOperator:
    operands = [
        Operand(kind, name, sized[name].shape if name in sized else None)
        for kind, names in (
            (OperandKind.TENSOR, node.inputs),
            (OperandKind.PARAMETER, node.parameters),
        )
        for name in names
    ]
    if node.parameter_bytes:
        operands.append(Operand(OperandKind.PARAMETER, _own_parameter(node)))
    return DraftOperator(
        name=node.name,
        op=node.op,
        operands=tuple(operands),
        outputs=tuple(
            _tensor(tensor, f"{where}.outputs[{i}]") for i, tensor in enumerate(node.outputs)
        ),
        attributes={key: _frozen(value) for key, value in node.attributes.items()},
        forward_flops=node.forward_flops,
        where=where,
    )


def _frozen(value: JsonValue) -> AttributeValue:
    match value:
        case list():
            return tuple(_frozen(item) for item in value)
        case dict():
            return {key: _frozen(item) for key, item in value.items()}
    return value


FRONTEND = JsonSpec()
