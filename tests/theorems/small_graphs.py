"""Small graphs in numbers, where a byte takes a second, and their best placement by exhaustion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from planner.arrays import IntArray
from planner.costs.cost_file import Costs, check_costs
from planner.costs.pricing import price, scenario_of
from planner.drafts.assembly import assemble
from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.evaluation.delay import delay_of, violations
from planner.graphs.graph import Graph
from planner.problems.problem import Problem
from planner.problems.solution import Solution


@dataclass(frozen=True, kw_only=True)
class Row:
    """A graph input (no seconds) or an operator with one output of the same name."""

    name: str
    reads: tuple[str, ...] = ()
    seconds: tuple[int, ...] = ()
    size: int = 0


def graph_of(rows: Sequence[Row]) -> Graph:
    def tensor(row: Row) -> DraftTensor:
        return DraftTensor(name=row.name, size_bytes=row.size)

    operators, parameters = [], []
    for row in rows:
        if not row.seconds:
            continue
        operands = [Operand(OperandKind.TENSOR, name) for name in row.reads]
        if not row.reads:
            parameters.append(DraftParameter(name=f"{row.name}.w", size_bytes=1))
            operands = [Operand(OperandKind.PARAMETER, f"{row.name}.w")]
        operators.append(
            DraftOperator(name=row.name, op="X", operands=tuple(operands), outputs=(tensor(row),))
        )
    read = {name for row in rows for name in row.reads}
    return assemble(
        Draft(
            name="small",
            inputs=[tensor(row) for row in rows if not row.seconds],
            outputs=[row.name for row in rows if row.seconds and row.name not in read],
            parameters=parameters,
            operators=operators,
        )
    )


def costs_of(rows: Sequence[Row], *, hosts: int = 2, **sections: Any) -> Costs:
    names = [f"h{k}" for k in range(hosts)]
    document = {
        "kind": "costs",
        "version": 1,
        "workload": {"mode": "inference"},
        "hosts": [
            {
                "name": name,
                "model": "table",
                "nodes": [
                    {"name": row.name, "forward_s": row.seconds[k]} for row in rows if row.seconds
                ],
            }
            for k, name in enumerate(names)
        ],
        "links": [{"uplink_bps": 8, "downlink_bps": 8}] * (hosts - 1),
        **sections,
    }
    return check_costs(document, "small costs")


def optimum(graph: Graph, costs: Costs) -> tuple[float, IntArray] | None:
    """Best of all K^n placements, by the formulas of section 1 alone; None if none is feasible."""
    scenario = scenario_of(graph, costs)
    table = price(graph, costs, scenario.workload)
    best: tuple[float, IntArray] | None = None
    for hosts in product(range(len(costs.hosts)), repeat=len(graph.operators)):
        placement = np.array(hosts, np.int64)
        if next(violations(graph, scenario, placement), None) is not None:
            continue
        total = delay_of(graph, table, scenario, placement).total_s
        if best is None or total < best[0]:
            best = total, placement
    return best


def seconds_of(graph: Graph, costs: Costs, placement: IntArray) -> float:
    scenario = scenario_of(graph, costs)
    return delay_of(graph, price(graph, costs, scenario.workload), scenario, placement).total_s


def rounding(problem: Problem, solution: Solution) -> float:
    """What rounding to ticks can hide between two placements, and a little for float sums."""
    count = np.count_nonzero(problem.seconds.flat())
    return count * solution.quantum_s + 1e-12 * solution.value * solution.quantum_s
