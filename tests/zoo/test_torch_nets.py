"""The networks in plain torch are those of the zoo: parameters, shapes and numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs torch")

from planner import zoo  # noqa: E402
from planner.zoo.layers import Network  # noqa: E402
from planner.zoo.registry import network  # noqa: E402
from planner.zoo.weights import place  # noqa: E402
from tests.support.torch_nets.zoo import NAMES, build, example_inputs, llama, zoo_tensors  # noqa: E402

BATCH, SEQUENCE = 2, 128

# A network with each kind of layer; the largest absolute difference allowed.
COMPARED = (
    *("lenet5", "resnet18", "googlenet", "densenet121", "mobilenet_v2", "squeezenet1_1"),
    *("unet", "vit_b_16", "gpt2", "bert_base"),
)
TOLERANCE = 1e-4


@pytest.fixture(autouse=True)
def _remove_weights(tmp_path: Path) -> Iterator[None]:
    # pytest keeps the folders of its last three runs: with weights, gigabytes.
    yield
    for path in tmp_path.glob("*.weights"):
        path.unlink()


def on_meta(name: str) -> torch.nn.Module:
    with torch.device("meta"):
        return build(name)


def of_zoo(name: str) -> Network:
    return network(name, batch=BATCH, sequence=SEQUENCE, is_training=True)


def test_every_architecture_is_there() -> None:
    assert zoo.names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_trainable_parameters_are_those_of_the_zoo(name: str) -> None:
    module = on_meta(name)
    assert module.training
    assert sum(p.numel() for p in module.parameters() if p.requires_grad) == (
        of_zoo(name).n_trainable
    )


@pytest.mark.parametrize("name", NAMES)
def test_names_and_shapes_of_the_state_dict_are_those_of_the_zoo(name: str) -> None:
    shapes = {key: tuple(tensor.shape) for key, tensor in zoo_tensors(on_meta(name)).items()}
    assert shapes == {p.name: p.shape for p in of_zoo(name).parameters}


@pytest.mark.parametrize("name", NAMES)
def test_shapes_of_inputs_and_outputs_are_those_of_the_zoo(name: str) -> None:
    net = of_zoo(name)
    inputs = example_inputs(name, BATCH, SEQUENCE)
    assert [tuple(x.shape) for x in inputs] == [x.shape for x in net.inputs]
    outputs = on_meta(name)(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    assert [tuple(y.shape) for y in outputs] == [y.shape for y in net.outputs.values()]


@pytest.mark.parametrize("name", COMPARED)
def test_numbers_are_those_of_the_onnx_model(tmp_path: Path, name: str) -> None:
    ort = pytest.importorskip("onnxruntime", reason="needs onnxruntime")
    path = tmp_path / "net.onnx"
    zoo.write(name, path, sequence=16, weights="random")
    module = load_weights(name, path.with_suffix(".weights")).eval()
    torch.manual_seed(0)
    inputs = example_inputs(name, sequence=16, device="cpu")
    if name == "bert_base":
        inputs[1][:, 10:] = 0
    with torch.no_grad():
        outputs = module(*inputs)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    feeds = [item.name for item in session.get_inputs()]
    expected = session.run(None, dict(zip(feeds, (x.numpy() for x in inputs), strict=True)))
    for ours, theirs in zip(outputs, expected, strict=True):
        assert np.abs(theirs).max() > 0.01
        assert np.abs(ours.numpy() - theirs).max() < TOLERANCE


def load_weights(name: str, path: Path) -> torch.nn.Module:
    """The network on the CPU with the weights that the zoo wrote."""
    module = build(name)
    tensors = zoo_tensors(module)
    data = np.memmap(path, dtype="<f4", mode="c")
    for placement in place(of_zoo(name).parameters):
        start = placement.offset // 4
        values = data[start : start + placement.parameter.n_elements]
        tensor = tensors[placement.parameter.name]
        tensor.copy_(torch.from_numpy(values).view(tensor.shape))
    return module


def test_llama_has_a_billion_parameters() -> None:
    with torch.device("meta"):
        module = llama()
        ids = torch.randint(0, 128_256, (1, 64))
    assert sum(p.numel() for p in module.parameters()) == 1_235_814_400
    assert module(ids).shape == (1, 64, 128_256)
