"""The zoo: what the models are, and how they get on disk."""

from __future__ import annotations

import errno
import math
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import BinaryIO

import onnx
import pytest
from onnx import TensorProto

from planner import zoo
from planner.errors import PlannerError

# name: trainable parameters, and multiply-adds of Conv, Gemm and MatMul at batch 1 in 1e9
PUBLISHED: dict[str, tuple[int, str]] = {
    "lenet5": (61_706, "0.000"),
    "alexnet": (61_100_840, "0.714"),
    "vgg16": (138_357_544, "15.470"),
    "resnet18": (11_689_512, "1.814"),
    "resnet34": (21_797_672, "3.664"),
    "resnet50": (25_557_032, "4.089"),
    "resnet101": (44_549_160, "7.801"),
    "resnet152": (60_192_808, "11.514"),
    "googlenet": (6_624_904, "1.498"),
    "densenet121": (7_978_856, "2.834"),
    "mobilenet_v2": (3_504_872, "0.301"),
    "squeezenet1_1": (1_235_496, "0.349"),
    "unet": (31_037_698, "46.024"),
    "vit_b_16": (86_567_656, "17.564"),
    "gpt2": (124_439_808, "16.114"),
    "bert_base": (109_482_240, "11.174"),
}

# Operators of torchvision's models, exported in training mode by torch 2.13, without constants.
EXPORTED: dict[str, str] = {
    "vgg16": "Conv=13 Relu=15 MaxPool=5 AveragePool=1 Flatten=1 Gemm=3 Dropout=2",
    "resnet18": "Conv=20 BatchNormalization=20 Relu=17 MaxPool=1 Add=8 "
    "GlobalAveragePool=1 Flatten=1 Gemm=1",
    "resnet50": "Conv=53 BatchNormalization=53 Relu=49 MaxPool=1 Add=16 "
    "GlobalAveragePool=1 Flatten=1 Gemm=1",
    "googlenet": "Conv=57 BatchNormalization=57 Relu=57 MaxPool=13 Concat=9 "
    "GlobalAveragePool=1 Flatten=1 Dropout=1 Gemm=1",
    "densenet121": "Conv=120 BatchNormalization=121 Relu=121 MaxPool=1 Concat=62 "
    "AveragePool=3 GlobalAveragePool=1 Flatten=1 Gemm=1",
    "mobilenet_v2": "Conv=52 BatchNormalization=52 Clip=35 Add=10 GlobalAveragePool=1 "
    "Flatten=1 Dropout=1 Gemm=1",
    "squeezenet1_1": "Conv=26 Relu=26 MaxPool=3 Concat=8 Dropout=1 GlobalAveragePool=1 Flatten=1",
}

# Dropouts in training; the other models have none.
DROPOUTS = {
    "alexnet": 2,
    "vgg16": 2,
    "googlenet": 1,
    "mobilenet_v2": 1,
    "squeezenet1_1": 1,
    "gpt2": 37,
    "bert_base": 37,
}

Shapes = dict[str, tuple[int, ...]]


def stated_shapes(model: onnx.ModelProto) -> Shapes:
    graph = model.graph
    return {
        item.name: tuple(dim.dim_value for dim in item.type.tensor_type.shape.dim)
        for item in [*graph.value_info, *graph.input, *graph.output]
    }


def inferred_shapes(model: onnx.ModelProto) -> Shapes:
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    return stated_shapes(onnx.shape_inference.infer_shapes(bare, check_type=True, strict_mode=True))


def count_parameters(model: onnx.ModelProto) -> int:
    statistics = {
        name
        for node in model.graph.node
        if node.op_type == "BatchNormalization"
        for name in node.input[3:5]
    }
    return sum(
        math.prod(item.dims)
        for item in model.graph.initializer
        if item.data_type == TensorProto.FLOAT and item.name not in statistics
    )


def count_multiply_adds(model: onnx.ModelProto) -> int:
    shapes = inferred_shapes(model)
    shapes |= {item.name: tuple(item.dims) for item in model.graph.initializer}
    total = 0
    for node in model.graph.node:
        match node.op_type:
            case "Conv":
                depth = math.prod(shapes[node.input[1]][1:])
            case "Gemm" | "MatMul":
                depth = shapes[node.input[0]][-1]
            case _:
                depth = 0
        total += depth * math.prod(shapes[node.output[0]])
    return total


