"""What assembly folds away, and what it must not."""

from __future__ import annotations

from collections.abc import Sequence

import onnx
import pytest
from onnx import TensorProto, helper

import planner
from planner.drafts.assembly import assemble
from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.graphs.gradients import needs_gradient
from planner.graphs.graph import Graph


def after(middle: str, *, requires_grad: bool | None = None, dtype: str = "float32") -> Graph:
    """w → `middle` → mul(x, ·): the gradient of `mul_out` depends on what the middle is."""
    weight = DraftParameter(name="w", size_bytes=64, dtype="float32", shape=(4, 4))
    output = DraftTensor(name="m", size_bytes=64, dtype=dtype, requires_grad=requires_grad)
    operators = [
        DraftOperator(
            name="middle",
            op=middle,
            operands=(Operand(OperandKind.PARAMETER, "w"),),
            outputs=(output,),
        ),
        DraftOperator(
            name="mul",
            op="Mul",
            operands=(Operand(OperandKind.TENSOR, "x"), Operand(OperandKind.TENSOR, "m")),
            outputs=(DraftTensor(name="mul_out", size_bytes=64, dtype="float32"),),
        ),
    ]
    return assemble(
        Draft(
            name="net",
            inputs=[DraftTensor(name="x", size_bytes=64, dtype="float32")],
            outputs=["mul_out"],
            parameters=[weight],
            operators=operators,
        )
    )


def gradient_of(graph: Graph, tensor: str) -> bool:
    return bool(needs_gradient(graph)[graph.tensor_index[tensor]])


@pytest.mark.parametrize("op", ["Identity", "Transpose", "Reshape", "Cast"])
def test_a_rearranged_parameter_is_read_by_its_readers(op: str) -> None:
    graph = after(op)
    assert [operator.name for operator in graph.operators] == ["mul"]
    assert "rearranges" in graph.folded["middle"] or "re-arranges" in graph.folded["middle"]
    assert gradient_of(graph, "mul_out")


@pytest.mark.parametrize("requires_grad", [False, True])
def test_a_rearrangement_that_decides_about_the_gradient_stays(requires_grad: bool) -> None:
    graph = after("Identity", requires_grad=requires_grad)
    assert len(graph.operators) == 2
    assert gradient_of(graph, "mul_out") is requires_grad


def test_a_cast_to_integers_stops_the_gradient_and_stays() -> None:
    graph = after("Cast", dtype="int64")
    assert len(graph.operators) == 2
    assert not gradient_of(graph, "mul_out")


def model(nodes: Sequence[onnx.NodeProto], **extra: object) -> bytes:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        list(nodes),
        "g",
        [info("x", TensorProto.FLOAT, [2, 4])],
        [info("y", TensorProto.FLOAT, [2, 4])],
        **extra,  # type: ignore[arg-type]
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my.ops", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()


def test_a_random_body_under_a_constant_condition_is_placed() -> None:
    noise = helper.make_node("RandomNormal", [], ["z"], "noise", shape=[2, 4])
    output = helper.make_tensor_value_info("z", TensorProto.FLOAT, [2, 4])
    body = helper.make_graph([noise], "body", [], [output])
    condition = helper.make_tensor("c", TensorProto.BOOL, [], [True])
    nodes = [
        helper.make_node("If", ["c"], ["i"], "if", then_branch=body, else_branch=body),
        helper.make_node("Add", ["x", "i"], ["y"], "add"),
    ]
    graph = planner.load(model(nodes, initializer=[condition]))
    assert [operator.name for operator in graph.operators] == ["if", "add"]


def test_declared_shapes_give_way_to_computed_ones() -> None:
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4, 6], [0.0] * 24)
    back = helper.make_tensor("v", TensorProto.FLOAT, [6, 4], [0.0] * 24)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["a"], "first"),
        helper.make_node("MatMul", ["a", "v"], ["y"], "second"),
    ]
    stale = helper.make_tensor_value_info("a", TensorProto.DOUBLE, [2, 9])
    graph = planner.load(model(nodes, initializer=[weight, back], value_info=[stale]))
    tensor = graph.tensors[graph.tensor_index["a"]]
    assert (tensor.shape, tensor.dtype, tensor.size_bytes) == ((2, 6), "float32", 48)
    assert graph.summary()["forward_macs"] == 96
    assert any("the computed ones are used" in warning for warning in graph.warnings)


def test_declared_shapes_serve_where_nothing_can_be_inferred() -> None:
    nodes = [
        helper.make_node("Mystery", ["x"], ["a"], "custom", domain="my.ops"),
        helper.make_node("Relu", ["a"], ["y"], "relu"),
    ]
    declared = helper.make_tensor_value_info("a", TensorProto.FLOAT, [2, 4])
    graph = planner.load(model(nodes, value_info=[declared]))
    assert graph.tensors[graph.tensor_index["a"]].shape == (2, 4)
    assert not graph.warnings
