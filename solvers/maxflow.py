"""The whole network through OR-tools' push-relabel maximum flow: exact, any K, any rule."""

from __future__ import annotations

import time
from importlib.metadata import version

from planner.errors import SolverError
from planner.minimum_cuts import minimum_cut
from planner.networks import network_of
from planner.problems import Problem
from planner.solutions import Capabilities, Limits, Solution, Status


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
        ticks = problem.ticks
        network = network_of(problem)
        flow, source_side = minimum_cut(network, network.capacities(ticks))
        placement = network.placement(source_side)
        value = int(problem.total(ticks.terms, placement))
        if flow != value:
            raise SolverError(
                f"the flow is {flow} ticks but its cut costs {value}",
                code="PLN502",
                exit_code=70,
            )
        return Solution(
            placement=placement,
            value=value,
            lower_bound=flow,
            status=Status.OPTIMAL,
            message=f"OPTIMAL: flow {flow} = cut {value}",
            solver=self.name,
            solver_version=f"ortools {version('ortools')}",
            seconds=time.perf_counter() - start,
            quantum_s=ticks.quantum_s,
        )


SOLVER = MaxFlow()
