"""The same network through networkx' preflow-push: the reference that anyone can read."""

from __future__ import annotations

import time

import networkx as nx
import numpy as np

from planner.networks import SINK, SOURCE, network_of
from planner.problems import Problem
from planner.solutions import Capabilities, Limits, Solution, bounded_solution


class NetworkxFlow:
    """Minimum s-t cut by networkx; pure Python, slow, independent of OR-tools."""

    name = "networkx"
    requires = ("networkx",)
    capabilities = Capabilities(
        is_exact=True, summary="the same network through networkx preflow-push; slow reference"
    )

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        """Place every operator.

        Raises:
            PlanError: If no placement is feasible.
        """
        start = time.perf_counter()
        network = network_of(problem)
        capacities = network.capacities(problem.ticks)
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
        flow = int(residual.graph["flow_value"])
        return bounded_solution(
            problem,
            network.placement(source_side),
            flow,
            solver=self.name,
            solver_version=f"networkx {nx.__version__}",
            message=f"preflow-push, flow {flow}",
            started=start,
        )


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


SOLVER = NetworkxFlow()
