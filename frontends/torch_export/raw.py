"""What a program of torch.export says, whether it was read from an archive or is live.

Both readers fill these types with names and numbers as torch has them; what they mean is worked out
once, by `planner.frontends.torch_export.build`. No torch in here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from planner.frontends.torch_programs.program import Ref, WeightKind


class Symbol(NamedTuple):
    """A number that depends on symbolic sizes: by name, its expression is in `RawGraph.scalars`."""

    name: str


Size = int | str
"""A number, or the text of an expression of symbols, as `sympy.srepr` or `str` write it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RawTensor:
    """Type and shape of a tensor; strides are None where it is sparse."""

    dtype: str
    sizes: tuple[Size, ...]
    strides: tuple[Size, ...] | None
    requires_grad: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RawNode:
    """One node of a graph.

    Attributes:
        name: Of the `torch.fx` node.
        target: Without `torch.ops.`: `aten.relu.default`, `higher_order.cond`, `_operator.mul`.
        arguments: By the names of the schema; higher-order operators have none, so "".
        outputs: What it writes, nested lists flattened; None where one is neither tensor nor
            symbol.
        stack: Key and path of the modules that were being called, outermost first.
        trace: Lines of the Python stack, innermost last.
        at: What messages call the node.
    """

    name: str
    target: str
    arguments: tuple[tuple[str, RawArgument], ...]
    outputs: tuple[Ref | Symbol | None, ...]
    stack: tuple[tuple[str, str], ...]
    trace: str
    at: str


@dataclass(slots=True, kw_only=True, eq=False)
class RawGraph:
    """A graph, or a body of a higher-order operator: names are its own."""

    inputs: tuple[Ref | Symbol | None, ...]
    outputs: tuple[Ref | Symbol | None, ...]
    nodes: list[RawNode]
    tensors: dict[str, RawTensor]
    scalars: dict[str, Size | float]


RawArgument = Ref | Symbol | int | float | bool | str | None | RawGraph | tuple["RawArgument", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RawWeight:
    """A weight; `storage` is any text that those have in common that are views of one memory."""

    name: str
    path: str
    kind: WeightKind
    storage: str


@dataclass(slots=True, kw_only=True)
class RawProgram:
    """A whole program.

    Attributes:
        name: Of the file or of the module's class.
        graph: The outermost graph.
        inputs: What the user passes: tensors, symbols; None for constants.
        forward_names: What `forward` calls those, if known.
        weights: Everything the module holds.
        outputs: What the module returns; None for constants.
        ranges: Smallest and largest value of symbols.
        hints: Values that symbols had when the program was exported.
    """

    name: str
    graph: RawGraph
    inputs: list[Ref | Symbol | None]
    forward_names: list[str]
    weights: list[RawWeight]
    outputs: list[Ref | Symbol | None]
    ranges: dict[str, tuple[int | None, int | None]] = field(default_factory=dict)
    hints: dict[str, int] = field(default_factory=dict)
