"""Gradients as ONNX models in the making: what their formulas are written with."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from planner.graphs.operators import Operator, Shape

OPSET = 13
IR_VERSION = 7
LEARNING_RATE = 1e-6


class Draft:
    """A model in the making: inputs `x`, `w` and `dy`."""

    def __init__(self, x: Shape, w: Shape, dy: Shape) -> None:
        self.shapes: dict[str, Shape] = {"x": x, "w": w, "dy": dy}
        self.wants_first = self.wants_second = self.is_descending = False
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._outputs: list[str] = []

    def add(self, op: str, inputs: Sequence[str], **attributes: int | Sequence[int]) -> str:
        """One more node; the name of its result."""
        name = f"v{len(self._nodes)}"
        node = helper.make_node(op, list(inputs), [name], name)
        node.attribute.extend(
            helper.make_attribute(key, value) for key, value in attributes.items()
        )
        self._nodes.append(node)
        return name

    def numbers(self, *values: int) -> str:
        """A constant list of whole numbers."""
        name = f"c{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.array(values, np.int64), name))
        return name

    def sum_over(self, name: str, *axes: int) -> str:
        """A sum that drops these dimensions."""
        return self.add("ReduceSum", [name, self.numbers(*axes)], keepdims=0)

    def reshape(self, name: str, *shape: int) -> str:
        """Another shape."""
        return self.add("Reshape", [name, self.numbers(*shape)])

    def transpose(self, name: str, *order: int) -> str:
        """Another order of dimensions."""
        return self.add("Transpose", [name], perm=list(order))

    def give(self, gradient: str) -> None:
        """Return a gradient of data."""
        self._outputs.append(gradient)

    def descend(self, weight: str, gradient: str) -> None:
        """Return a weight after one step; of what is no weight, its gradient."""
        if self.is_descending:
            rate = "rate"
            if all(tensor.name != rate for tensor in self._constants):
                value = np.array(LEARNING_RATE, np.float32)
                self._constants.append(numpy_helper.from_array(value, rate))
            gradient = self.add("Sub", [weight, self.add("Mul", [gradient, rate])])
        self._outputs.append(gradient)

    def bias(self, shape: Shape) -> None:
        """The gradient of a bias, which is broadcast to the result."""
        self.shapes["b"] = shape
        result = self.shapes["dy"]
        if len(result) > 2 and len(shape) == 1:  # of a convolution: by channel
            axes = [axis for axis in range(len(result)) if axis != 1]
        else:
            padded = (1,) * (len(result) - len(shape)) + shape
            axes = [axis for axis, size in enumerate(padded) if size != result[axis]]
        gradient = self.sum_over("dy", *axes) if axes else "dy"
        self.descend("b", self.reshape(gradient, *shape) if shape else gradient)

    def model(self, name: str) -> onnx.ModelProto | None:
        """The finished model; None if it computes nothing."""
        if not self._outputs:
            return None
        read = {name for node in self._nodes for name in node.input}
        graph = helper.make_graph(
            self._nodes,
            name,
            [
                helper.make_tensor_value_info(key, TensorProto.FLOAT, shape)
                for key, shape in self.shapes.items()
                if key in read
            ],
            [onnx.ValueInfoProto(name=output) for output in self._outputs],
            self._constants,
        )
        opsets = [helper.make_opsetid("", OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return onnx.shape_inference.infer_shapes(model)


class Window:
    """Strides, dilations and padding of a convolution from `data` to `result`."""

    def __init__(self, operator: Operator, data: Shape, kernel: Shape, result: Shape) -> None:
        rank = len(kernel)

        def numbers(name: str, default: int, count: int) -> list[int]:
            value = operator.attributes.get(name)
            return [int(v) for v in value] if isinstance(value, tuple) else [default] * count  # type: ignore[arg-type]

        self.rank = rank
        self.strides = numbers("strides", 1, rank)
        self.dilations = numbers("dilations", 1, rank)
        pads = numbers("pads", 0, 2 * rank)
        self.begins = pads[:rank]
        group = operator.attributes.get("group", 1)
        self.groups = group if isinstance(group, int) else 1
        spans = [d * (k - 1) + 1 for d, k in zip(self.dilations, kernel, strict=True)]
        self.kernel = list(kernel)
        # What is added behind so that the last window ends with the data: may be negative.
        self.ends, self.extra = [], []
        for axis, span in enumerate(spans):
            used = (result[2 + axis] - 1) * self.strides[axis] + span
            missing = used - data[2 + axis] - self.begins[axis]
            self.ends.append(max(missing, 0))
            self.extra.append(max(-missing, 0))

    @property
    def pads(self) -> list[int]:
        return [*self.begins, *self.ends]

    @property
    def is_pointwise(self) -> bool:
        ones = [1] * self.rank
        return self.kernel == ones == self.strides and not any(self.pads) and self.groups == 1
