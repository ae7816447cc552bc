"""The 27 files that real exporters wrote: parameters, multiply-adds, blocks."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.drafts.frontend import LoadOptions
from planner.frontends.onnx_model import FRONTEND
from planner.graphs.graph import Graph

# Trainable elements of the module, and published GMACs by torchvision's metadata.
TRAINABLE = {
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "googlenet": 6_624_904,
    "densenet121": 7_978_856,
    "mobilenet_v2": 3_504_872,
    "squeezenet1_1": 1_235_496,
    "vgg16": 138_357_544,
    "gpt2": 124_439_808,
    "bert_base": 108_891_648,
}
GMACS = {
    "resnet18": 1.814,
    "resnet50": 4.089,
    "googlenet": 1.498,
    "densenet121": 2.834,
    "mobilenet_v2": 0.301,
    "squeezenet1_1": 0.349,
    "vgg16": 15.470,
    "gpt2": 16.114,
    "bert_base": 11.174,
}
TRANSFORMERS = ("gpt2", "bert_base")


def load(folder: Path, name: str, **options: int) -> Graph:
    return FRONTEND.load(folder / name, where=name, options=LoadOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", sorted(TRAINABLE))
def test_training_export_has_the_parameters_of_the_module(shared_models: Path, name: str) -> None:
    graph = load(shared_models, f"{name}.train.onnx")
    assert graph.summary()["trainable_parameters"] == TRAINABLE[name]
    assert not graph.is_inference_export


@pytest.mark.parametrize("variant", ["dyn", "ts", "train"])
@pytest.mark.parametrize("name", sorted(TRAINABLE))
def test_every_file_is_imported_with_the_published_macs(
    shared_models: Path, name: str, variant: str
) -> None:
    graph = load(shared_models, f"{name}.{variant}.onnx")
    macs = sum(graph.macs(operator) for operator in graph.operators)
    assert graph.batch == (2 if (name, variant) == ("googlenet", "train") else 1)
    assert round(macs / graph.batch / 1e9, 3) == GMACS[name]
    assert all(tensor.shape is not None for tensor in graph.tensors)
    if variant != "train":
        assert graph.is_inference_export
    assert not any("the computed ones are used" in warning for warning in graph.warnings)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_masks_are_merged_so_that_blocks_are_small(shared_models: Path, name: str) -> None:
    graph = load(shared_models, f"{name}.train.onnx")
    assert largest_block(graph) <= 33
    assert any(reason.startswith("duplicate") for reason in graph.folded.values())


@pytest.mark.parametrize("variant", ["dyn", "train"])
def test_embedding_and_head_of_gpt2_are_one_tied_parameter(
    shared_models: Path, variant: str
) -> None:
    graph = load(shared_models, f"gpt2.{variant}.onnx")
    tied = [p for p in graph.parameters if len(p.readers) > 1]
    assert [p.shape for p in tied] == [(50257, 768)]
    assert [graph.operators[r].op for r in tied[0].readers] == ["Gather", "MatMul"]


@pytest.mark.parametrize("variant", ["dyn", "ts"])
def test_vectors_that_the_exporter_merged_are_separated(shared_models: Path, variant: str) -> None:
    graph = load(shared_models, f"bert_base.{variant}.onnx")
    assert all(len(p.readers) == 1 for p in graph.parameters)
    assert graph.summary()["trainable_parameters"] == TRAINABLE["bert_base"]
    assert any(note.startswith("separated") and "122" in note for note in graph.notes) == (
        variant == "ts"
    )


def test_merged_running_statistics_are_buffers_again(shared_models: Path) -> None:
    graph = load(shared_models, "densenet121.ts.onnx")
    # 59 of 121 norms are folded into convolutions: two vectors of theirs became one bias.
    assert graph.summary()["trainable_parameters"] == TRAINABLE["densenet121"] - 7_488


def test_another_batch_scales_activations_and_macs_only(shared_models: Path) -> None:
    one, eight = (load(shared_models, "resnet18.train.onnx", batch=b) for b in (1, 8))
    assert eight.batch == 8
    assert eight.tensor_bytes.sum() == 8 * one.tensor_bytes.sum()
    assert eight.parameters == one.parameters
    assert eight.summary()["forward_macs"] == 8 * int(str(one.summary()["forward_macs"]))


def test_equal_files_and_options_have_equal_digests(shared_models: Path) -> None:
    first, again, other = (
        load(shared_models, "resnet18.dyn.onnx", **options) for options in ({}, {}, {"batch": 2})
    )
    assert first.digest == again.digest != other.digest
    assert first.operators == again.operators
    assert first.tensors == again.tensors


def largest_block(graph: Graph) -> int:
    """Operators of the largest gap between pivots, all inputs in vertex 0."""
    n = len(graph.operators) + 1
    latest, soonest = [-1] * n, [n] * n
    for tensor in graph.tensors:
        for consumer in tensor.consumers:
            latest[consumer + 1] = max(latest[consumer + 1], tensor.producer + 1)
            soonest[tensor.producer + 1] = min(soonest[tensor.producer + 1], consumer + 1)
    is_pivot = [True] * n
    lowest = n
    for p in range(n - 1, -1, -1):
        is_pivot[p] = lowest >= p
        lowest = min(lowest, latest[p])
    highest = -1
    for p in range(n):
        is_pivot[p] = is_pivot[p] and highest <= p
        highest = max(highest, soonest[p])
    pivots = [p for p in range(n) if is_pivot[p]]
    return max(b - a - 1 for a, b in zip(pivots, [*pivots[1:], n], strict=True))
