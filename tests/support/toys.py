"""Small graphs and costs files that tests share."""

from __future__ import annotations

from collections.abc import Sequence

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


def operator(
    name: str, inputs: Sequence[str], size: int, parameters: Sequence[str] = ()
) -> DraftOperator:
    """An operator `name` that makes one float tensor `<name>_out` of `size` bytes."""
    operands = [Operand(OperandKind.TENSOR, tensor) for tensor in inputs]
    operands += [Operand(OperandKind.PARAMETER, parameter) for parameter in parameters]
    output = DraftTensor(name=f"{name}_out", size_bytes=size, dtype="float32")
    return DraftOperator(name=name, op="Custom", operands=tuple(operands), outputs=(output,))


def graph_of(
    operators: Sequence[DraftOperator],
    outputs: Sequence[str],
    *,
    input_bytes: int = 600_000,
    parameters: Sequence[tuple[str, int]] = (),
) -> Graph:
    """A graph with one input `x` and trainable parameters given as (name, bytes)."""
    return assemble(
        Draft(
            name="toy",
            inputs=[DraftTensor(name="x", size_bytes=input_bytes, dtype="float32")],
            outputs=list(outputs),
            parameters=[DraftParameter(name=n, size_bytes=size) for n, size in parameters],
            operators=list(operators),
        )
    )


def diamond() -> Graph:
    """A stem, two branches of different weight, and a join."""
    return graph_of(
        [
            operator("stem", ["x"], 800_000, ["stem.weight"]),
            operator("left", ["stem_out"], 100_000, ["left.weight"]),
            operator("right", ["stem_out"], 400_000),
            operator("mid", ["right_out"], 50_000, ["mid.weight"]),
            operator("join", ["left_out", "mid_out"], 4_000, ["join.weight"]),
        ],
        ["join_out"],
        parameters=[
            ("stem.weight", 40_000),
            ("left.weight", 200_000),
            ("mid.weight", 10_000),
            ("join.weight", 900_000),
        ],
    )


def tied_pair() -> Graph:
    """An embedding and a head that read one parameter, with a layer between them."""
    return graph_of(
        [
            operator("embed", ["x"], 90_000, ["shared"]),
            operator("layer", ["embed_out"], 90_000, ["layer.weight"]),
            operator("head", ["layer_out"], 500_000, ["shared"]),
        ],
        ["head_out"],
        parameters=[("shared", 700_000), ("layer.weight", 50_000)],
    )


def costs_document(graph: Graph, n_hosts: int, **changes: object) -> dict[str, object]:
    """A costs file for `graph`: hosts h0, h1, … of growing speed, links of 8 Mbit/s."""
    hosts = []
    for host in range(n_hosts):
        speed = 4.0**host
        rows = [
            {
                "name": op.name,
                "forward_s": (i + 1) / (8 * speed),
                "backward_s": (i + 2) / (5 * speed),
            }
            for i, op in enumerate(graph.operators)
        ]
        hosts.append({"name": f"h{host}", "model": "table", "nodes": rows})
    link = {"uplink_bps": 8e6, "downlink_bps": 16e6, "latency_s": 0.01}
    return {
        "kind": "costs",
        "version": 1,
        "hosts": hosts,
        "links": [link] * (n_hosts - 1),
        **changes,
    }
