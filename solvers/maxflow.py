"""The whole network through OR-tools' push-relabel maximum flow: exact, any K, any rule."""

from __future__ import annotations

import time

from planner.minimum_cuts import VERSION, minimum_cut
from planner.networks import network_of
from planner.problems import Problem
from planner.solutions import Capabilities, Limits, Solution, bounded_solution


class MaxFlow:
    """Minimum s-t cut by OR-tools; returns the minimal source side."""

    name = "maxflow"
    requires = ("ortools",)
    capabilities = Capabilities(
        is_exact=True, summary="minimum cut of the whole network (OR-tools); any hosts, any rule"
    )

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        """Place every operator; limits are not needed at any size this fits in memory.

        Raises:
            PlanError: If no placement is feasible.
            SolverError: If OR-tools reports anything but an optimal flow.
        """
        start = time.perf_counter()
        network = network_of(problem)
        flow, source_side = minimum_cut(network, network.capacities(problem.ticks))
        return bounded_solution(
            problem,
            network.placement(source_side),
            flow,
            solver=self.name,
            solver_version=f"ortools {VERSION}",
            message=f"OPTIMAL, flow {flow}",
            started=start,
        )


SOLVER = MaxFlow()
