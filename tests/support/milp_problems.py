"""Random problems of up to 60 operators with every feature, from a seed.

Larger than `tests/support/strategies.py` can draw in reasonable time, too large for exhaustion:
what MILP solvers and flows are compared on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

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
from planner.problems.formulation import build_problem
from planner.problems.problem import Problem
from planner.solvers import pulp_milp
from planner.solvers.milp.engines import EngineOptions
from planner.solvers.pyomo_milp.engines import run
from planner.solvers.pyomo_milp.model import PlacementModel

Rng = np.random.Generator


def random_case(seed: int, max_operators: int = 60, **changes: object) -> tuple[Graph, Costs]:
    """A graph and a costs file for two or three hosts; `changes` override keys of the file."""
    rng = np.random.default_rng(seed)
    graph = _graph(rng, int(rng.integers(2, max_operators + 1)))
    document = _document(rng, graph, int(rng.choice([2, 2, 3])))
    return graph, check_costs(document | changes, f"random costs {seed}")


def _size(rng: Rng) -> int:
    """Many equal sizes, so that there are ties; some of nothing, some of megabytes."""
    return int(rng.choice([0, 1000, 4096, 4096, 10 ** int(rng.integers(1, 7)), rng.integers(5e6)]))


def _tensor(rng: Rng, name: str) -> DraftTensor:
    return DraftTensor(
        name=name,
        size_bytes=_size(rng),
        dtype=str(rng.choice(["float32", "float32", "float16", "int64"])),
        requires_grad=[None, None, None, True, False][rng.integers(5)],
    )


def _graph(rng: Rng, n: int) -> Graph:
    inputs = [_tensor(rng, f"x{i}") for i in range(rng.integers(1, 3))]
    tensors, operators = list(inputs), []
    parameters = [
        DraftParameter(
            name=f"w{i}", size_bytes=_size(rng), trainable=bool(rng.random() < 0.8), dtype="float32"
        )
        for i in range(rng.integers(0, n))
    ]
    window = int(rng.choice([2, 5, 100]))  # how far back an operator reads: deep or wide graphs
    for index in range(n):
        recent = tensors[-window:]
        chosen = rng.choice(len(recent), min(len(recent), int(rng.integers(1, 4))), replace=False)
        read = {recent[i].name for i in chosen}
        held = {p.name for p in parameters if rng.random() < 0.3 / len(parameters)}
        if index < len(parameters) and rng.random() < 0.7:
            held.add(parameters[index].name)
        outputs = tuple(_tensor(rng, f"t{index}_{k}") for k in range(rng.choice([1, 1, 1, 2])))
        operands = [Operand(OperandKind.TENSOR, name) for name in sorted(read)]
        operands += [Operand(OperandKind.PARAMETER, name) for name in sorted(held)]
        tensors += outputs
        operators.append(
            DraftOperator(name=f"v{index}", op="Custom", operands=tuple(operands), outputs=outputs)
        )
    read_names = {operand.name for operator in operators for operand in operator.operands}
    produced = [tensor.name for operator in operators for tensor in operator.outputs]
    return assemble(
        Draft(
            name="random",
            inputs=inputs,
            outputs=[name for name in produced if name not in read_names],
            parameters=parameters,
            operators=operators,
        )
    )


def _seconds(rng: Rng, n: int, scale: float) -> list[float]:
    kind = rng.integers(4)
    if kind == 0:  # whole numbers: ties and near-ties
        return (scale * rng.integers(0, 5, n)).tolist()
    if kind == 1:  # twelve orders of magnitude
        return (scale * 10 ** rng.uniform(-9, 3, n)).tolist()
    if kind == 2:  # equal but for the last digits
        return (scale * (1 + 1e-10 * rng.integers(0, 9, n))).tolist()
    return (scale * rng.random(n)).tolist()


def _rate(rng: Rng) -> float:
    return float(rng.choice([10 ** rng.uniform(4, 10), 10 ** rng.uniform(6, 8), 8e6, 8.0, 1e18]))


def _document(rng: Rng, graph: Graph, n_hosts: int) -> dict[str, Any]:
    names = [operator.name for operator in graph.operators]
    hosts = []
    for host in range(n_hosts):
        scale = float(rng.choice([1.0, 0.1, 0.25**host]))
        seconds = zip(
            names,
            _seconds(rng, len(names), scale),
            _seconds(rng, len(names), scale),
            strict=True,
        )
        rows = [{"name": v, "forward_s": f, "backward_s": b} for v, f, b in seconds]
        hosts.append({"name": f"h{host}", "model": "table", "nodes": rows})
    document: dict[str, Any] = {
        "kind": "costs",
        "version": 1,
        "workload": {
            "mode": str(rng.choice(["training", "training", "inference"])),
            "iterations_per_round": int(rng.integers(1, 50)),
            "label_bytes": int(rng.choice([0, 1000, 10_000_000])),
            "return_outputs": bool(rng.integers(2)),
            "wire_dtype": [None, "float16", "int8"][rng.integers(3)],
        },
        "hosts": hosts,
        "links": [
            {
                "uplink_bps": _rate(rng),
                "downlink_bps": _rate(rng),
                "latency_s": float(rng.choice([0.0, 0.01, 1.0])),
            }
            for _ in range(n_hosts - 1)
        ],
    }
    return document | _rules(rng, graph, n_hosts)


def _rules(rng: Rng, graph: Graph, n_hosts: int) -> dict[str, Any]:
    names, n = [operator.name for operator in graph.operators], len(graph.operators)
    rules: dict[str, Any] = {"pins": []}
    if rng.random() < 0.5:  # the device sees the data first, the server has the last word
        rules["pins"] += [{"node": names[0], "host": "h0"}]
        rules["pins"] += [{"node": names[-1], "host": f"h{n_hosts - 1}"}]
    if rng.random() < 0.3:
        at = int(rng.integers(n))
        # Late operators late: other pins seldom leave a feasible placement.
        host = min(n_hosts - 1, at * n_hosts // n)
        rules["pins"] += [{"node": names[at], "host": f"h{host}"}]
    if rng.random() < 0.4:
        start = int(rng.integers(n))
        rules["together"] = [names[start : start + int(rng.integers(1, 4))]]
    if rng.random() < 0.4:
        tensor = graph.tensors[int(rng.integers(len(graph.tensors)))]
        rules["forbid_crossing"] = [tensor.name]
    if rng.random() < 0.3:
        name = graph.tensors[graph.inputs[int(rng.integers(len(graph.inputs)))]].name
        rules["inputs"] = [{"name": name, "host": f"h{int(rng.integers(1, n_hosts))}"}]
    return rules


def limited_case(seed: int, max_operators: int = 14) -> tuple[Graph, Costs]:
    """A small problem with a random objective and, mostly, memory limits.

    Limits are what some random placement needs, exactly or nearly: a byte more or less decides.
    """
    rng = np.random.default_rng([seed, 1])
    graph, costs = random_case(seed, max_operators)
    document = costs.model_dump(mode="json", by_alias=True, exclude_none=True)
    document["workload"]["objective"] = str(rng.choice(["delay", "throughput"]))
    document["workload"]["optimizer_states"] = int(rng.integers(3))
    hosts = document["hosts"]
    for host in hosts:
        host["memory_bytes"] = 2**50
    problem = build_problem(graph, check_costs(document, "limits"))
    assert problem.memory is not None
    prefix = (np.arange(problem.n_operators) >= rng.integers(problem.n_operators + 1)).astype(int)
    use = problem.memory.use(prefix * (problem.n_hosts - 1))
    for host, need in zip(hosts, use.tolist(), strict=True):
        slack = int(rng.choice([0, 0, -1, 1, need // 3, -need // 5]))
        host["memory_bytes"] = max(1, need + slack)
        if rng.random() < 0.3:
            del host["memory_bytes"]
    return graph, check_costs(document, f"random limits {seed}")


def relaxed_by_pulp(problem: Problem) -> dict[str, float]:
    """Values of the LP relaxation that are not zero, by variable name."""
    model = pulp_milp._Model(problem, problem.ticks.bound)
    return model.solve("cbc", EngineOptions(relax=True)).values or {}


def relaxed_by_pyomo(problem: Problem) -> dict[str, float]:
    """The same; memory limits are kept."""
    model = PlacementModel(problem, problem.goal.bound, relax=True)
    return run(model, "cbc", EngineOptions(relax=True)).values or {}
