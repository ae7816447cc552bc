"""Blocks as single vertices, where that provably keeps the optimum; the rest stays expanded.

The block-wise algorithm of arXiv:2507.01041 with a condition that makes it exact, for two hosts.
"""

from __future__ import annotations

import time

from planner.problems.problem import Problem
from planner.problems.solution import Capabilities, Limits, Solution, bounded_solution
from planner.solvers.blockwise.abstraction import abstracted
from planner.solvers.flow.cuts import VERSION, minimum_cut
from planner.solvers.flow.network import network_of
from planner.solvers.flow.whole import MinimumCut


class BlockWise:
    """Minimum s-t cut of a network of blocks and operators; returns the minimal source side.

    Args:
        engine: What finds minimum cuts.
        library: The library behind it, with its version.
    """

    name = "blockwise"
    requires = ("ortools",)
    capabilities = Capabilities(
        is_exact=True,
        summary="blocks as single vertices where that provably loses nothing (arXiv:2507.01041)",
    )

    def __init__(
        self, engine: MinimumCut = minimum_cut, library: str = f"ortools {VERSION}"
    ) -> None:
        self._engine = engine
        self._library = library

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        """Place every operator; limits are not needed at any size this fits in memory.

        Raises:
            PlanError: If no placement is feasible.
            SolverError: If the engine finds no optimal flow.
        """
        start = time.perf_counter()
        if problem.n_hosts != 2:
            network = network_of(problem)
            flow, side = self._engine(network, network.capacities(problem.ticks))
            placement = network.placement(side)
            words = f"the whole network, because the route has {problem.n_hosts} hosts"
        else:
            small = abstracted(problem, self._engine)
            flow, side = self._engine(small.network, small.capacities(problem.ticks))
            placement = small.placement(side)
            words = (
                f"{problem.n_operators} operators as {small.merged.problem.n_operators} vertices, "
                f"{small.n_regions} of them of several operators"
            )
        return bounded_solution(
            problem,
            placement,
            flow,
            solver=self.name,
            solver_version=self._library,
            message=f"OPTIMAL, flow {flow}; {words}",
            started=start,
        )


SOLVER = BlockWise()
