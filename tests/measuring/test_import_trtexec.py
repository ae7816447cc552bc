"""Per-layer times of `trtexec`: what the names of layers say, and files that are damaged."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

import planner
from planner.costs.profile_file import Measurement
from planner.errors import PlannerError
from planner.graphs.graph import Graph
from planner.measuring.imports import import_measurement
from planner.measuring.imports.recognition import Source, recognise
from planner.measuring.imports.tensorrt_names import LayerNames
from tests.measuring.test_import_profile import groups, seconds, total
from tests.support.cli import error_of, refused, write_json_file
from tests.support.imported import layers


def graph_of(edges: dict[str, tuple[str, str]], outputs: str) -> Graph:
    """Operators by name: type, and the names of what each reads, `x` being the input."""
    nodes = [
        {
            "name": name,
            "op": op,
            "inputs": ["x" if source == "x" else f"{source}.out" for source in sources.split()],
            "outputs": [{"name": f"{name}.out", "dtype": "float32", "shape": [1, 8]}],
        }
        for name, (op, sources) in edges.items()
    ]
    document = {
        "kind": "graph",
        "version": 1,
        "inputs": [{"name": "x", "dtype": "float32", "shape": [1, 8]}],
        "outputs": [f"{name}.out" for name in outputs.split()],
        "nodes": nodes,
    }
    return planner.load(json.dumps(document).encode())


CONVNET = graph_of(
    {
        "Conv_0": ("Conv", "x"),
        "Relu_1": ("Relu", "Conv_0"),
        "/block/conv1/Conv": ("Conv", "Relu_1"),
        "/block/conv2/Conv": ("Conv", "Relu_1"),
        "Sigmoid_4": ("Sigmoid", "/block/conv1/Conv"),
        "Mul_5": ("Mul", "/block/conv2/Conv Sigmoid_4"),
        "Reshape_6": ("Reshape", "Mul_5"),
        "Gemm_7": ("Gemm", "Reshape_6"),
    },
    "Gemm_7",
)
CONVNET_LAYERS = {
    "Reformatting CopyNode for Input Tensor 0 to Conv_0 + Relu_1": 0.5,
    "Conv_0 + Relu_1": 2.0,
    "/block/conv1/Conv || /block/conv2/Conv": 3.0,
    "PWN(PWN(Sigmoid_4), Mul_5)": 0.5,
    "reshape_before_Gemm_7": 0.25,
    "Gemm_7": 1.0,
    "(Unnamed Layer* 12) [Shuffle]": 0.5,
    "[HostToDeviceCopy]": 0.25,
}
TRANSFORMER = graph_of(
    {
        "/embed/Gather": ("Gather", "x"),
        "/layer.0/q/MatMul": ("MatMul", "/embed/Gather"),
        "/layer.0/k/MatMul": ("MatMul", "/embed/Gather"),
        "/layer.0/scores/MatMul": ("MatMul", "/layer.0/q/MatMul /layer.0/k/MatMul"),
        "/layer.0/Softmax": ("Softmax", "/layer.0/scores/MatMul"),
        "/layer.0/Add": ("Add", "/layer.0/Softmax /embed/Gather"),
        "/head/Conv": ("Conv", "/layer.0/Add"),
    },
    "/head/Conv",
)


def imported(document: object, graph: Graph) -> Measurement:
    source = Source(format="trtexec", where="layers.json", document=document)  # type: ignore[arg-type]
    return import_measurement(source, graph)


def test_names_of_layers() -> None:
    names = LayerNames(CONVNET)

    def found(layer: str) -> set[str]:
        return {CONVNET.operators[i].name for i in names.read(layer).operators}

    both = {"/block/conv1/Conv", "/block/conv2/Conv"}
    assert found("Conv_0 + Relu_1") == {"Conv_0", "Relu_1"}
    assert found("/block/conv1/Conv || /block/conv2/Conv") == both
    assert found("PWN(PWN(Sigmoid_4), Mul_5)") == {"Sigmoid_4", "Mul_5"}
    assert found("/block/conv2/Conv + PWN(PWN(Sigmoid_4), Mul_5)") == {
        "/block/conv2/Conv",
        "Sigmoid_4",
        "Mul_5",
    }
    assert found("node_of_Relu_1.out") == {"Relu_1"}
    assert found("unsqueeze_node_after_Gemm_7") == {"Gemm_7"}
    assert found("Conv_0 input reformatter 0") == {"Conv_0"}
    assert found("{ForeignNode[Reshape_6 [Constant]...Gemm_7]}") == {"Reshape_6", "Gemm_7"}
    assert found("(Unnamed Layer* 12) [Shuffle]") == set()
    assert found("[HostToDeviceCopy]") == set()
    assert found("((((") == found("Conv_99") == set()


@pytest.mark.parametrize("has_median", [True, False])
@pytest.mark.parametrize("count", [1, 100])
def test_fused_layers(has_median: bool, count: int) -> None:
    document = layers(CONVNET_LAYERS, count=count, has_median=has_median)
    found = imported(document, CONVNET)
    whole_ms = 8.0 if has_median else 8.08
    assert found.whole is not None
    assert found.whole.forward.typical_s == pytest.approx(whole_ms / 1000)
    assert found.whole.forward.n_runs == count
    assert total(found) == pytest.approx(whole_ms / 1000)
    assert groups(found) == [
        ("Conv_0", "Relu_1"),
        ("/block/conv1/Conv", "/block/conv2/Conv"),
        ("Sigmoid_4", "Mul_5"),
    ]
    took = seconds(found)
    assert took["Conv_0"] / took["Gemm_7"] == pytest.approx(2.5 / 1.25)
    assert took["Relu_1"] == took["Reshape_6"] == 0
    assert any("2 kernels of no operator" in note for note in found.notes)
    assert any("`Reshape_6`" in note for note in found.notes)


def test_old_files_have_total_times_alone() -> None:
    document = [{"count": 10}, *({"name": n, "timeMs": 30.0} for n in ("Conv_0", "Relu_1"))]
    graph = graph_of({"Conv_0": ("Conv", "x"), "Relu_1": ("Relu", "Conv_0")}, "Relu_1")
    assert seconds(imported(document, graph)) == pytest.approx({"Conv_0": 3e-3, "Relu_1": 3e-3})


def test_a_region_between_its_ends() -> None:
    found = imported(
        layers(
            {
                "/embed/Gather": 1.0,
                "{ForeignNode[/layer.0/q/MatMul.../layer.0/Add]}": 6.0,
                "Reformatting CopyNode for Output Tensor 0 to "
                "{ForeignNode[/layer.0/q/MatMul.../layer.0/Add]}": 1.0,
                "/head/Conv": 2.0,
            }
        ),
        TRANSFORMER,
    )
    inside = tuple(o.name for o in TRANSFORMER.operators if o.name.startswith("/layer.0"))
    assert groups(found) == [inside]
    assert seconds(found)[inside[0]] == pytest.approx(7e-3)


def test_a_region_kernel_by_kernel() -> None:
    """Newer versions list the kernels of a region, with names of which some are operators'."""
    found = imported(
        layers(
            {
                "/embed/Gather": 1.0,
                "__myl_MovSliTra_myl3_0": 0.5,
                "/layer_0/q/MatMul_myl3_1": 2.0,
                "__myl_MaxSubExpSum_myl3_2": 1.5,
                "/head/Conv": 2.0,
            }
        ),
        TRANSFORMER,
    )
    assert [len(names) for names in groups(found)] == [5]
    assert seconds(found)["/layer.0/q/MatMul"] == pytest.approx(4e-3)


