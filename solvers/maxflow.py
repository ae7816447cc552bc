"""The whole network through OR-tools' push-relabel maximum flow: exact, any K, any rule."""

from __future__ import annotations

import time

from planner.problems.problem import Problem
from planner.problems.solution import Capabilities, Limits, Solution
from planner.solvers.flow.cuts import whole_network_solution


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
        return whole_network_solution(problem, solver=self.name, started=time.perf_counter())


SOLVER = MaxFlow()
