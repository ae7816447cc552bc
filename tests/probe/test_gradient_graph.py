"""The training measurement by onnxruntime-training."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from onnx import helper

from planner import zoo
from planner.costs.profile_file import Measurement, check_profile, read_profile
from planner.drafts.frontend import LoadOptions
from planner.drafts.loading import load
from planner.measuring.bundles import write_bundle
from planner.measuring.export import export_probe
from planner.probe.backward import gradient_graph, training
from planner.probe.backward.gradient_graph import build_gradients, step_units
from planner.probe.backward.training import measure_training
from planner.probe.bundle import Bundle
from planner.probe.forward.wire import Kernel
from planner.probe.reporting import Reporter
from planner.probe.settings import Settings
from tests.probe.test_export import environment
from tests.support.onnx_models import model, tensor, weight

PACKAGE = "onnxruntime-training-cpu==1.19.2"
QUICK = Settings(threads=1, repeat=3, mode="training", backward="measure")

pytest.importorskip("onnxruntime")
needs_training = pytest.mark.skipif(
    not gradient_graph.is_available(), reason="onnxruntime-training is not installed"
)


@pytest.fixture(autouse=True)
def _without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "has_torch", lambda: False)


def bundle_of(folder: Path, source: bytes | str, **options: Any) -> Bundle:
    path, target = folder / "net.onnx", folder / "bundle"
    if isinstance(source, bytes):
        path.write_bytes(source)
    else:
        zoo.write(source, path, **options)
    target.mkdir()
    write_bundle(target, path, options=LoadOptions(), max_opset=17)
    return Bundle(target)


def check(found: Measurement, names: list[str], receivers: set[str]) -> None:
    """Everything with a backward pass has one that was measured, and sums are the wholes."""
    assert found.is_complete
    assert found.engine.name == gradient_graph.NAME
    assert [row.node for row in found.nodes] == names
    backward = {row.node: row.backward for row in found.nodes if row.backward is not None}
    assert backward.keys() == receivers
    assert {timing.origin for timing in backward.values()} == {"measured"}
    assert found.whole is not None
    assert found.whole.backward is not None
    total_s = sum(row.forward.typical_s for row in found.nodes)
    assert total_s == pytest.approx(found.whole.forward.typical_s)
    total_s = sum(timing.typical_s for timing in backward.values())
    assert total_s == pytest.approx(found.whole.backward.typical_s)
    assert total_s > 0


def measured(bundle: Bundle, settings: Settings = QUICK) -> Measurement:
    found = measure_training(bundle, settings, Reporter())
    document = {"kind": "profile", "version": 1, "machine": {"name": "test"}}
    (measurement,) = check_profile({**document, "measurements": [found]}, "test").measurements
    return measurement


def test_probe_measures_a_step_where_onnxruntime_training_is_all_there_is(tmp_path: Path) -> None:
    path, probe, output = (tmp_path / name for name in ("lenet5.onnx", "probe.zip", "out.json"))
    zoo.write("lenet5", path)
    export_probe(path, probe, load_options=LoadOptions(), force=False)
    python = environment(tmp_path / "env", sys.executable, PACKAGE)
    command = [str(python), str(probe), "-o", str(output), "--repeat", "3"]
    command += ["--mode", "training", "--backward", "measure"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = read_profile(output).measurements
    # Everything in this network has weights, or reads what has.
    names = [operator.name for operator in load(path).operators]
    check(found, names, set(names))


def test_gradient_nodes_belong_to_the_node_that_they_are_named_after() -> None:
    nodes = [
        {"name": "turn", "op": "Transpose", "inputs": ["w"], "outputs": ["wt"], "operator": None},
        {"name": "one", "op": "MatMul", "inputs": ["x", "wt"], "outputs": ["y"], "operator": "one"},
        {"name": "a_Grad/b", "op": "Tanh", "inputs": ["y"], "outputs": ["z"]},
        {"name": "sum", "op": "Add", "inputs": ["y", "z"], "outputs": ["s"], "operator": "sum"},
    ]
    for node in nodes:
        node.setdefault("operator", node["name"])
    names = ["one", "a_Grad/b", "sum"]
    manifest = {
        "inputs": [{"name": "x"}],
        "nodes": nodes,
        "operators": [{"name": name, "has_backward": True} for name in names],
    }
    built = [
        Kernel("turn", "Transpose", "", ("w",), ("wt",)),
        Kernel("one", "MatMul", "", ("x", "wt"), ("y",)),
        Kernel("a_Grad/b", "Tanh", "", ("y",), ("z",)),
        Kernel("sum", "Add", "", ("y", "z"), ("s",)),
        Kernel("loss", "ReduceSum", "", ("s",), ("l",)),
        Kernel("loss_Grad/Expand_0", "Expand", "", ("s",), ("s_grad",)),
        Kernel("sum_Grad/Identity_0", "Identity", "", ("s_grad",), ("y_grad_1",)),
        Kernel("sum_Grad/Identity_1", "Identity", "", ("s_grad",), ("z_grad",)),
        Kernel("a_Grad/b_Grad/TanhGrad_0", "TanhGrad", "", ("z_grad", "z"), ("y_grad_0",)),
        Kernel("AccumulateGrad_y_grad", "Sum", "", ("y_grad_0", "y_grad_1"), ("y_grad",)),
        Kernel("one_Grad/Gemm_0", "Gemm", "", ("x", "y_grad"), ("wt_grad",)),
        Kernel("turn_Grad/Transpose_0", "Transpose", "", ("wt_grad",), ("w_grad",)),
        Kernel("one_Grad/update/w", "SGDOptimizer", "", ("w", "w_grad"), ("w_new",)),
    ]
    inserted = Kernel("new", "Transpose", "", ("y_grad",), ("turned",))
    kernels = [k for k in built if k.op != "Identity"]
    place = kernels.index(built[10])
    kernels[place : place + 1] = [inserted, built[10]._replace(inputs=("x", "turned"))]
    forward, backward, left = step_units(manifest, kernels, built)
    assert [unit.operators for unit in forward] == [("one",), ("a_Grad/b",), ("sum",)]
    ops = [sorted(kernels[k].op for k in unit.kernels) for unit in backward]
    assert ops == [["Gemm", "SGDOptimizer", "Transpose", "Transpose"], ["Sum", "TanhGrad"], []]
    assert [kernels[k].name for k in left] == ["loss", "loss_Grad/Expand_0"]
    assert sorted(left + [k for unit in (*forward, *backward) for k in unit.kernels]) == list(
        range(len(kernels))
    )


@needs_training
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("resnet18", {"training": True}),
        ("resnet18", {}),
        ("mobilenet_v2", {"training": True}),
        ("gpt2", {"training": True, "sequence": 8}),
    ],
)
def test_every_operator_with_a_gradient_is_measured(
    tmp_path: Path, name: str, options: dict[str, Any]
) -> None:
    bundle = bundle_of(tmp_path, name, **options)
    operators = bundle.manifest["operators"]
    names = [operator["name"] for operator in operators]
    check(measured(bundle), names, {o["name"] for o in operators if o["has_backward"]})


@needs_training
def test_what_the_package_can_measure_is_measured_unless_somebody_says_otherwise(
    tmp_path: Path,
) -> None:
    bundle = bundle_of(tmp_path, "lenet5")
    assert measured(bundle, replace(QUICK, backward=None)).engine.name == gradient_graph.NAME
    assert measured(bundle, replace(QUICK, backward="ratio")).engine.name == "onnxruntime"


@needs_training
def test_a_gradient_that_the_package_lacks_is_said_and_estimated(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], "product"),
        helper.make_node("Softsign", ["y"], ["z"], "sign"),
    ]
    data = model(nodes, [tensor("x", (2, 16))], ["z"], [weight("w", 16, 16)])
    bundle = bundle_of(tmp_path, data)
    with pytest.raises(gradient_graph.GradientsUnavailableError):
        build_gradients(bundle)
    found = measured(bundle)
    assert found.engine.name == "onnxruntime"
    assert any("builds no gradients" in note for note in found.notes)


@needs_training
def test_an_interrupted_measurement_goes_on(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, "lenet5")
    reporter = Reporter()
    reporter.step = lambda units=1.0: setattr(reporter, "interrupted", True)  # type: ignore[method-assign]
    first = measure_training(bundle, QUICK, reporter)
    assert not first["is_complete"]
    unfinished = json.loads(json.dumps(first["unfinished"]))
    assert unfinished["rounds_left"] == 2
    second = measure_training(bundle, QUICK, Reporter(), unfinished)
    assert second["is_complete"]
    assert second["whole"]["forward"]["n_runs"] == 3