def test_a_region_that_names_nothing() -> None:
    """What is left over of kernels and of operators is together."""
    named = {"/embed/Gather": 1.0, "/head/Conv": 2.0, "__myl_Add_myl0_1": 4.0}
    found = imported(layers(named), TRANSFORMER)
    assert [len(names) for names in groups(found)] == [5]
    assert seconds(found)["/layer.0/q/MatMul"] == pytest.approx(4e-3)


def test_layers_listed_twice_are_added_up() -> None:
    graph = graph_of({"Conv_0": ("Conv", "x"), "Relu_1": ("Relu", "Conv_0")}, "Relu_1")
    found = imported(layers([("Conv_0", 1.0), ("Relu_1", 1.0), ("Conv_0", 2.0)]), graph)
    assert seconds(found) == pytest.approx({"Conv_0": 3e-3, "Relu_1": 1e-3})
    assert any("listed more than once" in note for note in found.notes)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_partition_into_layers_sums_to_the_whole(data: st.DataObject) -> None:
    names = [operator.name for operator in CONVNET.operators]
    cuts = data.draw(st.lists(st.booleans(), min_size=len(names), max_size=len(names)))
    fused: list[list[str]] = []
    for name, is_new in zip(names, cuts, strict=True):
        if is_new or not fused:
            fused.append([])
        fused[-1].append(name)
    separator = data.draw(st.sampled_from([" + ", " || "]))
    times = {separator.join(group): data.draw(st.floats(0.001, 1e3)) for group in fused}
    times |= {"[HostToDeviceCopy]": data.draw(st.floats(0, 1e-3))}
    found = imported(layers(times), CONVNET)
    assert total(found) == pytest.approx(sum(times.values()) / 1000, rel=1e-9)
    assert groups(found) == [tuple(group) for group in fused if len(group) > 1]


