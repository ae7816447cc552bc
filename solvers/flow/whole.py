"""The minimum cut of the whole network, by whatever finds maximum flows: exact, any K, any rule."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from planner.arrays import BoolArray, IntArray
from planner.problems.problem import Problem
from planner.problems.solution import Capabilities, Limits, Solution, bounded_solution
from planner.solvers.flow.network import Network, network_of

MinimumCut = Callable[[Network, IntArray], tuple[int, BoolArray]]
"""Network and capacities → value of the maximum flow, minimal source side; shape [vertices]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowEngine:
    """What finds minimum cuts.

    Attributes:
        minimum_cut: Whole numbers ≥ 0 in and out.
        library: The library behind it, with its version.
        words: How it ended, in messages.
    """

    minimum_cut: MinimumCut
    library: str
    words: str


class WholeNetwork:
    """A solver: one minimum s-t cut by one engine; returns the minimal source side."""

    def __init__(
        self, name: str, engine: FlowEngine, *, requires: tuple[str, ...], summary: str
    ) -> None:
        self.name = name
        self.requires = requires
        self.capabilities = Capabilities(is_exact=True, summary=summary)
        self._engine = engine

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        """Place every operator; limits are not needed at any size this fits in memory.

        Raises:
            PlanError: If no placement is feasible.
            SolverError: If the engine finds no optimal flow.
        """
        return whole_network_solution(
            problem, self._engine, solver=self.name, started=time.perf_counter()
        )


def whole_network_solution(
    problem: Problem, engine: FlowEngine, *, solver: str, started: float, remark: str = ""
) -> Solution:
    """The minimum cut of the whole network.

    Args:
        problem: Any number of hosts, any rule.
        engine: What finds it.
        solver: Who asks.
        started: `time.perf_counter()` when it started.
        remark: What to add to the words for people.

    Raises:
        PlanError: If no placement is feasible.
        SolverError: If the engine finds no optimal flow.
    """
    network = network_of(problem)
    flow, source_side = engine.minimum_cut(network, network.capacities(problem.ticks))
    return bounded_solution(
        problem,
        network.placement(source_side),
        flow,
        solver=solver,
        solver_version=engine.library,
        message=f"{engine.words}, flow {flow}{remark}",
        started=started,
    )
