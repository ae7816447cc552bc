"""Small graphs written by hand, and what the analytical model says of them."""

from __future__ import annotations

from planner.costmodels.analytical import COST_MODEL
from planner.costs.cost_file import AnalyticalHost
from planner.costs.cost_table import CostContext, HostCosts
from planner.drafts.assembly import assemble
from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.files.documents import validate
from planner.graphs.dtypes import size_in_bytes
from planner.graphs.gradients import needs_gradient
from planner.graphs.graph import Graph

Shape = tuple[int, ...]


class Net:
    """Writes a draft line by line: activations and parameters by name, shapes by hand."""

    def __init__(self, dtype: str = "float32", **inputs: Shape) -> None:
        self.dtype = dtype
        self.shapes: dict[str, Shape | None] = dict(inputs)
        self.draft = Draft(
            name="net",
            inputs=[self.tensor(name, shape) for name, shape in inputs.items()],
            outputs=[],
            parameters=[],
            operators=[],
        )

    def tensor(self, name: str, shape: Shape | None, dtype: str | None = None) -> DraftTensor:
        dtype = dtype or self.dtype
        size = size_in_bytes(dtype, shape) if shape is not None else 400
        return DraftTensor(name=name, size_bytes=size, dtype=dtype, shape=shape)

    def add(
        self,
        op: str,
        reads: str,
        out: Shape | None,
        *,
        weights: tuple[Shape, ...] = (),
        trainable: bool = True,
        dtype: str | None = None,
        forward_flops: float | None = None,
    ) -> str:
        """One operator on the tensors named in `reads`; returns the name of its output."""
        name = f"n{len(self.draft.operators)}"
        operands = [Operand(OperandKind.TENSOR, t, self.shapes[t]) for t in reads.split()]
        for number, shape in enumerate(weights):
            weight = f"{name}.w{number}"
            self.draft.parameters.append(
                DraftParameter(
                    name=weight,
                    size_bytes=size_in_bytes(self.dtype, shape),
                    trainable=trainable,
                    dtype=self.dtype,
                    shape=shape,
                )
            )
            operands.append(Operand(OperandKind.PARAMETER, weight, shape))
        self.shapes[name] = out
        self.draft.operators.append(
            DraftOperator(
                name=name,
                op=op,
                operands=tuple(operands),
                outputs=(self.tensor(name, out, dtype),),
                forward_flops=forward_flops,
            )
        )
        return name

    def graph(self, *outputs: str) -> Graph:
        self.draft.outputs = list(outputs) or [self.draft.operators[-1].name]
        return assemble(self.draft)


def context_of(graph: Graph, *, training: bool = True) -> CostContext:
    """The first host of a costs file."""
    return CostContext(
        host="device",
        where="costs.json: $.hosts[0]",
        is_training=training,
        needs_gradient=needs_gradient(graph) & training,
    )


def price(graph: Graph, *, training: bool = True, **figures: object) -> HostCosts:
    """Costs of an analytical host with these keys."""
    document = {"name": "device", "model": "analytical", **figures}
    options = validate(AnalyticalHost, document, "costs.json")
    return COST_MODEL.cost(graph, options, context_of(graph, training=training))
