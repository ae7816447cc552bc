"""What holds for every frontend in the registry."""

from __future__ import annotations

import io
import warnings
from importlib.util import find_spec
from pathlib import Path

import pytest

import planner
from planner import zoo
from planner.drafts.frontend import FRONTENDS, LoadOptions
from planner.errors import InputError, PlannerError
from planner.testing import check_frontend

JSON = (
    b'{"kind": "graph", "version": 1, "name": "net", "outputs": ["y"], '
    b'"inputs": [{"name": "x", "dtype": "float32", "shape": [2, 8]}], '
    b'"parameters": [{"name": "w", "dtype": "float32", "shape": [8, 8]}], '
    b'"nodes": [{"name": "f", "op": "MatMul", "inputs": ["x"], "parameters": ["w"], '
    b'"outputs": [{"name": "y", "dtype": "float32", "shape": [2, 8]}]}]}'
)


def torch_samples() -> dict[str, bytes]:
    """A small module as an archive of torch.export and of TorchScript."""
    if find_spec("torch") is None:
        return {}
    import torch

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x).relu()

    example = (torch.zeros(2, 8),)
    exported, scripted = io.BytesIO(), io.BytesIO()
    torch.export.save(torch.export.export(Net(), example, strict=False), exported)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(Net(), example), scripted)
    return {"torch-export": exported.getvalue(), "torchscript": scripted.getvalue()}


SAMPLES = {"json": JSON, "onnx": zoo.build("lenet5").SerializeToString(), **torch_samples()}
NEEDED = {"torchscript": ["x:float32[2,8]"]}
"""Inputs that a sample does not say itself."""


def test_there_is_a_sample_for_every_built_in_frontend() -> None:
    if find_spec("torch") is None:
        pytest.skip("torch is not installed, which writes two of the samples")
    assert set(FRONTENDS.builtin) == set(SAMPLES)


@pytest.mark.parametrize("name", SAMPLES)
def test_frontends_keep_the_contract(name: str) -> None:
    check_frontend(FRONTENDS.get(name), SAMPLES[name], inputs=NEEDED.get(name, ()))


@pytest.mark.parametrize("name", SAMPLES)
def test_equal_bytes_give_an_equal_graph_and_digest(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"net{FRONTENDS.get(name).suffixes[0]}"
    path.write_bytes(SAMPLES[name])
    inputs = NEEDED.get(name)
    graphs = [
        planner.load(SAMPLES[name], inputs),
        planner.load(path, inputs),
        planner.load(path, inputs, frontend=name),
    ]
    first = graphs[0]
    for graph in graphs[1:]:
        assert graph.operators == first.operators
        assert graph.tensors == first.tensors
        assert graph.parameters == first.parameters
        assert graph.digest == first.digest
    assert len(first.digest) == 64
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("name", SAMPLES)
def test_options_that_shape_the_graph_change_the_digest(name: str) -> None:
    inputs = NEEDED.get(name)
    plain = planner.load(SAMPLES[name], inputs)
    frozen = planner.load(SAMPLES[name], inputs, frozen=["*"])
    assert plain.digest != frozen.digest
    assert not any(parameter.trainable for parameter in frozen.parameters)
    assert frozen.summary()["trainable_parameters"] == 0


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("keep", [0.0, 0.3, 0.6, 0.99])
def test_a_truncated_file_is_an_error_in_words(name: str, keep: float) -> None:
    data = SAMPLES[name]
    with pytest.raises(PlannerError) as caught:
        FRONTENDS.get(name).load(data[: int(keep * len(data))], where="cut", options=LoadOptions())
    assert caught.value.exit_code == 2
    assert all(problem.message and problem.where for problem in caught.value.problems)


@pytest.mark.parametrize("name", SAMPLES)
def test_content_is_recognised_without_a_suffix(name: str) -> None:
    for other, data in SAMPLES.items():
        assert FRONTENDS.get(name).recognizes(data[:256]) == (other == name)


def test_a_string_in_place_of_a_list_is_refused() -> None:
    with pytest.raises(InputError, match="expected a list of strings") as caught:
        planner.load(JSON, frozen="w")
    assert caught.value.code == "PLN117"


@pytest.mark.parametrize(
    ("head", "words"),
    [(b"PK\x03\x04rest", "TorchScript"), (b"\x89HDF\r\n\x1a\n", "Keras"), (b"1234TFL3", "Lite")],
)
def test_foreign_files_are_named(head: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "model.weights"
    path.write_bytes(head + bytes(300))
    with pytest.raises(InputError, match=words) as caught:
        planner.load(path)
    assert caught.value.code == "PLN118"
