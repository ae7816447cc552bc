"""Which operators share a kernel: on hand-made kernels, and on what onnxruntime really does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from planner.drafts.frontend import LoadOptions
from planner.measuring.bundles import write_bundle
from planner.probe.bundle import Bundle
from planner.probe.forward.kernels import Unit, units_of
from planner.probe.forward.sessions import SessionMaker
from planner.probe.forward.wire import Kernel, absent_initializers, read_kernels
from planner.probe.settings import Settings
from tests.support.onnx_models import model, tensor, weight

BLOCKED = "com.microsoft.nchwc"


def manifest(*nodes: tuple[str, str, str, str]) -> dict[str, Any]:
    """A manifest of nodes (name, op, inputs, outputs), read from `x`; "-name" is no operator."""
    listed = [
        {
            "name": name.lstrip("-"),
            "op": op,
            "inputs": inputs.split(),
            "outputs": outputs.split(),
            "operator": None if name.startswith("-") else name,
        }
        for name, op, inputs, outputs in nodes
    ]
    operators = [{"name": node["name"]} for node in listed if node["operator"]]
    return {"inputs": [{"name": "x"}], "nodes": listed, "operators": operators}


def kernel(name: str, op: str, inputs: str, outputs: str, **more: str) -> Kernel:
    return Kernel(
        name, op, more.pop("domain", ""), tuple(inputs.split()), tuple(outputs.split()), **more
    )


RESIDUAL = manifest(
    ("conv", "Conv", "x w", "c"),
    ("norm", "BatchNormalization", "c s", "n"),
    ("add", "Add", "n x", "a"),
    ("relu", "Relu", "a", "r"),
    ("last", "Conv", "r v", "y"),
)


def test_without_optimisation_every_operator_is_on_its_own() -> None:
    kernels = [
        kernel(node["name"], node["op"], " ".join(node["inputs"]), " ".join(node["outputs"]))
        for node in RESIDUAL["nodes"]
    ]
    units, left = units_of(RESIDUAL, kernels)
    assert units == [Unit((n["name"],), (i,)) for i, n in enumerate(RESIDUAL["nodes"])]
    assert left == []


def test_a_kernel_has_what_lies_between_its_output_and_its_inputs() -> None:
    kernels = [
        kernel("conv", "FusedConv", "x w", "n"),
        kernel("add", "FusedAdd", "n x", "r"),
        kernel("last", "Conv", "r v", "y"),
    ]
    units, _ = units_of(RESIDUAL, kernels)
    assert [unit.operators for unit in units] == [("conv", "norm"), ("add", "relu"), ("last",)]


def test_a_blocked_convolution_takes_the_sum_and_the_activation_behind_it() -> None:
    kernels = [
        kernel("ReorderInput", "ReorderInput", "x", "t0", domain=BLOCKED),
        kernel("n_nchwc", "Conv", "t0 w b t0", "t1", domain=BLOCKED, activation="Relu"),
        kernel("y_nchwc", "Conv", "t1 v", "t2", domain=BLOCKED),
        kernel("ReorderOutput", "ReorderOutput", "t2", "y", domain=BLOCKED),
    ]
    units, left = units_of(RESIDUAL, kernels)
    assert units == [Unit(("conv", "norm", "add", "relu"), (0, 1)), Unit(("last",), (2, 3))]
    assert left == []


def test_inserted_kernels_belong_to_what_they_serve() -> None:
    graph = manifest(("product", "MatMul", "x w", "p"), ("bias", "Add", "p b", "y"))
    kernels = [
        kernel("gemm_input_reshape", "Reshape", "x s", "g0"),
        kernel("product/MatMulAddFusion", "Gemm", "g0 w b", "g1"),
        kernel("gemm_output_reshape", "Reshape", "g1 s", "y"),
    ]
    assert units_of(graph, kernels) == ([Unit(("product", "bias"), (0, 1, 2))], [])


def test_a_removed_view_stays_free_and_what_was_fused_does_not() -> None:
    graph = manifest(
        ("first", "Relu", "x", "a"),
        ("view", "Reshape", "a s", "b"),
        ("drop", "Dropout", "b", "c"),
        ("scale", "Mul", "c k", "d"),
        ("last", "MatMul", "d w", "y"),
    )
    kernels = [kernel("first", "Relu", "x", "a"), kernel("m", "FusedMatMul", "a w", "y")]
    units, _ = units_of(graph, kernels)
    assert units == [
        Unit(("first",), (0,)),
        Unit(("view",), ()),
        Unit(("drop",), ()),
        Unit(("scale", "last"), (1,)),
    ]


def test_what_no_input_reaches_has_its_own_kernel_without_optimisation() -> None:
    graph = manifest(("table", "Gather", "w i", "t"), ("sum", "Add", "x t", "y"))
    kernels = [kernel("table", "Gather", "w i", "t"), kernel("sum", "Add", "x t", "y")]
    assert units_of(graph, kernels) == ([Unit(("table",), (0,)), Unit(("sum",), (1,))], [])
    assert units_of(graph, kernels[1:]) == ([Unit(("table",), ()), Unit(("sum",), (0,))], [])


def test_kernels_of_folded_nodes_go_to_who_reads_them() -> None:
    graph = manifest(("-turn", "Transpose", "w", "t"), ("product", "MatMul", "x t", "y"))
    kernels = [kernel("turn", "Transpose", "w", "t"), kernel("product", "MatMul", "x t", "y")]
    units, left = units_of(graph, kernels)
    assert [unit.operators for unit in units] == [("product",)]
    assert {*units[0].kernels, *left} == {0, 1}


def optimised(tmp_path: Path, data: bytes, **settings: Any) -> tuple[Bundle, list[Kernel]]:
    """The kernels that onnxruntime makes of a model."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    source = tmp_path / "model.onnx"
    source.write_bytes(data)
    write_bundle(tmp_path, source, options=LoadOptions())
    bundle = Bundle(tmp_path)
    target = tmp_path / "optimised.onnx"
    content = (tmp_path / bundle.manifest["files"]["inference"]).read_bytes()
    SessionMaker(bundle, Settings(**settings)).make(content, optimised=target)
    return bundle, read_kernels(target.read_bytes())


