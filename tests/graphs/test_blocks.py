"""Blocks: what repeats in a model, whatever its names and order, and how it is shown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import planner
from planner import zoo
from planner.costs.cost_file import Costs, check_costs
from planner.drafts.assembly import assemble
from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.graphs.blocks import Block, Structure, structure_of
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT
from planner.problems.formulation import build_problem
from planner.solvers.blockwise.explanations import explain_blocks
from tests.support.blocks import analytical_costs, zoo_graph
from tests.support.cli import refused, run_planner, write_json_file
from tests.support.repeated_blocks import repeated_blocks
from tests.support.strategies import problems


def counts(structure: Structure) -> list[tuple[int, int]]:
    """(How many, operators of one) for each kind."""
    kinds = range(len(structure.kinds))
    return [(len(structure.places(k)), len(structure.places(k)[0].operators)) for k in kinds]


# What the blocks of known architectures are.

EXPECTED = {
    "resnet50": [(1, 11), (2, 10), (1, 11), (3, 10), (1, 11), (5, 10), (1, 11), (2, 10)],
    "googlenet": [(1, 20)] * 9,
    "densenet121": [(1, 43), (1, 85), (1, 169), (1, 113)],
    "bert_base": [(1, 5), (12, 37)],
    "gpt2": [(1, 3), (12, 37)],
    "vit_b_16": [(1, 5), (12, 30)],
    "vgg16": [(2, 2), (2, 2), (3, 2)],
    "lenet5": [],
}


@pytest.mark.parametrize("name", EXPECTED)
def test_blocks_of_known_architectures(name: str) -> None:
    assert counts(structure_of(zoo_graph(name))) == EXPECTED[name]


@pytest.mark.parametrize(
    ("name", "layers"), [("bert_base.train", 12), ("bert_base.dyn", 12), ("gpt2.train", 12)]
)
def test_layers_of_exported_transformers(name: str, layers: int, shared_models: Path) -> None:
    structure = structure_of(planner.load(shared_models / f"{name}.onnx"))
    assert counts(structure)[-1][0] == layers


def test_pivots_and_gaps_are_counted() -> None:
    """Figures of docs/theory.md: DenseNet is all pivots, GoogLeNet has nine modules between."""
    dense, google = (structure_of(zoo_graph(name)) for name in ("densenet121", "googlenet"))
    assert (dense.n_pivots, dense.largest_gap) == (431, 0)
    assert (google.n_pivots, google.largest_gap) == (26, 19)


# What a block is.


def check_blocks(graph: Graph, structure: Structure) -> None:
    """Disjoint; one operator's results leave; one operator's results, masks aside, come in."""
    has_parameter = [False] * len(graph.operators)
    for index, operator in enumerate(graph.operators):
        made_by = [graph.tensors[t].producer for t in operator.inputs]
        has_parameter[index] = bool(operator.parameters) or any(
            has_parameter[m] for m in made_by if m != GRAPH_INPUT
        )
    if not any(has_parameter):
        has_parameter = [True] * len(graph.operators)
    seen: set[int] = set()
    for block in structure.blocks:
        members = set(block.operators)
        assert len(members) > 1
        assert not members & seen
        seen |= members
        entries = set()
        for index in block.operators:
            operator = graph.operators[index]
            for tensor in operator.inputs:
                producer = graph.tensors[tensor].producer
                if producer not in members and producer != GRAPH_INPUT and has_parameter[producer]:
                    entries.add(producer)
            for tensor in operator.outputs:
                readers = set(graph.tensors[tensor].consumers)
                assert index == block.exit or readers <= members
        assert len(entries) <= 1
    for kind in range(len(structure.kinds)):
        sizes = {len(block.operators) for block in structure.places(kind)}
        assert len(sizes) == 1


@settings(max_examples=500, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.one_of(problems(), repeated_blocks()))
def test_blocks_have_one_entry_and_one_exit(case: tuple[Graph, Costs]) -> None:
    check_blocks(case[0], structure_of(case[0]))


@pytest.mark.parametrize("name", zoo.names())
def test_blocks_of_the_zoo_have_one_entry_and_one_exit(name: str) -> None:
    graph = zoo_graph(name)
    check_blocks(graph, structure_of(graph))


def inception(prefix: str, orders: Sequence[Sequence[int]], widths: Sequence[int]) -> Graph:
    """Modules of three branches, each of two operators, listed in the given orders."""
    tensors = {"x": DraftTensor(name="x", size_bytes=64, dtype="float32", shape=(16,))}
    operators: list[DraftOperator] = []
    parameters: list[DraftParameter] = []

    def add(name: str, op: str, reads: Sequence[str], size: int, weight: int = 0) -> str:
        operands = [Operand(OperandKind.TENSOR, read, tensors[read].shape) for read in reads]
        if weight:
            parameters.append(DraftParameter(name=f"{name}.w", size_bytes=weight, dtype="float32"))
            operands.append(Operand(OperandKind.PARAMETER, f"{name}.w"))
        shape = (size,)
        tensors[name] = DraftTensor(name=name, size_bytes=4 * size, dtype="float32", shape=shape)
        operators.append(
            DraftOperator(name=name, op=op, operands=tuple(operands), outputs=(tensors[name],))
        )
        return name

    entry = add(f"{prefix}stem", "Conv", ["x"], 16, 8)
    for number, order in enumerate(orders):
        ends = {}
        for branch in order:
            name = f"{prefix}{number}.{branch}"
            conv = add(f"{name}.conv", "Conv", [entry], widths[branch], 8 + branch)
            ends[branch] = add(f"{name}.relu", "Relu", [conv], widths[branch])
        entry = add(f"{prefix}{number}.join", "Concat", [ends[b] for b in sorted(ends)], 16)
    return assemble(
        Draft(
            name=f"{prefix}net",
            inputs=[tensors["x"]],
            outputs=[entry],
            parameters=parameters,
            operators=operators,
        )
    )


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.permutations(range(3)), min_size=2, max_size=4),
    st.lists(st.integers(1, 9), min_size=3, max_size=3),
    st.text("abc/", min_size=0, max_size=5),
)
def test_kinds_do_not_depend_on_names_or_the_order_of_branches(
    orders: list[list[int]], widths: list[int], prefix: str
) -> None:
    reference = structure_of(inception("", [range(3)] * len(orders), widths))
    found = structure_of(inception(prefix, orders, widths))
    assert counts(found) == [(len(orders), 7)]
    assert found.kinds == reference.kinds


@pytest.mark.parametrize("change", ["size", "weight", "op", "attribute", "wiring"])
def test_kinds_depend_on_everything_else(change: str) -> None:
    graph = inception("", [range(3)] * 3, [4, 5, 6])
    reference = structure_of(graph)
    index = graph.operator_index["1.1.relu"]
    operator = graph.operators[index]
    tensors, parameters = list(graph.tensors), list(graph.parameters)
    match change:
        case "size":
            out = operator.outputs[0]
            tensors[out] = tensors[out]._replace(size_bytes=999)
        case "weight":
            weight = graph.operators[graph.operator_index["1.1.conv"]].parameters[0]
            parameters[weight] = parameters[weight]._replace(size_bytes=999)
        case "op":
            operator = operator._replace(op="Sigmoid")
        case "attribute":
            operator = operator._replace(attributes={"alpha": 0.1})
        case "wiring":
            other = graph.operators[graph.operator_index["1.0.relu"]].outputs[0]
            operator = operator._replace(inputs=(other,))
    operators = list(graph.operators)
    operators[index] = operator
    changed = Graph(
        name="changed",
        operators=tuple(operators),
        tensors=tuple(tensors),
        parameters=tuple(parameters),
        inputs=graph.inputs,
        outputs=graph.outputs,
    )
    assert counts(reference) == [(3, 7)]
    assert counts(structure_of(changed)) != counts(reference)


def test_a_model_without_operators_in_branches_has_no_blocks() -> None:
    graph = inception("", [], [])
    assert structure_of(graph).blocks == ()
    assert structure_of(graph).n_pivots == 1


def test_blocks_know_their_ends() -> None:
    block = Block(operators=(3, 5, 9), kind=0)
    assert (block.first, block.exit) == (3, 9)


# What `planner inspect` and `planner plan --explain` say.


@pytest.fixture(scope="module")
def googlenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blocks") / "googlenet.onnx"
    zoo.write("googlenet", path, training=True)
    return path


@pytest.fixture(scope="module")
def resnet50(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("blocks") / "resnet50.onnx"
    zoo.write("resnet50", path, training=True)
    return path


SCENARIO = ("--device", "jetson-tx2", "--server", "rtx-3090", "--uplink", "20Mbit/s",
            "--downlink", "50Mbit/s")  # fmt: skip


def test_inspect_lists_kinds_and_where_they_repeat(resnet50: Path) -> None:
    lines = run_planner("inspect", resnet50).stdout.splitlines()
    assert "pivots          135; largest gap 10 operators" in lines
    table = lines[lines.index("Blocks") + 1 :]
    row = next(line for line in table if line.startswith("D "))
    assert row.split()[:3] == ["D", "3", "10"]
    assert "layer2.1.conv1 … layer2.1.relu3, 2 more up to layer2.3.relu3" in row
    every = run_planner("inspect", resnet50, "--all").stdout
    assert "layer2.2.conv1 … layer2.2.relu3" in every


def test_inspect_lists_blocks_as_json(resnet50: Path) -> None:
    found = json.loads(run_planner("inspect", resnet50, "--format", "json").stdout)
    assert (found["pivots"], found["largest_gap"]) == (135, 10)
    kind = found["block_kinds"][3]
    assert (kind["kind"], kind["count"], kind["operators"]) == ("D", 3, 10)
    assert (kind["starts_with"], kind["ends_with"]) == ("Conv", "Relu")
    assert kind["places"][1] == {"first": "layer2.2.conv1", "last": "layer2.2.relu3"}


def test_long_lists_of_kinds_are_cut(tmp_path: Path) -> None:
    zoo.write("resnet152", tmp_path / "net.onnx", training=True)
    shown = run_planner("inspect", tmp_path / "net.onnx").stdout
    assert "Blocks" in shown
    assert "35 more up to layer3.35" in shown or "34 more up to layer3.35" in shown


def test_explain_says_what_was_abstracted_and_why_not(googlenet: Path) -> None:
    outcome = run_planner("plan", googlenet, *SCENARIO, "--solver", "blockwise", "--explain")
    assert outcome.status == 0
    lines = outcome.stdout.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("Blocks: 197 operators as"))
    assert lines[start - 1] == ""
    answers = {line.split()[0]: line.split()[3] for line in lines[start + 2 : start + 11]}
    assert [kind for kind, answer in answers.items() if answer == "yes"] == ["A", "B", "G"]
    assert [kind for kind, answer in answers.items() if answer == "no"] == [*"CDEFHI"]
    reason = (
        "C from `inception4a.branch1.conv` is not one vertex: "
        "a cut inside carries 288.5 kB, the entry 376.3 kB"
    )
    assert reason in lines


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--solver", "maxflow"), "only `blockwise` has something to explain"),
        ((), "only `blockwise` has something to explain, and the solver is `auto`"),
        (("--solver", "blockwise", "--format", "json"), "the explanation is a table for people"),
    ],
)
def test_explain_refuses_where_there_is_no_explanation(
    googlenet: Path, arguments: Sequence[str], words: str
) -> None:
    outcome = refused("plan", googlenet, *SCENARIO, "--explain", *arguments)
    assert (outcome.codes(), outcome.places()) == (["PLN126"], ["--explain"])
    assert words in outcome.stderr
    assert outcome.hints()


def reasons(graph: Graph, costs: Costs, *, device: float = 1.0) -> set[str | None]:
    problem = build_problem(graph, costs).with_speed(device=device)
    return {verdict.reason for verdict in explain_blocks(problem).verdicts}


def test_reasons_of_slow_servers_and_rules() -> None:
    graph = zoo_graph("resnet18")
    fast = reasons(graph, analytical_costs(), device=1e6)
    assert any(reason and reason.endswith("more are faster on `device`") for reason in fast)
    pins = [{"node": "layer2.0.conv1", "host": "device"}]
    pinned = reasons(graph, analytical_costs(pins=pins))
    assert "the rules fix `layer2.0.conv1` to one host" in pinned


def test_reasons_of_equal_hosts_are_about_rounding() -> None:
    costs = analytical_costs()
    document = costs.model_dump(mode="json", by_alias=True, exclude_none=True)
    document["hosts"][1]["hardware"] = document["hosts"][0]["hardware"]
    document["workload"] = {"mode": "inference"}
    found = reasons(zoo_graph("resnet18"), check_costs(document, "equal"))
    assert any(reason and reason.startswith("rounding decides") for reason in found)


def test_explanation_of_repeated_layers() -> None:
    """The first layer runs beside the mask's arithmetic; the last one is the last to need it."""
    graph = zoo_graph("bert_base")
    explanation = explain_blocks(build_problem(graph, analytical_costs()))
    layers = {len(v.places): v.reason for v in explanation.verdicts if v.n_operators == 37}
    assert layers.keys() == {1, 10}
    assert layers[10] is None
    assert layers[1] == "a cut inside carries 397.2 kB, the entry 397.7 kB"
    assert explanation.n_operators == len(graph.operators)
    assert explanation.n_vertices < 40
    assert explanation.n_flows == 2
    beside = "other operators run beside it, or a rule spans its end"
    assert beside in {v.reason for v in explanation.verdicts}


def test_three_hosts_have_no_explanation(tmp_path: Path) -> None:
    document = analytical_costs().model_dump(mode="json", by_alias=True, exclude_none=True)
    document["hosts"].insert(1, document["hosts"][0] | {"name": "edge"})
    document["links"] *= 2
    problem = build_problem(zoo_graph("lenet5"), check_costs(document, "three"))
    with pytest.raises(ValueError, match="expected 2"):
        explain_blocks(problem)
    zoo.write("lenet5", tmp_path / "net.onnx", training=True)
    costs = write_json_file(tmp_path / "costs.json", document)
    arguments = ("--costs", costs, "--solver", "blockwise", "--explain")
    outcome = run_planner("plan", tmp_path / "net.onnx", *arguments)
    assert outcome.status == 0
    assert "note: with 3 hosts `blockwise` solves the whole network" in outcome.stderr
    assert "Blocks" not in outcome.stdout
