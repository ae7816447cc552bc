"""ONNX operators in torch: what is lacking, and whole models."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto

from planner import zoo
from planner.probe.torch_ops.operators import UnsupportedByTorch, known_operators
from tests.probe.torch_checks import RANDOM, check, compare, floats


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
