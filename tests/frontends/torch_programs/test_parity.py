"""Torch modules and archives give the plans of the ONNX exports of the same networks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="needs torch")

import planner  # noqa: E402
from planner import zoo  # noqa: E402
from planner.costs.cost_file import Costs, check_costs  # noqa: E402
from planner.costs.pricing import priced  # noqa: E402
from planner.graphs.graph import Graph  # noqa: E402
from planner.graphs.operators import Operator  # noqa: E402
from planner.plans.plan_file import Plan  # noqa: E402
from tests.support.torch_nets.zoo import NAMES, build, example_inputs  # noqa: E402

BATCH = 8
ITERATIONS = 100
RATES_BPS = (1e6, 1e7, 1e8, 1e9)
TOLERANCE = 0.01

TRANSFORMERS = ("vit_b_16", "gpt2", "bert_base")
"""ONNX exports take attention, GELU and the bias of a projection apart, and copy where torch makes
a view; torch runs one kernel for each. So their plans are compared without these operators."""

FUSED = frozenset({"Attention", "Gelu", "Linear", "Gemm", "aten.copy"})
TAKEN_APART = re.compile(
    r"\.(gelu(\.\w+)?|scores|scale|mask|softmax(\.dropout)?|context(\.\w+)?|split|matmul"
    r"|(query|key|value)\.(heads|transpose))$"
    r"|^(tokens|class_token\.expand|class_state|pooler\.first)$"
)

FILES = (
    *(f"resnet18.{kind}" for kind in ("pt2", "trace.pt", "script.pt")),
    *(f"googlenet.{kind}" for kind in ("pt2", "trace.pt", "script.pt")),
    *(f"mobilenet_v2.{kind}" for kind in ("pt2", "trace.pt", "script.pt")),
)
TOKENS = ("int64[1,128]", "int64[1,128]")


def costs(rate_bps: float, training: bool, pinned: Sequence[Operator] = ()) -> Costs:
    """A device, a server, and a link twice as fast down as up."""
    hosts = {"device": "jetson-orin-nx", "server": "a100"}
    workload = {"mode": "training", "iterations_per_round": ITERATIONS}
    document = {
        "kind": "costs",
        "version": 1,
        "workload": workload if training else {"mode": "inference"},
        "hosts": [
            {"name": name, "model": "analytical", "hardware": hardware}
            for name, hardware in hosts.items()
        ],
        "links": [{"uplink_bps": rate_bps, "downlink_bps": 2 * rate_bps}],
        "pins": [{"node": operator.name, "host": "device"} for operator in pinned],
    }
    return check_costs(document, where="costs")


def scenarios(graph: Graph, training: bool) -> list[Costs]:
    """Every rate, first free, then with what reads images or tokens kept on the device."""
    # The first: the others are masks.
    readers = [graph.operators[reader] for reader in graph.tensors[graph.inputs[0]].consumers]
    return [costs(rate, training, pinned) for pinned in ((), readers) for rate in RATES_BPS]


def plans(ours: Graph, theirs: Graph, training: bool) -> Iterator[tuple[Plan, Plan]]:
    """The plans of two graphs of one network, scenario by scenario."""
    given = zip(scenarios(ours, training), scenarios(theirs, training), strict=True)
    for mine, other in given:
        yield planner.plan(ours, mine, baselines=()), planner.plan(theirs, other, baselines=())


def onnx_graph(name: str, training: bool) -> Graph:
    model = zoo.build(name, batch=BATCH, training=training)
    return planner.load(model.SerializeToString())


def torch_graph(name: str, training: bool) -> Graph:
    with torch.device("meta"):
        module = build(name).train(training)
    return planner.load(module, example_inputs(name, BATCH))


def macs(graph: Graph) -> float:
    return sum(graph.macs(operator) for operator in graph.operators)


def boundary_bytes(plan: Plan) -> tuple[int, int]:
    tensors = [entry for entry in plan.head.crossing if entry.kind == "tensor"]
    return sum(entry.up_bytes for entry in tensors), sum(entry.down_bytes for entry in tensors)


def check_counts(ours: Graph, theirs: Graph) -> None:
    assert ours.summary()["trainable_parameters"] == theirs.summary()["trainable_parameters"]
    assert macs(ours) == macs(theirs) > 0
    assert ours.batch == theirs.batch


def fused_s(graph: Graph, given: Costs, plan: Plan) -> float:
    """Seconds of a plan's round that go into what torch fuses and ONNX exports take apart."""
    _, table = priced(graph, given)
    seconds = table.forward_s + table.backward_s
    hosts = {"device": 0, "server": 1}
    chosen = ((i, op) for i, op in enumerate(graph.operators) if is_fused(graph, op))
    total = sum(float(seconds[hosts[plan.placement[op.name]], i]) for i, op in chosen)
    return total * (ITERATIONS if plan.head.mode == "training" else 1)


