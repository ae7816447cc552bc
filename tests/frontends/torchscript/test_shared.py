"""Real archives of TorchScript: what they run, under which names."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

import planner
from planner.drafts.frontend import LoadOptions
from planner.frontends.torch_programs.program import Program, WeightKind
from tests.support.torch_nets.torchscript import operators, program_of

torch = pytest.importorskip("torch", reason="TorchScript is read with torch")

IMAGE = ("x:float32[1,3,224,224]",)
TEXT = ("int64[1,128]", "int64[1,128]")


def trainable(program: Program) -> int:
    shapes = {
        weight.storage: weight.value.shape
        for weight in program.weights
        if weight.kind is WeightKind.PARAMETER and weight.requires_grad
    }
    return sum(math.prod(shape) for shape in shapes.values())


@pytest.mark.parametrize("form", ["trace", "script"])
@pytest.mark.parametrize(
    ("name", "convolutions", "parameters"),
    [
        ("resnet18", 20, 11_689_512),
        ("googlenet", 57, 6_624_904),
        ("mobilenet_v2", 52, 3_504_872),
    ],
)
def test_networks_run_what_they_were_built_of(
    shared_models: Path, name: str, form: str, convolutions: int, parameters: int
) -> None:
    program = program_of(shared_models / f"{name}.{form}.pt", *IMAGE)
    assert operators(program).count("conv2d") == convolutions
    assert operators(program).count("linear") == 1
    assert trainable(program) == parameters
    output = program.calls[-1].outputs[0]
    assert output is not None
    assert program.outputs == [output.name]
    assert output.shape == (1, 1000)


def test_calls_know_their_module_and_place(shared_models: Path) -> None:
    for form in ("trace", "script"):
        program = program_of(shared_models / f"resnet18.{form}.pt", *IMAGE)
        paths = [call.path for call in program.calls]
        assert paths[:4] == ["conv1", "bn1", "relu", "maxpool"]
        start = paths.index("layer1.0.conv1")
        block = ["conv1", "bn1", "relu", "conv2", "bn2"]
        expected = [f"layer1.0.{part}" for part in block] + ["layer1.0", "layer1.0.relu@1"]
        assert paths[start : start + 7] == expected
        first = next(call for call in program.calls if call.path == "layer1.0.conv1")
        assert first.where == "resnet.py:92"


def test_traces_and_scripts_run_the_same(shared_models: Path) -> None:
    for name in ("resnet18", "googlenet", "mobilenet_v2"):
        both = [program_of(shared_models / f"{name}.{f}.pt", *IMAGE) for f in ("trace", "script")]
        shapes = [
            [(c.operator, c.path, [o.shape for o in c.outputs if o]) for c in program.calls]
            for program in both
        ]
        kept = [
            [call for call in calls if call[0] not in ("dropout", "relu", "relu_", "hardtanh_")]
            for calls in shapes
        ]
        assert kept[0] == kept[1]


def test_parameters_have_names_of_the_state_dict(shared_models: Path) -> None:
    program = program_of(shared_models / "resnet18.script.pt", *IMAGE)
    kinds = {weight.path: weight.kind for weight in program.weights}
    assert kinds["layer1.0.conv1.weight"] is WeightKind.PARAMETER
    assert kinds["layer1.0.bn1.running_mean"] is WeightKind.BUFFER
    assert kinds["layer1.0.bn1.num_batches_tracked"] is WeightKind.BUFFER


def test_gpt2_runs_although_loading_compares_constants(shared_models: Path) -> None:
    program = program_of(shared_models / "gpt2.trace.pt", *TEXT)
    assert trainable(program) == 124_439_808
    storages: dict[str, list[str]] = {}
    for weight in program.weights:
        storages.setdefault(weight.storage, []).append(weight.path)
    tied = [paths for paths in storages.values() if len(paths) > 1]
    assert tied == [["m.transformer.wte.weight", "m.lm_head.weight"]]
    assert operators(program).count("scaled_dot_product_attention") == 12
    assert [value.name for value in program.inputs] == ["input_ids", "attention_mask"]


def test_graphs_count_what_is_published(shared_models: Path) -> None:
    graph = planner.load(shared_models / "gpt2.trace.pt", inputs=TEXT)
    assert graph.summary()["trainable_parameters"] == 124_439_808
    assert graph.summary()["forward_macs"] == 16_114_089_984
    graph = planner.load(shared_models / "googlenet.script.pt", inputs=IMAGE)
    assert graph.summary()["forward_macs"] == 1_498_376_192
    again = planner.load(shared_models / "googlenet.script.pt", inputs=IMAGE)
    assert again.digest == graph.digest


@pytest.mark.parametrize("form", ["resnet18.trace", "googlenet.script", "mobilenet_v2.trace"])
def test_archives_and_exports_run_the_same(shared_models: Path, form: str) -> None:
    from planner.frontends.torch_export import read_file

    export = shared_models / f"{form.split('.')[0]}.pt2"
    exported, _ = read_file(export, where="m.pt2", options=LoadOptions())
    recorded = program_of(shared_models / f"{form}.pt", *IMAGE)
    ours, theirs = (
        [(call.operator, call.path, [o.shape for o in call.outputs if o]) for call in program.calls]
        for program in (recorded, exported)
    )
    assert ours == theirs


def test_an_export_may_be_called_pt(shared_models: Path, tmp_path: Path) -> None:
    path = tmp_path / "resnet18.pt"
    path.write_bytes((shared_models / "resnet18.pt2").read_bytes())
    assert planner.load(path).summary()["trainable_parameters"] == 11_689_512