@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_are_the_published_ones(name: str) -> None:
    model = zoo.build(name)
    parameters, giga_macs = PUBLISHED[name]
    assert count_parameters(model) == zoo.count_parameters(name) == parameters
    assert f"{count_multiply_adds(model) / 1e9:.3f}" == giga_macs


def test_every_architecture_is_tested() -> None:
    assert zoo.names() == tuple(zoo.ARCHITECTURES) == tuple(PUBLISHED)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", PUBLISHED)
def test_file_is_small_static_and_ordered(name: str, training: bool) -> None:
    model = zoo.build(name, batch=3, sequence=17, training=training)
    assert model.ByteSize() < 1e6
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    inferred = inferred_shapes(model)
    stated = stated_shapes(model)
    assert stated.items() <= inferred.items()
    written = [output for node in model.graph.node for output in node.output]
    assert set(written) <= set(stated)
    assert all(dim > 0 for shape in stated.values() for dim in shape)

    known = {item.name for item in [*model.graph.input, *model.graph.initializer]}
    assert len(known) + len(written) == len(known | set(written))
    for node in model.graph.node:
        assert known >= set(node.input)
        known |= set(node.output)
    names = [node.name for node in model.graph.node]
    assert len(names) == len(set(names))


def test_file_is_small_with_a_long_sequence() -> None:
    assert zoo.build("gpt2", sequence=1024, training=True).ByteSize() < 1e6
    assert zoo.build("bert_base", sequence=512, batch=256).ByteSize() < 1e6


@pytest.mark.parametrize("name", EXPORTED)
def test_operators_are_those_of_an_export(name: str) -> None:
    operators = Counter(node.op_type for node in zoo.build(name, training=True).graph.node)
    del operators["Constant"]
    expected = (item.split("=") for item in EXPORTED[name].split())
    assert operators == {operator: int(count) for operator, count in expected}


@pytest.mark.parametrize("name", PUBLISHED)
def test_training_changes_normalisation_and_dropout_only(name: str) -> None:
    modes = {}
    for training in (False, True):
        nodes = zoo.build(name, training=training).graph.node
        modes[training] = Counter(node.op_type for node in nodes)
        norms = [node for node in nodes if node.op_type == "BatchNormalization"]
        flags = {item.i for node in norms for item in node.attribute if item.name[0] == "t"}
        assert flags <= {int(training)}
        assert {len(node.output) for node in norms} <= {3 if training else 1}
    added = modes[True] - modes[False]
    assert added.pop("Dropout", 0) == DROPOUTS.get(name, 0)
    assert set(added) <= {"Constant"}
    assert not modes[False] - modes[True]


def test_gpt2_embedding_is_one_tensor_with_two_readers() -> None:
    model = zoo.build("gpt2")
    readers = [node.op_type for node in model.graph.node if "wte.weight" in node.input]
    assert readers == ["Gather", "Gemm"]
    assert [list(t.dims) for t in model.graph.initializer if 50257 in t.dims] == [[50257, 768]]


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_weight_is_external_and_aligned(name: str) -> None:
    end = 0
    for item in zoo.build(name).graph.initializer:
        if item.data_type != TensorProto.FLOAT:
            assert item.data_location == TensorProto.DEFAULT
            continue
        assert item.data_location == TensorProto.EXTERNAL
        entries = {entry.key: entry.value for entry in item.external_data}
        assert entries["location"] == f"{name}.weights"
        offset, length = int(entries["offset"]), int(entries["length"])
        assert offset >= end
        assert offset % (4096 if length >= 4096 else 64) == 0
        assert length == 4 * math.prod(item.dims)
        end = offset + length