def convolutions() -> bytes:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "v"], ["d"], "conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["d", "r"], ["y"], "add"),
    ]
    weights = [weight("w", 16, 16, 3, 3), weight("v", 16, 16, 3, 3)]
    return model(nodes, [tensor("x", (1, 16, 8, 8))], ["y"], weights, opset=17, ir_version=8)


def test_what_onnxruntime_fuses_is_found(tmp_path: Path) -> None:
    bundle, kernels = optimised(tmp_path, convolutions(), optimization="extended")
    units, left = units_of(bundle.manifest, kernels)
    assert ("conv", "relu") in [unit.operators for unit in units]
    assert left == []
    assert all(unit.kernels for unit in units)


def test_every_level_covers_every_operator_once(tmp_path: Path) -> None:
    for level in ("disabled", "basic", "extended", "all"):
        bundle, kernels = optimised(tmp_path, convolutions(), optimization=level)
        units, left = units_of(bundle.manifest, kernels)
        names = sorted(name for unit in units for name in unit.operators)
        assert names == ["add", "conv", "conv2", "relu"]
        assert sorted([*left, *(k for u in units for k in u.kernels)]) == list(range(len(kernels)))
        if level == "disabled":
            assert all(len(unit.operators) == 1 for unit in units)


def test_the_reader_of_protobuf_agrees_with_onnx() -> None:
    data = convolutions()
    proto = onnx.ModelProto.FromString(data)
    assert [(k.name, k.op, list(k.inputs), list(k.outputs)) for k in read_kernels(data)] == [
        (n.name, n.op_type, list(n.input), list(n.output)) for n in proto.graph.node
    ]
    assert absent_initializers(data) == ["w", "v"]
