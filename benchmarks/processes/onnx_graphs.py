"""Large graphs for the benchmarks, written as ONNX without weights."""

from __future__ import annotations

import math
from pathlib import Path

import onnx
from onnx import TensorProto, helper

OPS_PER_LAYER = 26


class _Writer:
    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []
        self.offset = 0

    def weight(self, name: str, shape: tuple[int, ...]) -> str:
        tensor = onnx.TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        length = 4 * math.prod(shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "w"), ("offset", self.offset), ("length", length)):
            tensor.external_data.add(key=key, value=str(value))
        self.offset += length
        self.initializers.append(tensor)
        return name

    def constant(self, name: str, values: list[int]) -> str:
        self.initializers.append(helper.make_tensor(name, TensorProto.INT64, [len(values)], values))
        return name

    def op(self, op: str, name: str, *inputs: str, **attributes: int | list[int]) -> str:
        node = helper.make_node(op, list(inputs), [f"{name}_out"], name)
        node.attribute.extend(helper.make_attribute(*item) for item in attributes.items())
        self.nodes.append(node)
        return f"{name}_out"


def transformer(path: Path, n_operators: int, *, width: int = 256, sequence: int = 64) -> None:
    """Write a decoder-like transformer of about `n_operators` operators; no value_info."""
    w = _Writer()
    shape = (1, sequence, width)
    heads = w.constant("heads", [1, sequence, 8, width // 8])
    merged = w.constant("merged", list(shape))
    scale = helper.make_tensor("scale", TensorProto.FLOAT, [], [(width / 8) ** -0.5])
    w.initializers.append(scale)
    x = "x"
    for i in range(max(1, n_operators // OPS_PER_LAYER)):
        x = _layer(w, f"layers.{i}", x, width, heads, merged)
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        w.nodes,
        "transformer",
        [info("x", TensorProto.FLOAT, shape)],
        [info(x, TensorProto.FLOAT, shape)],
        w.initializers,
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)


def chain(path: Path, n_operators: int) -> None:
    """Write `n_operators` Relus in a row: the least that inference can have to do."""
    w = _Writer()
    x = "x"
    for i in range(n_operators):
        x = w.op("Relu", f"relu{i}", x)
    info = helper.make_tensor_value_info
    ends = (info(name, TensorProto.FLOAT, (1, 64)) for name in ("x", x))
    graph = helper.make_graph(w.nodes, "chain", [next(ends)], [next(ends)])
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), path)


def _norm(w: _Writer, name: str, x: str, width: int) -> str:
    gamma, beta = w.weight(f"{name}.weight", (width,)), w.weight(f"{name}.bias", (width,))
    return w.op("LayerNormalization", name, x, gamma, beta, axis=-1)


def _linear(w: _Writer, name: str, x: str, a: int, b: int) -> str:
    y = w.op("MatMul", f"{name}.matmul", x, w.weight(f"{name}.weight", (a, b)))
    return w.op("Add", f"{name}.add", y, w.weight(f"{name}.bias", (b,)))


def _layer(w: _Writer, name: str, x: str, width: int, heads: str, merged: str) -> str:
    y = _norm(w, f"{name}.norm1", x, width)
    parts = []
    for part, order in (("q", [0, 2, 1, 3]), ("k", [0, 2, 3, 1]), ("v", [0, 2, 1, 3])):
        z = _linear(w, f"{name}.{part}", y, width, width)
        z = w.op("Reshape", f"{name}.{part}.heads", z, heads)
        parts.append(w.op("Transpose", f"{name}.{part}.transpose", z, perm=order))
    scores = w.op("MatMul", f"{name}.scores", parts[0], parts[1])
    scores = w.op("Mul", f"{name}.scaled", scores, "scale")
    scores = w.op("Softmax", f"{name}.softmax", scores, axis=-1)
    z = w.op("MatMul", f"{name}.context", scores, parts[2])
    z = w.op("Transpose", f"{name}.merge", z, perm=[0, 2, 1, 3])
    z = w.op("Reshape", f"{name}.merged", z, merged)
    x = w.op("Add", f"{name}.residual1", _linear(w, f"{name}.proj", z, width, width), x)
    y = _norm(w, f"{name}.norm2", x, width)
    y = w.op("Relu", f"{name}.relu", _linear(w, f"{name}.fc1", y, width, 4 * width))
    return w.op("Add", f"{name}.residual2", _linear(w, f"{name}.fc2", y, 4 * width, width), x)
