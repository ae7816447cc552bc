"""The same network through networkx' preflow-push: the reference that anyone can read.

Pure Python, slow, and independent of OR-tools: what `planner.solvers.flow.cuts` is checked against.
"""

from __future__ import annotations

import networkx as nx
import numpy as np

from planner.arrays import BoolArray, IntArray
from planner.solvers.flow.network import SINK, SOURCE, Network
from planner.solvers.flow.whole import FlowEngine, WholeNetwork

VERSION: str = nx.__version__


def minimum_cut(network: Network, capacities: IntArray) -> tuple[int, BoolArray]:
    """Value of the maximum flow and the minimal source side; shape [vertices].

    The same contract as `planner.solvers.flow.cuts.minimum_cut`, whole numbers ≥ 0 in and out.
    """
    flow_graph: nx.DiGraph[int] = nx.DiGraph()
    flow_graph.add_nodes_from((SOURCE, SINK))
    arcs = zip(network.tail.tolist(), network.head.tolist(), capacities.tolist(), strict=True)
    for tail, head, capacity in arcs:
        # Parallel arcs of a DiGraph overwrite each other, so capacities are added up.
        known = flow_graph.get_edge_data(tail, head, {"capacity": 0})["capacity"]
        flow_graph.add_edge(tail, head, capacity=known + capacity)
    residual = nx.algorithms.flow.preflow_push(flow_graph, SOURCE, SINK)
    source_side = np.zeros(network.n_vertices, np.bool_)
    source_side[_reachable(residual)] = True
    return int(residual.graph["flow_value"]), source_side


def _reachable(residual: nx.DiGraph[int]) -> list[int]:
    """The minimal source side: what the residual network still reaches from s."""
    seen = {SOURCE}
    stack = [SOURCE]
    while stack:
        for head, arc in residual[stack.pop()].items():
            if head not in seen and arc["flow"] < arc["capacity"]:
                seen.add(head)
                stack.append(head)
    return list(seen)


SOLVER = WholeNetwork(
    "networkx",
    FlowEngine(minimum_cut=minimum_cut, library=f"networkx {VERSION}", words="preflow-push"),
    requires=("networkx",),
    summary="the same network through networkx preflow-push; slow reference",
)
