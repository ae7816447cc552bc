"""ONNX operators in torch: the same results as onnxruntime's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

ort = pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")

from planner import zoo  # noqa: E402
from planner.probe.torch_ops.operators import UnsupportedByTorch, known_operators  # noqa: E402
from planner.probe.torch_ops.program import Program  # noqa: E402

Arrays = Mapping[str, np.ndarray]
RANDOM = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def plain(attribute: onnx.AttributeProto) -> Any:
    """An attribute as a manifest holds it."""
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        array = numpy_helper.to_array(value)
        return {"dtype": str(array.dtype), "shape": list(array.shape), "values": array.tolist()}
    return list(value) if attribute.type in (attribute.INTS, attribute.FLOATS) else value


def program(model: onnx.ModelProto, inputs: Arrays, **options: Any) -> Program:
    """A model whose initializers are constants; every node is an operator, but for Constants."""
    nodes = [
        {
            "name": node.name or node.output[0],
            "op": node.op_type,
            "domain": node.domain,
            "inputs": list(node.input),
            "outputs": list(node.output),
            "attributes": {a.name: plain(a) for a in node.attribute},
            "operator": None if node.op_type == "Constant" else node.name or node.output[0],
        }
        for node in model.graph.node
    ]
    return Program(
        nodes,
        [value.name for value in model.graph.output],
        inputs=inputs,
        weights={},
        trainable=[],
        constants={t.name: numpy_helper.to_array(t) for t in model.graph.initializer},
        opset=model.opset_import[0].version,
        **{"is_training": False, **options},
    )


def compare(model: onnx.ModelProto, inputs: Arrays, tolerance: float = 2e-5) -> None:
    """Run in both and compare every output."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in model.graph.output]
    expected = session.run(names, dict(inputs))
    with torch.no_grad():
        found = program(model, {k: v.copy() for k, v in inputs.items()}).run()
    for name, value in zip(names, expected, strict=True):
        array = found[name].numpy()
        assert array.shape == value.shape, (name, array.shape, value.shape)
        assert array.dtype == value.dtype, name
        np.testing.assert_allclose(array, value, rtol=tolerance, atol=tolerance, err_msg=name)


def check(
    op: str,
    inputs: Sequence[np.ndarray | None],
    *,
    constants: Sequence[int] = (),
    n_outputs: int = 1,
    n_compared: int | None = None,
    opset: int = 20,
    **attributes: Any,
) -> None:
    """One operator; inputs at the positions in `constants` are initializers."""
    names = [f"x{i}" if value is not None else "" for i, value in enumerate(inputs)]
    arrays = {n: v for n, v in zip(names, inputs, strict=True) if v is not None}
    fixed = {names[i] for i in constants}
    outputs = [f"y{i}" for i in range(n_outputs)]
    node = helper.make_node(op, names, outputs, "node", **attributes)
    code = helper.np_dtype_to_tensor_dtype
    graph = helper.make_graph(
        [node],
        "test",
        [
            helper.make_tensor_value_info(n, code(v.dtype), v.shape)
            for n, v in arrays.items()
            if n not in fixed
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs[:n_compared]],
        [numpy_helper.from_array(arrays[n], n) for n in fixed],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model)
    compare(inferred, {n: v for n, v in arrays.items() if n not in fixed})


UNARY = """
    Abs Acos Asin Asinh Atan Atanh Ceil Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid HardSwish
    IsInf IsNaN LeakyRelu LogSoftmax Mish Neg Relu Round Selu Sigmoid Sign Sin Sinh
    Softmax Softplus Softsign Tan Tanh ThresholdedRelu Celu Identity GlobalAveragePool
    GlobalMaxPool Shape Size Flatten Transpose LpNormalization
"""


@pytest.mark.parametrize("op", UNARY.split())
def test_operators_of_one_input(op: str) -> None:
    x = floats(2, 3, 4, 5)
    check(op, [np.clip(x, -0.9, 0.9) if op in ("Acos", "Asin", "Atanh") else x])


@pytest.mark.parametrize("op", ["Sqrt", "Log", "Reciprocal", "Acosh"])
def test_operators_of_positive_numbers(op: str) -> None:
    check(op, [np.abs(floats(3, 4)) + 1])


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum", "Mean"])
def test_arithmetic_broadcasts(op: str) -> None:
    check(op, [np.abs(floats(2, 3, 1)) + 0.1, np.abs(floats(4)) + 0.1])


