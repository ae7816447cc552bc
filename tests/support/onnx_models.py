"""Small ONNX models, built by hand, for the tests of the ONNX frontend."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from planner.drafts.frontend import LoadOptions
from planner.frontends.onnx_model import FRONTEND
from planner.graphs.graph import Graph
from planner.graphs.operators import Operator

FLOAT = TensorProto.FLOAT
INT64 = TensorProto.INT64
Dims = Sequence[int | str | None]


def weight(name: str, *dims: int, dtype: int = FLOAT) -> onnx.TensorProto:
    """An initializer whose values are in a file that does not exist."""
    tensor = TensorProto(name=name, data_type=dtype, dims=dims)
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="absent.weights")
    return tensor


def values(name: str, array: object, dtype: type = np.int64) -> onnx.TensorProto:
    """An initializer with its values."""
    return numpy_helper.from_array(np.asarray(array, dtype), name)


def tensor(name: str, dims: Dims | None, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    """A graph input or output."""
    return helper.make_tensor_value_info(name, dtype, dims)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[str | onnx.ValueInfoProto],
    weights: Sequence[onnx.TensorProto] = (),
    *,
    opset: int = 20,
    ir_version: int = 10,
    functions: Sequence[onnx.FunctionProto] = (),
    domains: Sequence[str] = (),
) -> bytes:
    """A serialized model; outputs given by name are float tensors of unknown shape."""
    described = [tensor(o, None) if isinstance(o, str) else o for o in outputs]
    graph = helper.make_graph(list(nodes), "test", list(inputs), described, list(weights))
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)]
    made = helper.make_model(
        graph, opset_imports=opsets, ir_version=ir_version, functions=list(functions)
    )
    return made.SerializeToString()


def load(data: bytes, **options: object) -> Graph:
    """Read a model as `planner.load` does."""
    return FRONTEND.load(data, where="test.onnx", options=LoadOptions(**options))  # type: ignore[arg-type]


def operator(graph: Graph, name: str) -> Operator:
    """An operator by name."""
    return graph.operators[graph.operator_index[name]]


def names(graph: Graph) -> list[str]:
    """Names of the operators in order."""
    return [op.name for op in graph.operators]


def reads(graph: Graph, name: str) -> list[str]:
    """Names of the tensors that an operator reads."""
    return [graph.tensors[t].name for t in operator(graph, name).inputs]


def parameters(graph: Graph) -> dict[str, list[str]]:
    """Readers of each parameter, by name."""
    return {p.name: [graph.operators[r].name for r in p.readers] for p in graph.parameters}


def convnet(batch: Dims = (2,)) -> bytes:
    """Conv, BatchNormalization in training mode, Dropout, Clip, Gemm."""
    node = helper.make_node
    return model(
        [
            node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            node(
                "BatchNormalization",
                ["c", "scale", "bias", "mean", "var"],
                ["b", "m2", "v2"],
                name="norm",
                training_mode=1,
            ),
            node("Clip", ["b", "low", "high"], ["r"], name="clip"),
            node("GlobalAveragePool", ["r"], ["p"], name="pool"),
            node("Flatten", ["p"], ["f"], name="flatten"),
            node("Dropout", ["f", "ratio", "mode"], ["d"], name="drop"),
            node("Gemm", ["d", "fc.w", "fc.b"], ["y"], name="fc", transB=1),
        ],
        [tensor("x", [*batch, 3, 8, 8])],
        ["y"],
        [
            weight("w", 4, 3, 3, 3),
            *(weight(name, 4) for name in ("scale", "bias", "mean", "var")),
            values("low", 0.0, np.float32),
            values("high", 6.0, np.float32),
            values("ratio", 0.5, np.float32),
            values("mode", True, np.bool_),
            weight("fc.w", 10, 4),
            weight("fc.b", 10),
        ],
    )


def shape_chain(batch: str | int = 2) -> bytes:
    """A Reshape whose target is computed from Shape, as the TorchScript exporter writes it."""
    node = helper.make_node
    return model(
        [
            node("MatMul", ["x", "w"], ["h"]),
            node("Shape", ["h"], ["s"]),
            node("Constant", [], ["zero"], value=values("", 0)),
            node("Gather", ["s", "zero"], ["s0"]),
            node("Constant", [], ["axes"], value=values("", [0])),
            node("Unsqueeze", ["s0", "axes"], ["u0"]),
            node("Constant", [], ["minus"], value=values("", [-1])),
            node("Constant", [], ["four"], value=values("", [4])),
            node("Concat", ["u0", "minus", "four"], ["target"], axis=0),
            node("Reshape", ["h", "target"], ["r"]),
            node("Shape", ["r"], ["s_again"]),
            node("ConstantOfShape", ["s_again"], ["mask"], value=values("", [1], np.int64)),
            node("Cast", ["mask"], ["mask_f"], to=FLOAT),
            node("Add", ["r", "mask_f"], ["y"]),
        ],
        [tensor("x", [batch, 3, 8])],
        [tensor("y", [batch, None, 4])],
        [weight("w", 8, 16)],
    )


def conditional() -> bytes:
    """An If whose branches capture `x` and `w`, and one of which brings a weight along."""
    node = helper.make_node
    then = helper.make_graph(
        [node("MatMul", ["h", "w"], ["then_y"])], "then", [], [tensor("then_y", [2, 8])]
    )
    other = helper.make_graph(
        [node("MatMul", ["h", "inner"], ["else_y"])],
        "else",
        [],
        [tensor("else_y", [2, 8])],
        [weight("inner", 8, 8)],
    )
    return model(
        [
            node("Relu", ["x"], ["h"], name="relu"),
            node("ReduceMax", ["h"], ["top"], name="top", keepdims=0),
            node("Cast", ["top"], ["cond"], name="cast", to=TensorProto.BOOL),
            node("If", ["cond"], ["y"], name="if", then_branch=then, else_branch=other),
            node("Relu", ["y"], ["z"], name="last"),
        ],
        [tensor("x", [2, 8])],
        ["z"],
        [weight("w", 8, 8)],
    )


def loop() -> bytes:
    """A Loop that applies a captured weight four times."""
    node = helper.make_node
    body = helper.make_graph(
        [
            node("MatMul", ["state", "w"], ["next"]),
            node("Identity", ["go"], ["go_on"]),
        ],
        "body",
        [
            tensor("i", [], INT64),
            tensor("go", [], TensorProto.BOOL),
            tensor("state", [2, 8]),
        ],
        [tensor("go_on", [], TensorProto.BOOL), tensor("next", [2, 8])],
    )
    return model(
        [node("Loop", ["trips", "", "x"], ["y"], name="loop", body=body)],
        [tensor("x", [2, 8])],
        [tensor("y", [2, 8])],
        [weight("w", 8, 8), values("trips", 4)],
    )


def function_calls() -> bytes:
    """Two calls of a local function that itself calls another."""
    node = helper.make_node
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("local", 1)]
    inner = helper.make_function(
        "local", "Scale", ["a", "s"], ["b"], [node("Mul", ["a", "s"], ["b"])], opsets
    )
    outer = helper.make_function(
        "local",
        "Block",
        ["a", "w", "s"],
        ["c"],
        [
            node("MatMul", ["a", "w"], ["m"]),
            node("Scale", ["m", "s"], ["n"], domain="local"),
            node("Relu", ["n"], ["c"]),
        ],
        opsets,
    )
    return model(
        [
            node("Block", ["x", "w1", "s1"], ["h"], domain="local"),
            node("Block", ["h", "w2", "s2"], ["y"], domain="local"),
        ],
        [tensor("x", [2, 8])],
        ["y"],
        [weight("w1", 8, 8), weight("w2", 8, 8), weight("s1", 8), weight("s2", 8)],
        functions=[inner, outer],
        domains=["local"],
    )


def quantised() -> bytes:
    """QDQ weights (int8, with int32 bias) and a QLinearConv."""
    node = helper.make_node
    i8 = TensorProto.INT8
    return model(
        [
            node("DequantizeLinear", ["w", "ws", "wz"], ["wf"], name="dq_w", axis=0),
            node("DequantizeLinear", ["b", "bs"], ["bf"], name="dq_b", axis=0),
            node("Conv", ["x", "wf", "bf"], ["c"], name="conv"),
            node("QuantizeLinear", ["c", "s", "z"], ["q"], name="q"),
            node(
                "QLinearConv",
                ["q", "s", "z", "qw", "ws", "wz", "s", "z", "qb"],
                ["r"],
                name="qconv",
            ),
            node("DequantizeLinear", ["r", "s", "z"], ["y"], name="dq"),
        ],
        [tensor("x", [1, 3, 8, 8])],
        ["y"],
        [
            weight("w", 4, 3, 3, 3, dtype=i8),
            weight("ws", 4),
            weight("wz", 4, dtype=i8),
            weight("b", 4, dtype=TensorProto.INT32),
            weight("bs", 4),
            values("s", 0.1, np.float32),
            values("z", 3, np.uint8),
            weight("qw", 4, 4, 3, 3, dtype=i8),
            weight("qb", 4, dtype=TensorProto.INT32),
        ],
    )


def all_models() -> dict[str, bytes]:
    """One of each kind."""
    return {
        "convnet": convnet(),
        "symbolic": convnet(("N",)),
        "shape_chain": shape_chain(),
        "conditional": conditional(),
        "loop": loop(),
        "function_calls": function_calls(),
        "quantised": quantised(),
    }
