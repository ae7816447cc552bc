"""Traces of onnxruntime as profiles, and files that are none: what `import-profile` accepts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
import pytest

import planner
from planner.costs.profile_file import Measurement, read_profile
from planner.errors import PlannerError
from planner.graphs.graph import Graph
from planner.graphs.signatures import model_digest
from planner.measuring.imports import import_measurement, import_profile, recognise
from tests.support.cli import chain, error_of, refused, run_planner, write_json_file
from tests.support.imported import layers, runtime_trace, trace, zoo_graph


def imported(folder: Path, document: object, graph: Graph) -> Measurement:
    return import_measurement(recognise(write_json_file(folder / "in.json", document)), graph)


def total(measurement: Measurement) -> float:
    return sum(row.forward.typical_s for row in measurement.nodes)


def seconds(measurement: Measurement) -> dict[str, float]:
    return {row.node: row.forward.typical_s for row in measurement.nodes}


def groups(measurement: Measurement) -> list[tuple[str, ...]]:
    return [group.nodes for group in measurement.groups]


def sequence(ops: Sequence[str]) -> Graph:
    """Operators `a`, `b`, … in a row, over tensors `a.out`, …"""
    nodes = [
        {
            "name": chr(97 + i),
            "op": op,
            "inputs": [f"{chr(96 + i)}.out" if i else "x"],
            "outputs": [{"name": f"{chr(97 + i)}.out", "dtype": "float32", "shape": [2, 8]}],
        }
        for i, op in enumerate(ops)
    ]
    document = {
        "kind": "graph",
        "version": 1,
        "inputs": [{"name": "x", "dtype": "float32", "shape": [2, 8]}],
        "outputs": [nodes[-1]["outputs"][0]["name"]],  # type: ignore[index]
        "nodes": nodes,
    }
    return planner.load(json.dumps(document).encode())


@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
@pytest.mark.parametrize("level", ["DISABLE_ALL", "ENABLE_EXTENDED", "ENABLE_ALL"])
def test_a_real_trace_sums_to_its_whole(tmp_path: Path, name: str, level: str) -> None:
    path, graph = zoo_graph(tmp_path, name)
    found = import_profile(runtime_trace(path, level, tmp_path), graph).measurements[0]
    path.with_suffix(".weights").unlink()
    assert found.whole is not None
    assert total(found) == pytest.approx(found.whole.forward.typical_s, rel=1e-9)
    assert [row.node for row in found.nodes] == [o.name for o in graph.operators]
    assert found.digest == model_digest(graph)
    assert (found.batch, found.mode, found.engine.provider) == (1, "inference", "cpu")
    assert found.whole.forward.n_runs == 5
    assert bool(found.groups) == (level != "DISABLE_ALL")
    convolutions = [row for row in found.nodes if row.op == "Conv"]
    assert all(row.forward.typical_s > 0 and row.forward.n_runs == 5 for row in convolutions)
    if level != "DISABLE_ALL":
        assert any("was guessed" in note for note in found.notes)


def test_guessed_fusions_are_those_of_the_optimised_model(tmp_path: Path) -> None:
    """What an optimised node writes is the last that its group computes."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path, graph = zoo_graph(tmp_path, "resnet18")
    found = import_profile(runtime_trace(path, "ENABLE_EXTENDED", tmp_path), graph)
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    optimised = onnx.load(tmp_path / "optimised.onnx", load_external_data=False)
    path.with_suffix(".weights").unlink()
    (tmp_path / "optimised.onnx").unlink()
    group_of = {name: set(g.nodes) for g in found.measurements[0].groups for name in g.nodes}
    n_groups = 0
    for node in optimised.graph.node:
        last = graph.operators[graph.tensors[graph.tensor_index[node.output[0]]].producer].name
        assert last in group_of.get(node.name, {node.name})
        n_groups += node.name in group_of
    assert n_groups == len(found.measurements[0].groups) == 20


