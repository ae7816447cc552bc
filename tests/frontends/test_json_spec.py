"""Graph specs: what they become, every way to be wrong, and what a mutated one does."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.costs.cost_file import check_costs
from planner.drafts.loading import load
from planner.errors import PlannerError
from planner.files.writing import json_text
from planner.graphs.graph import Graph
from planner.plans.planning import plan
from tests.support.cli import GRAPH, chain, changed, error_of
from tests.support.mutations import mutated


def read(document: object, **options: Any) -> Graph:
    return load(json.dumps(document).encode(), **options)


def problems_of(document: object, **options: Any) -> list[tuple[str, str | None]]:
    with pytest.raises(PlannerError) as caught:
        read(document, **options)
    return error_of(caught.value)


def test_what_a_spec_becomes() -> None:
    graph = read(GRAPH)
    assert [op.name for op in graph.operators] == ["conv", "relu", "fc"]
    assert [(t.name, t.size_bytes) for t in graph.tensors] == [
        ("image", 4 * 3 * 8 * 8 * 4),
        ("c", 4608),
        ("r", 4608),
        ("logits", 64),
    ]
    assert [(p.name, p.size_bytes, p.trainable) for p in graph.parameters] == [
        ("w1", 864, True),
        ("w2", 100, False),
        ("fc.parameters", 40, True),
    ]
    assert graph.operators[0].attributes["nested"] == {"a": (None, True)}
    assert graph.batch == 4


def test_order_of_nodes_is_free() -> None:
    backwards = changed(GRAPH, "nodes", GRAPH["nodes"][::-1])
    assert [op.name for op in read(backwards).operators] == ["conv", "relu", "fc"]


def test_output_may_be_an_input() -> None:
    graph = read(changed(GRAPH, "outputs", ["image", "logits"]))
    assert [graph.tensors[t].name for t in graph.outputs] == ["image", "logits"]


def test_batch_scales_activations_alone() -> None:
    graph = read(GRAPH, batch=8)
    assert graph.batch == 8
    assert graph.tensors[graph.tensor_index["c"]].size_bytes == 2 * 4608
    assert graph.parameters[0].size_bytes == 864


def test_frozen_globs() -> None:
    assert [p.trainable for p in read(GRAPH, frozen=["w*"]).parameters] == [False, False, True]
    assert not any(p.trainable for p in read(GRAPH, frozen=["*"]).parameters)


@pytest.mark.parametrize(
    ("path", "value", "code", "where"),
    [
        ("kind", "costs", "PLN110", "$.kind"),
        ("outputs", [], "PLN109", "$.outputs"),
        ("outputs", ["logits", "logits"], "PLN201", "$.outputs[1]"),
        ("outputs", ["logit"], "PLN202", "$.outputs[0]"),
        ("outputs", [None], "PLN109", "$.outputs[0]"),
        ("nodes", [], "PLN109", "$.nodes"),
        ("nodes", {}, "PLN109", "$.nodes"),
        ("nodes.0.name", "relu", "PLN201", "$.nodes[1]"),
        ("nodes.0.name", "", "PLN109", "$.nodes[0].name"),
        ("nodes.0.name", 7, "PLN109", "$.nodes[0].name"),
        ("nodes.0.op", "", "PLN109", "$.nodes[0].op"),
        ("nodes.0.outputs", [], "PLN109", "$.nodes[0].outputs"),
        ("nodes.0.outputs", GRAPH["nodes"][0]["outputs"] * 2, "PLN201", "$.nodes[0].outputs[1]"),
        ("inputs", GRAPH["inputs"] * 2, "PLN201", "$.inputs[1]"),
        ("nodes.1.inputs.0", "conv", "PLN202", "$.nodes[1]"),
        ("nodes.0.parameters.0", "w3", "PLN202", "$.nodes[0]"),
        ("nodes.0.inputs.0", "logits", "PLN203", "$.nodes[0]"),
        ("nodes.1.inputs.0", "r", "PLN203", "$.nodes[1]"),
        ("nodes.0.inptus", [], "PLN107", "$.nodes[0].inptus"),
        ("nodes.2.forward_flops", -1, "PLN109", "$.nodes[2].forward_flops"),
        ("nodes.2.forward_flops", 1e31, "PLN109", "$.nodes[2].forward_flops"),
        ("nodes.2.parameter_bytes", 0.5, "PLN109", "$.nodes[2].parameter_bytes"),
        ("nodes.2.outputs.0.bytes", -1, "PLN109", "$.nodes[2].outputs[0].bytes"),
        ("nodes.2.outputs.0.bytes", 2**53 + 1, "PLN109", "$.nodes[2].outputs[0].bytes"),
        ("nodes.2.outputs.0.requires_grad", 1, "PLN109", "$.nodes[2].outputs[0].requires_grad"),
        ("nodes.1.outputs.0.bytes", 4609, "PLN109", "$.nodes[1].outputs[0]"),
        ("inputs.0.dtype", "float23", "PLN109", "$.inputs[0].dtype"),
        ("inputs.0.dtype", None, "PLN109", "$.inputs[0]"),
        ("inputs.0.shape", None, "PLN109", "$.inputs[0]"),
        ("inputs.0.shape", [4, -1], "PLN109", "$.inputs[0].shape[1]"),
        ("inputs.0.shape", [4, "N"], "PLN109", "$.inputs[0].shape[1]"),
        ("inputs.0.shape", [2**53] * 30, "PLN109", "$.inputs[0]"),
        (
            "parameters",
            [*GRAPH["parameters"], {"name": "w1", "bytes": 1}],
            "PLN201",
            "$.parameters[2]",
        ),
        (
            "parameters",
            [*GRAPH["parameters"], {"name": "fc.parameters", "bytes": 1}],
            "PLN201",
            "$.nodes[2].parameter_bytes",
        ),
        ("parameters.0.trainable", "yes", "PLN109", "$.parameters[0].trainable"),
        ("parameters.0.requires_grad", True, "PLN107", "$.parameters[0].requires_grad"),
    ],
)
def test_one_thing_wrong(path: str, value: object, code: str, where: str) -> None:
    assert problems_of(changed(GRAPH, path, value)) == [(code, f"bytes: {where}")]


def test_dangling_and_duplicate_names_are_reported_together() -> None:
    document = changed(GRAPH, "nodes.0.inputs", ["imag"])
    document["nodes"][1]["name"] = "conv"
    document["outputs"] = ["logits", "nothing", "logits"]
    assert problems_of(document) == [
        ("PLN201", "bytes: $.nodes[1]"),
        ("PLN202", "bytes: $.nodes[0]"),
        ("PLN202", "bytes: $.outputs[1]"),
        ("PLN201", "bytes: $.outputs[2]"),
    ]


def test_a_long_cycle_is_shortened() -> None:
    document = changed(chain(3_000), "nodes.0.inputs", ["t2999"])
    with pytest.raises(PlannerError, match=r"2995 more") as caught:
        read(document)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("options", "code", "where"),
    [
        ({"inputs": ["x:float32[1]"]}, "PLN116", "inputs"),
        ({"dims": {"n": 1}}, "PLN116", "dims"),
        ({"tied": ["w*"]}, "PLN116", "tied"),
        ({"untied": ["w*"]}, "PLN116", "untied"),
        ({"shapes": "onnxruntime"}, "PLN116", "shapes"),
        ({"shapes": "numpy"}, "PLN117", "shapes"),
        ({"frozen": ["v*"]}, "PLN208", "frozen"),
        ({"batch": 0}, "PLN117", "batch"),
        ({"batch": True}, "PLN117", "batch"),
        ({"batch": 2**31 + 1}, "PLN117", "batch"),
        ({"frontend": "jsn"}, "PLN313", "frontend"),
    ],
)
def test_option_that_does_not_fit(options: dict[str, Any], code: str, where: str) -> None:
    assert problems_of(GRAPH, **options) == [(code, where)]


def test_batch_of_a_graph_without_one() -> None:
    assert problems_of(chain(2), batch=3) == [("PLN209", "bytes")]


def test_names_may_be_anything() -> None:
    name = '1"\x1b[31m\n[red]/é\u202e'
    graph = read(changed(GRAPH, "nodes.0.name", name))
    assert graph.operators[0].name == name


PRICES = check_costs(
    {
        "kind": "costs",
        "version": 1,
        "hosts": [
            {"name": "device", "model": "analytical", "hardware": "jetson-tx2"},
            {"name": "server", "model": "analytical", "hardware": "a100"},
        ],
        "links": [{"uplink_bps": 5e7, "downlink_bps": 1e8}],
    },
    "prices",
)


@settings(max_examples=600, deadline=None)
@given(mutated(GRAPH), st.sampled_from([None, None, 1, 7]))
def test_mutated_spec_is_planned_or_refused(document: object, batch: int | None) -> None:
    try:
        graph = read(document, batch=batch)
        graph.summary()
        json_text(plan(graph, PRICES).to_dict()).encode()
    except PlannerError as error:
        for problem in error.problems:
            assert problem.exit_code in (2, 3), problem
            assert problem.where
            str(problem).encode()
