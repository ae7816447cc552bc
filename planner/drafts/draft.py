"""A model as a frontend reads it: by name, not yet checked; `assembly` makes a graph of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from planner.graphs.operators import AttributeValue, Shape


class OperandKind(Enum):
    """What an operator reads at one position."""

    TENSOR = "tensor"
    """An activation: the output of another operator, or a graph input."""
    PARAMETER = "parameter"
    """A weight or a buffer."""
    CONSTANT = "constant"
    """A value that every host has; two constants of one name are equal."""
    ABSENT = "absent"
    """An optional operand that is not given."""


class Operand(NamedTuple):
    """One thing that an operator reads; `name` is unique within its kind."""

    kind: OperandKind
    name: str
    shape: Shape | None = None


@dataclass(slots=True, kw_only=True)
class DraftTensor:
    """A graph input or an operator's output. `where`: its place in the file, if not its name."""

    name: str
    size_bytes: int
    dtype: str | None = None
    shape: Shape | None = None
    requires_grad: bool | None = None
    where: str = ""


@dataclass(slots=True, kw_only=True)
class DraftParameter:
    """A weight or buffer. `where`: its place in the file, if not its name."""

    name: str
    size_bytes: int
    trainable: bool = True
    dtype: str | None = None
    shape: Shape | None = None
    where: str = ""


@dataclass(slots=True, kw_only=True)
class DraftOperator:
    """One operator.

    `is_mergeable`: equal operands give equal results. `is_random`: its result is, or
    may be, another one on every host, so it is placed even if it reads constants alone.
    """

    name: str
    op: str
    operands: tuple[Operand, ...]
    outputs: tuple[DraftTensor, ...]
    domain: str = ""
    attributes: Mapping[str, AttributeValue] = field(default_factory=dict)
    forward_flops: float | None = None
    is_mergeable: bool = False
    is_random: bool = False
    where: str = ""


@dataclass(slots=True, kw_only=True)
class Draft:
    """Everything a frontend found, in the order of the file; `where` names it in errors."""

    name: str
    inputs: list[DraftTensor]
    outputs: list[str]
    parameters: list[DraftParameter]
    operators: list[DraftOperator]
    where: str = ""
    output_wheres: list[str] = field(default_factory=list)
    folded: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    is_inference_export: bool = False
