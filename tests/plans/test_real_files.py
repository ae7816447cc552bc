"""Every shared model file imports and plans; the zoo's equivalents always do."""

from __future__ import annotations

from pathlib import Path

import pytest

import planner
from planner import zoo
from planner.costs.cost_file import Costs, check_costs

MODELS = [
    "resnet18",
    "resnet50",
    "googlenet",
    "densenet121",
    "mobilenet_v2",
    "squeezenet1_1",
    "vgg16",
    "gpt2",
    "bert_base",
]
FILES = [f"{model}.{kind}.onnx" for model in MODELS for kind in ("dyn", "ts", "train")]
TRAINABLE = {
    "alexnet": 61_100_840,
    "vgg16": 138_357_544,
    "resnet18": 11_689_512,
    "resnet50": 25_557_032,
    "resnet152": 60_192_808,
    "googlenet": 6_624_904,
    "densenet121": 7_978_856,
    "mobilenet_v2": 3_504_872,
    "squeezenet1_1": 1_235_496,
    "vit_b_16": 86_567_656,
    "gpt2": 124_439_808,
    "bert_base": 109_482_240,
}
GIGA_MACS = {
    "resnet18": 1.814,
    "resnet50": 4.089,
    "vgg16": 15.470,
    "googlenet": 1.498,
    "densenet121": 2.834,
    "mobilenet_v2": 0.301,
    "squeezenet1_1": 0.349,
    "alexnet": 0.714,
    "vit_b_16": 17.564,
}


def costs(mode: str = "training", uplink_bps: float = 5e7) -> Costs:
    return check_costs(
        {
            "kind": "costs",
            "version": 1,
            "workload": {"mode": mode, "iterations_per_round": 20},
            "hosts": [
                {"name": "device", "model": "analytical", "hardware": "jetson-tx2"},
                {"name": "server", "model": "analytical", "hardware": "a100"},
            ],
            "links": [{"uplink_bps": uplink_bps, "downlink_bps": 1e8, "latency_s": 0.002}],
        },
        "test",
    )


def check_plans(graph: planner.Graph) -> None:
    for mode in ("training", "inference"):
        for uplink in (1e6, 5e7, 1e9):
            plan = planner.plan(graph, costs(mode, uplink))
            assert plan.certificate.holds
            delay = planner.evaluate(graph, costs(mode, uplink), plan.placement)
            assert delay.total_s == plan.total_s
            for row in plan.baselines:
                assert row.total_s is None or row.total_s >= plan.total_s * (1 - 1e-9)


@pytest.mark.parametrize("name", FILES)
def test_shared_file_plans_with_a_certificate(name: str, shared_models: Path) -> None:
    check_plans(planner.load(shared_models / name))


@pytest.mark.parametrize("name", [f for f in FILES if ".train." in f])
def test_shared_training_files_have_the_published_parameters(
    name: str, shared_models: Path
) -> None:
    model = name.split(".")[0]
    graph = planner.load(shared_models / name)
    # The pooler of this BERT does not reach the exported output.
    expected = 108_891_648 if model == "bert_base" else TRAINABLE[model]
    assert graph.summary()["trainable_parameters"] == expected
    assert not graph.is_inference_export


@pytest.mark.parametrize("name", [f for f in FILES if f.split(".")[0] in GIGA_MACS])
def test_shared_files_have_the_published_macs(name: str, shared_models: Path) -> None:
    graph = planner.load(shared_models / name)
    assert graph.batch is not None
    macs = sum(graph.macs(operator) for operator in graph.operators) / graph.batch
    assert round(macs / 1e9, 3) == GIGA_MACS[name.split(".")[0]]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", zoo.names())
def test_zoo_model_plans_with_the_published_counts(name: str, training: bool) -> None:
    graph = planner.load(zoo.build(name, training=training).SerializeToString())
    summary = graph.summary()
    if name in TRAINABLE:
        assert summary["trainable_parameters"] == TRAINABLE[name]
    if name in GIGA_MACS:
        assert isinstance(summary["forward_macs"], int)
        assert round(summary["forward_macs"] / 1e9, 3) == GIGA_MACS[name]
    check_plans(graph)


@pytest.mark.parametrize("name", ["resnet18", "gpt2"])
def test_zoo_training_model_plans_like_the_exported_one(name: str, shared_models: Path) -> None:
    ours = planner.load(zoo.build(name, training=True).SerializeToString())
    exported = planner.load(shared_models / f"{name}.train.onnx")
    for uplink in (1e6, 1e7, 1e8, 1e9):
        mine = planner.plan(ours, costs(uplink_bps=uplink)).total_s
        theirs = planner.plan(exported, costs(uplink_bps=uplink)).total_s
        assert mine == pytest.approx(theirs, rel=0.05)


def test_batch_scales_activations_and_macs_but_not_parameters() -> None:
    data = zoo.build("resnet18", training=True).SerializeToString()
    one, many = planner.load(data), planner.load(data, batch=32)
    assert many.batch == 32
    assert (32 * one.tensor_bytes == many.tensor_bytes).all()
    assert many.summary()["parameter_bytes"] == one.summary()["parameter_bytes"]
    assert many.summary()["forward_macs"] == 32 * one.summary()["forward_macs"]  # type: ignore[operator]
    exported_at_32 = planner.load(
        zoo.build("resnet18", batch=32, training=True).SerializeToString()
    )
    assert exported_at_32.summary()["forward_macs"] == many.summary()["forward_macs"]
    # BatchNormalization's running statistics do not grow with the batch, but are scaled, too.
    assert planner.plan(many, costs()).total_s == pytest.approx(
        planner.plan(exported_at_32, costs()).total_s, rel=1e-4
    )
