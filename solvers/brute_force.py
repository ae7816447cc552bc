"""Every feasible placement, one after another: the last word in tests."""

from __future__ import annotations

import time

import numpy as np
import numpy.typing as npt

from planner.errors import SolverError
from planner.feasibility import feasible_extremes
from planner.problems import Problem
from planner.solutions import Capabilities, Limits, Solution, bounded_solution

MAX_FREE_OPERATORS = 22
MAX_PLACEMENTS = 2**23
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


def enumerate_placements(problem: Problem) -> npt.NDArray[np.int8]:
    """Every feasible placement; int8, shape [placements, operators].

    Operators are added one at a time, and what breaks a rule among those seen so far is dropped.

    Raises:
        PlanError: If no placement is feasible.
        SolverError: If there are too many.
    """
    constraints = problem.constraints
    latest, earliest = feasible_extremes(constraints)
    n = problem.n_operators
    partial = np.zeros((1, n), np.int8)
    later_end = np.maximum(constraints.before, constraints.after)
    for operator in range(n):
        hosts = np.arange(earliest[operator], latest[operator] + 1, dtype=np.int8)
        partial = np.repeat(partial, len(hosts), axis=0)
        partial[:, operator] = np.tile(hosts, len(partial) // len(hosts))
        arcs = np.flatnonzero(later_end == operator)
        for before, after in zip(constraints.before[arcs], constraints.after[arcs], strict=True):
            partial = partial[partial[:, before] <= partial[:, after]]
        if len(partial) > MAX_PLACEMENTS:
            raise SolverError(
                f"there are more than {MAX_PLACEMENTS} feasible placements",
                code="PLN503",
                hint="use `--solver maxflow`, which is exact at any size",
                exit_code=2,
            )
    return partial


SOLVER = BruteForce()
