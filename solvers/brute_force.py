"""Every feasible placement, one after another: the last word in tests."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from planner.arrays import BoolArray, IntArray
from planner.costs.scenario import Objective
from planner.problems.enumeration import enumerate_placements
from planner.problems.memory import MemoryDemand, nothing_fits
from planner.problems.problem import Problem
from planner.problems.solution import Capabilities, Limits, Solution, bounded_solution

MAX_FREE_OPERATORS = 22
_CHUNK = 2**15


class BruteForce:
    """Exhaustive search. It knows the rules and the terms, and nothing of networks or cuts."""

    name = "brute-force"
    requires: tuple[str, ...] = ()
    capabilities = Capabilities(
        is_exact=True,
        honours_memory=True,
        objectives=tuple(Objective),
        summary=f"every feasible placement; refuses above {MAX_FREE_OPERATORS} free operators",
        max_free_operators=MAX_FREE_OPERATORS,
    )

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        """Place every operator; of several best placements the componentwise latest.

        Raises:
            PlanError: If no placement is feasible, or none keeps the memory limits.
            SolverError: If there are more placements than it will look at.
        """
        start = time.perf_counter()
        placements = enumerate_placements(problem)
        if problem.memory is not None:
            placements = placements[_fitting(problem.memory, placements)]
        if not len(placements):
            raise nothing_fits()
        best, chosen = None, np.zeros(0, np.int64)
        for chunk in np.array_split(placements, -(-len(placements) // _CHUNK)):
            hosts = chunk.astype(np.int64)
            totals = problem.goal.values(hosts)
            low = int(totals.min())
            if best is None or low <= best:
                ties = hosts[totals == low]
                if low == best:
                    ties = np.vstack([chosen[None, :], ties])
                best, chosen = low, _latest(problem, ties)
        assert best is not None
        return bounded_solution(
            problem,
            chosen,
            best,
            solver=self.name,
            solver_version=f"numpy {np.__version__}",
            message=f"looked at {len(placements)} feasible placements",
            started=start,
        )


def _fitting(memory: MemoryDemand, placements: npt.NDArray[np.int8]) -> BoolArray:
    chunks = np.array_split(placements, -(-len(placements) // _CHUNK))
    return np.concatenate([memory.fits(chunk) for chunk in chunks])


def _latest(problem: Problem, ties: IntArray) -> IntArray:
    """The componentwise latest of some best placements, or the nearest that is one of them.

    Without limits the minima of a delay form a lattice, so their componentwise maximum is one.
    """
    if problem.memory is None and len(problem.goal.parts) == 1:
        return np.asarray(ties.max(axis=0))
    return np.asarray(ties[ties.sum(axis=1).argmax()])


SOLVER = BruteForce()
