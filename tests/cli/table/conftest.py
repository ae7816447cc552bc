"""Files and ranges that tests of `planner table` start from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import planner
from planner.costs.cost_file import check_costs
from planner.tables.table import Table
from tests.support.cli import write_json_file
from tests.support.toys import costs_document, diamond

UP = ("--uplink", "10kbit/s..1Gbit/s")
DOWN = ("--downlink", "10kbit/s..1Gbit/s")
SPEED = ("--device-speed", "0.25..4")


def spec() -> dict[str, Any]:
    """The diamond as a graph spec."""
    graph = diamond()
    nodes = [
        {
            "name": op.name,
            "op": op.op,
            "inputs": [graph.tensors[t].name for t in op.inputs],
            "parameters": [graph.parameters[p].name for p in op.parameters],
            "outputs": [
                {"name": graph.tensors[t].name, "bytes": graph.tensors[t].size_bytes}
                for t in op.outputs
            ],
        }
        for op in graph.operators
    ]
    return {
        "kind": "graph",
        "version": 1,
        "name": "diamond",
        "inputs": [{"name": "x", "bytes": 600_000}],
        "outputs": ["join_out"],
        "parameters": [{"name": p.name, "bytes": p.size_bytes} for p in graph.parameters],
        "nodes": nodes,
    }


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    """`GRAPH --costs FILE`."""
    graph = write_json_file(tmp_path / "diamond.json", spec())
    document = costs_document(diamond(), 2, workload={"mode": "inference"})
    costs = write_json_file(tmp_path / "costs.json", document)
    return str(graph), "--costs", str(costs)


def made_over(**ranges: tuple[float, float]) -> Table:
    graph = diamond()
    return planner.table(graph, check_costs(costs_document(graph, 2), "costs"), **ranges)