def test_build_is_deterministic() -> None:
    first, second = (zoo.build("googlenet", batch=2).SerializeToString() for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("name", "arguments", "code", "expected"),
    [
        ("resnet51", {}, "PLN130", "did you mean `resnet50`"),
        ("", {}, "PLN130", "no architecture"),
        ("lenet5", {"batch": 0}, "PLN131", "batch: batch is 0, expected 1 to"),
        ("lenet5", {"batch": 2**31}, "PLN131", "batch"),
        ("gpt2", {"sequence": 1025}, "PLN131", "sequence: sequence is 1025, expected 1 to 1024"),
        ("bert_base", {"sequence": 513}, "PLN131", "expected 1 to 512"),
        ("bert_base", {"sequence": 0}, "PLN131", "sequence is 0"),
        ("lenet5", {"seed": -1}, "PLN131", "seed"),
        ("lenet5", {"weights": "ones"}, "PLN131", "expected `random` or `zeros`"),
    ],
)
def test_impossible_request(
    tmp_path: Path, name: str, arguments: dict[str, int], code: str, expected: str
) -> None:
    with pytest.raises(PlannerError) as caught:
        zoo.write(name, tmp_path / "m.onnx", **arguments)  # type: ignore[arg-type]
    assert caught.value.code == code
    assert caught.value.exit_code == 2
    assert expected in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["net.onnx", "net.v2.onnx", "net"])
def test_weights_are_named_after_the_file(tmp_path: Path, file: str) -> None:
    written = zoo.write("lenet5", tmp_path / file, weights="random")
    expected = file.removesuffix(".onnx") + ".weights"
    assert {path.name for path in tmp_path.iterdir()} == {file, expected}
    model = onnx.load(written.path, load_external_data=False)
    locations = {item.external_data[0].value for item in model.graph.initializer}
    assert locations == {expected}
    assert written.n_bytes == written.path.stat().st_size
    assert written.weights_bytes == written.weights_path.stat().st_size
    onnx.checker.check_model(str(written.path), full_check=True)
    onnx.load(written.path)


def test_random_weights_depend_on_the_seed_alone(tmp_path: Path) -> None:
    contents = []
    for index, (seed, training) in enumerate(((7, False), (7, True), (8, False))):
        path = tmp_path / f"{index}.onnx"
        written = zoo.write("squeezenet1_1", path, weights="random", seed=seed, training=training)
        contents.append(written.weights_path.read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_absent_weights_are_absent(tmp_path: Path) -> None:
    written = zoo.write("vgg16", tmp_path / "vgg.onnx")
    assert list(tmp_path.iterdir()) == [written.path]
    assert written.weights_bytes == 0


def test_nothing_is_replaced_without_force(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    for existing in (path, path.with_suffix(".weights")):
        existing.write_bytes(b"mine")
        with pytest.raises(PlannerError, match=r"exists already \(add `--force`\)") as caught:
            zoo.write("lenet5", path, weights="zeros")
        assert caught.value.code == "PLN120"
        assert existing.read_bytes() == b"mine"
        assert list(tmp_path.iterdir()) == [existing]
        existing.unlink()


def test_force_replaces_the_model_and_weights_of_another_layout(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    zoo.write("squeezenet1_1", path, weights="zeros")
    zoo.write("lenet5", path, weights="zeros", force=True)
    assert onnx.load(path).graph.name == "lenet5"
    zoo.write("lenet5", path, force=True)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("target", [".", "absent/net.onnx", "file/net.onnx", "net.weights", "pipe"])
def test_place_that_cannot_be_written(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").touch()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(PlannerError) as caught:
        zoo.write("lenet5", tmp_path / target, weights="zeros", force=True)
    assert caught.value.code == "PLN121"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("is_first", [True, False])
def test_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_first: bool
) -> None:
    path = tmp_path / "net.onnx"
    if not is_first:
        zoo.write("lenet5", path, weights="zeros")
    before = {item.name: item.read_bytes() for item in tmp_path.iterdir()}

    def write_half(stream: BinaryIO, *_: object) -> None:
        stream.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("planner.zoo.files.write_random", write_half)
    with pytest.raises(PlannerError, match="cannot be written: No space left") as caught:
        zoo.write("resnet18", path, weights="random", force=True)
    assert caught.value.code == "PLN121"
    assert {item.name: item.read_bytes() for item in tmp_path.iterdir()} == before


def test_no_weights_without_their_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = Path.replace

    def replace_weights_only(source: Path, target: Path) -> Path:
        if target.suffix == ".onnx":
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", replace_weights_only)
    with pytest.raises(PlannerError, match="PLN121"):
        zoo.write("lenet5", tmp_path / "net.onnx", weights="zeros")
    assert list(tmp_path.iterdir()) == []


def test_import_needs_no_onnx() -> None:
    code = (
        "import sys, planner.zoo, planner.cli.commands.zoo; planner.zoo.count_parameters('gpt2');"
        "assert 'onnx' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(zoo.__file__).parents[2])
