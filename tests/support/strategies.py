"""Random graphs and costs files with every feature of the problem, small enough for exhaustion."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from planner.costs.cost_file import Costs, check_costs
from planner.costs.pricing import priced
from planner.drafts.assembly import assemble
from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.evaluation.memory import memory_of
from planner.graphs.graph import Graph

OBJECTIVES = ("delay", "throughput")
SIZES = st.integers(0, 5_000_000)
DTYPES = st.sampled_from(["float32", "float32", "float16", "int64", None])
SECONDS = st.one_of(
    st.just(0.0),
    st.floats(1e-6, 1.0),
    st.integers(0, 4).map(float),
)
RATES = st.one_of(
    st.integers(0, 80).map(lambda tenths: 1e3 * 10 ** (tenths / 10)),
    st.integers(0, 20).map(lambda tenths: 1e7 * 10 ** (tenths / 10)),
    st.sampled_from([8.0, 8e6, 1e18]),
)


@st.composite
def graphs(draw: st.DrawFn, max_operators: int = 8) -> Graph:
    """A random DAG: operators with several inputs, outputs, parameters, some of them shared."""
    n = min(max_operators, draw(st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 5, 6, 7, 8])))
    tensors = [_tensor(draw, f"x{i}") for i in range(draw(st.integers(1, 2)))]
    inputs = list(tensors)
    parameters = [
        DraftParameter(
            name=f"w{i}",
            size_bytes=draw(SIZES),
            trainable=draw(st.booleans()),
            dtype="float32",
        )
        for i in range(draw(st.integers(0, 4)))
    ]
    operators = []
    for index in range(n):
        held = []
        if parameters:
            held = draw(st.lists(st.sampled_from(parameters), max_size=2, unique_by=id))
        # An operator may read parameters alone: a learned position table.
        least = 0 if held and draw(st.booleans()) else 1
        read = draw(
            st.lists(
                st.sampled_from(tensors), min_size=least, max_size=3, unique_by=lambda t: t.name
            )
        )
        # Mostly what was produced last, so that graphs are deep and not only wide.
        if least and draw(st.booleans()) and tensors[-1] not in read:
            read.append(tensors[-1])
        operands = [Operand(OperandKind.TENSOR, tensor.name) for tensor in read]
        operands += [Operand(OperandKind.PARAMETER, p.name) for p in held]
        outputs = [_tensor(draw, f"t{index}_{k}") for k in range(draw(st.sampled_from([1, 1, 2])))]
        tensors += outputs
        operators.append(
            DraftOperator(
                name=f"v{index}", op="Custom", operands=tuple(operands), outputs=tuple(outputs)
            )
        )
    produced = [tensor.name for operator in operators for tensor in operator.outputs]
    # Whatever nobody reads is an output, so that nothing is folded away.
    read_names = {o.name for operator in operators for o in operator.operands}
    outputs_of_graph = [name for name in produced if name not in read_names]
    # A graph output may be read by an operator, too, or be a graph input.
    extra = draw(st.lists(st.sampled_from([*produced, inputs[0].name]), max_size=1))
    outputs_of_graph += [name for name in extra if name not in outputs_of_graph]
    return assemble(
        Draft(
            name="random",
            inputs=inputs,
            outputs=outputs_of_graph,
            parameters=parameters,
            operators=operators,
        )
    )


def _tensor(draw: st.DrawFn, name: str) -> DraftTensor:
    return DraftTensor(
        name=name,
        size_bytes=draw(SIZES),
        dtype=draw(DTYPES),
        requires_grad=draw(st.sampled_from([None, None, None, True, False])),
    )


@st.composite
def costs_for(draw: st.DrawFn, graph: Graph, n_hosts: int, *, rules: bool = True) -> Costs:
    """A costs file for `graph` with table hosts and any of the workload's and rules' features."""
    hosts = [f"h{k}" for k in range(n_hosts)]
    document: dict[str, Any] = {
        "kind": "costs",
        "version": 1,
        "workload": {
            "mode": draw(st.sampled_from(["training", "training", "inference"])),
            "iterations_per_round": draw(st.integers(1, 50)),
            "label_bytes": draw(st.sampled_from([0, 1000, 10_000_000])),
            "return_outputs": draw(st.booleans()),
            "wire_dtype": draw(st.sampled_from([None, "float16", "int8"])),
        },
        "hosts": [
            {
                "name": host,
                "model": "table",
                "nodes": [
                    {"name": op.name, "forward_s": draw(SECONDS), "backward_s": draw(SECONDS)}
                    for op in graph.operators
                ],
            }
            for host in hosts
        ],
        "links": [
            {
                "uplink_bps": draw(RATES),
                "downlink_bps": draw(RATES),
                "latency_s": draw(st.sampled_from([0.0, 0.01, 1.0])),
            }
            for _ in range(n_hosts - 1)
        ],
    }
    if rules:
        names = [op.name for op in graph.operators]
        edges = [tensor.name for tensor in graph.tensors]
        document["pins"] = [
            {"node": draw(st.sampled_from(names)), "host": draw(st.sampled_from(hosts))}
            for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2])))
        ]
        if draw(st.sampled_from([False, False, True])):
            # The device sees the data first and the server has the last word: a cut somewhere.
            document["pins"] += [
                {"node": names[0], "host": hosts[0]},
                {"node": names[-1], "host": hosts[-1]},
            ][: len(names)]
        if draw(st.booleans()):
            document["together"] = [
                draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))
            ]
        if draw(st.booleans()):
            document["forbid_crossing"] = [draw(st.sampled_from(edges))]
        if draw(st.sampled_from([False, False, True])):
            inputs = [graph.tensors[t].name for t in graph.inputs]
            if inputs:
                document["inputs"] = [
                    {"name": draw(st.sampled_from(inputs)), "host": draw(st.sampled_from(hosts))}
                ]
    return check_costs(document, "random costs")


@st.composite
def problems(draw: st.DrawFn, max_operators: int = 8, *, rules: bool = True) -> tuple[Graph, Costs]:
    """A graph and a costs file for two or three hosts."""
    n_hosts = draw(st.sampled_from([2, 2, 3]))
    limit = max_operators if n_hosts == 2 else max(1, max_operators - 2)
    graph = draw(graphs(limit))
    return graph, draw(costs_for(graph, n_hosts, rules=rules))


@st.composite
def limited_problems(
    draw: st.DrawFn, max_operators: int = 8, *, objective: str | None = None
) -> tuple[Graph, Costs]:
    """The same with memory limits that are near to what some placement needs, or at it."""
    graph, costs = draw(problems(max_operators))
    states, what = draw(st.integers(0, 2)), objective or draw(st.sampled_from(list(OBJECTIVES)))
    workload = costs.workload.model_copy(update={"optimizer_states": states, "objective": what})
    costs = costs.model_copy(update={"workload": workload})
    scenario, table = priced(graph, costs)
    n, last = len(graph.operators), len(costs.hosts) - 1
    cut = draw(st.integers(0, n))
    hosts = np.where(np.arange(n) < cut, draw(st.integers(0, last)), last)
    hosts[: draw(st.integers(0, cut))] = 0
    limits: list[int | None] = [
        draw(st.sampled_from([None, used.total_bytes, used.total_bytes, used.total_bytes - 1]))
        for used in memory_of(graph, table, scenario, hosts)
    ]
    if all(limit is None for limit in limits):
        limits[0] = memory_of(graph, table, scenario, hosts)[0].total_bytes
    return graph, costs.model_copy(
        update={
            "hosts": tuple(
                host.model_copy(update={"memory_bytes": None if limit is None else max(1, limit)})
                for host, limit in zip(costs.hosts, limits, strict=True)
            )
        }
    )
