"""Random graphs of repeated blocks on which abstraction is often proved, small enough to enumerate.

Sizes and seconds are drawn from few values, so that cuts tie exactly, and many operators are free.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

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
from planner.graphs.graph import Graph

SIZES = st.sampled_from([0, 1_000, 1_000, 2_000, 4_000, 4_001])
SECONDS = st.sampled_from([0.0, 1e-4, 1e-3, 1e-3, 2e-3, 3e-3])
RATES = st.sampled_from([1e4, 8e6, 8e6, 3e7, 1e9, 1e18])

# Each block: what its operators read (an earlier one, -1 for the entry, -2 for the mask).
SHAPES: list[list[list[int]]] = [
    [[-1]],
    [[-1], [0]],
    [[-1], [0, -1]],
    [[-1], [-1], [0, 1]],
    [[-1], [0], [1, -1]],
    [[-1, -2], [0], [0], [1, 2]],
    [[-1], [-1, 0], [-1, 0, 1]],
    [[-1], [0], [-1], [2], [1, 3, -2]],
]


@st.composite
def repeated_blocks(draw: st.DrawFn, max_operators: int = 14) -> tuple[Graph, Costs]:
    """A chain of blocks, some of them repeated, and two hosts of which the second is faster."""
    kinds = [
        [(reads, draw(SIZES), draw(SECONDS)) for reads in draw(st.sampled_from(SHAPES))]
        for _ in range(draw(st.integers(1, 3)))
    ]
    order = draw(st.lists(st.integers(0, len(kinds) - 1), min_size=1, max_size=6))
    tensors = {name: _tensor(name, draw(SIZES)) for name in ("x", "mask")}
    rows: list[tuple[str, list[str], int, float]] = []
    entry = "x"
    for number, kind in enumerate(order):
        if len(rows) + len(kinds[kind]) > max_operators:
            break
        names = [f"b{number}_{i}" for i in range(len(kinds[kind]))]
        for name, (reads, size, seconds) in zip(names, kinds[kind], strict=True):
            places = {-1: entry, -2: "mask"}
            rows.append((name, [places.get(r) or names[r] for r in reads], size, seconds))
        entry = names[-1]
    held = draw(st.lists(st.sampled_from([row[0] for row in rows]), max_size=3, unique=True))
    parameters = [DraftParameter(name=f"{name}.w", size_bytes=draw(SIZES)) for name in held]
    tied = draw(st.lists(st.sampled_from([row[0] for row in rows]), max_size=3, unique=True))
    parameters.append(DraftParameter(name="tied", size_bytes=draw(SIZES)))
    operators = []
    for name, reads, size, _ in rows:
        operands = [Operand(OperandKind.TENSOR, read) for read in reads]
        operands += [Operand(OperandKind.PARAMETER, f"{name}.w")] * (name in held)
        operands += [Operand(OperandKind.PARAMETER, "tied")] * (name in tied)
        operators.append(
            DraftOperator(
                name=name, op="Custom", operands=tuple(operands), outputs=(_tensor(name, size),)
            )
        )
    extra = draw(st.lists(st.sampled_from([row[0] for row in rows]), max_size=1))
    graph = assemble(
        Draft(
            name="blocks",
            inputs=list(tensors.values()),
            outputs=[entry, *(name for name in extra if name != entry)],
            parameters=[p for p in parameters if p.name != "tied" or tied],
            operators=operators,
        )
    )
    return graph, _costs(draw, graph, {name: seconds for name, _, _, seconds in rows})


def _tensor(name: str, size: int) -> DraftTensor:
    return DraftTensor(name=name, size_bytes=size, dtype="float32")


def _costs(draw: st.DrawFn, graph: Graph, seconds: dict[str, float]) -> Costs:
    names = [op.name for op in graph.operators]
    faster = draw(st.sampled_from([1.0, 2.0, 10.0, 1e6]))
    server = {name: seconds[name] / faster for name in names}
    for name in draw(st.lists(st.sampled_from(names), max_size=1)):
        server[name] = draw(SECONDS)  # some operator may be slower there, or the same
    mode = draw(st.sampled_from(["training", "inference"]))
    device = {"name": "h0", "model": "table", "nodes": _table(seconds, names)}
    document: dict[str, Any] = {
        "kind": "costs",
        "version": 1,
        "workload": {
            "mode": mode,
            "iterations_per_round": draw(st.sampled_from([1, 7])),
            "label_bytes": draw(st.sampled_from([0, 1_000])),
            "return_outputs": draw(st.booleans()),
        },
        "hosts": [device, {"name": "h1", "model": "table", "nodes": _table(server, names)}],
        "links": [
            {
                "uplink_bps": draw(RATES),
                "downlink_bps": draw(RATES),
                "latency_s": draw(st.sampled_from([0.0, 0.001])),
            }
        ],
        "pins": [
            {"node": name, "host": draw(st.sampled_from(["h0", "h1"]))}
            for name in draw(st.lists(st.sampled_from(names), max_size=1))
        ],
    }
    if draw(st.sampled_from([False, False, True])):
        document["pins"].append({"node": names[0], "host": "h0"})
    if draw(st.sampled_from([False, False, True])):
        several = st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True)
        document["together"] = [draw(several)]
    if draw(st.sampled_from([False, False, True])):
        tensors = st.sampled_from([tensor.name for tensor in graph.tensors])
        document["forbid_crossing"] = [draw(tensors)]
    return check_costs(document, "repeated blocks")


def _table(seconds: dict[str, float], names: list[str]) -> list[dict[str, object]]:
    return [
        {"name": name, "forward_s": seconds[name], "backward_s": 2 * seconds[name]}
        for name in names
    ]
