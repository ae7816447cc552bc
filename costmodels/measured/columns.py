"""What measurements of one graph say, as arrays: seconds per operator, and what ran as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.arrays import BoolArray, DisjointSets, FloatArray
from planner.costs.profile_file import Measurement
from planner.graphs.graph import Graph


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Seconds of one measurement, those of a kernel at its first operator; shape [operators]."""

    forward_s: FloatArray
    backward_s: FloatArray
    is_timed: BoolArray
    is_timed_back: BoolArray
    left_out_s: float


def groups_of(graph: Graph, measurements: Sequence[Measurement]) -> list[tuple[int, ...]]:
    """Operators that ran as one in any measurement, ascending; overlapping ones are joined."""
    sets = DisjointSets(len(graph.operators))
    joined: set[int] = set()
    for measurement in measurements:
        for group in measurement.groups:
            known = [graph.operator_index.get(name, -1) for name in group.nodes]
            members = [operator for operator in known if operator >= 0]
            for other in members[1:]:
                sets.join(members[0], other)
                joined |= {members[0], other}
    found: dict[int, list[int]] = {}
    for operator in sorted(joined):
        found.setdefault(sets.find(operator), []).append(operator)
    return [tuple(operators) for operators in found.values()]


def columns_of(
    graph: Graph,
    measurement: Measurement,
    groups: Sequence[tuple[int, ...]],
    has_backward: BoolArray,
) -> Columns:
    n = len(graph.operators)
    forward, backward = np.zeros(n), np.zeros(n)
    is_timed, is_timed_back = np.zeros(n, np.bool_), np.zeros(n, np.bool_)
    carriers = _carriers(graph, measurement)
    left_out = 0.0
    for row in measurement.nodes:
        index = carriers.get(row.node, -1)
        if index < 0:
            left_out += row.forward.typical_s
            continue
        own = graph.operator_index.get(row.node, index)
        is_timed[own] = True
        forward[index] += row.forward.typical_s
        if row.backward is not None:
            is_timed_back[own] = True
            backward[own] += row.backward.typical_s
    for group in groups:
        members = list(group)
        first = members[0]
        forward[first], forward[members[1:]] = forward[members].sum(), 0.0
        # The backward pass of a kernel is that of those members that have one.
        back, total = [v for v in members if has_backward[v]], backward[members].sum()
        backward[members] = 0.0
        if back:
            backward[back[0]] = total
            is_timed_back[back] |= is_timed_back[members].any()
    backward[~has_backward] = 0.0
    return Columns(
        forward_s=forward,
        backward_s=backward,
        is_timed=is_timed,
        is_timed_back=is_timed_back,
        left_out_s=left_out,
    )


def _carriers(graph: Graph, measurement: Measurement) -> dict[str, int]:
    """The operator that each node's seconds are charged to: itself, or one of its kernel."""
    found = {
        row.node: graph.operator_index[row.node]
        for row in measurement.nodes
        if row.node in graph.operator_index
    }
    for group in measurement.groups:
        first = next((found[name] for name in group.nodes if name in found), None)
        if first is not None:
            found |= {name: first for name in group.nodes if name not in found}
    return found


def on_a_line(batches: Sequence[float], seconds: FloatArray, batch: float) -> FloatArray:
    """Least squares with an intercept: [batches, operators] → seconds at `batch`; [operators]."""
    offset = np.array(batches) - np.mean(batches)
    middle = seconds.mean(axis=0)
    slope = offset @ (seconds - middle) / (offset @ offset)
    return np.asarray(middle + slope * (batch - float(np.mean(batches))), np.float64)
