"""Minimum s-t cuts by OR-tools: the one module that knows its max-flow."""

from __future__ import annotations

import numpy as np
import ortools
from ortools.graph.python import max_flow

from planner.errors import SolverError
from planner.graphs import BoolArray, IntArray
from planner.networks import SINK, SOURCE, Network

VERSION: str = ortools.__version__


def minimum_cut(network: Network, capacities: IntArray) -> tuple[int, BoolArray]:
    """Value of the maximum flow and the minimal source side; shape [vertices].

    OR-tools checks nothing: it truncates floats, takes negative capacities and can crash on
    vertices out of range. So all of that is checked here.

    Raises:
        SolverError: If the input is not what OR-tools can take, or it finds no optimal flow.
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
    source_side = np.zeros(network.n_vertices, np.bool_)
    source_side[solver.get_source_side_min_cut()] = True
    return int(solver.optimal_flow()), source_side
