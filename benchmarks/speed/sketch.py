"""Graphs made in memory, for sizes at which writing and reading ONNX would take longer."""

from __future__ import annotations

from collections.abc import Sequence

from planner.drafts.assembly import assemble
from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.graphs.dtypes import size_in_bytes
from planner.graphs.graph import Graph
from planner.graphs.operators import AttributeValue, Shape


class Sketch:
    """A graph under construction: what an operator `a.b` makes is the tensor `a.b.output`.

    It goes through the same assembly as what frontends read. No operator is marked as mergeable,
    because none is there twice.
    """

    def __init__(self, name: str) -> None:
        self.draft = Draft(name=name, inputs=[], outputs=[], parameters=[], operators=[])
        self.shapes: dict[str, Shape] = {}

    def input(self, name: str, shape: Shape, dtype: str = "float32") -> str:
        """Declare a graph input."""
        self.draft.inputs.append(self._tensor(name, shape, dtype))
        return name

    def output(self, *names: str) -> None:
        """Declare tensors graph outputs."""
        self.draft.outputs += names

    def op(
        self,
        op: str,
        name: str,
        reads: Sequence[str],
        shape: Shape,
        *,
        weights: Sequence[tuple[str, Shape]] = (),
        dtype: str = "float32",
        forward_flops: float | None = None,
        **attributes: AttributeValue,
    ) -> str:
        """Append an operator and return its output.

        Args:
            op: ONNX type, which decides what it costs.
            name: Of the operator.
            reads: Tensors.
            shape: Of its output.
            weights: Trainable parameters of its own: last part of the name, and shape.
            dtype: Of its output.
            forward_flops: Where the type and the shapes should not decide.
            **attributes: As in ONNX.
        """
        operands = [Operand(OperandKind.TENSOR, read, self.shapes[read]) for read in reads]
        for suffix, size in weights:
            weight = f"{name}.{suffix}"
            self.draft.parameters.append(
                DraftParameter(
                    name=weight,
                    size_bytes=size_in_bytes("float32", size),
                    dtype="float32",
                    shape=size,
                )
            )
            operands.append(Operand(OperandKind.PARAMETER, weight, size))
        made = self._tensor(f"{name}.output", shape, dtype)
        self.draft.operators.append(
            DraftOperator(
                name=name,
                op=op,
                operands=tuple(operands),
                outputs=(made,),
                attributes=attributes,
                forward_flops=forward_flops,
            )
        )
        return made.name

    def linear(self, name: str, x: str, width: int) -> str:
        """A matrix product with a weight, and a bias."""
        shape = (*self.shapes[x][:-1], width)
        weight = ("weight", (self.shapes[x][-1], width))
        y = self.op("MatMul", f"{name}.matmul", [x], shape, weights=[weight])
        return self.op("Add", f"{name}.add", [y], shape, weights=[("bias", (width,))])

    def norm(self, name: str, x: str) -> str:
        """Layer normalisation over the last axis."""
        shape = self.shapes[x]
        weights = [("weight", shape[-1:]), ("bias", shape[-1:])]
        return self.op("LayerNormalization", name, [x], shape, weights=weights, axis=-1)

    def same(self, op: str, name: str, *reads: str) -> str:
        """An operator whose output has the shape of the first tensor that it reads."""
        return self.op(op, name, reads, self.shapes[reads[0]])

    def graph(self) -> Graph:
        """The graph; the sketch is used up."""
        self.shapes.clear()
        return assemble(self.draft)

    def _tensor(self, name: str, shape: Shape, dtype: str) -> DraftTensor:
        self.shapes[name] = shape
        size = size_in_bytes(dtype, shape)
        return DraftTensor(name=name, size_bytes=size, dtype=dtype, shape=shape)
