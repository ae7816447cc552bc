"""Parts of a model, run one after another, compute what the whole model computes."""

from __future__ import annotations

import random
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import helper

from planner import zoo
from planner.errors import PlannerError
from planner.frontends.onnx_model.nodes import Node
from planner.frontends.onnx_model.running.parts import extract_part, named_nodes, with_types
from tests.support import onnx_models as models

Array = npt.NDArray[np.generic]
Arrays = dict[str, Array]

ZOO = ["lenet5", "resnet18", "mobilenet_v2", "googlenet", "gpt2"]
# Without Dropout in training mode, which is another one in every run.
FILES = [
    *("resnet18.dyn", "resnet18.ts", "resnet18.train", "googlenet.dyn", "googlenet.ts"),
    *("mobilenet_v2.ts", "densenet121.ts", "bert_base.dyn", "bert_base.ts", "gpt2.dyn"),
]


@cache
def noise() -> npt.NDArray[np.float32]:
    """Small positive numbers: variances must be positive, activations finite."""
    return np.random.default_rng(0).uniform(0.001, 0.04, 50257 * 768).astype(np.float32)


def random_tensor(tensor: onnx.TensorProto) -> Array:
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    shape = tuple(tensor.dims)
    values: Array = noise()[: int(np.prod(shape))].reshape(shape)
    if len(shape) > 1 and np.issubdtype(dtype, np.floating):
        values = values - np.float32(0.0205)
    return values.astype(dtype)


