"""The zoo in onnxruntime: every model runs, and the parts that shapes cannot check are right."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest

from planner import zoo
from planner.zoo.layers import Network
from planner.zoo.onnx_model import to_onnx
from planner.zoo.transformers import _self_attention
from planner.zoo.weights import place, write_random

ort = pytest.importorskip("onnxruntime")

Arrays = dict[str, np.ndarray]


@pytest.fixture(autouse=True)
def _remove_weights(tmp_path: Path) -> Iterator[None]:
    # pytest keeps the folders of its last three runs: with weights, gigabytes.
    yield
    for path in tmp_path.glob("*.weights"):
        path.unlink()


def run(path: Path, **given: np.ndarray) -> Arrays:
    """All outputs, by name; inputs that are not given are random."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 2
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    generator = np.random.default_rng(0)
    feeds = {}
    for item in session.get_inputs():
        if item.type == "tensor(int64)":
            feeds[item.name] = np.ones(item.shape, np.int64)
        else:
            feeds[item.name] = generator.standard_normal(item.shape, np.float32)
    outputs = session.run(None, feeds | given)
    return dict(zip((item.name for item in session.get_outputs()), outputs, strict=True))


def output_shapes(name: str, batch: int, sequence: int) -> dict[str, tuple[int, ...]]:
    match name:
        case "lenet5":
            return {"logits": (batch, 10)}
        case "unet":
            return {"logits": (batch, 2, 256, 256)}
        case "gpt2":
            return {"logits": (batch, sequence, 50257)}
        case "bert_base":
            hidden = (batch, sequence, 768)
            return {"last_hidden_state": hidden, "pooler_output": (batch, 768)}
        case _:
            return {"logits": (batch, 1000)}


@pytest.mark.parametrize("name", zoo.names())
def test_model_is_valid_and_runs(tmp_path: Path, name: str) -> None:
    path = tmp_path / "net.onnx"
    zoo.write(name, path, sequence=16, weights="zeros")
    onnx.checker.check_model(str(path), full_check=True)
    outputs = run(path)
    assert {key: value.shape for key, value in outputs.items()} == output_shapes(name, 1, 16)
    assert all(np.isfinite(value).all() for value in outputs.values())


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "resnet152", "mobilenet_v2", "densenet121"])
@pytest.mark.parametrize("training", [False, True])
def test_random_weights_tell_inputs_apart(tmp_path: Path, name: str, training: bool) -> None:
    path = tmp_path / "net.onnx"
    zoo.write(name, path, batch=2, training=training, weights="random")
    onnx.checker.check_model(str(path), full_check=True)
    first, second = run(path)["logits"]
    assert np.isfinite(first).all()
    assert 0.01 < np.abs(first).max() < 1e4
    assert np.abs(first - second).max() > 1e-3 * np.abs(first).max()


@pytest.mark.parametrize("name", ["gpt2", "bert_base", "squeezenet1_1", "alexnet"])
def test_training_mode_runs(tmp_path: Path, name: str) -> None:
    path = tmp_path / "net.onnx"
    zoo.write(name, path, batch=2, sequence=5, training=True, weights="zeros")
    outputs = run(path)
    assert {key: value.shape for key, value in outputs.items()} == output_shapes(name, 2, 5)


def test_dropout_drops_in_training_only(tmp_path: Path) -> None:
    image = np.ones((1, 3, 224, 224), np.float32)
    results = {}
    for training in (False, True):
        path = tmp_path / f"{training}.onnx"
        zoo.write("squeezenet1_1", path, training=training, weights="random")
        results[training] = [run(path, input=image)["logits"] for _ in range(2)]
    assert (results[False][0] == results[False][1]).all()
    assert (results[True][0] != results[True][1]).any()


def test_gpt2_does_not_look_ahead(tmp_path: Path) -> None:
    path = tmp_path / "gpt2.onnx"
    zoo.write("gpt2", path, sequence=6, weights="random")
    ids = np.array([[3, 1, 4, 1, 5, 9]])
    changed = ids.copy()
    changed[0, 3] = 2
    before, after = (run(path, input_ids=item)["logits"][0] for item in (ids, changed))
    assert np.allclose(before[:3], after[:3], atol=1e-5)
    assert all(np.abs(before[i] - after[i]).max() > 1e-3 for i in (3, 4, 5))
    # The same token in another place is another state, so positions are looked up.
    assert np.abs(before[1] - before[3]).max() > 1e-3


def test_bert_ignores_padding(tmp_path: Path) -> None:
    path = tmp_path / "bert.onnx"
    zoo.write("bert_base", path, sequence=6, weights="random")
    ids = np.array([[3, 1, 4, 1, 5, 9]])
    padded = ids.copy()
    padded[0, 4:] = 7
    mask = np.array([[1, 1, 1, 1, 0, 0]])
    before, after = (
        run(path, input_ids=item, attention_mask=mask)["last_hidden_state"][0]
        for item in (ids, padded)
    )
    assert np.allclose(before[:4], after[:4], atol=1e-5)
    unmasked = run(path, input_ids=ids, attention_mask=np.ones_like(mask))
    assert np.abs(before[:4] - unmasked["last_hidden_state"][0, :4]).max() > 1e-3
    assert np.isfinite(run(path, attention_mask=np.zeros_like(mask))["pooler_output"]).all()


def save(net: Network, folder: Path) -> Path:
    placements = place(net.parameters)
    model = to_onnx(net, "net", description="", placements=placements, location="net.weights")
    with (folder / "net.weights").open("wb") as stream:
        write_random(stream, placements, seed=1)
    path = folder / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def test_gelus_are_the_functions_of_their_names(tmp_path: Path) -> None:
    net = Network()
    x = net.input("x", (101,))
    net.output("exact", net.gelu("gelu", x))
    net.output("approximate", net.gelu_tanh("gelu_tanh", x))
    net.output("weight", net.unary("Identity", "identity", net.parameter("unused", (1,))))
    points = np.linspace(-4, 4, 101, dtype=np.float32)
    outputs = run(save(net, tmp_path), x=points)
    expected = [0.5 * float(p) * (1 + math.erf(float(p) / math.sqrt(2))) for p in points]
    assert np.allclose(outputs["exact"], expected, atol=1e-6)
    assert np.allclose(outputs["approximate"], expected, atol=1e-3)
    assert not np.allclose(outputs["approximate"], expected, atol=1e-5)


@pytest.mark.parametrize("names", [("joint", "out"), ("query", "key", "value", "out")])
def test_attention_is_that_of_the_paper(tmp_path: Path, names: tuple[str, ...]) -> None:
    net = Network(batch=2)
    x = net.input("x", (2, 5, 768))
    net.output("y", _self_attention(net, "attention", x, names))
    path = save(net, tmp_path)
    values = np.random.default_rng(2).standard_normal((2, 5, 768), dtype=np.float32) * 4
    *weights, out = [
        onnx.numpy_helper.to_array(item)
        for item in onnx.load(path).graph.initializer
        if item.name.endswith(".weight")
    ]
    query, key, value = np.split(values @ np.concatenate(weights, axis=1), 3, axis=2)
    heads = []
    for head in range(12):
        part = slice(64 * head, 64 * (head + 1))
        scores = query[..., part] @ key[..., part].swapaxes(1, 2) / 8
        exponents = np.exp(scores - scores.max(axis=2, keepdims=True))
        heads.append(exponents / exponents.sum(axis=2, keepdims=True) @ value[..., part])
    expected = np.concatenate(heads, axis=2) @ out
    assert np.allclose(run(path, x=values)["y"], expected, atol=1e-4)