@pytest.mark.parametrize("op", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_comparisons(op: str) -> None:
    check(op, [RANDOM.integers(0, 3, (2, 3)), RANDOM.integers(0, 3, (3,))])


@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
def test_logic(op: str) -> None:
    check(op, [floats(2, 3) > 0, floats(3) > 0])
    check("Not", [floats(2, 3) > 0])


def test_whole_numbers_divide_towards_zero() -> None:
    check("Div", [ints(-7, 7, 9), ints(2, -2, 3)])
    check("Mod", [ints(-7, 7, 9), ints(2, -2, 3)])
    check("Mod", [floats(5), floats(5)], fmod=1)


def test_powers_of_a_number() -> None:
    for exponent in (2.0, 3.0, 0.5):
        check("Pow", [np.abs(floats(2, 3)), np.array(exponent, np.float32)], constants=[1])
    check("Pow", [floats(2, 3), np.array([2.0], np.float32)], constants=[1])


def test_selection_and_types() -> None:
    check("Where", [floats(2, 3) > 0, floats(2, 3), floats(3)])
    check("Cast", [floats(2, 3)], to=TensorProto.INT64)
    check("Cast", [floats(2, 3)], to=TensorProto.BOOL)
    check("Cast", [ints(1, 2)], to=TensorProto.FLOAT16)
    check("CastLike", [floats(3), ints(1)])


def test_clip() -> None:
    low, high = np.array(-0.5, np.float32), np.array(0.5, np.float32)
    check("Clip", [floats(9), low, high])
    check("Clip", [floats(9), low, high], constants=[1, 2])
    check("Clip", [floats(9), None, high], constants=[2])
    check("Clip", [floats(9), low], constants=[1])
    check("Clip", [floats(9), np.array(0, np.float32), np.array(6, np.float32)], constants=[1, 2])
    check("Clip", [floats(9)], opset=10, min=-0.1, max=0.2)


def test_activations_with_parameters() -> None:
    check("LeakyRelu", [floats(9)], alpha=0.3)
    check("Elu", [floats(9)], alpha=0.7)
    check("Selu", [floats(9)], alpha=0.7, gamma=1.3)
    check("HardSigmoid", [floats(9)], alpha=0.3, beta=0.4)
    check("Gelu", [floats(9)], approximate="tanh")
    check("PRelu", [floats(2, 3, 4), floats(3, 1)])
    check("PRelu", [floats(2, 3, 4), floats(4)])
    check("Softmax", [floats(2, 3, 4)], axis=1)
    check("Softmax", [floats(2, 3, 4)], opset=11)
    check("LogSoftmax", [floats(2, 3, 4)], opset=11, axis=2)


@pytest.mark.parametrize("op", ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare"])
def test_reductions(op: str) -> None:
    x = floats(2, 3, 4)
    check(f"Reduce{op}", [x, ints(1)], constants=[1])
    check(f"Reduce{op}", [x, ints(-1, 0)], keepdims=0)
    check(f"Reduce{op}", [x])
    check(f"Reduce{op}", [x], noop_with_empty_axes=1)
    check(f"Reduce{op}", [x], opset=11, axes=[1, 2])


def test_reductions_of_logarithms() -> None:
    check("ReduceLogSum", [np.abs(floats(2, 3)), ints(1)])
    check("ReduceLogSumExp", [floats(2, 3), ints(1)])
    check("ArgMax", [floats(2, 3)], axis=1)
    check("ArgMin", [floats(2, 3)], axis=0, keepdims=0)


@given(st.booleans(), st.booleans(), st.integers(0, 1))
@settings(max_examples=8, deadline=None)
def test_running_sums(is_reverse: bool, is_exclusive: bool, axis: int) -> None:
    x = [floats(3, 4), np.array(axis)]
    check("CumSum", x, constants=[1], reverse=int(is_reverse), exclusive=int(is_exclusive))


@given(
    rank=st.integers(1, 3),
    groups=st.sampled_from([1, 2, 4]),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 2),
    dilation=st.integers(1, 2),
    pads=st.lists(st.integers(0, 2), min_size=6, max_size=6),
    with_bias=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_convolutions(
    rank: int,
    groups: int,
    kernel: int,
    stride: int,
    dilation: int,
    pads: list[int],
    with_bias: bool,
) -> None:
    inputs = [floats(2, 4, *[7, 6, 5][:rank]), floats(8, 4 // groups, *[kernel] * rank)]
    attributes: dict[str, Any] = {
        "group": groups,
        "strides": [stride] * rank,
        "dilations": [dilation] * rank,
        "pads": pads[: 2 * rank],
    }
    check("Conv", [*inputs, floats(8)] if with_bias else inputs, **attributes)


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
def test_automatic_padding(auto_pad: str) -> None:
    image = floats(1, 2, 7, 8)
    check("Conv", [image, floats(3, 2, 4, 3)], auto_pad=auto_pad, strides=[2, 2])
    check("MaxPool", [image], auto_pad=auto_pad, kernel_shape=[3, 4], strides=[2, 2])
    check("AveragePool", [image], auto_pad=auto_pad, kernel_shape=[3, 4], strides=[2, 2])


@pytest.mark.parametrize("pads", [[0, 0, 0, 0], [1, 1, 1, 1], [1, 0, 0, 1]])
@pytest.mark.parametrize("groups", [1, 2])
def test_transposed_convolutions(pads: list[int], groups: int) -> None:
    inputs = [floats(1, 4, 5, 6), floats(4, 3, 3, 3), floats(3 * groups)]
    check("ConvTranspose", inputs, pads=pads, group=groups, strides=[2, 2])
    check(
        "ConvTranspose",
        inputs,
        pads=pads,
        group=groups,
        strides=[2, 1],
        output_padding=[1, 0],
        dilations=[2, 1],
    )


def test_matrix_products() -> None:
    check("MatMul", [floats(2, 3, 4), floats(4, 5)])
    check("MatMul", [floats(2, 1, 3, 4), floats(3, 4, 5)])
    for left, right in [(0, 0), (1, 0), (0, 1), (1, 1)]:
        a = floats(4, 3) if left else floats(3, 4)
        b = floats(5, 4) if right else floats(4, 5)
        check("Gemm", [a, b], transA=left, transB=right, alpha=0.5)
        check("Gemm", [a, b, floats(5)], transA=left, transB=right, alpha=0.5, beta=0.7)
        check("Gemm", [a, b, floats(3, 1)], transA=left, transB=right)
    check("Einsum", [floats(2, 3, 4), floats(2, 4, 5)], equation="bij,bjk->bik")


@given(
    op=st.sampled_from(["MaxPool", "AveragePool"]),
    is_ceil=st.booleans(),
    pads=st.sampled_from([[0, 0, 0, 0], [1, 1, 1, 1], [0, 1, 1, 0]]),
    counts_pad=st.booleans(),
    stride=st.integers(1, 3),
)
@settings(max_examples=30, deadline=None)
def test_pooling(op: str, is_ceil: bool, pads: list[int], counts_pad: bool, stride: int) -> None:
    attributes: dict[str, Any] = {"pads": pads, "ceil_mode": int(is_ceil)}
    if op == "AveragePool":
        attributes["count_include_pad"] = int(counts_pad)
    check(op, [floats(1, 2, 8, 9)], kernel_shape=[3, 2], strides=[stride, 2], **attributes)


def test_pooling_of_other_ranks() -> None:
    check("MaxPool", [floats(1, 2, 9)], kernel_shape=[3], dilations=[2])
    check("MaxPool", [floats(1, 2, 5, 6, 7)], kernel_shape=[2, 2, 2])
    check("MaxPool", [floats(2, 3, 6, 6)], kernel_shape=[2, 2], strides=[2, 2], n_outputs=2)
    check("AveragePool", [floats(1, 2, 5, 6, 7)], kernel_shape=[2, 2, 2])


def test_normalisation() -> None:
    x, scale, bias = floats(2, 4, 5, 6), floats(4), floats(4)
    statistics = [floats(4), np.abs(floats(4)) + 0.5]
    check("BatchNormalization", [x, scale, bias, *statistics])
    check("InstanceNormalization", [x, scale, bias])
    check("GroupNormalization", [x, scale, bias], opset=21, num_groups=2)
    check("LayerNormalization", [x, floats(6), floats(6)])
    check("LayerNormalization", [x, floats(5, 6)], axis=2, epsilon=0.01)
    check("LRN", [x], size=3)


def test_batch_statistics() -> None:
    x, scale, bias = floats(8, 3, 6, 6), floats(3), floats(3)
    inputs = [x, scale, bias, np.zeros(3, np.float32), np.ones(3, np.float32)]
    check("BatchNormalization", inputs, n_outputs=3, n_compared=1, training_mode=1)


def test_training_is_whatever_the_file_says() -> None:
    nodes = [
        helper.make_node("BatchNormalization", ["x", "s", "b", "m", "v"], ["y"]),
        helper.make_node("Dropout", ["y", "ratio"], ["z"]),
    ]
    weights = {name: np.ones(3, np.float32) for name in "sbmv"} | {"ratio": np.float32(0.25)}
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (16, 3, 8, 8))],
        [onnx.ValueInfoProto(name="y"), onnx.ValueInfoProto(name="z")],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    x = floats(16, 3, 8, 8) * 5 + 2
    made = program(model, {"x": x}, is_training=True)
    found = made.run()
    assert np.allclose(found["y"].mean((0, 2, 3)).numpy(), 1, atol=1e-4)
    assert np.allclose(found["y"].std((0, 2, 3)).numpy(), 1, atol=1e-2)
    share = (found["z"] == 0).float().mean().item()
    assert 0.2 < share < 0.3
    assert (made.values["m"] != 1).all()  # the running statistics move


def test_reshaping() -> None:
    x = floats(2, 3, 4)
    check("Reshape", [x, ints(0, -1)], constants=[1])
    check("Reshape", [x, ints(4, 3, 2)])
    check("Flatten", [x], axis=2)
    check("Flatten", [x], axis=0)
    check("Transpose", [x], perm=[1, 0, 2])
    check("Squeeze", [floats(1, 3, 1), ints(0, -1)], constants=[1])
    check("Squeeze", [floats(1, 3, 1)])
    check("Squeeze", [floats(1, 3, 1)], opset=11, axes=[0])
    check("Unsqueeze", [x, ints(0, -1)], constants=[1])
    check("Unsqueeze", [x], opset=11, axes=[1])
    check("Shape", [x], start=1)
    check("Expand", [floats(3, 1), ints(2, 1, 4)])
    check("Tile", [x, ints(1, 2, 3)], constants=[1])


def test_joining_and_splitting() -> None:
    x = floats(2, 6)
    check("Concat", [x, floats(2, 3)], axis=-1)
    check("Split", [x, ints(2, 4)], constants=[1], n_outputs=2, axis=1)
    check("Split", [x], n_outputs=3, axis=1, num_outputs=3)
    check("Split", [floats(7)], n_outputs=3, num_outputs=3)
    check("Split", [x], opset=11, n_outputs=2, axis=1)


def test_slices() -> None:
    x = floats(6, 7)
    check("Slice", [x, ints(1), ints(5)], constants=[1, 2])
    check("Slice", [x, ints(1, -3), ints(1000, -1), ints(1, 0), ints(2, 1)], constants=[1, 2, 3, 4])
    check("Slice", [x, ints(-1), ints(-1000), ints(1), ints(-2)])
    check("Slice", [x, ints(4), ints(1), ints(0), ints(-1)])
    check("Slice", [x], opset=9, starts=[1], ends=[3], axes=[1])


def test_gathering() -> None:
    x = floats(5, 4, 3)
    check("Gather", [x, np.array(2)], constants=[1], axis=1)
    check("Gather", [x, np.array(-1)], constants=[1])
    check("Gather", [x, np.array([[0, -1], [1, 1]])], axis=1)
    check("Gather", [floats(9, 4), np.array([[0, 8], [1, 1]])])
    check("Gather", [ints(4, 5, 6), ints(-1, 0)], constants=[1])
    check("GatherElements", [floats(3, 4), np.array([[0, -1], [1, 2]])], axis=1)
    check("GatherND", [x, np.array([[0, 1], [4, -1]])])
    check("GatherND", [x, RANDOM.integers(0, 3, (5, 4, 2, 1))], batch_dims=2)
    check("ScatterND", [floats(4, 3), np.array([[1], [3]]), floats(2, 3)])
    check("ScatterElements", [floats(3, 4), np.array([[0, -1]]), floats(1, 2)], axis=1)


def test_making_tensors() -> None:
    check("Range", [np.array(1), np.array(9), np.array(2)])
    check("ConstantOfShape", [ints(2, 3)])
    value = numpy_helper.from_array(ints(7), "value")
    check("ConstantOfShape", [ints(2, 3)], constants=[0], value=value)
    check("Trilu", [floats(4, 5)])
    check("Trilu", [floats(4, 5), np.array(-1)], constants=[1], upper=0)
    check("NonZero", [np.array([[0, 1], [2, 0]])])
    check("OneHot", [ints(0, 2, -1), np.array(3), ints(0, 5)], constants=[1])
    check("TopK", [floats(3, 7), ints(2)], constants=[1], n_outputs=2)


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_and_space(mode: str) -> None:
    check("DepthToSpace", [floats(1, 8, 2, 3)], blocksize=2, mode=mode)
    check("SpaceToDepth", [floats(1, 2, 4, 6)], blocksize=2)


def test_padding() -> None:
    x = floats(1, 2, 4, 5)
    fill = np.array(1.5, np.float32)
    check("Pad", [x, ints(0, 1, 1, 0, 0, 0, 2, 1), fill], constants=[1, 2])
    check("Pad", [x, ints(1, 2), None, ints(3)], constants=[1, 3])
    check("Pad", [x, ints(0, 0, 1, 1, 0, 0, 2, 1)], constants=[1], mode="reflect")
    check("Pad", [x, ints(0, 0, 1, 1, 0, 0, 2, 1)], constants=[1], mode="edge")


@pytest.mark.parametrize("factor", [2.0, 3.0])
def test_resizing(factor: float) -> None:
    image, scales = floats(1, 2, 4, 5), np.array([1, 1, factor, factor], np.float32)
    asymmetric = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    check("Resize", [image, None, scales], constants=[2], **asymmetric)
    check("Resize", [image, None, scales], constants=[2])
    check("Resize", [image, None, scales], constants=[2], mode="linear")
    check("Resize", [image, None, scales], constants=[2], mode="cubic")
    sizes = ints(1, 2, 9, 7)
    corners = {"coordinate_transformation_mode": "align_corners"}
    check("Resize", [image, None, None, sizes], constants=[3], mode="linear", **corners)
    check("Resize", [image, None, None, sizes], constants=[3], mode="linear")
    signal = [floats(1, 2, 5), None, np.array([1, 1, factor], np.float32)]
    check("Resize", signal, constants=[2], mode="linear")


def test_what_torch_lacks_is_named() -> None:
    with pytest.raises(UnsupportedByTorch, match="DFT") as caught:
        check("DFT", [floats(1, 8, 2)])
    assert caught.value.op == "DFT"
    with pytest.raises(UnsupportedByTorch, match=r"AveragePool.*dilations"):
        check("AveragePool", [floats(1, 1, 5, 5)], kernel_shape=[2, 2], dilations=[2, 2])


def test_every_shared_model_is_covered(shared_models: Path) -> None:
    lacking: dict[str, str] = {}
    for path in sorted(shared_models.glob("*.onnx")):
        for node in onnx.load(path, load_external_data=False).graph.node:
            if node.op_type not in known_operators():
                lacking[node.op_type] = path.name
    assert not lacking


MODELS: dict[str, dict[str, int]] = {
    "lenet5": {"batch": 2},
    "resnet18": {},
    "mobilenet_v2": {},
    "googlenet": {},
    "densenet121": {},
    "gpt2": {"sequence": 16},
}


@pytest.mark.parametrize("name", MODELS)
def test_whole_models(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    zoo.write(name, path, weights="random", **MODELS[name])
    try:
        model = onnx.load(path)
    finally:
        path.with_suffix(".weights").unlink()
    inputs = {}
    for value in model.graph.input:
        shape = [d.dim_value for d in value.type.tensor_type.shape.dim]
        is_whole = value.type.tensor_type.elem_type == TensorProto.INT64
        inputs[value.name] = RANDOM.integers(0, 1000, shape) if is_whole else floats(*shape)
    compare(model, inputs, tolerance=2e-3)