def run(part: onnx.ModelProto, feeds: Arrays) -> Arrays:
    """All outputs; weights that are absent are random."""
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    absent = [t for t in part.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    arrays = [random_tensor(tensor) for tensor in absent]
    given = [ort.OrtValue.ortvalue_from_numpy(array) for array in arrays]
    options.add_external_initializers([tensor.name for tensor in absent], given)
    session = ort.InferenceSession(
        part.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = [item.name for item in session.get_outputs()]
    needed = {item.name: feeds[item.name] for item in session.get_inputs()}
    return dict(zip(names, session.run(names, needed), strict=True))


def random_inputs(model: onnx.ModelProto) -> Arrays:
    generator = np.random.default_rng(1)
    feeds: Arrays = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        shape = [dim.dim_value for dim in kind.shape.dim]
        if kind.elem_type == onnx.TensorProto.FLOAT:
            feeds[value.name] = generator.standard_normal(shape, np.float32)
        else:
            feeds[value.name] = generator.integers(0, 2, shape)
    return feeds


def closed_set(nodes: list[Node], size: int, seed: int) -> set[str]:
    """Names of `size` random operators that read nothing of the others."""
    generator = random.Random(seed)
    producer = {name: index for index, node in enumerate(nodes) for name in node.outputs}
    needs = [
        {producer[name] for name in (*node.inputs, *node.captured) if name in producer}
        for node in nodes
    ]
    done: set[int] = set()
    waiting = set(range(len(nodes)))
    while len(done) < size:
        ready = sorted(index for index in waiting if needs[index] <= done)
        # Deep into one branch, then into another: cuts inside blocks.
        pick = ready[-1] if generator.random() < 0.7 else generator.choice(ready)
        waiting.remove(pick)
        done.add(pick)
    return {nodes[index].name for index in done}


def check_cut(model: onnx.ModelProto, first: set[str], feeds: Arrays, expected: Arrays) -> int:
    """Run both parts; return how many tensors cross."""
    second = {node.name for node in named_nodes(model)} - first
    found = dict(feeds)
    crossing = 0
    for names in (first, second):
        part = extract_part(model, names)
        made = {name for node in part.graph.node for name in node.output}
        assert made.isdisjoint(value.name for value in part.graph.input)
        if names is second:
            crossing = sum(value.name not in feeds for value in part.graph.input)
        if part.graph.output:
            found |= run(part, feeds | found)
    for name, array in expected.items():
        scale = np.abs(array).max() + 1e-12
        np.testing.assert_allclose(found[name] / scale, array / scale, atol=1e-4)
    return crossing


def check_model(model: onnx.ModelProto, n_cuts: int) -> list[int]:
    model = with_types(model)
    nodes = named_nodes(model)
    feeds = random_inputs(model)
    expected = run(model, feeds)
    assert all(np.isfinite(array).all() for array in expected.values())
    sizes = [round(len(nodes) * (k + 1) / (n_cuts + 1)) for k in range(n_cuts)]
    return [
        check_cut(model, closed_set(nodes, size, seed), feeds, expected)
        for seed, size in enumerate(sizes)
    ]


@pytest.mark.parametrize("name", ZOO)
def test_halves_of_zoo_models_compute_what_the_whole_computes(name: str) -> None:
    check_model(zoo.build(name, sequence=8), 3)


@pytest.mark.parametrize("name", FILES)
def test_halves_of_exported_models_compute_what_the_whole_computes(
    name: str, shared_models: Path
) -> None:
    model = onnx.load(shared_models / f"{name}.onnx", load_external_data=False)
    check_model(model, 2)


@pytest.mark.parametrize("kind", ["conditional", "loop", "shape_chain", "convnet"])
def test_captured_tensors_and_shape_chains_cross(kind: str) -> None:
    model = onnx.load_from_string(models.all_models()[kind])
    if kind == "convnet":
        model.graph.node[5].input[2] = ""  # Dropout off
    if kind == "conditional":  # onnxruntime is given the absent weights of the outermost graph only
        for attribute in model.graph.node[3].attribute:
            for inner in attribute.g.initializer:
                inner.CopyFrom(onnx.numpy_helper.from_array(random_tensor(inner), inner.name))
    feeds = random_inputs(model)
    expected = run(model, feeds)
    nodes = named_nodes(model)
    for size in range(len(nodes) + 1):
        for seed in range(3):
            check_cut(model, closed_set(nodes, size, seed), feeds, expected)


def test_what_a_body_captures_is_an_input_or_a_weight_of_its_part() -> None:
    model = onnx.load_from_string(models.conditional())
    part = extract_part(model, {"if"})
    assert [value.name for value in part.graph.input] == ["cond", "h"]
    assert [tensor.name for tensor in part.graph.initializer] == ["w"]
    assert [value.name for value in part.graph.output] == ["y"]


def test_weights_behind_identities_and_constants_do_not_cross(shared_models: Path) -> None:
    model = with_types(onnx.load(shared_models / "resnet18.ts.onnx", load_external_data=False))
    nodes = named_nodes(model)
    first = {node.name for node in nodes[: len(nodes) * 3 // 10]}
    part = extract_part(model, {node.name for node in nodes} - first)
    # A prefix of the file's order takes 15 weights behind Identity for activations.
    assert len(part.graph.input) <= 2


def identity_model() -> onnx.ModelProto:
    node = helper.make_node
    return onnx.load_from_string(
        models.model(
            [
                node("Identity", ["w"], ["w2"], name="copy"),
                node("MatMul", ["x", "w2"], ["a"], name="one"),
                node("MatMul", ["a", "w2"], ["b"], name="two"),
            ],
            [models.tensor("x", [2, 8])],
            ["b", "w2"],
            [models.weight("w", 8, 8), models.weight("unused", 3)],
        )
    )


def test_both_parts_compute_what_depends_on_weights_alone() -> None:
    model = identity_model()
    for name, inputs, outputs in (("one", ["x"], ["a"]), ("two", ["a"], ["b", "w2"])):
        part = extract_part(model, {name, "copy"} if name == "two" else {name})
        assert [value.name for value in part.graph.input] == inputs
        assert [node.name for node in part.graph.node] == ["copy", name]
        assert sorted(value.name for value in part.graph.output) in (outputs, [*outputs, "w2"])
        assert [tensor.name for tensor in part.graph.initializer] == ["w"]
        assert part.graph.initializer[0].data_location == onnx.TensorProto.EXTERNAL


def test_more_outputs_are_returned_on_request() -> None:
    part = extract_part(identity_model(), {"one", "two"}, outputs=["a"])
    assert {value.name for value in part.graph.output} == {"a", "b", "w2"}


def test_unnamed_operators_go_by_the_names_of_the_graph() -> None:
    model = onnx.load_from_string(models.shape_chain())
    graph = models.load(models.shape_chain())
    assert {op.name for op in graph.operators} <= {node.name for node in named_nodes(model)}
    part = extract_part(model, {graph.operators[0].name})
    assert [node.op_type for node in part.graph.node] == [graph.operators[0].op]


def test_unknown_names_and_types_are_refused() -> None:
    model = identity_model()
    with pytest.raises(ValueError, match="three"):
        extract_part(model, {"three"})
    model.graph.node[1].domain = "somewhere"
    with pytest.raises(PlannerError) as caught:
        extract_part(model, {"two"})
    assert caught.value.code == "PLN207"
