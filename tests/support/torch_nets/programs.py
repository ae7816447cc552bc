"""Torch programs written by hand, call by call; no torch is needed."""

from __future__ import annotations

from math import prod

from planner.drafts.frontend import LoadOptions
from planner.frontends.torch_programs.draft import torch_graph
from planner.frontends.torch_programs.program import (
    Argument,
    Call,
    Program,
    Ref,
    Value,
    Weight,
    WeightKind,
)
from planner.graphs.graph import Graph
from planner.graphs.operators import Shape


def value(name: str, shape: Shape, dtype: str = "float32", strides: Shape | None = None) -> Value:
    """A tensor, without gaps if no strides are given."""
    if strides is None:
        strides = tuple(prod(shape[i + 1 :]) for i in range(len(shape)))
    return Value(name=name, dtype=dtype, shape=shape, strides=strides)


class Script:
    """A program under construction; methods return the name of the value that they make."""

    def __init__(self, **inputs: Shape) -> None:
        self.program = Program(
            name="script",
            inputs=[value(name, shape) for name, shape in inputs.items()],
            weights=[],
            calls=[],
            outputs=[],
        )

    def weight(
        self,
        path: str,
        shape: Shape,
        *,
        kind: WeightKind = WeightKind.PARAMETER,
        dtype: str = "float32",
        storage: str | None = None,
        requires_grad: bool = True,
    ) -> Ref:
        """A parameter, buffer or constant."""
        made = value(f"p_{path.replace('.', '_')}", shape, dtype)
        self.program.weights.append(
            Weight(
                value=made,
                path=path,
                kind=kind,
                requires_grad=requires_grad and kind is WeightKind.PARAMETER,
                storage=storage or path,
            )
        )
        return Ref(made.name)

    def call(
        self,
        target: str,
        shape: Shape | None,
        *operands: Ref | str,
        path: str = "",
        name: str = "",
        dtype: str = "float32",
        strides: Shape | None = None,
        has_grad: bool = True,
        **told: Argument,
    ) -> Ref:
        """A call with one result; operands are named `self`, `other`, `third`."""
        full = target if target.count(".") else f"aten.{target}.default"
        name = name or f"{full.split('.')[1]}_{len(self.program.calls)}"
        refs = [item if isinstance(item, Ref) else Ref(item) for item in operands]
        names = ("self", "other", "third")
        arguments: dict[str, Argument] = dict(zip(names, refs, strict=False))
        result = None if shape is None else value(name, shape, dtype, strides)
        self.program.calls.append(
            Call(
                name=name,
                target=full,
                arguments=arguments | told,
                outputs=(result,),
                path=path,
                has_grad=has_grad,
            )
        )
        return Ref(name)

    def graph(self, *outputs: Ref | str, options: LoadOptions | None = None) -> Graph:
        """The graph of the program that returns `outputs`."""
        self.program.outputs = [o.name if isinstance(o, Ref) else o for o in outputs]
        return torch_graph(
            self.program, options=options or LoadOptions(), digest="d", where="script"
        )


def edges(graph: Graph) -> dict[str, list[str]]:
    """What each operator reads, by name: tensors, then parameters."""
    return {
        operator.name: [graph.tensors[t].name for t in operator.inputs]
        + [graph.parameters[p].name for p in operator.parameters]
        for operator in graph.operators
    }