def test_a_trace_at_another_batch(tmp_path: Path) -> None:
    path, _ = zoo_graph(tmp_path, "lenet5", batch=4)
    traced = runtime_trace(path, "DISABLE_ALL", tmp_path)
    _, one = zoo_graph(tmp_path, "lenet5", batch=1, force=True)
    with pytest.raises(PlannerError, match="was taken at 4 times the batch") as caught:
        import_profile(traced, one)
    assert [code for code, _ in error_of(caught.value)] == ["PLN612"]
    assert caught.value.hint is not None
    assert "`--batch 4`" in caught.value.hint
    assert import_profile(traced, one.rebatched(4)).measurements[0].batch == 4


def test_the_command(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "graph.json", chain(3))
    runs = [[("n0", "F", 10), ("n1", "F", 20), ("n2", "F", 30)]] * 5
    source = write_json_file(tmp_path / "trace.json", trace(runs))
    out = tmp_path / "profile.json"
    arguments = ("import-profile", source, "--graph", graph, "-o", out)
    outcome = run_planner(*arguments, "--machine", "orin")
    assert outcome.status == 0, outcome
    assert outcome.stdout == (
        "chain: 63.00 µs forward by onnxruntime; operators: 3, groups of them in one kernel: 0\n"
    )
    assert f"wrote {out}" in outcome.stderr
    profile = read_profile(out)
    assert profile.machine.name == "orin"
    found = seconds(profile.measurements[0])
    assert found == pytest.approx({"n0": 10.5e-6, "n1": 21e-6, "n2": 31.5e-6})
    assert refused(*arguments).codes() == ["PLN120"]
    assert run_planner(*arguments, "--force").status == 0
    assert read_profile(out).machine.name == "unknown"


def test_a_plan_keeps_groups_together(tmp_path: Path) -> None:
    path = write_json_file(tmp_path / "graph.json", chain(3))
    runs = [[("n0", "F", 900), ("n2", "F", 900)]] * 5
    source = write_json_file(tmp_path / "trace.json", trace(runs))
    out, plan = tmp_path / "profile.json", tmp_path / "plan.json"
    assert run_planner("import-profile", source, "--graph", path, "-o", out).status == 0
    flags = ("--server", "a100", "--uplink", "1Gbit/s", "--downlink", "1Gbit/s", "-o", plan)
    for pinned, other in (("n0=device", "n2=server"), ("n1=device", "n2=server")):
        command = ("plan", path, "--costs", out, *flags, "--pin", pinned, "--pin", other)
        assert run_planner(*command, "--force").status == 0
        placement = planner.read_plan(plan).placement
        assert placement == {"n0": "device", "n1": "device", "n2": "server"}


def test_what_a_kernel_without_a_name_took(tmp_path: Path) -> None:
    """It ran where a part of the graph must have run that has no time; a copy is nobody's."""
    graph = sequence(["MatMul", "Add", "Erf", "Mul", "MatMul"])
    run = [
        ("a/MatMulAddFusion", "Gemm", 40),
        ("gemm_output_reshape", "Reshape", 10),
        ("Gelu_token_3", "Gelu", 10),
        ("e", "MatMul", 40),
    ]
    found = imported(tmp_path, trace([run] * 4), graph)
    assert groups(found) == [("a", "b"), ("c", "d")]
    assert found.whole is not None
    assert found.whole.sum_forward_s == pytest.approx(90e-6)
    took = seconds(found)
    assert took["c"] / took["a"] == pytest.approx(1 / 4)
    assert took["b"] == took["d"] == 0
    assert any("10.0% of the time is that of 1 kernel of" in note for note in found.notes)
    assert any("of the time" not in note and "guessed" in note for note in found.notes)
    assert found.groups[1].edges == (("c", "d"),)


def test_a_kernel_named_by_what_it_writes(tmp_path: Path) -> None:
    graph = sequence(["Conv", "BatchNormalization", "Relu", "MaxPool"])
    run = [("c.out_nchwc", "Conv", 30), ("ReorderOutput", "ReorderOutput", 5), ("d", "MaxPool", 5)]
    assert groups(imported(tmp_path, trace([run] * 4), graph)) == [("a", "b", "c")]


