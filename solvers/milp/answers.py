"""What a MILP says about a problem, and the checks that it is true."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import FloatArray, IntArray
from planner.errors import SolverError
from planner.problems.solution import Solution, Status, bounded_solution
from planner.solvers.milp.engines import EngineFailure

if TYPE_CHECKING:
    from planner.problems.problem import Problem

INTEGRALITY = 1e-6
"""How far from a whole number a solver's integer may be."""


class MilpStatus(Enum):
    """Why the search ended."""

    OPTIMAL = "optimal"
    """Within the gap that was asked for."""
    STOPPED = "stopped"
    """On a limit."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MilpAnswer:
    """What a MILP solver found for a problem.

    Attributes:
        placement: Host of each operator; None if it found none.
        lower_bound: Ticks that no feasible placement is below, rounded down for all tolerances.
        status: Why the search ended.
        message: The solver's own words.
        version: Names and versions of the libraries and programs behind it.
    """

    placement: IntArray | None
    lower_bound: int
    status: MilpStatus
    message: str
    version: str


def whole(values: FloatArray, solver: str, tolerance: float = INTEGRALITY) -> IntArray:
    """The whole numbers that a solver means.

    Raises:
        SolverError: If one is further from a whole number than `tolerance`, or none at all.
    """
    rounded = np.rint(values)
    if not (np.abs(values - rounded) <= tolerance).all():
        raise SolverError(f"`{solver}` gave a placement that is not integral", code="PLN502")
    result: IntArray = rounded.astype(np.int64)
    return result


def require_feasible(problem: Problem, placement: IntArray, solver: str) -> None:
    """Check a placement against the rules.

    Raises:
        SolverError: If it breaks one.
    """
    if not problem.constraints.keeps(placement):
        raise SolverError(
            f"`{solver}` gave a placement that breaks the rules", code="PLN502", exit_code=70
        )


def solution_of(
    problem: Problem, answer: MilpAnswer, *, solver: str, tolerance: float, started: float
) -> Solution:
    """An answer as the solver's solution; its value is recomputed in ticks.

    Args:
        problem: What was solved.
        answer: What the engine found.
        solver: The solver's name.
        tolerance: Of the proof, relative.
        started: `time.perf_counter()` when it started.

    Raises:
        SolverError: If there is no placement.
    """
    if answer.placement is None:
        raise no_placement(solver, answer.message, answer.lower_bound, problem.goal.quantum_s)
    return bounded_solution(
        problem,
        answer.placement,
        answer.lower_bound,
        solver=solver,
        solver_version=answer.version,
        message=answer.message,
        started=started,
        tolerance=tolerance,
        stopped=Status.BOUNDED if answer.status is MilpStatus.OPTIMAL else Status.LIMIT,
    )


def no_placement(solver: str, why: str, lower_bound: int, quantum_s: float) -> SolverError:
    """The error of a search that ended without a placement: why, and the best bound in ticks."""
    return SolverError(
        f"`{solver}` found no placement before it stopped ({why})"
        f"{_bound_words(lower_bound, quantum_s)}",
        code="PLN501",
        hint="allow more time",
    )


def with_bound(failure: EngineFailure, lower_bound: int, quantum_s: float) -> SolverError:
    """The error of an engine that failed, with the best bound that is known."""
    message = f"{failure.message}{_bound_words(lower_bound, quantum_s)}"
    return SolverError(message, code=failure.code, hint=failure.hint)


def _bound_words(lower_bound: int, quantum_s: float) -> str:
    bound_s = lower_bound * quantum_s * (1 - 5e-6)  # what six digits may round up
    return f"; best bound: no placement takes less than {bound_s:.6g} s"
