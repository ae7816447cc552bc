"""Every feasible placement of a small problem."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from planner.errors import SolverError

if TYPE_CHECKING:
    from planner.problems.problem import Problem

MAX_PLACEMENTS = 2**23


def enumerate_placements(
    problem: Problem, max_placements: int = MAX_PLACEMENTS
) -> npt.NDArray[np.int8]:
    """Every feasible placement; int8, shape [placements, operators].

    Operators are added one at a time, and what breaks a rule among those seen so far is dropped.

    Raises:
        PlanError: If no placement is feasible.
        SolverError: If there are too many.
    """
    constraints = problem.constraints
    latest, earliest = constraints.extremes
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
        if len(partial) > max_placements:
            raise SolverError(
                f"there are more than {max_placements} feasible placements",
                code="PLN503",
                hint="use `--solver maxflow`, which is exact at any size",
                exit_code=2,
            )
    return partial
