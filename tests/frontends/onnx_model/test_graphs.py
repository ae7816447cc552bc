"""ONNX constructs, one small model each: operators, names, and what is folded."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper

from planner.errors import PlannerError
from tests.support.onnx_models import (
    FLOAT,
    INT64,
    conditional,
    convnet,
    function_calls,
    load,
    loop,
    model,
    names,
    operator,
    parameters,
    reads,
    shape_chain,
    tensor,
    values,
    weight,
)

node = helper.make_node


def test_convnet_in_training_mode() -> None:
    graph = load(convnet())
    assert names(graph) == ["conv", "norm", "clip", "pool", "flatten", "drop", "fc"]
    assert [p.name for p in graph.parameters if not p.trainable] == ["mean", "var"]
    assert graph.batch == 2
    assert not graph.is_inference_export
    assert graph.summary()["forward_macs"] == 2 * (4 * 3 * 9 * 64 + 4 * 10)


def test_shape_arithmetic_is_evaluated_and_folded() -> None:
    graph = load(shape_chain())
    assert names(graph) == ["h", "r", "y"]
    assert [t.shape for t in graph.tensors] == [(2, 3, 8), (2, 3, 16), (2, 12, 4), (2, 12, 4)]
    assert set(graph.folded) >= {"s", "target", "mask_f"}
    assert graph.is_inference_export


def test_blocks_that_wait_for_each_other_are_settled_in_one_walk() -> None:
    nodes, state = [], "x"
    for i in range(60):
        nodes += [
            node("Shape", [state], [f"s{i}"]),
            node("ReduceProd", [f"s{i}"], [f"n{i}"], keepdims=1),
            node("Reshape", [state, f"n{i}"], [f"flat{i}"]),
            node("Mod", [f"n{i}", "seven"], [f"m{i}"]),
            node("Concat", [f"m{i}", "minus"], [f"t{i}"], axis=0),
            node("Reshape", [f"flat{i}", f"t{i}"], [f"r{i}"]),
        ]
        state = f"r{i}"
    weights = [values("seven", [7]), values("minus", [-1])]
    graph = load(model(nodes, [tensor("x", [4, 6])], [state], weights))
    assert len(graph.operators) == 120
    assert graph.tensors[-1].shape == (3, 8)


def test_branches_are_one_operator_that_reads_what_they_capture() -> None:
    graph = load(conditional())
    assert names(graph) == ["relu", "top", "cast", "if", "last"]
    assert reads(graph, "if") == ["cond", "h"]
    assert parameters(graph) == {"w": ["if"], "if/inner": ["if"]}


def test_loop_reads_the_weight_that_its_body_captures() -> None:
    graph = load(loop())
    assert parameters(graph) == {"w": ["loop"]}
    assert reads(graph, "loop") == ["x"]


def test_captures_count_when_sorting() -> None:
    body = helper.make_graph([node("Relu", ["h"], ["t"])], "t", [], [tensor("t", [2])])
    data = model(
        [
            node("If", ["c"], ["y"], name="if", then_branch=body, else_branch=body),
            node("Neg", ["x"], ["h"], name="neg"),
        ],
        [tensor("x", [2]), tensor("c", [], TensorProto.BOOL)],
        [tensor("y", [2])],
    )
    assert names(load(data)) == ["neg", "if"]


def test_local_functions_are_inlined() -> None:
    graph = load(function_calls())
    assert [op.op for op in graph.operators] == ["MatMul", "Mul", "Relu"] * 2
    assert len(set(names(graph))) == 6
    assert set(parameters(graph)) == {"w1", "s1", "w2", "s2"}


def test_function_that_calls_itself_is_refused() -> None:
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)]
    calls = [node("Again", ["a"], ["b"], domain="f"), node("Again", ["b"], ["c"], domain="f")]
    function = helper.make_function("f", "Again", ["a"], ["c"], calls, opsets)
    call = node("Again", ["x"], ["y"], domain="f")
    data = model([call], [tensor("x", [2])], ["y"], functions=[function], domains=["f"])
    with pytest.raises(PlannerError, match=r"PLN112.*calls itself"):
        load(data)


def test_functions_that_multiply_without_bound_are_refused() -> None:
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("f", 1)]
    functions = [
        helper.make_function(
            "f",
            f"F{i}",
            ["a"],
            ["c"],
            [
                node(f"F{i + 1}" if i < 40 else "Relu", ["a"], ["b"], domain="f" * (i < 40)),
                node(f"F{i + 1}" if i < 40 else "Relu", ["b"], ["c"], domain="f" * (i < 40)),
            ],
            opsets,
        )
        for i in range(41)
    ]
    call = node("F0", ["x"], ["y"], domain="f")
    data = model([call], [tensor("x", [2])], ["y"], functions=functions, domains=["f"])
    with pytest.raises(PlannerError, match=r"PLN112.*local functions make more than"):
        load(data)


def test_unnamed_nodes_and_second_uses_of_a_name_are_named_after_their_first_output() -> None:
    data = model(
        [
            node("Split", ["x"], ["a", "b"], num_outputs=2),
            node("Relu", ["a"], ["c"], name="act"),
            node("Relu", ["b"], ["d"], name="act"),
            node("Add", ["c", "d"], ["y"], name="e"),
            node("Neg", ["y"], ["e"]),
        ],
        [tensor("x", [4, 2])],
        ["e"],
    )
    graph = load(data)
    assert names(graph) == ["a", "act", "d", "e", "e#2"]
    assert any("`act` to `d`" in note for note in graph.notes)
    assert [graph.tensors[t].name for t in operator(graph, "a").outputs] == ["a", "b"]


def test_identical_operators_are_merged_and_constants_compared_by_value() -> None:
    data = model(
        [
            node("Constant", [], ["one"], value_float=1.0),
            node("Constant", [], ["uno"], value=values("", 1.0, np.float32)),
            node("Add", ["x", "one"], ["a"]),
            node("Add", ["x", "uno"], ["b"]),
            node("Add", ["x", "two"], ["c"]),
            node("Sum", ["a", "b", "c"], ["y"]),
        ],
        [tensor("x", [2])],
        ["y"],
        [values("two", 2.0, np.float32)],
    )
    graph = load(data)
    assert names(graph) == ["a", "c", "y"]
    assert graph.folded["b"] == "duplicate: same as `a`"


def test_masks_too_large_to_evaluate_are_merged_by_how_they_are_computed() -> None:
    value = values("", [0.0], np.float32)
    data = model(
        [
            node("ConstantOfShape", ["size"], ["m1"], value=value),
            node("ConstantOfShape", ["size"], ["m2"], value=value),
            node("Trilu", ["m1"], ["t1"]),
            node("Trilu", ["m2"], ["t2"]),
            node("Add", ["x", "t1"], ["a"]),
            node("Add", ["x", "t2"], ["b"]),
            node("Mul", ["a", "b"], ["y"]),
        ],
        [tensor("x", [4096, 4096])],
        ["y"],
        [values("size", [4096, 4096])],
    )
    graph = load(data)
    assert names(graph) == ["a", "y"]
    assert set(graph.folded) == {"m1", "m2", "t1", "t2", "b"}


@pytest.mark.parametrize("op", ["RandomNormalLike", "RandomUniformLike", "Bernoulli"])
def test_random_operators_are_not_merged(op: str) -> None:
    nodes = [node(op, ["x"], ["a"]), node(op, ["x"], ["b"]), node("Add", ["a", "b"], ["y"])]
    assert names(load(model(nodes, [tensor("x", [2])], ["y"]))) == ["a", "b", "y"]


@pytest.mark.parametrize(("mode", "expected"), [(True, ["a", "b", "y"]), (False, ["a", "y"])])
def test_dropout_is_merged_only_where_it_does_nothing(mode: bool, expected: list[str]) -> None:
    drop = [node("Dropout", ["x", "ratio", "mode"], [out]) for out in "ab"]
    data = model(
        [*drop, node("Add", ["a", "b"], ["y"])],
        [tensor("x", [2])],
        ["y"],
        [values("ratio", 0.1, np.float32), values("mode", mode, np.bool_)],
    )
    graph = load(data)
    assert names(graph) == expected
    assert graph.is_inference_export == (not mode)


def test_branches_with_random_operators_are_not_merged() -> None:
    body = helper.make_graph([node("RandomUniformLike", ["x"], ["t"])], "t", [], [tensor("t", [2])])
    nodes = [node("If", ["c"], [out], then_branch=body, else_branch=body) for out in "ab"]
    data = model(
        [*nodes, node("Add", ["a", "b"], ["y"])],
        [tensor("x", [2]), tensor("c", [], TensorProto.BOOL)],
        ["y"],
    )
    assert names(load(data)) == ["a", "b", "y"]


def test_a_left_out_output_before_a_present_one_is_not_merged() -> None:
    nodes = [
        node("TopK", ["x", "k"], ["", "i"], name="second"),
        node("TopK", ["x", "k"], ["v", "unread"], name="first"),
        node("Cast", ["i"], ["f"], to=FLOAT),
        node("Add", ["v", "f"], ["y"]),
    ]
    data = model(nodes, [tensor("x", [4])], ["y"], [values("k", [2])])
    assert names(load(data)) == ["second", "first", "f", "y"]


def test_dead_ends_and_unread_parameters_are_dropped() -> None:
    data = model(
        [node("Relu", ["x"], ["y"]), node("MatMul", ["x", "w"], ["dead"])],
        [tensor("x", [2, 2]), tensor("unread", [1])],
        ["y"],
        [weight("w", 2, 2)],
    )
    graph = load(data)
    assert names(graph) == ["y"]
    assert graph.folded == {"dead": "unused: nobody reads its results"}
    assert graph.parameters == ()
    assert len(graph.inputs) == 1


def test_identities_of_initializers_and_of_constants_are_folded() -> None:
    data = model(
        [
            node("Identity", ["w"], ["w2"]),
            node("Transpose", ["w2"], ["w3"], perm=[1, 0]),
            node("Identity", ["k"], ["k2"]),
            node("MatMul", ["x", "w3"], ["h"]),
            node("Clip", ["h", "k2"], ["y"]),
        ],
        [tensor("x", [2, 4])],
        ["y"],
        [weight("w", 3, 4), values("k", 0.0, np.float32)],
    )
    graph = load(data)
    assert names(graph) == ["h", "y"]
    assert parameters(graph) == {"w": ["h"]}
    assert operator(graph, "h").operand_shapes == ((2, 4), (4, 3))


def test_weights_that_are_outputs_have_an_operator() -> None:
    data = model(
        [node("Identity", ["w"], ["out"]), node("MatMul", ["x", "w"], ["y"])],
        [tensor("x", [2, 2])],
        [tensor("w", [2, 2]), tensor("out", [2, 2]), tensor("y", [2, 2])],
        [weight("w", 2, 2)],
    )
    graph = load(data)
    assert [graph.tensors[t].name for t in graph.outputs] == ["w", "out", "y"]
    assert [(op.name, op.op) for op in graph.operators if op.op == "Identity"] == [
        ("out", "Identity"),
        ("w", "Identity"),
    ]
    assert parameters(graph)["w"] == ["out", "y", "w"]


def test_constant_outputs_are_left_out_with_a_note() -> None:
    nodes = [node("Relu", ["x"], ["y"]), node("Shape", ["x"], ["s"])]
    graph = load(model(nodes, [tensor("x", [2, 3])], ["y", tensor("s", [2], INT64)]))
    assert [graph.tensors[t].name for t in graph.outputs] == ["y"]
    assert graph.notes == ("output `s` is a constant: every host has it",)
    with pytest.raises(PlannerError, match="PLN206"):
        load(model(nodes[1:], [tensor("x", [2, 3])], [tensor("s", [2], INT64)]))


def test_unsorted_nodes_are_sorted_and_cycles_refused() -> None:
    nodes = [node("Relu", ["b"], ["y"]), node("Neg", ["a"], ["b"]), node("Abs", ["x"], ["a"])]
    assert names(load(model(nodes, [tensor("x", [2])], [tensor("y", [2])]))) == ["a", "b", "y"]
    nodes = [node("Add", ["x", "b"], ["a"]), node("Neg", ["a"], ["b"]), node("Abs", ["b"], ["y"])]
    with pytest.raises(PlannerError, match=r"PLN203.*`a` -> `b` -> `a`"):
        load(model(nodes, [tensor("x", [2])], ["y"]))


def test_tensors_with_two_producers_are_refused() -> None:
    nodes = [node("Relu", ["x"], ["y"]), node("Neg", ["x"], ["y"]), node("Abs", ["y"], ["x"])]
    with pytest.raises(PlannerError) as caught:
        load(model(nodes, [tensor("x", [2])], ["y"]))
    assert [p.code for p in caught.value.problems] == ["PLN201", "PLN201"]


def test_initializers_among_the_inputs_are_no_inputs() -> None:
    data = model(
        [node("MatMul", ["x", "w"], ["y"])],
        [tensor("x", [2, 4]), tensor("w", [4, 3])],
        ["y"],
        [weight("w", 4, 3)],
        opset=9,
        ir_version=3,
    )
    graph = load(data)
    assert [graph.tensors[t].name for t in graph.inputs] == ["x"]
    assert graph.tensors[-1].shape == (2, 3)


@pytest.mark.parametrize("kind", ["sequence", "string"])
def test_values_that_are_no_dense_tensors_are_refused(kind: str) -> None:
    if kind == "sequence":
        nodes = [
            node("SequenceConstruct", ["x", "x"], ["s"]),
            node("ConcatFromSequence", ["s"], ["y"], axis=0),
        ]
    else:
        nodes = [
            node("Cast", ["x"], ["s"], to=TensorProto.STRING),
            node("Cast", ["s"], ["y"], to=FLOAT),
        ]
    with pytest.raises(PlannerError, match=rf"PLN210.*{kind}"):
        load(model(nodes, [tensor("x", [2])], [tensor("y", None)]))


def test_unknown_shapes_are_listed_with_their_operators_unless_dead() -> None:
    nodes = [
        node("NonZero", ["x"], ["n"]),
        node("Cast", ["n"], ["f"], to=FLOAT),
        node("Relu", ["x"], ["y"]),
    ]
    inputs = [tensor("x", [4])]
    assert names(load(model(nodes, inputs, ["y"]))) == ["y"]
    with pytest.raises(PlannerError, match=r"PLN207.*2 tensors.*`n` \(NonZero\), `f` \(Cast\)"):
        load(model(nodes, inputs, ["y", "f"]))


def test_foreign_operators_need_their_shapes_in_the_file_and_are_not_merged() -> None:
    nodes = [
        node("Magic", ["x"], ["a"], domain="acme"),
        node("Magic", ["x"], ["b"], domain="acme"),
        node("Add", ["a", "b"], ["y"]),
    ]
    inputs = [tensor("x", [2])]
    with pytest.raises(PlannerError, match=r"PLN207.*`a` \(Magic\)"):
        load(model(nodes, inputs, ["y"], domains=["acme"]))
    outputs = [tensor("y", [2]), tensor("a", [2]), tensor("b", [2])]
    assert names(load(model(nodes, inputs, outputs, domains=["acme"]))) == ["a", "b", "y"]


def test_a_model_that_the_inference_refuses_is_an_error_that_names_the_operator() -> None:
    data = model([node("TopK", ["x", "k"], ["y"], name="top")], [tensor("x", [4])], ["y"])
    with pytest.raises(PlannerError, match=r"PLN211.*node name: top"):
        load(data)


def test_empty_tensors_are_tensors() -> None:
    data = model([node("Relu", ["x"], ["y"])], [tensor("x", [0, 3])], ["y"])
    assert [t.size_bytes for t in load(data).tensors] == [0, 0]
