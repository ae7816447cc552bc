"""Models with a loss: the training form, under the same names, with what gradients need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from planner import zoo
from planner.drafts.frontend import LoadOptions
from planner.measuring.bundles import write_bundle
from planner.measuring.loss_models import LOSS
from planner.probe.bundle import Bundle
from tests.support.onnx_models import INT64, model, tensor, weight


def bundle_of(folder: Path, source: bytes | str, **options: Any) -> Bundle:
    path, target = folder / "net.onnx", folder / "bundle"
    if isinstance(source, bytes):
        path.write_bytes(source)
    else:
        zoo.write(source, path, **options)
    target.mkdir()
    write_bundle(target, path, options=LoadOptions())
    return Bundle(target)


def loss_of(bundle: Bundle) -> tuple[dict[str, Any], onnx.ModelProto, onnx.ModelProto]:
    entry = bundle.manifest["files"]["loss"]
    files = [bundle.folder / entry[key] for key in ("file", "update")]
    loss, update = (onnx.load(path, load_external_data=False) for path in files)
    return entry, loss, update


@pytest.mark.parametrize("name", ["lenet5", "resnet18", "mobilenet_v2"])
def test_nodes_keep_their_names_and_all_weights_are_inputs(tmp_path: Path, name: str) -> None:
    bundle = bundle_of(tmp_path, name)
    entry, loss, update = loss_of(bundle)
    names = [node.name for node in loss.graph.node]
    assert set(names) - {node["name"] for node in bundle.manifest["nodes"]} == {
        LOSS,
        f"{LOSS}#logits",
    }
    assert [value.name for value in loss.graph.output] == [LOSS]
    given = {value.name for value in loss.graph.input}
    assert set(entry["weights"]) <= given
    trainable = {w["name"] for w in bundle.manifest["weights"] if w["trainable"]}
    assert trainable <= set(entry["weights"])
    updated = {node.input[1]: node.name for node in update.graph.node}
    assert updated.keys() == set(entry["weights"])
    readers = {name: node.name for node in reversed(loss.graph.node) for name in node.input}
    assert updated == {n: f"{readers[n]}_Grad/update/{n}" for n in entry["weights"]}


def test_operators_have_the_outputs_that_their_gradients_read(tmp_path: Path) -> None:
    _, loss, _ = loss_of(bundle_of(tmp_path, "mobilenet_v2", training=True))
    outputs = {(node.domain, node.op_type): len(node.output) for node in loss.graph.node}
    assert outputs["com.microsoft", "BatchNormInternal"] == 5
    assert outputs["", "Dropout"] == 2
    assert ("", "BatchNormalization") not in outputs


def test_every_floating_point_output_that_depends_on_a_weight_is_in_the_loss(
    tmp_path: Path,
) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"], "product"),
        helper.make_node("Relu", ["y"], ["z"], "relu"),
        helper.make_node("Shape", ["y"], ["size"], "shape"),
        helper.make_node("Neg", ["x"], ["minus"], "neg"),
        helper.make_node("MatMul", ["x", "v"], ["unread"], "other"),
        helper.make_node("Shape", ["unread"], ["other_size"], "other_shape"),
    ]
    weights = [weight("w", 16, 16), weight("v", 16, 16)]
    data = model(nodes, [tensor("x", (2, 16))], ["y", "z", "size", "minus", "other_size"], weights)
    entry, loss, _ = loss_of(bundle_of(tmp_path, data))
    (total,) = [node for node in loss.graph.node if node.name == LOSS]
    assert list(total.input) == [f"{LOSS}#y", f"{LOSS}#z"]
    assert entry["weights"] == ["w"]


def test_what_has_no_gradients_has_no_loss(tmp_path: Path) -> None:
    nodes = [helper.make_node("Neg", ["x"], ["y"], "neg")]
    bundle = bundle_of(tmp_path, model(nodes, [tensor("x", (2, 3), INT64)], ["y"]))
    assert bundle.manifest["files"]["loss"] is None
    assert not (bundle.folder / "loss.onnx").exists()
