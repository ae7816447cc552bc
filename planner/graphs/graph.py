"""The model as a graph: operators, the tensors between them, and the parameters they read.

Edges are tensors: one producer (or a graph input), any number of consumers, one size. Operators
are in a deterministic topological order and names are identity. No framework, no file I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from planner.arrays import IntArray, csr
from planner.errors import GraphError
from planner.graphs.operations import forward_flops, forward_macs
from planner.graphs.operators import GRAPH_INPUT, MAX_BYTES, Operator, Parameter, Tensor

SummaryValue = int | str | None | list[str] | dict[str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Graph:
    """A whole model, normalised: no constants, no dead ends, no second copies.

    Attributes:
        name: What the file calls the model.
        operators: In a topological order that depends on the file alone.
        tensors: Graph inputs first, then in the order of their producers.
        parameters: Each read by at least one operator.
        inputs: Tensor indices of the graph inputs that are read or returned.
        outputs: Tensor indices of the graph outputs.
        folded: Operators of the file that are not in the graph, each with the reason.
        notes: What a person should know about the import, in sentences.
        warnings: What may make a plan from this graph mean something else than expected.
        batch: Leading dimension of the inputs at which sizes and FLOPs hold; None if unknown.
        batch_scale: Planned batch over exported batch; sizes and FLOPs are already scaled by it.
        is_inference_export: Whether the file looks exported for inference, not for training.
        digest: SHA-256 of the bytes the graph was read from, with the options that shaped it.
    """

    name: str
    operators: tuple[Operator, ...]
    tensors: tuple[Tensor, ...]
    parameters: tuple[Parameter, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    folded: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    batch: int | None = None
    batch_scale: Fraction = Fraction(1)
    is_inference_export: bool = False
    digest: str = ""

    def __repr__(self) -> str:
        return f"<Graph {self.name!r}: {len(self.operators)} operators>"

    @cached_property
    def operator_index(self) -> dict[str, int]:
        """Index of each operator by name."""
        return {operator.name: index for index, operator in enumerate(self.operators)}

    @cached_property
    def tensor_index(self) -> dict[str, int]:
        """Index of each tensor by name."""
        return {tensor.name: index for index, tensor in enumerate(self.tensors)}

    @cached_property
    def tensor_bytes(self) -> IntArray:
        """Bytes of each tensor; shape [tensors]."""
        return np.fromiter((t.size_bytes for t in self.tensors), np.int64, len(self.tensors))

    @cached_property
    def producers(self) -> IntArray:
        """Operator that produces each tensor, or `GRAPH_INPUT`; shape [tensors]."""
        return np.fromiter((t.producer for t in self.tensors), np.int64, len(self.tensors))

    @cached_property
    def consumers(self) -> tuple[IntArray, IntArray]:
        """CSR of tensor → consuming operators: (indptr [tensors + 1], operators [edges])."""
        return csr([t.consumers for t in self.tensors])

    @cached_property
    def readers(self) -> tuple[IntArray, IntArray]:
        """CSR of parameter → reading operators: (indptr [parameters + 1], operators)."""
        return csr([p.readers for p in self.parameters])

    @cached_property
    def output_operators(self) -> IntArray:
        """Operators that produce a graph output, ascending."""
        produced = {self.tensors[t].producer for t in self.outputs} - {GRAPH_INPUT}
        return np.array(sorted(produced), np.int64)

    def macs(self, operator: Operator) -> float:
        """Forward multiply-accumulates (conv and matmul family, else 0) at the planned batch."""
        outputs = tuple(self.tensors[t].shape for t in operator.outputs)
        exported = forward_macs(operator.op, operator.operand_shapes, outputs, operator.attributes)
        return float(exported * self.batch_scale)

    @cached_property
    def forward_flops(self) -> npt.NDArray[np.float64]:
        """FLOPs of each operator's forward pass at the planned batch; shape [operators]."""
        tensors, scale = self.tensors, self.batch_scale
        flops = (forward_flops(operator, tensors, scale) for operator in self.operators)
        return np.fromiter(flops, np.float64, len(self.operators))

    def rebatched(self, batch: int) -> Graph:
        """The same graph planned at another batch: activations and FLOPs scaled, parameters not.

        The shapes stay as exported, because exporters bake the batch into constants; the scaled
        graph costs what `batch / exported batch` micro-batches cost.

        Raises:
            ValueError: If the graph's batch is unknown or `batch` < 1.
            GraphError: If a tensor would be larger than `MAX_BYTES`.
        """
        if self.batch is None or batch < 1:
            raise ValueError(f"cannot re-batch from {self.batch} to {batch}")
        ratio = Fraction(batch, self.batch)
        largest = max(self.tensors, key=lambda tensor: tensor.size_bytes)
        if largest.size_bytes * ratio > MAX_BYTES:
            text = f"at batch {batch}, `{largest.name}` has more than 2^53 bytes"
            raise GraphError(text, code="PLN204", where="batch")
        tensors = tuple(
            tensor._replace(size_bytes=_scaled(tensor.size_bytes, ratio)) for tensor in self.tensors
        )
        return replace(self, tensors=tensors, batch=batch, batch_scale=self.batch_scale * ratio)

    def summary(self) -> dict[str, SummaryValue]:
        """Counts of what was imported.

        Returns:
            A dict with `name`, `operators`, `tensors`, `parameters` and `trainable_parameters` (in
            elements), `parameter_bytes`, `forward_macs` (conv and matmul family, at the planned
            batch), `batch`, `inputs`, `outputs`, `folded` (operators of the file that are not in
            the graph) and `folded_by_reason`.
        """
        reasons: dict[str, int] = {}
        for reason in self.folded.values():
            kind = reason.split(":", 1)[0]
            reasons[kind] = reasons.get(kind, 0) + 1
        return {
            "name": self.name,
            "operators": len(self.operators),
            "tensors": len(self.tensors),
            "parameters": sum(p.elements for p in self.parameters),
            "trainable_parameters": sum(p.elements for p in self.parameters if p.trainable),
            "parameter_bytes": sum(p.size_bytes for p in self.parameters),
            "forward_macs": round(sum(self.macs(operator) for operator in self.operators)),
            "batch": self.batch,
            "inputs": [self.tensors[t].name for t in self.inputs],
            "outputs": [self.tensors[t].name for t in self.outputs],
            "folded": len(self.folded),
            "folded_by_reason": dict(sorted(reasons.items())),
        }


def _scaled(size_bytes: int, ratio: Fraction) -> int:
    return -(-size_bytes * ratio.numerator // ratio.denominator)
