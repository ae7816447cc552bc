"""Bundles: every model file becomes one that runs without its weights, under the same names."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

from planner import zoo
from planner.drafts.frontend import LoadOptions
from planner.drafts.loading import load
from planner.errors import MeasuringError
from planner.graphs.signatures import model_digest
from planner.measuring.bundles import segments_of, write_bundle
from planner.probe.bundle import Bundle
from planner.probe.errors import ProbeError
from tests.support import onnx_models
from tests.support.onnx_models import INT64, model, tensor, values, weight

ORT = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def bundle_of(folder: Path, data: bytes, max_opset: int | None = None, **options: object) -> Bundle:
    """The bundle of a model given as bytes."""
    source = folder / "model.onnx"
    source.write_bytes(data)
    target = folder / "bundle"
    target.mkdir(exist_ok=True)
    write_bundle(target, source, options=LoadOptions(**options), max_opset=max_opset)  # type: ignore[arg-type]
    return Bundle(target)


def run(bundle: Bundle, file: str | None = None) -> list[np.ndarray]:
    """What onnxruntime makes of a file of the bundle."""
    from planner.probe.forward.sessions import SessionMaker
    from planner.probe.settings import Settings

    files = bundle.manifest["files"]
    content = (bundle.folder / (file or files["inference"] or files["training"])).read_bytes()
    session = SessionMaker(bundle, Settings()).make(content)
    return list(session.run(None, bundle.inputs_feed()))


@pytest.mark.parametrize("name", sorted(onnx_models.all_models()))
def test_small_models_run_and_keep_their_names(name: str, tmp_path: Path) -> None:
    data = onnx_models.all_models()[name]
    options: dict[str, object] = {"batch": 2} if name == "symbolic" else {}
    bundle = bundle_of(tmp_path, data, **options)
    graph = onnx_models.load(data, **options)
    manifest = bundle.manifest
    assert [item["name"] for item in manifest["operators"]] == [o.name for o in graph.operators]
    assert manifest["model"]["digest"] == model_digest(graph)
    assert {n["operator"] for n in manifest["nodes"]} - {None} <= graph.operator_index.keys()
    assert len(run(bundle)) == len(manifest["outputs"])


def test_shared_models_become_bundles(shared_models: Path, tmp_path: Path) -> None:
    for name in ("squeezenet1_1.ts", "mobilenet_v2.train", "googlenet.dyn", "gpt2.dyn"):
        source = shared_models / f"{name}.onnx"
        manifest = write_bundle(tmp_path, source, options=LoadOptions(), max_opset=17)
        names = {node["name"] for node in manifest["nodes"]}  # type: ignore[index, union-attr, call-overload]
        assert manifest["unmeasured"] == []
        assert {o["name"] for o in manifest["operators"]} <= names  # type: ignore[index, union-attr, call-overload]


@pytest.mark.parametrize("name", ["squeezenet1_1.dyn", "mobilenet_v2.train"])
def test_a_shared_model_runs_in_an_old_operator_set(
    name: str, shared_models: Path, tmp_path: Path
) -> None:
    write_bundle(tmp_path, shared_models / f"{name}.onnx", options=LoadOptions(), max_opset=17)
    bundle = Bundle(tmp_path)
    assert bundle.manifest["model"]["opset"] <= 17
    (output, *_) = run(bundle)
    assert np.isfinite(output).all()


def test_weights_are_left_out_and_the_same_every_time(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, onnx_models.convnet())
    assert bundle.weight_names()
    for name in bundle.weight_names():
        assert np.array_equal(bundle.weight(name), Bundle(bundle.folder).weight(name))
    (first, *_), (second, *_) = run(bundle), run(bundle)
    assert np.array_equal(first, second)
    assert not set(bundle.constants()) & set(bundle.weight_names())


def test_values_in_the_file_are_not_in_the_bundle(tmp_path: Path) -> None:
    secret = np.full((64, 64), 1234.5, np.float32)
    node = helper.make_node("MatMul", ["x", "w"], ["y"], "product")
    data = model([node], [tensor("x", (2, 64))], ["y"], [values("w", secret, np.float32)])
    bundle = bundle_of(tmp_path, data)
    assert bundle.weight_names() == ("w",)
    content = (bundle.folder / "inference.onnx").read_bytes()
    assert secret[0, :4].tobytes() not in content


def test_whole_numbers_stay_inside_what_they_index(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["ids"], ["cast"], "cast", to=INT64),
        helper.make_node("Add", ["cast", "two"], ["shifted"], "shift"),
        helper.make_node("Gather", ["table", "shifted"], ["rows"], "look_up"),
        helper.make_node("Cast", ["mask"], ["kept"], "keep", to=onnx.TensorProto.FLOAT),
        helper.make_node("Mul", ["rows", "kept"], ["y"], "hide"),
    ]
    inputs = [
        tensor("ids", (1, 5), onnx.TensorProto.INT32),
        tensor("mask", (1, 5, 1), INT64),
    ]
    data = model(nodes, inputs, ["y"], [weight("table", 40, 8), values("two", 2)])
    bundle = bundle_of(tmp_path, data)
    ranges = {item["name"]: (item["low"], item["high"]) for item in bundle.manifest["inputs"]}
    assert ranges["ids"] == (0, 38)
    assert ranges["mask"][0] in (0, 1)
    assert np.isfinite(run(bundle)[0]).all()


def test_training_form_has_batch_statistics_and_dropout(tmp_path: Path) -> None:
    norm = helper.make_node(
        "BatchNormalization", ["x", "s", "b", "mean", "var"], ["n"], "norm", epsilon=1e-5
    )
    drop = helper.make_node("Dropout", ["n"], ["y"], "drop")
    weights = [weight(name, 3) for name in ("s", "b", "mean", "var")]
    data = model([norm, drop], [tensor("x", (4, 3))], ["y"], weights, opset=17, ir_version=8)
    bundle = bundle_of(tmp_path, data)
    files = bundle.manifest["files"]
    assert files["inference"] != files["training"]
    training = onnx.load(str(bundle.folder / files["training"]), load_external_data=False)
    found = {node.name: node for node in training.graph.node}
    assert len(found["norm"].output) == 3
    assert found["drop"].input[2]
    assert not np.array_equal(run(bundle)[0], run(bundle, files["training"])[0])
    assert bundle.manifest["gradient_inputs"]["norm"] == ["s", "b"]


def test_a_file_in_training_form_has_no_inference(tmp_path: Path) -> None:
    source = tmp_path / "lenet.onnx"
    source.write_bytes(zoo.build("mobilenet_v2", training=True).SerializeToString())
    (tmp_path / "b").mkdir()
    manifest = write_bundle(tmp_path / "b", source, options=LoadOptions())
    assert manifest["files"]["inference"] is None  # type: ignore[index, call-overload]
    assert manifest["model"]["is_training_export"]  # type: ignore[index, call-overload]


def test_symbolic_dimensions_are_bound(tmp_path: Path) -> None:
    bundle = bundle_of(tmp_path, onnx_models.convnet(batch=("N",)), batch=3)
    assert bundle.manifest["inputs"][0]["shape"][0] == 3
    assert bundle.manifest["model"]["batch"] == 3
    assert run(bundle)[0].shape[0] == 3


def test_a_fixed_batch_is_rewritten_only_where_all_follows(tmp_path: Path) -> None:
    relu = helper.make_node("Relu", ["x"], ["y"], "relu")
    bundle = bundle_of(tmp_path, model([relu], [tensor("x", (2, 8))], ["y"]), batch=6)
    assert run(bundle)[0].shape == (6, 8)
    shape = helper.make_node("Reshape", ["x", "shape"], ["y"], "flat")
    data = model([shape], [tensor("x", (2, 8))], ["y"], [values("shape", [2, 8])])
    with pytest.raises(MeasuringError) as caught:
        bundle_of(tmp_path, data, batch=6)
    assert caught.value.code == "PLN608"


def test_an_operator_without_an_older_form_is_named(tmp_path: Path) -> None:
    node = helper.make_node("GroupNormalization", ["x", "s", "b"], ["y"], "groups", num_groups=2)
    weights = [weight("s", 2), weight("b", 2)]
    values_in, values_out = [tensor("x", (1, 4, 2, 2))], [tensor("y", (1, 4, 2, 2))]
    data = model([node], values_in, values_out, weights, opset=18)
    with pytest.raises(MeasuringError) as caught:
        bundle_of(tmp_path, data, max_opset=17)
    assert caught.value.code == "PLN605"
    assert "GroupNormalization" in str(caught.value)


def test_split_and_gelu_have_older_forms(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Split", ["x"], ["a", "b"], "split", axis=1, num_outputs=2),
        helper.make_node("Gelu", ["a"], ["g"], "gelu", approximate="tanh"),
        helper.make_node("Add", ["g", "b"], ["y"], "add"),
    ]
    bundle = bundle_of(tmp_path, model(nodes, [tensor("x", (2, 8))], ["y"]), max_opset=17)
    assert [node["name"] for node in bundle.manifest["nodes"]] == ["split", "gelu", "add"]
    assert run(bundle)[0].shape == (2, 4)


def test_a_graph_spec_cannot_be_run(tmp_path: Path) -> None:
    source = tmp_path / "toy.json"
    node = {"name": "f", "op": "Relu", "inputs": ["x"], "outputs": [{"name": "y", "bytes": 4}]}
    inputs = [{"name": "x", "bytes": 4}]
    spec = {"kind": "graph", "version": 1, "inputs": inputs, "outputs": ["y"], "nodes": [node]}
    source.write_text(json.dumps(spec))
    with pytest.raises(MeasuringError) as caught:
        write_bundle(tmp_path, source, options=LoadOptions())
    assert caught.value.code == "PLN605"
    assert "json" in caught.value.message


def test_segments_cover_every_operator_once_and_run(tmp_path: Path) -> None:
    source = tmp_path / "m.onnx"
    source.write_bytes(zoo.build("lenet5").SerializeToString())
    write_bundle(tmp_path, source, options=LoadOptions())
    graph = load(source)
    flat = [name for segment in segments_of(graph) for name in segment]
    assert flat == [operator.name for operator in graph.operators]
    listed = Bundle(tmp_path).manifest["files"]["segments"]
    assert [name for segment in listed for name in segment["operators"]] == flat


def test_what_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProbeError) as caught:
        Bundle(tmp_path)
    assert caught.value.code == "PLN605"
    (tmp_path / "manifest.json").write_text('{"kind": "bundle", "version": 99}')
    with pytest.raises(ProbeError, match="version 99"):
        Bundle(tmp_path)
