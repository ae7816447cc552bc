"""What a solver is asked and what it answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Protocol

from planner.errors import SolverError
from planner.graphs import IntArray

if TYPE_CHECKING:
    from planner.problems import Problem


class Status(Enum):
    """Why a solver stopped."""

    OPTIMAL = "optimal"
    """It proved that no placement is better: the lower bound equals the value."""
    FEASIBLE = "feasible"
    """It has a placement that keeps the rules, without a proof (policies)."""
    REPAIRED = "repaired"
    """Its own answer broke the rules; the placement is the nearest one that keeps them."""
    INFEASIBLE = "infeasible"
    """Its answer breaks the rules; the placement is shown, not to be used."""
    LIMIT = "limit"
    """It ran into a limit; the placement, if any, is the best seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a solver has to stop."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a solver can do; checked before it starts.

    Attributes:
        is_exact: Whether it proves its answers.
        max_hosts: The longest route it handles; None for any.
        max_free_operators: Above this many operators that no rule binds it refuses.
        summary: One line for people.
    """

    is_exact: bool
    summary: str
    max_hosts: int | None = None
    max_free_operators: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What was proved, in ticks.

    Attributes:
        value: Total of the placement.
        lower_bound: Ticks that no feasible placement can go below; 0 if nothing was proved.
        quantum_s: Seconds of one tick.
    """

    value: int
    lower_bound: int
    quantum_s: float

    @property
    def holds(self) -> bool:
        """Whether no placement is below the value."""
        return self.lower_bound == self.value


class DeferredCertificate:
    """The certificate of an optimum that no other placement comes near: ticks when asked for.

    Where every other placement takes longer by more than all rounding, the optimum in float64 is
    the optimum in any ticks of the state, and the only one. Finding the ticks takes longer than
    finding the placement, so it waits until somebody wants to see them.

    Args:
        problem: What was solved.
        placement: The optimum; shape [operators].
    """

    holds = True

    def __init__(self, problem: Problem, placement: IntArray) -> None:
        self._open: tuple[Problem, IntArray] | None = (problem, placement)
        self._known: Certificate | None = None

    def settled(self) -> Certificate:
        """The figures; found once, and then nothing else is kept."""
        if self._known is None and self._open is not None:
            problem, placement = self._open
            value = int(problem.total(problem.ticks.terms, placement))
            while problem.ticks.is_coarse_for(value):
                problem = problem.with_incumbent(placement)
                value = int(problem.total(problem.ticks.terms, placement))
            quantum_s = problem.ticks.quantum_s
            self._known = Certificate(value=value, lower_bound=value, quantum_s=quantum_s)
            self._open = None
        assert self._known is not None
        return self._known

    @property
    def value(self) -> int:
        """Total of the placement, in ticks."""
        return self.settled().value

    @property
    def lower_bound(self) -> int:
        """The same: no other placement takes as little."""
        return self.settled().lower_bound

    @property
    def quantum_s(self) -> float:
        """Seconds of one tick."""
        return self.settled().quantum_s

    def __eq__(self, other: object) -> bool:
        settled = other.settled() if isinstance(other, DeferredCertificate) else other
        return self.settled() == settled

    def __hash__(self) -> int:
        return hash(self.settled())

    def __repr__(self) -> str:
        return "DeferredCertificate(…)" if self._known is None else repr(self._known)

    def __reduce__(self) -> tuple[object, ...]:
        """What is pickled is what was proved."""
        return copy, (self.settled(),)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Solution:
    """A solver's answer.

    Attributes:
        placement: Host index of each operator, in graph order; read-only, shape [operators].
        certificate: Value and lower bound in ticks.
        status: Why it stopped.
        message: The solver's own words.
        solver: Its name.
        solver_version: Version of the library behind it.
        seconds: How long it took, network building included.
    """

    placement: IntArray
    certificate: Certificate | DeferredCertificate
    status: Status
    message: str
    solver: str
    solver_version: str
    seconds: float

    def __post_init__(self) -> None:
        # The certificate is about this placement, and may look at it later.
        self.placement.flags.writeable = False

    @property
    def value(self) -> int:
        """Total of the placement in ticks of `quantum_s`."""
        return self.certificate.value

    @property
    def lower_bound(self) -> int:
        """Ticks that no feasible placement can go below; 0 if nothing was proved."""
        return self.certificate.lower_bound

    @property
    def quantum_s(self) -> float:
        """Seconds of one tick."""
        return self.certificate.quantum_s

    @property
    def is_proved(self) -> bool:
        """Whether the certificate holds: no placement is below the value."""
        return self.status is Status.OPTIMAL and self.certificate.holds


def bounded_solution(
    problem: Problem,
    placement: IntArray,
    lower_bound: int,
    *,
    solver: str,
    solver_version: str,
    message: str,
    started: float,
) -> Solution:
    """The answer of a solver that has a lower bound: optimal if the placement's value equals it.

    Args:
        problem: What was solved; gives the value and the ticks.
        placement: Host index of each operator.
        lower_bound: Ticks that no feasible placement can go below.
        solver: The solver's name.
        solver_version: Version of the library behind it.
        message: The solver's own words.
        started: `time.perf_counter()` when it started.

    Raises:
        SolverError: If the placement is below the bound, which is then none.
    """
    value = int(problem.total(problem.ticks.terms, placement))
    if value < lower_bound:
        raise SolverError(
            f"`{solver}` says that nothing is below {lower_bound} ticks, but its placement has "
            f"{value}",
            code="PLN502",
            exit_code=70,
        )
    return Solution(
        placement=placement,
        certificate=Certificate(
            value=value, lower_bound=lower_bound, quantum_s=problem.ticks.quantum_s
        ),
        status=Status.OPTIMAL if value == lower_bound else Status.LIMIT,
        message=message,
        solver=solver,
        solver_version=solver_version,
        seconds=time.perf_counter() - started,
    )


class Solver(Protocol):
    """The contract of a solver plug-in (entry-point group `planner.solvers`)."""

    @property
    def name(self) -> str:
        """What `--solver` calls it."""

    @property
    def requires(self) -> Sequence[str]:
        """Modules that must be installed; checked without importing them."""

    @property
    def capabilities(self) -> Capabilities:
        """What it can do; a problem outside of it is refused before `solve` is called."""

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        """Place every operator.

        Raises:
            SolverError: If it stopped without any placement.
        """