def test_views_and_what_is_computed_beforehand_are_free(tmp_path: Path) -> None:
    found = imported(tmp_path, trace([[("a", "Conv", 30)]] * 4), sequence(["Conv", "Reshape"]))
    assert seconds(found)["b"] == 0
    assert not found.groups
    assert any("counted as free" in note and "`b`" in note for note in found.notes)
    assert found.nodes[1].forward.origin == "estimated"


def test_a_product_is_never_guessed(tmp_path: Path) -> None:
    """A trace of the first half of a model must not pass for one of the whole."""
    with pytest.raises(PlannerError, match="says nothing about 1 operator of") as caught:
        imported(tmp_path, trace([[("a", "Conv", 30)]] * 4), sequence(["Conv", "MatMul"]))
    assert [code for code, _ in error_of(caught.value)] == ["PLN613"]


def test_bodies_of_loops_count_once(tmp_path: Path) -> None:
    graph = sequence(["Conv", "Loop"])
    events = trace([[("a", "Conv", 30), ("b", "Loop", 100)]] * 4)
    inner = [
        {**event, "name": "inside_kernel_time", "ts": event["ts"] + 5, "dur": 20}
        for event in events
        if event["name"] == "b_kernel_time"
    ]
    found = imported(tmp_path, events + inner, graph)
    assert seconds(found)["b"] / seconds(found)["a"] == pytest.approx(100 / 30)


def test_incomplete_runs_are_left_out(tmp_path: Path) -> None:
    graph = sequence(["Conv", "Relu"])
    runs = [[("a", "Conv", 30), ("b", "Relu", 10)]] * 4 + [[("a", "Conv", 1)]]
    found = imported(tmp_path, trace(runs), graph)
    assert found.whole is not None
    assert found.whole.forward.n_runs == 4
    assert seconds(found)["a"] / seconds(found)["b"] == pytest.approx(3)


def test_object_form_and_other_events(tmp_path: Path) -> None:
    events = [{"ph": "M", "name": "process_name", "args": {}}, *trace([[("a", "Conv", 3)]])]
    found = imported(tmp_path, {"traceEvents": events}, sequence(["Conv"]))
    assert any("only 1 run of the model" in note for note in found.notes)


GOOD = trace([[("a", "Conv", 30), ("b", "Relu", 10)]] * 4)


def changed_event(**changes: object) -> list[dict[str, Any]]:
    return [{**GOOD[0], **changes}, *GOOD[1:]]


def changed_all(duration: int) -> list[dict[str, Any]]:
    return [{**event, "dur": duration} if event["cat"] == "Node" else event for event in GOOD]


