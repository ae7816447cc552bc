"""ONNX operators in torch: convolutions, products, pooling, normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from tests.probe.torch_checks import check, floats, program


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
