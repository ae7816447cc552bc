"""Graphs of TorchScript as lists of steps that Python can take.

A method is either understood in full, or is left to torch's own interpreter.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, NamedTuple

from planner.frontends.torchscript.builtins import (
    BUILTINS,
    SCALAR_READS,
    SCALAR_TYPES,
    find_overload,
    has_tensors,
)

if TYPE_CHECKING:
    import torch


class NotUnderstoodError(Exception):
    """A graph has a node that only torch's own interpreter runs."""


class Kind(Enum):
    """What a step does."""

    BUILTIN = auto()
    """Calls `Step.function`."""
    OPERATOR = auto()
    """Runs `Step.function` on tensors, and records it."""
    SCALAR_READ = auto()
    """Makes a number of a tensor."""
    GET = auto()
    SET = auto()
    METHOD = auto()
    FUNCTION = auto()
    IF = auto()
    LOOP = auto()
    UNPACK = auto()
    RAISE = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One node.

    Attributes:
        kind: What it does.
        name: Schema, or the attribute or method that it is about.
        node: The node itself, which knows its place in the source.
        inputs: Names of the values that it reads.
        outputs: Names of those that it makes.
        function: What is called, if anything: an overload or a Python function.
        n_positional: How many inputs are no keyword arguments.
        keywords: Of the other inputs.
        dtypes: Positions of inputs that are element types, written as numbers.
        blocks: Bodies of an `if` or a loop.
    """

    kind: Kind
    name: str
    node: torch._C.Node
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: Any = None
    n_positional: int = 0
    keywords: tuple[str, ...] = ()
    dtypes: tuple[int, ...] = ()
    blocks: tuple[Body, ...] = ()


@dataclass(slots=True, kw_only=True)
class Body:
    """A graph or a block of one: constants, then steps."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: dict[str, object] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)


class FunctionName(NamedTuple):
    """A function that is called by its qualified name."""

    name: str


_CONTROL = {
    "prim::GetAttr": Kind.GET,
    "prim::SetAttr": Kind.SET,
    "prim::CallMethod": Kind.METHOD,
    "prim::CallFunction": Kind.FUNCTION,
    "prim::If": Kind.IF,
    "prim::Loop": Kind.LOOP,
    "prim::TupleUnpack": Kind.UNPACK,
    "prim::ListUnpack": Kind.UNPACK,
    "prim::RaiseException": Kind.RAISE,
}
_NAMED = (Kind.GET, Kind.SET, Kind.METHOD)


def read_body(graph: torch._C.Graph | torch._C.Block) -> Body:
    """The steps of a graph.

    Raises:
        NotUnderstoodError: If a node in it is of a kind that is not known.
    """
    body = Body(
        inputs=tuple(value.debugName() for value in graph.inputs()),
        outputs=tuple(value.debugName() for value in graph.outputs()),
    )
    for node in graph.nodes():
        if node.kind() == "prim::Constant":
            value = node.output()
            kind = value.type().kind()
            if kind == "FunctionType":
                body.constants[value.debugName()] = FunctionName(value.type().annotation_str)
            else:
                body.constants[value.debugName()] = value.toIValue()
        else:
            body.steps.append(_step(node))
    return body


def _step(node: torch._C.Node) -> Step:
    kind = node.kind()
    inputs = tuple(value.debugName() for value in node.inputs())
    outputs = tuple(value.debugName() for value in node.outputs())
    if kind in _CONTROL:
        control = _CONTROL[kind]
        return Step(
            kind=control,
            name=node.s("name") if control in _NAMED else kind,
            node=node,
            inputs=inputs,
            outputs=outputs,
            blocks=tuple(read_body(block) for block in node.blocks()),
        )
    schema = node.schema()
    name = kind if schema == "(no schema)" else schema.split("(", 1)[0]
    if name in BUILTINS or name in SCALAR_READS:
        is_read = name in SCALAR_READS
        return Step(
            kind=Kind.SCALAR_READ if is_read else Kind.BUILTIN,
            name=name,
            node=node,
            inputs=inputs,
            outputs=outputs,
            function=None if is_read else BUILTINS[name],
        )
    return _operator(node, name, inputs, outputs)


def _operator(
    node: torch._C.Node, name: str, inputs: tuple[str, ...], outputs: tuple[str, ...]
) -> Step:
    overload = None if name.startswith("prim::") else find_overload(node.schema())
    if overload is None:
        raise NotUnderstoodError(name)
    arguments = overload._schema.arguments
    return Step(
        kind=Kind.OPERATOR if has_tensors(overload) else Kind.BUILTIN,
        name=name,
        node=node,
        inputs=inputs,
        outputs=outputs,
        function=overload,
        n_positional=sum(not argument.kwarg_only for argument in arguments),
        keywords=tuple(argument.name for argument in arguments if argument.kwarg_only),
        dtypes=tuple(i for i, a in enumerate(arguments) if "ScalarType" in str(a.real_type)),
    )


def as_dtypes(step: Step, values: list[Any]) -> list[Any]:
    """The inputs with element types instead of their numbers.

    Raises:
        NotUnderstoodError: If a number is of no type that is known.
    """
    for position in step.dtypes:
        value = values[position]
        if isinstance(value, int):
            if value not in SCALAR_TYPES:
                raise NotUnderstoodError(f"element type {value}")
            values[position] = SCALAR_TYPES[value]
    return values