@pytest.mark.parametrize(
    ("document", "code", "said"),
    [
        (changed_event(dur=-1), "PLN611", "`dur` is -1"),
        (changed_event(dur="7"), "PLN611", "`dur` is '7'"),
        (changed_event(ts=None), "PLN611", "`ts` is None"),
        (changed_event(dur=1e300), "PLN611", "expected microseconds"),
        (changed_event(dur=True), "PLN611", "`dur` is True"),
        ([*GOOD, 7], "PLN611", "is no trace event"),
        ([e for e in GOOD if e["cat"] == "Node"], "PLN614", "no event `model_run`"),
        ([e for e in GOOD if e["cat"] != "Node"], "PLN614", "no kernel in any run"),
        ([{**e, "ts": 0} for e in GOOD], "PLN614", "overlap"),
        ([{**e, "dur": 0} for e in GOOD], "PLN614", "took any time"),
        (changed_all(0), "PLN614", "the model's operators took 0 s"),
        (trace([[("a", "Conv", 3)]], provider="CUDAExecutionProvider"), "PLN614", "launches"),
        (trace([[("", "Conv", 3), ("", "Relu", 3)]]), "PLN612", "have no names"),
        (trace([[("p", "Conv", 3), ("q", "Relu", 3)]]), "PLN612", "2 of 2 timed layers"),
        ({"traceEvents": []}, "PLN614", "no event `model_run`"),
        ({"traceEvents": [[]]}, "PLN611", "is no trace event"),
        ({"kind": "profile"}, "PLN610", "kind `profile`"),
        ({"Layers": ["a"]}, "PLN610", "--exportLayerInfo"),
        ([{"startComputeMs": 1}], "PLN610", "--exportTimes"),
        ({"a": 1}, "PLN610", "looks like JSON"),
        ([], "PLN610", "looks like JSON"),
        ([[]], "PLN610", "looks like JSON"),
    ],
)
def test_refused_documents(tmp_path: Path, document: object, code: str, said: str) -> None:
    with pytest.raises(PlannerError) as caught:
        imported(tmp_path, document, sequence(["Conv", "Relu"]))
    assert {found for found, _ in error_of(caught.value)} == {code}
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "PLN104"),
        (b" \n", "PLN104"),
        (json.dumps(GOOD).encode()[:-40], "PLN611"),
        (json.dumps(layers({"a": 1.0})).encode()[:-1], "PLN611"),
        (b'[{"cat": "Node", "dur": NaN}]', "PLN106"),
        (b'[{"cat": "Node", "cat": "Node"}]', "PLN105"),
        (b'[{"cat" "Node"}]', "PLN104"),
        (b'[{"cat": "\xff"}]', "PLN104"),
        (b"[" * 100_000 + b"]" * 100_000, "PLN104"),
        (b"\x89HDF\r\n\x1a\n", "PLN610"),
        (b"\x00\x01\x02", "PLN610"),
        (b"some words", "PLN610"),
        (b"PK\x03\x04", "PLN610"),
    ],
)
def test_refused_files(tmp_path: Path, data: bytes, code: str) -> None:
    path = tmp_path / "in.json"
    path.write_bytes(data)
    graph = write_json_file(tmp_path / "graph.json", chain(2))
    outcome = refused("import-profile", path, "--graph", graph, "-o", tmp_path / "out.json")
    assert set(outcome.codes()) == {code}
    assert not (tmp_path / "out.json").exists()


def test_what_a_cut_off_file_lacks(tmp_path: Path) -> None:
    path = tmp_path / "in.json"
    path.write_bytes(json.dumps(GOOD).encode()[:-1])
    with pytest.raises(PlannerError, match=r"cut off.*end_profiling"):
        recognise(path)


def test_refused_commands(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "graph.json", chain(2))
    source = write_json_file(tmp_path / "in.json", GOOD)
    out = tmp_path / "out.json"
    base = ("import-profile", source, "-o", out)
    assert refused(*base).codes() == ["PLN616"]
    assert refused(*base, "--graph", graph, "--server-speed", "3").codes() == ["PLN616"]
    assert refused(*base, "--graph", graph, "--format", "tensorrt").codes() == ["PLN616"]
    assert refused(*base, "--graph", graph, "--format", "trtexec").codes() == ["PLN610"]
    assert refused(*base, "--graph", graph, "--format", "pipedream").codes() == ["PLN610"]
    assert refused(*base, "--graph", tmp_path / "none.json").codes() == ["PLN101"]
    assert refused(*base, "--graph", tmp_path).codes() == ["PLN102"]
    assert refused("import-profile", tmp_path, "--graph", graph, "-o", out).codes() == ["PLN102"]
    assert refused("import-profile", graph, "--graph", graph, "-o", out).codes() == ["PLN610"]
    assert refused("import-profile", source, "--graph", graph, "-o", source).codes() == ["PLN120"]
    forced = ("import-profile", source, "--graph", graph, "-o", source, "--force")
    assert refused(*forced).codes() == ["PLN121"]
    missing = ("import-profile", tmp_path / "no.json", "--graph", graph, "-o", out)
    assert refused(*missing).codes() == ["PLN101"]
    assert refused(*base, "--graph", graph).codes() == ["PLN612"]
