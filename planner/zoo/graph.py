"""The plain Python graph that every architecture of the zoo is built as.

Neither onnx nor numpy is needed to build one, so that listing the zoo is instant;
`planner.zoo.onnx_model` turns a finished graph into an ONNX model. Every tensor has a static shape
from the start. The order of the nodes is the order of the calls, hence topological.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

Shape = tuple[int, ...]
DType = Literal["float32", "int64", "bool"]
Attribute = int | float | tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """A value that nodes read and write: an input, a parameter, a constant or an activation."""

    name: str
    shape: Shape
    dtype: DType = "float32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A float32 weight, kept outside the ONNX file; random weights are normal(mean, std)."""

    name: str
    shape: Shape
    mean: float = 0.0
    std: float = 0.0
    is_trainable: bool = True

    @property
    def n_elements(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Constant:
    """A small int64 or bool tensor, kept inside the ONNX file as an initializer."""

    tensor: Tensor
    values: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One ONNX operator."""

    op_type: str
    name: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    attributes: dict[str, Attribute]


@dataclass(kw_only=True)
class GraphBuilder:
    """A graph under construction, with the operators that need no parameters.

    A node called `layer1.0.conv1` writes the tensor `layer1.0.conv1.output`; its parameters are
    `layer1.0.conv1.weight` and so on. All float initializers are parameters, because float scalars
    become Constant nodes: so whoever adds up the initializers gets the published number.

    Args:
        batch: Samples per run.
        sequence: Tokens per sample; models of images ignore it.
        is_training: Batch normalisation uses the statistics of the batch, dropout drops.
    """

    batch: int = 1
    sequence: int = 128
    is_training: bool = False
    inputs: list[Tensor] = field(default_factory=list)
    outputs: dict[str, Tensor] = field(default_factory=dict)
    parameters: list[Parameter] = field(default_factory=list)
    constants: list[Constant] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    _scalars: dict[float, Tensor] = field(default_factory=dict)

    @property
    def n_trainable(self) -> int:
        """Elements of all parameters that training changes by gradients."""
        return sum(item.n_elements for item in self.parameters if item.is_trainable)

    def input(self, name: str, shape: Shape, dtype: DType = "float32") -> Tensor:
        """Declare an input of the model."""
        tensor = Tensor(name=name, shape=shape, dtype=dtype)
        self.inputs.append(tensor)
        return tensor

    def output(self, name: str, x: Tensor) -> None:
        """Declare `x` an output of the model, under a name of its own."""
        self.outputs[name] = x

    def parameter(
        self,
        name: str,
        shape: Shape,
        *,
        mean: float = 0.0,
        std: float = 0.0,
        is_trainable: bool = True,
    ) -> Tensor:
        """Declare a parameter."""
        self.parameters.append(
            Parameter(name=name, shape=shape, mean=mean, std=std, is_trainable=is_trainable)
        )
        return Tensor(name=name, shape=shape)

    def constant(
        self, name: str, values: Sequence[int], shape: Shape | None = None, dtype: DType = "int64"
    ) -> Tensor:
        """Declare a small integer or boolean constant; a vector unless `shape` is given."""
        shape = (len(values),) if shape is None else shape
        tensor = Tensor(name=name, shape=shape, dtype=dtype)
        self.constants.append(Constant(tensor=tensor, values=tuple(values)))
        return tensor

    def scalar(self, value: float) -> Tensor:
        """A float constant, one node for all that read the same value."""
        if value not in self._scalars:
            name = f"constant_{value:.6g}"
            self._scalars[value] = self.node("Constant", name, (), (), value=value)
        return self._scalars[value]

    def node(
        self,
        op_type: str,
        name: str,
        inputs: Sequence[Tensor],
        shape: Shape,
        *,
        dtype: DType = "float32",
        further_outputs: Sequence[Tensor] = (),
        **attributes: Attribute,
    ) -> Tensor:
        """Append an operator and return its first output."""
        output = Tensor(name=f"{name}.output", shape=shape, dtype=dtype)
        self.nodes.append(
            Node(
                op_type=op_type,
                name=name,
                inputs=tuple(inputs),
                outputs=(output, *further_outputs),
                attributes=attributes,
            )
        )
        return output

    def unary(self, op_type: str, name: str, x: Tensor) -> Tensor:
        """Append an elementwise function such as Relu or Tanh."""
        return self.node(op_type, name, (x,), x.shape)

    def binary(
        self, op_type: str, name: str, a: Tensor, b: Tensor, dtype: DType = "float32"
    ) -> Tensor:
        """Append an elementwise function of two tensors, with broadcasting."""
        return self.node(op_type, name, (a, b), _broadcast(a.shape, b.shape), dtype=dtype)

    def matmul(self, name: str, a: Tensor, b: Tensor) -> Tensor:
        """Append a (batched) matrix product."""
        batch = _broadcast(a.shape[:-2], b.shape[:-2])
        return self.node("MatMul", name, (a, b), (*batch, a.shape[-2], b.shape[-1]))

    def reshape(self, name: str, x: Tensor, shape: Shape) -> Tensor:
        """Append a Reshape to a shape that is known now."""
        inputs = (x, self.constant(f"{name}.shape", shape))
        return self.node("Reshape", name, inputs, shape, dtype=x.dtype)

    def transpose(self, name: str, x: Tensor, perm: Shape) -> Tensor:
        """Append a permutation of the axes."""
        return self.node("Transpose", name, (x,), tuple(x.shape[i] for i in perm), perm=perm)

    def concat(self, name: str, tensors: Sequence[Tensor], axis: int = 1) -> Tensor:
        """Append a concatenation, by default along the channels."""
        shape = list(tensors[0].shape)
        shape[axis] = sum(item.shape[axis] for item in tensors)
        return self.node("Concat", name, tensors, tuple(shape), axis=axis)

    def split(self, name: str, x: Tensor, parts: Sequence[str]) -> tuple[Tensor, ...]:
        """Append a split of the last axis into equal parts, called by the names in `parts`."""
        size = x.shape[-1] // len(parts)
        outputs = tuple(
            Tensor(name=f"{name}.{part}", shape=(*x.shape[:-1], size)) for part in parts
        )
        sizes = self.constant(f"{name}.sizes", [size] * len(parts))
        self.nodes.append(
            Node(
                op_type="Split",
                name=name,
                inputs=(x, sizes),
                outputs=outputs,
                attributes={"axis": len(x.shape) - 1},
            )
        )
        return outputs

    def gather(self, name: str, x: Tensor, indices: Tensor, axis: int = 0) -> Tensor:
        """Append a selection along one axis: table look-up, or one position of a sequence."""
        shape = (*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :])
        return self.node("Gather", name, (x, indices), shape, axis=axis)


def _broadcast(a: Shape, b: Shape) -> Shape:
    rank = max(len(a), len(b))
    padded = ((1,) * (rank - len(shape)) + shape for shape in (a, b))
    return tuple(max(pair) for pair in zip(*padded, strict=True))
