"""Minimum s-t cuts by OR-tools: the one module that knows its max-flow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import ortools
from ortools.graph.python import max_flow

from planner.arrays import BoolArray, IntArray
from planner.errors import SolverError
from planner.solvers.flow.network import SINK, SOURCE, Network
from planner.solvers.flow.whole import FlowEngine

if TYPE_CHECKING:
    pass

VERSION: str = ortools.__version__


def minimum_cut(network: Network, capacities: IntArray) -> tuple[int, BoolArray]:
    """Value of the maximum flow and the minimal source side; shape [vertices].

    Raises:
        SolverError: If the input is not what OR-tools can take, or it finds no optimal flow.
    """
    solver = _solved(network, capacities)
    return int(solver.optimal_flow()), _source_side(network, solver)


def maximum_flow(network: Network, capacities: IntArray) -> tuple[IntArray, BoolArray]:
    """The flow on every arc and the minimal source side; shape [arcs] and [vertices].

    Raises:
        SolverError: As `minimum_cut`.
    """
    solver = _solved(network, capacities)
    # The first arc is the one that `_solved` adds.
    flows = solver.flows(np.arange(1, len(capacities) + 1, dtype=np.int32))
    return flows.astype(np.int64), _source_side(network, solver)


def _source_side(network: Network, solver: max_flow.SimpleMaxFlow) -> BoolArray:
    source_side = np.zeros(network.n_vertices, np.bool_)
    source_side[solver.get_source_side_min_cut()] = True
    return source_side


def _solved(network: Network, capacities: IntArray) -> max_flow.SimpleMaxFlow:
    """OR-tools with an optimal flow.

    OR-tools checks nothing: it truncates floats, takes negative capacities and can crash on
    vertices out of range. So all of that is checked here.
    """
    is_valid = (
        capacities.dtype == np.int64
        and bool((capacities >= 0).all())
        and bool(((network.tail >= 0) & (network.tail < network.n_vertices)).all())
        and bool(((network.head >= 0) & (network.head < network.n_vertices)).all())
    )
    if not is_valid:
        raise SolverError("the network is not one OR-tools can take", code="PLN502", exit_code=70)
    solver = max_flow.SimpleMaxFlow()
    # A vertex that no arc mentions does not exist for OR-tools: s and t always do.
    solver.add_arc_with_capacity(SOURCE, SINK, 0)
    solver.add_arcs_with_capacity(
        network.tail.astype(np.int32), network.head.astype(np.int32), capacities
    )
    status = solver.solve(SOURCE, SINK)
    if status != solver.OPTIMAL:
        raise SolverError(f"OR-tools stopped with {status.name}", code="PLN501")
    return solver


ORTOOLS = FlowEngine(minimum_cut=minimum_cut, library=f"ortools {VERSION}", words="OPTIMAL")
