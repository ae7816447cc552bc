"""Every feasible placement, one after another: the last word in tests."""

from __future__ import annotations

import time

import numpy as np

from planner.enumeration import enumerate_placements
from planner.errors import SolverError
from planner.problems import Problem
from planner.solutions import Capabilities, Limits, Solution, bounded_solution

MAX_FREE_OPERATORS = 22
_CHUNK = 2**15


class BruteForce:
    """Exhaustive search. It knows the rules and the terms, and nothing of networks or cuts."""

    name = "brute-force"
    requires: tuple[str, ...] = ()
    capabilities = Capabilities(
        is_exact=True,
        summary=f"every feasible placement; refuses above {MAX_FREE_OPERATORS} free operators",
        max_free_operators=MAX_FREE_OPERATORS,
    )

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        """Place every operator; of several best placements the componentwise latest.

        Raises:
            PlanError: If no placement is feasible.
            SolverError: If there are more placements than it will look at.
        """
        start = time.perf_counter()
        ticks = problem.ticks
        placements = enumerate_placements(problem)
        best, latest = None, None
        for chunk in np.array_split(placements, -(-len(placements) // _CHUNK)):
            hosts = chunk.astype(np.int64)
            totals = problem.totals(ticks.terms, hosts)
            low = int(totals.min())
            if best is None or low < best:
                best, latest = low, np.zeros(problem.n_operators, np.int64)
            if low == best and latest is not None:
                # Best placements form a lattice: their componentwise maximum is one of them.
                latest = np.maximum(latest, hosts[totals == low].max(axis=0))
        if best is None or latest is None:
            raise SolverError("there is no placement to look at", code="PLN502", exit_code=70)
        return bounded_solution(
            problem,
            latest,
            best,
            solver=self.name,
            solver_version=f"numpy {np.__version__}",
            message=f"looked at {len(placements)} feasible placements",
            started=start,
        )


SOLVER = BruteForce()
