"""The command `planner zoo`."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result

from planner import zoo
from planner.cli.commands.zoo import command, size_text
from planner.errors import PlannerError


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(command, [str(item) for item in arguments])


def test_model_is_written_and_reported(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    result = run("resnet50", "-o", path, "--batch", "4", "--training")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"wrote {path} (70 KB, weights absent: net.weights)\n"
    assert onnx.load(path, load_external_data=False) == _with_location(
        zoo.build("resnet50", batch=4, training=True), "net.weights"
    )


def _with_location(model: onnx.ModelProto, location: str) -> onnx.ModelProto:
    for item in model.graph.initializer:
        if item.external_data:
            item.external_data[0].value = location
    return model


def test_weights_are_reported(tmp_path: Path) -> None:
    result = run("lenet5", "-o", tmp_path / "a.onnx", "--weights", "random", "--seed", "3")
    assert "weights: a.weights, 253 KB, random" in result.stderr
    assert (tmp_path / "a.weights").stat().st_size >= 4 * 61_706


def test_sequence_is_honoured(tmp_path: Path) -> None:
    path = tmp_path / "g.onnx"
    assert run("gpt2", "-o", path, "--sequence", "9", "--batch", "2").exit_code == 0
    dims = onnx.load(path, load_external_data=False).graph.output[0].type.tensor_type.shape.dim
    assert [dim.dim_value for dim in dims] == [2, 9, 50257]


@pytest.mark.parametrize("arguments", [(), ("--list",), ("vgg16", "--list")])
def test_listing(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(zoo.names())
    assert all(len(line) <= 100 and line.isascii() for line in lines)
    assert "124,439,808" in result.stdout


@pytest.mark.parametrize(
    "arguments",
    [("resnet18",), ("-o", "a.onnx"), ("lenet5", "-o", "a.onnx", "--weights", "ones"), ("a", "b")],
)
def test_usage_error(arguments: tuple[str, ...]) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("resnet", "-o", "a.onnx"), "PLN130"),
        (("resnet",), "PLN130"),
        (("lenet5", "-o", "-"), "PLN121"),
        (("lenet5", "-o", ""), "PLN121"),
        (("lenet5", "-o", "a.onnx", "--sequence", "5"), "PLN131"),
    ],
)
def test_error_with_a_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: str
) -> None:
    monkeypatch.chdir(tmp_path)
    error = run(*arguments).exception
    assert isinstance(error, PlannerError)
    assert error.code == code
    assert list(tmp_path.iterdir()) == []


def test_existing_file_needs_force(tmp_path: Path) -> None:
    path = tmp_path / "a.onnx"
    path.write_text("mine")
    error = run("lenet5", "-o", path).exception
    assert isinstance(error, PlannerError)
    assert error.code == "PLN120"
    assert run("lenet5", "-o", path, "--force").exit_code == 0


@pytest.mark.parametrize(
    ("n_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (999_600, "1 MB"), (553_463_712, "553 MB"), (2e9, "2.0 GB")],
)
def test_size_text(n_bytes: int, text: str) -> None:
    assert size_text(n_bytes) == text
