"""Random graphs as networks have them: long, with blocks, skips, repeats and many exact ties."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

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

SIZES = (0, 1_000, 1_000, 2_000, 2_000, 3_000, 4_000, 8_000)


class _Maker:
    def __init__(self, random: Random) -> None:
        self.random = random
        self.operators: list[DraftOperator] = []
        self.parameters = [
            DraftParameter(
                name=f"w{i}",
                size_bytes=random.choice(SIZES),
                trainable=random.random() < 0.8,
                dtype="float32",
            )
            for i in range(random.choice([0, 2, 5]))
        ]
        self.distant = [self.tensor("mask")] if random.random() < 0.5 else []

    def tensor(self, name: str, size: int | None = None) -> DraftTensor:
        return DraftTensor(
            name=name,
            size_bytes=self.random.choice(SIZES) if size is None else size,
            dtype=self.random.choice(["float32", "float32", "int64"]),
            requires_grad=self.random.choice([None, None, True]),
        )

    def operator(self, reads: Sequence[DraftTensor]) -> DraftTensor:
        """One more operator; now and then it also reads something from far away, or hands on."""
        index, reads = len(self.operators), list(dict.fromkeys(t.name for t in reads))
        if self.distant and self.random.random() < 0.1:
            far = self.random.choice(self.distant).name
            reads += [far] if far not in reads else []
        operands = [Operand(OperandKind.TENSOR, name) for name in reads]
        if self.parameters and self.random.random() < 0.3:
            held = self.random.choice(self.parameters)
            operands.append(Operand(OperandKind.PARAMETER, held.name))
        out = self.tensor(f"t{index}")
        self.operators.append(
            DraftOperator(name=f"v{index}", op="Custom", operands=tuple(operands), outputs=(out,))
        )
        if self.random.random() < 0.1:
            self.distant.append(out)
        return out

    def block(self, entry: DraftTensor, size: int) -> DraftTensor:
        """Operators between one entry and one join."""
        inner = [entry]
        for _ in range(size):
            count = min(len(inner), self.random.choice([1, 1, 1, 2]))
            inner.append(self.operator(self.random.sample(inner, count)))
        read = {o.name for operator in self.operators for o in operator.operands}
        ends = [t for t in inner[1:] if t.name not in read]
        return self.operator([*ends, *([entry] if self.random.random() < 0.3 else [])])


def random_graph(random: Random, n_parts: int = 6) -> Graph:
    """A chain of operators and blocks."""
    maker = _Maker(random)
    x = maker.tensor("x")
    inputs = [x, *maker.distant]
    for _ in range(random.randint(1, n_parts)):
        x = maker.operator([x]) if random.random() < 0.5 else maker.block(x, random.randint(2, 7))
    read = {o.name for operator in maker.operators for o in operator.operands}
    outputs = [t.name for o in maker.operators for t in o.outputs if t.name not in read]
    return assemble(
        Draft(
            name="segmented",
            inputs=[t for t in inputs if t.name in read],
            outputs=outputs,
            parameters=maker.parameters,
            operators=maker.operators,
        )
    )


def wide_graph(n_operators: int) -> Graph:
    """Many operators between one entry and one join: one block."""
    maker = _Maker(Random(0))
    x = maker.tensor("x", 1_000)
    maker.distant = []
    join = maker.block(maker.operator([x]), n_operators)
    return assemble(
        Draft(
            name="wide",
            inputs=[x],
            outputs=[join.name],
            parameters=maker.parameters,
            operators=maker.operators,
        )
    )


def random_costs(random: Random, graph: Graph) -> Costs:
    """Costs for two hosts: small whole numbers and zeros, so that many cuts are exactly equal."""
    names = [operator.name for operator in graph.operators]
    is_server_faster = random.random() < 0.5

    def nodes(host: int) -> list[dict[str, object]]:
        rows: list[dict[str, object]] = []
        for name, twin in zip(names, twins, strict=True):
            forward = twin if is_server_faster and host else twin + random.choice([0, 0, 1, 2])
            seconds = 0.0 if twin < 0 else forward / random.choice([1000, 1000, 3000])
            rows.append({"name": name, "forward_s": max(0.0, seconds), "backward_s": 0.0})
        return rows

    twins = [random.choice([-1, -1, 0, 1, 2]) for _ in names]
    document: dict[str, Any] = {
        "kind": "costs",
        "version": 1,
        "workload": {
            "mode": random.choice(["training", "training", "inference"]),
            "iterations_per_round": random.choice([1, 3]),
            "label_bytes": random.choice([0, 0, 1_000]),
            "return_outputs": random.random() < 0.3,
        },
        "hosts": [
            {"name": name, "model": "table", "nodes": nodes(host)}
            for host, name in enumerate(("device", "server"))
        ],
        "links": [
            {
                "uplink_bps": random.choice([1e6, 8e6, 8e6, 1e8]),
                "downlink_bps": random.choice([1e6, 8e6, 1e7]),
                "latency_s": random.choice([0.0, 0.0, 0.001]),
            }
        ],
    }
    edges = [t.name for t in graph.tensors if t.consumers]
    if random.random() < 0.3:
        document["pins"] = [{"node": random.choice(names), "host": "device"}]
    if random.random() < 0.2:
        document["pins"] = [
            *document.get("pins", []),
            {"node": random.choice(names[-3:]), "host": "server"},
        ]
    if random.random() < 0.2 and len(names) > 1:
        start = random.randrange(len(names) - 1)
        document["together"] = [random.sample(names[start : start + 4], 2)]
    if random.random() < 0.2:
        document["forbid_crossing"] = [random.choice(edges)]
    if random.random() < 0.1:
        inputs = [graph.tensors[t].name for t in graph.inputs]
        document["inputs"] = [{"name": random.choice(inputs), "host": "server"}]
    return check_costs(document, "random costs")