GOOD = layers(CONVNET_LAYERS)


def changed(row: int, **values: object) -> list[dict[str, Any]]:
    return [{**r, **values} if i == row else r for i, r in enumerate(GOOD)]


@pytest.mark.parametrize(
    ("document", "code", "said"),
    [
        (changed(0, count=0), "PLN611", "`count` is 0"),
        (changed(0, count=1.5), "PLN611", "`count` is 1.5"),
        (changed(0, count=True), "PLN611", "`count` is True"),
        (changed(2, medianMs=-1.0), "PLN611", "`medianMs` is -1.0"),
        (changed(2, medianMs="1"), "PLN611", "expected milliseconds"),
        (changed(2, medianMs=math.nan), "PLN611", "`medianMs` is nan"),
        (changed(2, medianMs=1e300), "PLN611", "expected milliseconds"),
        (changed(2, medianMs=10**400), "PLN611", "expected milliseconds"),
        (changed(2, name=""), "PLN611", "has no `name`"),
        (changed(2, name=None), "PLN611", "has no `name`"),
        ([*GOOD, 3], "PLN611", "is no object"),
        ([{"count": 3}, {"name": "Conv_0"}], "PLN611", "has no `timeMs`"),
        ([{"name": "Conv_0", "timeMs": 1.0}], "PLN611", "no `count`"),
        ([{"count": 3}], "PLN614", "no layer"),
        (layers(dict.fromkeys(CONVNET_LAYERS, 0.0)), "PLN614", "no time"),
        (
            layers({**dict.fromkeys(CONVNET_LAYERS, 0.0), "[HostToDeviceCopy]": 1.0}),
            "PLN614",
            "a run took 0.001 s, of which the model's operators took 0 s",
        ),
        (changed(0, count=2**60), "PLN611", "`count` is 1152921504606846976"),
        (layers(dict.fromkeys(CONVNET_LAYERS, 9e11)), "PLN614", "the layers took 7.2e+09 s"),
        ([*GOOD, *GOOD[1:]], "PLN611", "more than one profile"),
        (layers({f"other_{i}": 1.0 for i in range(9)}), "PLN612", "9 of 9 timed layers"),
        (layers({**CONVNET_LAYERS, "other": 50.0}), "PLN612", "1 of 9 timed layers"),
        (layers({"Conv_0": 1.0}), "PLN613", "says nothing about 6 operators"),
    ],
)
def test_refused_documents(document: object, code: str, said: str) -> None:
    with pytest.raises(PlannerError) as caught:
        imported(document, CONVNET)
    assert [found for found, _ in error_of(caught.value)] == [code]
    assert said in str(caught.value)


def test_every_damaged_row_is_named(tmp_path: Path) -> None:
    rows = [{"count": 1}, {"name": "a", "timeMs": -1.0}, {"name": "b", "timeMs": "x"}]
    source = write_json_file(tmp_path / "in.json", rows)
    assert recognise(source).format == "trtexec"
    graph = write_json_file(tmp_path / "graph.json", {})
    out = tmp_path / "out.json"
    with pytest.raises(PlannerError) as caught:
        imported(rows, CONVNET)
    assert [place for _, place in error_of(caught.value)] == [
        "layers.json: $[1]",
        "layers.json: $[2]",
    ]
    assert refused("import-profile", source, "--graph", graph, "-o", out).codes() != []
