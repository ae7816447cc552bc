"""Gradients written as standard operators: the same as torch's."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from planner.measuring.gradient_models import write_gradient_models
from tests.support.onnx_models import load, model, tensor, weight

ort = pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")

from planner.probe.torch_ops.operators import TorchNode, make_kernel  # noqa: E402

CONVOLUTIONS = [
    # data, weight, attributes
    ((2, 3, 9, 8), (4, 3, 3, 3), {"pads": [1, 1, 1, 1]}),
    ((2, 3, 9, 8), (4, 3, 3, 3), {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ((2, 3, 10, 10), (4, 3, 3, 2), {"strides": [3, 2], "dilations": [1, 2]}),
    ((1, 3, 11, 9), (4, 3, 3, 3), {"pads": [1, 0, 2, 1], "strides": [2, 1]}),
    ((2, 4, 5, 5), (6, 4, 1, 1), {}),
    ((2, 4, 6, 6), (6, 4, 1, 1), {"strides": [2, 2]}),
    ((2, 4, 7, 7), (4, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1], "strides": [2, 2]}),
    ((2, 4, 7, 7), (8, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    ((3, 6, 7, 7), (4, 3, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    ((2, 3, 20), (4, 3, 5), {"strides": [4]}),
    ((1, 2, 5, 6, 7), (3, 2, 2, 2, 2), {}),
]
TRANSPOSED = [
    ((2, 4, 5, 5), (4, 3, 2, 2), {"strides": [2, 2]}),
    ((2, 4, 5, 5), (4, 3, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ((2, 4, 5, 5), (4, 3, 3, 3), {"group": 2}),
]
PRODUCTS = [
    ("Gemm", (3, 4), (4, 5), {}),
    ("Gemm", (3, 4), (5, 4), {"transB": 1}),
    ("Gemm", (4, 3), (4, 5), {"transA": 1}),
    ("Gemm", (4, 3), (5, 4), {"transA": 1, "transB": 1}),
    ("MatMul", (3, 4), (4, 5), {}),
    ("MatMul", (2, 6, 3, 4), (4, 5), {}),
]
CASES = [
    *(("Conv", *case) for case in CONVOLUTIONS),
    *(("ConvTranspose", *case) for case in TRANSPOSED),
    *PRODUCTS,
]


def network(
    op: str, x: Sequence[int], w: Sequence[int], attributes: dict[str, object], bias: int = 0
) -> bytes:
    """The operator behind a weight that makes its input need a gradient."""
    reads = ["scaled", "w", "b"] if bias else ["scaled", "w"]
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["scaled"], "mul"),
        helper.make_node(op, reads, ["y"], "node", **attributes),
    ]
    weights = [weight("scale", *x), weight("w", *w), *([weight("b", bias)] if bias else [])]
    return model(nodes, [tensor("x", x)], ["y"], weights)


def gradients_of(folder: Path, data: bytes, node: str = "node") -> onnx.ModelProto:
    entries = write_gradient_models(folder, load(data))
    (file,) = (str(e["file"]) for e in entries if node in e["operators"])  # type: ignore[operator]
    return onnx.load(folder / file)


def compare(found: onnx.ModelProto, op: str, attributes: dict[str, object]) -> None:
    """Feed both the model and torch's autograd with the same random numbers."""
    random = np.random.default_rng(0)
    feed = {
        value.name: random.standard_normal(
            [d.dim_value for d in value.type.tensor_type.shape.dim]
        ).astype(np.float32)
        for value in found.graph.input
    }
    session = ort.InferenceSession(found.SerializeToString())
    results = session.run(None, feed)
    names = [name for name in ("x", "w", "b") if name in feed]
    item = {"op": op, "inputs": names, "outputs": ["y"], "attributes": attributes}
    leaves = {name: torch.from_numpy(feed[name].copy()).requires_grad_() for name in names}
    result = make_kernel(TorchNode(item, {}))(*leaves.values())
    expected = torch.autograd.grad(result, list(leaves.values()), torch.from_numpy(feed["dy"]))
    for name, mine, theirs in zip(names, results, expected, strict=True):
        gradient = mine if name == "x" else feed[name] - mine
        np.testing.assert_allclose(gradient, theirs.numpy(), 1e-4, 1e-4, err_msg=name)


@pytest.fixture(autouse=True)
def _step_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # A small step leaves few digits of the gradient.
    monkeypatch.setattr("planner.measuring.gradient_drafts.LEARNING_RATE", 1.0)


@pytest.mark.parametrize(("op", "x", "w", "attributes"), CASES)
def test_gradients_are_those_of_torch(
    tmp_path: Path,
    op: str,
    x: tuple[int, ...],
    w: tuple[int, ...],
    attributes: dict[str, object],
) -> None:
    bias = 0
    if op == "Gemm":
        bias = w[0] if attributes.get("transB") else w[1]
    elif op == "Conv":
        bias = w[0]
    found = gradients_of(tmp_path, network(op, x, w, attributes, bias))
    assert len(found.graph.output) == (3 if bias else 2)
    compare(found, op, attributes)


def test_products_of_activations_have_two_gradients(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["scaled"], "mul"),
        helper.make_node("Transpose", ["scaled"], ["turned"], "turn", perm=[0, 2, 1]),
        helper.make_node("MatMul", ["scaled", "turned"], ["y"], "node"),
    ]
    data = model(nodes, [tensor("x", (2, 3, 4))], ["y"], [weight("scale", 2, 3, 4)])
    found = gradients_of(tmp_path, data)
    random = np.random.default_rng(0)
    shapes = {"x": (2, 3, 4), "w": (2, 4, 3), "dy": (2, 3, 3)}
    feed = {k: random.standard_normal(v).astype(np.float32) for k, v in shapes.items()}
    first, second = ort.InferenceSession(found.SerializeToString()).run(None, feed)
    leaves = [torch.from_numpy(feed[name]).requires_grad_() for name in ("x", "w")]
    expected = torch.autograd.grad(leaves[0] @ leaves[1], leaves, torch.from_numpy(feed["dy"]))
    np.testing.assert_allclose(first, expected[0].numpy(), 1e-4, 1e-4)
    np.testing.assert_allclose(second, expected[1].numpy(), 1e-4, 1e-4)


def test_the_first_layer_gives_its_input_no_gradient(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], "node")]
    data = model(nodes, [tensor("x", (1, 3, 5, 5))], ["y"], [weight("w", 4, 3, 3, 3)])
    assert len(gradients_of(tmp_path, data).graph.output) == 1


def test_equal_operators_share_a_model_and_others_have_none(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w1"], ["h"], "one"),
        helper.make_node("Relu", ["h"], ["r"], "relu"),
        helper.make_node("MatMul", ["r", "w2"], ["i"], "two"),
        helper.make_node("MatMul", ["i", "w3"], ["y"], "three"),
    ]
    weights = [weight(name, 4, 4) for name in ("w1", "w2", "w3")]
    entries = write_gradient_models(
        tmp_path, load(model(nodes, [tensor("x", (3, 4))], ["y"], weights))
    )
    assert [entry["operators"] for entry in entries] == [["one"], ["two", "three"]]
    assert all((tmp_path / str(entry["file"])).is_file() for entry in entries)
