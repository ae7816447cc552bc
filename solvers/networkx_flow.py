"""The same network through networkx' preflow-push: the reference that anyone can read."""

from __future__ import annotations

import time

from planner.problems.problem import Problem
from planner.problems.solution import Capabilities, Limits, Solution, bounded_solution
from planner.solvers.flow.network import network_of
from planner.solvers.reference_cuts import VERSION, minimum_cut


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
        flow, source_side = minimum_cut(network, network.capacities(problem.ticks))
        return bounded_solution(
            problem,
            network.placement(source_side),
            flow,
            solver=self.name,
            solver_version=f"networkx {VERSION}",
            message=f"preflow-push, flow {flow}",
            started=start,
        )


SOLVER = NetworkxFlow()
