"""A torch program as the torch frontends read it: calls of operators, in the order they run.

`.pt2` archives, live `ExportedProgram`s and recorded TorchScript all become a `Program`;
`planner.frontends.torch_programs.draft` makes a draft of the planner's graph of it. No torch in
here, so that archives of torch.export are read without it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from planner.graphs.operators import Shape


class Ref(NamedTuple):
    """The value that an argument is: by name."""

    name: str


Argument = Ref | int | float | bool | str | None | tuple["Argument", ...]
"""What a call is given; element types are written as in numpy (`float32`), devices left out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A tensor.

    Attributes:
        name: Unique in the program.
        dtype: As in numpy and ONNX: `float32`, `bfloat16`, `bool`.
        shape: With every symbolic dimension bound.
        strides: In elements; None where the source does not say. They decide whether a `reshape`
            copies.
    """

    name: str
    dtype: str
    shape: Shape
    strides: Shape | None = None


class WeightKind(Enum):
    """What a tensor is that the program holds."""

    PARAMETER = "parameter"
    BUFFER = "buffer"
    CONSTANT = "constant"
    """A tensor that the exporter lifted out of the code: every host has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """A parameter, buffer or constant of the module.

    Attributes:
        value: The tensor that calls read.
        path: In the state dict: `layer1.0.conv1.weight`.
        kind: Parameter, buffer or constant.
        requires_grad: Whether training changes it; only parameters do.
        storage: What it shares with those it is tied to: two weights of one storage, type and
            shape are one parameter. Unique where it is tied to none.
    """

    value: Value
    path: str
    kind: WeightKind
    requires_grad: bool
    storage: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One operator as it ran.

    Attributes:
        name: Unique among calls; of a live program the name of its `torch.fx` node.
        target: `namespace.operator.overload`, for instance `aten.conv2d.default`; higher-order
            operators are `higher_order.cond`.
        arguments: By the names of the operator's schema; what was left to its default may be
            absent.
        outputs: The tensors that it writes, by position; None where one is not a tensor or absent.
            An in-place operator writes a value of its own, which stands for the changed tensor.
        path: Of the module that called it, `layer1.0.relu`; "" for the outermost one. A module's
            second, third … call has the suffix `@1`, `@2` ….
        where: Place in the user's source, `model.py:123`, if known.
        has_grad: Whether gradients were recorded, so not inside `torch.no_grad()`.
    """

    name: str
    target: str
    arguments: Mapping[str, Argument]
    outputs: tuple[Value | None, ...]
    path: str = ""
    where: str = ""
    has_grad: bool = True

    @property
    def operator(self) -> str:
        """The name without namespace and overload: `conv2d`."""
        return self.target.split(".")[1]


@dataclass(slots=True, kw_only=True)
class Program:
    """A whole module.

    Attributes:
        name: Of the file, or of the module's class.
        inputs: What the user passes, in order.
        weights: Everything the module holds, read or not.
        calls: In the order they ran; values are defined before they are read.
        outputs: Names of the tensors that it returns, in order; some may be inputs or weights,
            and the same may be returned twice.
        notes: What a person should know about the import, in sentences.
        warnings: What may make a plan mean something else than expected.
    """

    name: str
    inputs: list[Value]
    weights: list[Weight]
    calls: list[Call]
    outputs: list[str]
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
