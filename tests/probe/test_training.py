"""The training measurement: by torch, and estimated where torch cannot do it."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

import planner
from planner import zoo
from planner.costs.profile_file import Measurement, check_profile
from planner.drafts.frontend import LoadOptions
from planner.measuring.bundles import write_bundle
from planner.measuring.gradient_models import write_gradient_models
from planner.probe.backward import gradient_graph, training
from planner.probe.backward.backward_ratios import FILE, RatioTable, read_ratios, variant_of
from planner.probe.backward.estimated_training import REMOVED, removed_dropouts
from planner.probe.backward.training import measure_training
from planner.probe.bundle import Bundle
from planner.probe.errors import ProbeError
from planner.probe.reporting import Reporter
from planner.probe.settings import Settings
from tests.support.onnx_models import model, tensor, values, weight

ort = pytest.importorskip("onnxruntime")

QUICK = Settings(threads=1, repeat=2, mode="training", backward="measure")
RATIO = Settings(threads=1, repeat=2, mode="training", backward="ratio")


def bundle_of(folder: Path, path: Path) -> Bundle:
    target = folder / "bundle"
    target.mkdir()
    write_bundle(target, path, options=LoadOptions())
    return Bundle(target)


def zoo_bundle(folder: Path, name: str, **options: Any) -> Bundle:
    path = folder / "net.onnx"
    zoo.write(name, path, **options)
    return bundle_of(folder, path)


def built_bundle(folder: Path, data: bytes) -> Bundle:
    path = folder / "net.onnx"
    path.write_bytes(data)
    return bundle_of(folder, path)


def checked(found: dict[str, Any]) -> Measurement:
    """The measurement as a profile's reader sees it."""
    machine = {"name": "test"}
    document = {"kind": "profile", "version": 1, "machine": machine, "measurements": [found]}
    return check_profile(json.loads(json.dumps(document)), "test").measurements[0]


def sums(found: Measurement) -> tuple[float, float]:
    backward = [row.backward.typical_s for row in found.nodes if row.backward is not None]
    return sum(row.forward.typical_s for row in found.nodes), sum(backward)


class Interrupting(Reporter):
    """Stops the measurement after some rounds."""

    def __init__(self, rounds: int) -> None:
        super().__init__()
        self.left = rounds

    def step(self, units: float = 1) -> None:
        self.left -= 1
        self.interrupted = self.left <= 0


@pytest.mark.parametrize("is_training_file", [False, True])
def test_torch_measures_every_operator(tmp_path: Path, is_training_file: bool) -> None:
    pytest.importorskip("torch")
    bundle = zoo_bundle(tmp_path, "squeezenet1_1", training=is_training_file)
    found = checked(measure_training(bundle, QUICK, Reporter()))
    operators = bundle.manifest["operators"]
    assert found.is_complete
    assert found.mode == "training"
    assert found.engine.name == "torch"
    assert not found.groups
    assert [row.node for row in found.nodes] == [item["name"] for item in operators]
    assert [row.backward is not None for row in found.nodes] == [
        item["has_backward"] for item in operators
    ]
    assert all(row.forward.origin == "measured" and row.forward.n_runs == 2 for row in found.nodes)
    assert found.whole is not None
    assert found.whole.backward is not None
    whole = (found.whole.forward.typical_s, found.whole.backward.typical_s)
    assert sums(found) == pytest.approx(whole)
    assert found.whole.sum_forward_s > 0


def transformer(folder: Path) -> Bundle:
    """Two readers of one tied matrix, a mask, and a tensor with two readers."""
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["rows"], "embed"),
        helper.make_node("Transpose", ["table"], ["turned"], "turn", perm=[1, 0]),
        helper.make_node("Mul", ["rows", "rows"], ["square"], "square"),
        helper.make_node("Add", ["rows", "square"], ["sum"], "sum"),
        helper.make_node("Identity", ["sum"], ["same"], "same"),
        helper.make_node("Dropout", ["same", "ratio"], ["dropped"], "drop"),
        helper.make_node("MatMul", ["dropped", "turned"], ["logits"], "head"),
        helper.make_node("ArgMax", ["logits"], ["best"], "best", axis=-1),
    ]
    return built_bundle(
        folder,
        model(
            nodes,
            [tensor("ids", (2, 5), onnx.TensorProto.INT64)],
            ["logits", tensor("best", None, onnx.TensorProto.INT64)],
            [weight("table", 50, 8), values("ratio", 0.25, np.float32)],
        ),
    )


