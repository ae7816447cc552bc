"""Modules and inputs on the command line: rules, tables, and what costs files say about inputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.costs.cost_file import check_costs
from planner.errors import PlannerError
from planner.frontends.json_spec import JsonSpec
from tests.graphs.test_modules import NAMES, constants, named, pin
from tests.support.cli import FLAGS, error_of, flat_costs, refused, run_planner, write_json_file

SPEC = {"name": "x", "dtype": "float32", "shape": [2, 3]}


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return write_json_file(tmp_path / "g.json", named(*NAMES))


@pytest.fixture
def costs(tmp_path: Path) -> Path:
    return write_json_file(tmp_path / "c.json", flat_costs())


def placed(*arguments: str | Path) -> dict[str, str]:
    outcome = run_planner("plan", *arguments, "--format", "json")
    assert outcome.status == 0, outcome.stderr
    return {entry["node"]: entry["host"] for entry in json.loads(outcome.stdout)["placement"]}


def section(text: str, heading: str) -> list[str]:
    """The lines below a heading, up to an empty one."""
    lines = text.splitlines()
    start = lines.index(heading) + 1
    return lines[start : lines.index("", start)]


def test_modules_are_pinned_and_kept_together(graph: Path, costs: Path) -> None:
    files = (graph, "--costs", costs)
    found = placed(*files, "--pin", "layer1.0=device", "--pin", "fc=server")
    assert {found[name] for name in NAMES[1:4]} == {"device"}
    found = placed(*files, "--together", "layer1", "--pin", "layer1.1.conv=server")
    assert {found[name] for name in NAMES[1:5]} == {"server"}
    found = placed(*files, "--together", "conv,layer1.1", "--pin", "layer1.1=server")
    assert found["conv"] == "server"


def test_a_group_is_a_module_or_several_names(graph: Path, costs: Path) -> None:
    files = (graph, "--costs", costs)
    for text in ("conv", "conv,conv", "layer1.0.relu", ",", ""):
        outcome = refused("plan", *files, "--together", text)
        assert (outcome.codes(), outcome.places()) == (["PLN119"], ["--together"])
    outcome = refused("plan", *files, "--together", "layer2")
    assert (outcome.codes(), outcome.places()) == (["PLN303"], ["--together"])


def test_contradictions_are_placed(tmp_path: Path, graph: Path) -> None:
    costs = write_json_file(tmp_path / "c.json", flat_costs(pins=[pin("layer1.0.conv", "server")]))
    for command in ("plan", "compare"):
        outcome = refused(command, graph, "--costs", costs, "--pin", "layer1=device", status=3)
        assert (outcome.codes(), outcome.places()) == (["PLN401"], ["--pin"])
        assert "because `layer1.0.conv` is pinned to `server`" in outcome.stderr
        assert "because `layer1` is pinned to `device`" in outcome.stderr
    outcome = refused("plan", graph, "--costs", costs, "--pin", "layer=device")
    assert outcome.hints()[0].startswith("did you mean `layer1`? operators and modules: ")


def test_a_folded_module(tmp_path: Path, costs: Path) -> None:
    graph = write_json_file(tmp_path / "folded.json", constants())
    outcome = refused("plan", graph, "--costs", costs, "--pin", "gone=device")
    assert (outcome.codes(), outcome.places()) == (["PLN304"], ["--pin"])
    assert run_planner("plan", graph, "--costs", costs, "--pin", "scale=device").status == 0


def test_a_plan_by_module(graph: Path, costs: Path) -> None:
    rules = ("--pin", "layer1.0.conv=device", "--pin", "layer1.0.relu=server")
    outcome = run_planner("plan", graph, "--costs", costs, *rules, "--all")
    assert section(outcome.stdout, "By module") == [
        "host    modules          operators",
        "device  conv                     1",
        "device  layer1.0.conv            1",
        "server  layer1.0.relu            1",
        "server  layer1.0.relu@1          1",
        "server  layer1.1                 1",
        "server  fc                       1",
    ]
    outcome = run_planner("plan", graph, "--costs", costs, *rules)
    assert section(outcome.stdout, "By module") == [
        "host    modules                              operators",
        "device  conv                                         1",
        "device  layer1.0.conv                                1",
        "server  layer1.0.relu … layer1.0.relu@1 (2)          2",
        "server  layer1.1                                     1",
        "server  fc                                           1",
    ]


@pytest.mark.parametrize(
    ("names", "pins"),
    [
        (NAMES, ["layer1=server", "conv=server", "fc=server"]),  # on one host
        (NAMES, ["conv=device", "layer1=server"]),  # nothing is split
        (("a", "b", "c"), ["a=device", "b=server"]),
        (("a.x", "b.y", "/c/d.0/e"), ["a.x=device", "b.y=server"]),
    ],
)
def test_no_section_that_says_nothing_new(
    tmp_path: Path, costs: Path, names: tuple[str, ...], pins: list[str]
) -> None:
    graph = write_json_file(tmp_path / "g.json", named(*names))
    flags = [part for text in pins for part in ("--pin", text)]
    outcome = run_planner("plan", graph, "--costs", costs, *flags)
    assert outcome.status == 0, outcome.stderr
    assert "By module" not in outcome.stdout


def _alternating(tmp_path: Path, prefix: str, count: int) -> tuple[Path, Path]:
    """Parallel branches, every other one on the server, each an operator in a module of its own."""
    document = named(*[f"{prefix}{i}.{part}" for i in range(count) for part in "ab"])
    nodes: list[dict[str, Any]] = document["nodes"]
    for first in nodes[::2]:
        first["inputs"] = ["x"]
    document["outputs"] = [node["outputs"][0]["name"] for node in nodes[1::2]]
    hosts = ("device", "server")
    pins = [pin(f"{prefix}{i}", hosts[i % 2]) for i in range(count)]
    graph = write_json_file(tmp_path / "g.json", document)
    return graph, write_json_file(tmp_path / "pins.json", flat_costs(pins=pins))


def test_a_long_section_is_cut_and_80_columns_wide(tmp_path: Path) -> None:
    graph, costs = _alternating(tmp_path, "block." + "very_long_name_" * 8, 30)
    text = run_planner("plan", graph, "--costs", costs, "--all", columns=80).stdout
    assert max(map(len, text.splitlines())) <= 80
    graph, costs = _alternating(tmp_path, "blocks.", 30)
    outcome = run_planner("plan", graph, "--costs", costs, "--all")
    assert len(section(outcome.stdout, "By module")) == 31
    outcome = run_planner("plan", graph, "--costs", costs)
    assert "By module" not in outcome.stdout  # as many runs of operators as modules


def test_more_rows_than_fit(tmp_path: Path) -> None:
    deep = [".".join(["m"] * n) + part for n in range(1, 12) for part in (".a", ".b")]
    graph = write_json_file(tmp_path / "g.json", named("first", *deep))
    costs = write_json_file(
        tmp_path / "c.json", flat_costs(pins=[pin(deep[-2]), pin(deep[-1], "server")])
    )
    outcome = run_planner("plan", graph, "--costs", costs, columns=80)
    lines = section(outcome.stdout, "By module")
    assert len(lines) == 13
    assert lines[-1].split() == ["…", "and", "2", "more;", "`--all`", "lists", "them"]
    assert max(map(len, lines)) <= 80


def test_inspect_shows_modules(graph: Path) -> None:
    outcome = run_planner("inspect", graph)
    assert section(outcome.stdout, "By module") == [
        "module         operators  FLOPs  parameters",
        "conv                   1      0           0",
        "layer1.0.conv          1      0           0",
        "layer1.0.relu          2      0           0",
        "layer1.1.conv          1      0           0",
        "fc                     1      0           0",
    ]
    document = json.loads(run_planner("inspect", graph, "--format", "json").stdout)
    zero = {"forward_flops": 0.0, "parameters": 0, "parameter_bytes": 0}
    assert document["modules"] == [
        {"name": "layer1", "operators": 4, **zero},
        {"name": "layer1.0", "operators": 3, **zero},
        {"name": "layer1.0.relu", "operators": 2, **zero},
    ]
    text = run_planner("inspect", graph, "--all").stdout
    names = [line.split()[0] for line in section(text, "By module")[1:]]
    assert names == ["layer1", "layer1.0", "layer1.0.relu"]


def test_inspect_without_modules(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "g.json", named("a", "b", "c.d", "/e/f.0/g"))
    assert "By module" not in run_planner("inspect", graph).stdout
    assert "modules" not in json.loads(run_planner("inspect", graph, "--format", "json").stdout)


def test_inspect_counts_a_tied_parameter_once_in_each_module(tmp_path: Path) -> None:
    document = named("a.x", "a.y", "b.z", "b")
    document["parameters"] = [{"name": "w", "dtype": "float32", "shape": [5]}]
    for position in (0, 1, 2):
        document["nodes"][position]["parameters"] = ["w"]
        document["nodes"][position]["forward_flops"] = 7
    graph = write_json_file(tmp_path / "g.json", document)
    found = json.loads(run_planner("inspect", graph, "--format", "json").stdout)["modules"]
    assert [tuple(entry.values()) for entry in found] == [("a", 2, 14, 5, 20), ("b", 2, 7, 5, 20)]
    rows = section(run_planner("inspect", graph).stdout, "By module")
    assert [row.split()[:2] for row in rows[1:]] == [["a.x", "1"], ["a.y", "1"], ["b", "2"]]


def test_inspect_of_many_modules(tmp_path: Path) -> None:
    graph = write_json_file(
        tmp_path / "g.json", named(*[f"m{i}.{k}" for i in range(40) for k in "ab"])
    )
    rows = section(run_planner("inspect", graph).stdout, "By module")
    assert len(rows) == 13
    assert rows[-1].startswith("… and 29 more; `--all` lists them")
    assert len(section(run_planner("inspect", graph, "--all").stdout, "By module")) == 41


def test_very_deep_names(tmp_path: Path, costs: Path) -> None:
    deep = ".".join(["m"] * 10_000)
    graph = write_json_file(tmp_path / "g.json", named(f"{deep}.a", f"{deep}.b"))
    assert run_planner("inspect", graph).status == 0
    pins = ("--pin", f"{deep}.a=device", "--pin", f"{deep}.b=server")
    assert run_planner("plan", graph, "--costs", costs, *pins, "--all").status == 0
    outcome = refused("plan", graph, "--costs", costs, "--pin", f"{deep}.c=device")
    assert len(outcome.hints()[0]) < 1000


# What costs files say about inputs.


def onnx_file(tmp_path: Path) -> Path:
    """A model with two inputs of symbolic shapes."""
    onnx = pytest.importorskip("onnx", reason="models are made with onnx")
    helper, proto = onnx.helper, onnx.TensorProto
    nodes = [helper.make_node("Add", ["x", "y"], ["z"], name="m.add")]
    values = [helper.make_tensor_value_info(n, proto.FLOAT, ["n", "k"]) for n in "xyz"]
    made = helper.make_model(
        helper.make_graph(nodes, "g", values[:2], values[2:]),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    path = tmp_path / "m.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def test_specs_of_a_costs_file_shape_the_model(tmp_path: Path) -> None:
    model = onnx_file(tmp_path)
    entry = {**SPEC, "host": "server"}
    costs = write_json_file(tmp_path / "c.json", flat_costs(inputs=[entry]))
    assert "PLN205" in refused("plan", model, *FLAGS).codes()
    for command in ("plan", "compare"):
        assert run_planner(command, model, "--costs", costs).status == 0
    plan = tmp_path / "plan.json"
    assert run_planner("plan", model, "--costs", costs, "-o", plan).status == 0
    assert run_planner("verify", plan, "--graph", model, "--costs", costs).status == 0
    assert json.loads(plan.read_text())["batch"] == 2
    graph = planner.load(model, inputs=planner.read_costs(costs).input_specs)
    assert graph.tensors[graph.inputs[0]].shape == (2, 3)


def test_flags_go_before_the_file(tmp_path: Path) -> None:
    model = onnx_file(tmp_path)
    files = (model, "--costs", write_json_file(tmp_path / "c.json", flat_costs(inputs=[SPEC])))

    def batch(*flags: str) -> int:
        outcome = run_planner("plan", *files, *flags, "--format", "json")
        assert outcome.status == 0, outcome.stderr
        found: int = json.loads(outcome.stdout)["batch"]
        return found

    assert batch() == 2
    assert batch("--input", "x:float32[7,3]") == 7
    assert batch("--input", "float32[9,3]") == 9
    assert batch("--input", "y:float32[2,3]") == 2
    outcome = refused("plan", *files, "--input", "y:float32[5,3]")  # x is as the file says
    assert outcome.codes() == ["PLN115"]
    outcome = refused("plan", *files, "--input", "x:float33[5,3]")
    assert (outcome.codes(), outcome.places()) == (["PLN115"], ["--input"])


def test_a_spec_must_agree_with_the_file(tmp_path: Path) -> None:
    document = named("a.x", "a.y")
    document["inputs"] = [SPEC]
    graph = write_json_file(tmp_path / "g.json", document)

    def with_input(**entry: object) -> Path:
        return write_json_file(tmp_path / "c.json", flat_costs(inputs=[{"name": "x", **entry}]))

    costs = with_input(dtype="float32", shape=[2, 3])
    assert run_planner("plan", graph, "--costs", costs).status == 0
    for wrong in ({"dtype": "int8", "shape": [2, 3]}, {"dtype": "float32", "shape": [2, 4]}):
        costs = with_input(**wrong)
        outcome = refused("plan", graph, "--costs", costs)
        assert (outcome.codes(), outcome.places()) == (["PLN115"], [f"{costs}: $.inputs[0]"])
    outcome = refused("plan", graph, "--costs", with_input(host="server"), "--input", "x:int8[2]")
    assert (outcome.codes(), outcome.places()) == (["PLN116"], ["--input"])
    document["inputs"] = [{"name": "x", "bytes": 24}]
    write_json_file(graph, document)
    assert run_planner("plan", graph, "--costs", costs).status == 0
    both = flat_costs(inputs=[SPEC], workload={"batch_size": 2})
    costs = write_json_file(tmp_path / "c.json", both)
    assert run_planner("plan", graph, "--costs", costs).status == 0


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({}, "`x` needs a `host`, or `dtype` and `shape`"),
        ({"host": None, "shape": None}, "`x` needs a `host`, or `dtype` and `shape`"),
        ({"dtype": "float32"}, "`x` has a `dtype` but no `shape`"),
        ({"host": "server", "shape": [1]}, "`x` has a `shape` but no `dtype`"),
        ({"dtype": "float31", "shape": [1]}, "float31"),
        ({"dtype": "float32", "shape": [0]}, "0"),
        ({"dtype": "float32", "shape": [True]}, "whole number"),
        ({"dtype": "float32", "shape": "3"}, "list"),
    ],
)
def test_wrong_inputs(entry: dict[str, object], words: str) -> None:
    with pytest.raises(PlannerError) as caught:
        check_costs(flat_costs(inputs=[{"name": "x", **entry}]), "c.json")
    (problem,) = caught.value.problems
    assert problem.code == "PLN109"
    assert (problem.where or "").startswith("c.json: $.inputs[0]")
    assert words in problem.message


def test_specs_are_kept() -> None:
    inputs = [SPEC, {"name": "a:b", "dtype": "int64", "shape": []}, {"name": "z", "host": "server"}]
    costs = check_costs(flat_costs(inputs=inputs), "c.json")
    assert costs.input_specs == ("x:float32[2,3]", "a:b:int64[]")
    hosts = [{"name": "q", "dtype": "int8", "shape": [1]}, {"name": "z", "host": "cloud"}]
    with pytest.raises(PlannerError) as caught:
        check_costs(flat_costs(inputs=hosts), "c.json")
    assert error_of(caught.value) == [("PLN111", "c.json: $.inputs[1].host")]


def test_the_digest_of_a_file_without_shapes_is_as_it_was() -> None:
    costs = check_costs(flat_costs(inputs=[{"name": "x", "host": "server"}]), "c.json")
    assert costs.digest == "4426da93dd4c646f74e7a94f1a47f61728b1e72dab95a05cef3355a3bd146fa4"
    other = check_costs(flat_costs(inputs=[{**SPEC, "host": "server"}]), "c.json")
    assert other.digest != costs.digest


@pytest.mark.parametrize("command", ["plan", "compare", "verify", "table", "inspect", "profile"])
def test_torchscript_can_be_refused(command: str) -> None:
    text = " ".join(run_planner(command, "--help").stdout.split())
    assert "--no-torchscript Refuse TorchScript archives: loading runs code from them." in text


def test_the_refusal_reaches_the_frontend(
    monkeypatch: pytest.MonkeyPatch, graph: Path, costs: Path
) -> None:
    seen = []
    real = JsonSpec.load

    def load(self: Any, data: Any, *, where: str, options: Any) -> Any:
        seen.append(options.torchscript)
        return real(self, data, where=where, options=options)

    monkeypatch.setattr(JsonSpec, "load", load)
    run_planner("plan", graph, "--costs", costs, "--no-torchscript")
    run_planner("inspect", graph, "--no-torchscript")
    run_planner("inspect", graph)
    planner.load(graph, torchscript=False)
    assert seen == [False, False, True, False]