def is_fused(graph: Graph, operator: Operator) -> bool:
    """Whether an operator is a fused kernel, or a part of what one does."""
    if operator.op in FUSED or TAKEN_APART.search(operator.name):
        return True
    read = (graph.parameters[index].name for index in operator.parameters)
    return operator.op == "Add" and any(name.endswith(".bias") for name in read)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", [name for name in NAMES if name not in TRANSFORMERS])
def test_convolutional_module_has_the_plans_of_its_onnx_export(name: str, training: bool) -> None:
    ours, theirs = torch_graph(name, training), onnx_graph(name, training)
    check_counts(ours, theirs)
    for plan, expected in plans(ours, theirs, training):
        assert boundary_bytes(plan) == boundary_bytes(expected)
        assert plan.total_s == pytest.approx(expected.total_s, rel=TOLERANCE)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_transformer_has_the_plans_of_its_onnx_export_but_for_fused_kernels(
    name: str, training: bool
) -> None:
    ours, theirs = torch_graph(name, training), onnx_graph(name, training)
    check_counts(ours, theirs)
    given = zip(scenarios(ours, training), scenarios(theirs, training), strict=True)
    for (mine, other), (plan, expected) in zip(given, plans(ours, theirs, training), strict=True):
        assert boundary_bytes(plan) == boundary_bytes(expected)
        fused, apart = fused_s(ours, mine, plan), fused_s(theirs, other, expected)
        assert 0.85 * apart < fused < apart
        assert plan.total_s - fused == pytest.approx(expected.total_s - apart, rel=TOLERANCE)


@pytest.mark.parametrize("file", FILES)
def test_archive_has_the_plans_of_its_onnx_training_export(shared_models: Path, file: str) -> None:
    name, _, kind = file.partition(".")
    theirs = planner.load(shared_models / f"{name}.train.onnx")
    if kind == "pt2":
        ours = planner.load(shared_models / file, batch=theirs.batch)
    else:
        ours = planner.load(shared_models / file, inputs=[f"float32[{theirs.batch},3,224,224]"])
    check_counts(ours, theirs)
    # Exported for inference, so without the export's only dropout: one small kernel.
    for plan, expected in plans(ours, theirs, training=True):
        assert boundary_bytes(plan) == boundary_bytes(expected)
        assert plan.total_s == pytest.approx(expected.total_s, rel=TOLERANCE)


@pytest.mark.parametrize("kind", ["pt2", "trace.pt"])
def test_archive_of_gpt2_is_cut_where_its_onnx_training_export_is(
    shared_models: Path, kind: str
) -> None:
    theirs = planner.load(shared_models / "gpt2.train.onnx")
    inputs = None if kind == "pt2" else TOKENS
    ours = planner.load(shared_models / f"gpt2.{kind}", inputs=inputs)
    check_counts(ours, theirs)
    for plan, expected in plans(ours, theirs, training=True):
        assert boundary_bytes(plan) == boundary_bytes(expected)
        # No dropout, and attention and projections are fused; the GELU is taken apart in both.
        assert 0.85 * expected.total_s < plan.total_s <= expected.total_s


@pytest.mark.parametrize(("name", "gmacs"), [("vit_b_16", 17.564), ("gpt2", 16.114)])
def test_transformers_have_the_published_macs_live_and_from_an_archive(
    name: str, gmacs: float, tmp_path: Path
) -> None:
    with torch.device("meta"):
        module = build(name).eval()
    inputs = example_inputs(name)
    path = tmp_path / "model.pt2"
    torch.export.save(torch.export.export(module, inputs, strict=False), path)
    for graph in (planner.load(module, inputs), planner.load(path)):
        assert round(macs(graph) / 1e9, 3) == gmacs