def test_gradients_operator_by_operator_are_those_of_the_whole_step(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from planner.probe.backward import torch_training
    from planner.probe.backward.torch_engine import program_of

    for name, bundle in (
        ("tied", transformer(tmp_path)),
        ("lenet5", zoo_bundle(tmp_path / "lenet5", "lenet5", batch=2)),
    ):
        weights = {}
        for way in ("whole", "by_operator"):
            program = program_of(bundle)
            assert program.trainable, name
            step = torch_training.TrainingStep(program)
            for gradient in step.gradients.values():
                gradient.mul_(1e5)  # so that a step changes the weights visibly
            torch.manual_seed(3)
            getattr(step, way)()
            weights[way] = {key: program.values[key].detach() for key in program.trainable}
        before = program_of(bundle).values
        for key, value in weights["whole"].items():
            assert not torch.equal(value, before[key]), key
            np.testing.assert_allclose(value, weights["by_operator"][key], 1e-4, 1e-4)


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path) -> None:
    (tmp_path / "lenet5").mkdir()


def test_gradients_go_where_the_planner_says(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    bundle = transformer(tmp_path)
    found = checked(measure_training(bundle, QUICK, Reporter()))
    have = {row.node for row in found.nodes if row.backward is not None}
    assert have == {o["name"] for o in bundle.manifest["operators"] if o["has_backward"]}
    assert "best" not in have
    assert {"embed", "head"} <= have
    methods = {row.node: row.backward.method for row in found.nodes if row.backward is not None}
    assert not any("no gradient" in method for method in methods.values())


def test_an_interrupted_measurement_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    bundle = zoo_bundle(tmp_path, "lenet5")
    settings = Settings(threads=1, repeat=5, backward="measure")
    first = measure_training(bundle, settings, Interrupting(2))
    partial = checked(first)
    assert not partial.is_complete
    assert partial.unfinished["rounds_left"] == 3
    second = checked(measure_training(bundle, settings, Reporter(), partial.unfinished))
    assert second.is_complete
    assert second.whole is not None
    assert second.whole.forward.n_runs == 5
    assert second.whole.forward.typical_s >= 0
    assert all(row.forward.n_runs == 5 for row in second.nodes)


def test_an_interrupted_measurement_goes_on_in_the_same_way_only(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    bundle = zoo_bundle(tmp_path, "lenet5")
    first = measure_training(bundle, QUICK, Interrupting(1))
    with pytest.raises(ProbeError, match="threads"):
        measure_training(bundle, Settings(threads=2, repeat=2), Reporter(), first["unfinished"])


def test_a_busy_machine_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from planner.probe.backward import torch_training

    monkeypatch.setattr(torch_training.TrainingStep, "whole", lambda self: (9.0, 9.0))
    found = measure_training(zoo_bundle(tmp_path, "lenet5"), QUICK, Reporter())
    assert any("machine was busy" in note for note in found["notes"])


def test_too_little_memory_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    from planner.probe.backward import torch_training

    def fail(self: object) -> tuple[float, float]:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr(torch_training.TrainingStep, "whole", fail)
    with pytest.raises(ProbeError, match="training step at batch 1") as caught:
        measure_training(zoo_bundle(tmp_path, "lenet5"), QUICK, Reporter())
    assert caught.value.code == "PLN604"


def test_what_torch_lacks_is_noted_and_estimated(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    nodes = [
        helper.make_node("Mul", ["x", "scale"], ["scaled"], "mul"),
        helper.make_node(
            "AveragePool", ["scaled"], ["y"], "pool", kernel_shape=[2, 2], dilations=[2, 2]
        ),
    ]
    data = model(nodes, [tensor("x", (1, 2, 6, 6))], ["y"], [weight("scale", 1, 2, 6, 6)])
    found = checked(measure_training(built_bundle(tmp_path, data), QUICK, Reporter()))
    assert found.engine.name == "onnxruntime"
    assert any("torch lacks AveragePool" in note for note in found.notes)
    assert all(
        row.backward is not None and row.backward.origin == "estimated" for row in found.nodes
    )


@pytest.mark.parametrize("name", ["lenet5", "squeezenet1_1"])
def test_backward_by_ratio(tmp_path: Path, name: str) -> None:
    bundle = zoo_bundle(tmp_path, name)
    found = checked(measure_training(bundle, RATIO, Reporter()))
    has_backward = {o["name"]: o["has_backward"] for o in bundle.manifest["operators"]}
    assert found.is_complete
    assert found.engine.name == "onnxruntime"
    assert found.engine.optimization == "basic"
    assert {row.node: row.backward is not None for row in found.nodes} == has_backward
    assert all(row.forward.origin == "measured" for row in found.nodes)
    assert all(row.backward is None or row.backward.origin == "estimated" for row in found.nodes)
    assert found.whole is not None
    assert found.whole.backward is not None
    assert found.whole.backward.origin == "estimated"
    assert sums(found) == pytest.approx(
        (found.whole.forward.typical_s, found.whole.backward.typical_s)
    )


def test_removed_dropouts_are_noted() -> None:
    rows = [
        {"name": "a", "op": "Dropout", "forward": {"method": REMOVED}},
        {"name": "b", "op": "Dropout", "forward": {"method": "measured"}},
    ]
    assert "1 Dropout operators" in removed_dropouts({"nodes": rows})[0]
    assert not removed_dropouts({"nodes": rows[1:]})


def test_no_backward_at_all(tmp_path: Path) -> None:
    settings = Settings(threads=1, repeat=2, mode="training", backward="none")
    found = checked(measure_training(zoo_bundle(tmp_path, "lenet5"), settings, Reporter()))
    assert found.whole is not None
    assert found.whole.backward is None
    assert all(row.backward is None for row in found.nodes)


def test_without_torch_nothing_is_measured_by_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "has_torch", lambda: False)
    monkeypatch.setattr(gradient_graph, "is_available", lambda: False)
    monkeypatch.setitem(sys.modules, "torch", None)
    bundle = zoo_bundle(tmp_path, "lenet5")
    gradients = write_gradient_models(bundle.folder, planner.load(tmp_path / "net.onnx"))
    bundle.manifest["files"]["gradients"] = gradients
    found = checked(measure_training(bundle, QUICK, Reporter()))
    assert found.engine.name == "onnxruntime"
    assert any("torch is not installed" in note for note in found.notes)
    origins = {row.op: row.backward.origin for row in found.nodes if row.backward is not None}
    assert origins["Conv"] == "measured"
    assert origins["Gemm"] == "measured"


def test_ratios_come_with_where_they_are_from() -> None:
    document = json.loads(FILE.read_text("utf-8"))
    table = read_ratios()
    assert document["kind"] == "backward-ratios"
    assert "torch" in document["measured_with"]
    for row in document["ratios"]:
        assert 0 < row["low"] <= row["ratio"] <= row["high"]
        assert row["models"]
        assert table.find(row["op"], row["variant"]).ratio == row["ratio"]
    assert 1.5 < table.find("Conv").ratio < 4
    assert table.find("Conv", "depthwise").ratio > table.find("Conv").ratio
    assert 1 < table.find("MatMul").ratio < 4
    assert table.find("BatchNormalization").ratio < 2
    assert "types of activations" in table.find("Elu").provenance
    assert "all types" in table.find("MyOwn").provenance


def test_ratio_table_falls_back_step_by_step() -> None:
    table = RatioTable(
        {
            "measured_with": "a watch",
            "ratios": [{"op": "Conv", "variant": "", "ratio": 2.0, "models": ["a", "b"]}],
            "families": [
                {
                    "family": "products",
                    "ops": ["Conv", "MatMul"],
                    "ratio": 3.0,
                    "measured": ["Conv"],
                }
            ],
            "default": {"ratio": 4.0},
        }
    )
    assert table.find("Conv") == (2.0, "median of 2 models, a watch")
    assert table.find("Conv", "depthwise").ratio == 2
    assert table.find("MatMul") == (3.0, "median of 1 types of products, a watch")
    assert table.find("Relu").ratio == 4
    assert table.is_leading("MatMul")
    assert not table.is_leading("Relu")


def test_variants_of_convolutions_and_lookups() -> None:
    def node(op: str, inputs: Sequence[str], **attributes: int) -> dict[str, Any]:
        return {"op": op, "inputs": inputs, "attributes": attributes}

    shapes = {"dense": [4, 4, 3, 3], "point": [4, 4, 1, 1], "deep": [4, 1, 3, 3]}
    both = ("x", "dense", "point", "deep")
    assert variant_of(node("Conv", ["x", "dense"]), shapes, both) == ""
    assert variant_of(node("Conv", ["x", "dense"]), shapes, ["dense"]) == "first"
    assert variant_of(node("Conv", ["x", "point"]), shapes, both) == "pointwise"
    assert variant_of(node("Conv", ["x", "deep"], group=4), shapes, both) == "depthwise"
    assert variant_of(node("Conv", ["x", "dense"], group=2), shapes, both) == "grouped"
    assert variant_of(node("Gather", ["point", "ids"]), shapes, both) == "embedding"
    assert variant_of(node("Gather", ["x", "ids"]), shapes, both) == ""
    assert variant_of(node("Relu", ["x"]), shapes, both) == ""
