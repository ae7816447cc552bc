"""Which initializers become parameters, who reads them, and which are truly tied."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from planner.errors import PlannerError
from tests.support.onnx_models import (
    conditional,
    convnet,
    load,
    model,
    names,
    parameters,
    quantised,
    tensor,
    values,
    weight,
)

node = helper.make_node


def test_quantised_weights_are_frozen_and_have_the_right_bytes() -> None:
    graph = load(quantised())
    found = {p.name: (p.dtype, p.size_bytes, p.trainable) for p in graph.parameters}
    assert found == {
        "w": ("int8", 4 * 27, False),
        "b": ("int32", 16, False),
        "qw": ("int8", 4 * 36, False),
        "qb": ("int32", 16, False),
    }
    assert names(graph) == ["conv", "q", "qconv", "dq"]
    assert graph.warnings == ()
    sizes = {t.name: (t.dtype, t.size_bytes) for t in graph.tensors}
    assert sizes["q"] == ("uint8", 4 * 36)
    assert sizes["c"] == ("float32", 4 * 4 * 36)


@pytest.mark.parametrize(
    ("dtype", "bits"),
    [("FLOAT16", 16), ("BFLOAT16", 16), ("DOUBLE", 64), ("FLOAT8E4M3FN", 8), ("FLOAT", 32)],
)
def test_element_types_have_their_widths(dtype: str, bits: int) -> None:
    code = TensorProto.DataType.Value(dtype)
    data = model(
        [node("Reshape", ["w", "s"], ["r"]), node("Mul", ["x", "r"], ["y"])],
        [tensor("x", [3, 5], code)],
        [tensor("y", [3, 5], code)],
        [weight("w", 15, dtype=code), values("s", [3, 5])],
    )
    graph = load(data)
    assert [t.size_bytes for t in graph.tensors] == [15 * bits // 8] * 2
    assert [(p.size_bytes, p.trainable) for p in graph.parameters] == [(15 * bits // 8, True)]


def test_four_bit_weights_are_packed() -> None:
    data = model(
        [
            node("DequantizeLinear", ["w", "s"], ["f"], axis=0),
            node("MatMul", ["x", "f"], ["y"]),
        ],
        [tensor("x", [2, 5])],
        ["y"],
        [weight("w", 5, 3, dtype=TensorProto.INT4), weight("s", 5)],
        opset=21,
    )
    assert [(p.name, p.size_bytes) for p in load(data).parameters] == [("w", 8)]


def test_integers_are_constants_and_scalars_are_no_weights() -> None:
    data = model(
        [
            node("Gather", ["table", "ids"], ["e"]),
            node("Mul", ["e", "scale"], ["m"]),
            node("Pow", ["m", "two"], ["p"]),
            node("Clip", ["p", "low", "high"], ["c"]),
            node("Gather", ["c", "index"], ["y"], axis=1),
        ],
        [tensor("ids", [7], TensorProto.INT64)],
        ["y"],
        [
            weight("table", 10, 4),
            values("scale", 2.0, np.float32),
            values("two", [2.0], np.float32),
            values("low", 0.0, np.float32),
            values("high", 1.0, np.float32),
            weight("index", 1000, dtype=TensorProto.INT64),
        ],
    )
    assert parameters(load(data)) == {"table": ["e"]}


def test_frozen_globs() -> None:
    graph = load(convnet(), frozen=("fc*", "w"))
    assert [p.name for p in graph.parameters if p.trainable] == ["scale", "bias"]
    with pytest.raises(PlannerError, match=r"PLN208.*`wight` matches no parameter.*`w`"):
        load(convnet(), frozen=("wight",))


def test_weights_inside_branches_can_be_frozen() -> None:
    graph = load(conditional(), frozen=("if/*",))
    assert {p.name: p.trainable for p in graph.parameters} == {"w": True, "if/inner": False}


def test_one_matrix_read_directly_and_transposed_is_tied() -> None:
    data = model(
        [
            node("Gather", ["table", "ids"], ["e"]),
            node("Transpose", ["table"], ["t"], perm=[1, 0]),
            node("MatMul", ["e", "t"], ["y"]),
        ],
        [tensor("ids", [7], TensorProto.INT64)],
        ["y"],
        [weight("table", 10, 4)],
    )
    assert parameters(load(data)) == {"table": ["e", "y"]}
    assert parameters(load(data, untied=("ta*",))) == {"table": ["e"], "table#2": ["y"]}


def stack(layers: int, *, shared: bool, vectors: int = 1) -> bytes:
    """Layers of MatMul and `vectors` Adds that all read the one vector `b`."""
    nodes, weights, state = [], [weight("b", 8)], "x"
    for layer in range(layers):
        matrix = "w" if shared else f"w{layer}"
        if not shared or not layer:
            weights.append(weight(matrix, 8, 8))
        nodes.append(node("MatMul", [state, matrix], [f"m{layer}"]))
        state = f"m{layer}"
        for k in range(vectors):
            nodes.append(node("Add", [state, "b"], [f"a{layer}.{k}"]))
            state = f"a{layer}.{k}"
    return model(nodes, [tensor("x", [2, 8])], [state], weights)


def test_a_vector_of_many_layers_is_separated_with_one_note() -> None:
    graph = load(stack(4, shared=False))
    found = parameters(graph)
    assert [found[name] for name in ("b", "b#2", "b#3", "b#4")] == [[f"a{i}.0"] for i in range(4)]
    notes = [note for note in graph.notes if note.startswith("separated")]
    assert len(notes) == 1
    assert "1 parameter with 4 readers into 4 (`b`)" in notes[0]


def test_a_vector_that_goes_round_with_a_shared_matrix_is_tied() -> None:
    graph = load(stack(4, shared=True))
    assert parameters(graph) == {
        "b": [f"a{i}.0" for i in range(4)],
        "w": [f"m{i}" for i in range(4)],
    }
    assert graph.notes == ()


def test_several_vectors_of_a_shared_layer_that_were_merged_are_as_many_tied_ones() -> None:
    graph = load(stack(3, shared=True, vectors=2))
    assert parameters(graph) == {
        "b": ["a0.0", "a1.0", "a2.0"],
        "b#2": ["a0.1", "a1.1", "a2.1"],
        "w": ["m0", "m1", "m2"],
    }


def test_tied_and_untied_globs_override() -> None:
    assert len(parameters(load(stack(4, shared=False), tied=("b",)))["b"]) == 4
    assert len(parameters(load(stack(4, shared=True), untied=("b",)))) == 5
    with pytest.raises(PlannerError, match=r"PLN208.*`nope` matches no parameter"):
        load(stack(2, shared=True), tied=("nope",))


def test_a_bias_merged_with_a_running_mean_is_trained_only_where_it_is_a_bias() -> None:
    data = model(
        [
            node(
                "BatchNormalization",
                ["x", "ones", "zeros", "zeros", "ones"],
                ["y", "m", "v"],
                training_mode=1,
            )
        ],
        [tensor("x", [2, 4, 3])],
        ["y"],
        [weight("ones", 4), weight("zeros", 4)],
    )
    trainable = {p.name: p.trainable for p in load(data).parameters}
    assert trainable == {"ones": True, "ones#2": False, "zeros": True, "zeros#2": False}


def test_sparse_initializers_have_the_bytes_that_are_stored() -> None:
    data = onnx.ModelProto.FromString(
        model([node("MatMul", ["x", "w"], ["y"])], [tensor("x", [2, 50])], ["y"])
    )
    sparse = data.graph.sparse_initializer.add(dims=[50, 40])
    sparse.values.CopyFrom(values("w", [1.0, 2.0, 3.0], np.float32))
    sparse.indices.CopyFrom(values("", [0, 1, 2]))
    (found,) = load(data.SerializeToString()).parameters
    assert (found.name, found.shape, found.size_bytes) == ("w", (50, 40), 3 * 4 + 3 * 8)
