"""What a solver is asked and what it answers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import TYPE_CHECKING, Protocol

from planner.arrays import IntArray
from planner.costs.scenario import Objective
from planner.errors import PlanError, SolverError
from planner.registry import Registry

if TYPE_CHECKING:
    from planner.problems.problem import Problem


class Status(Enum):
    """Why a solver stopped."""

    OPTIMAL = "optimal"
    """It proved that no placement is better: the lower bound equals the value."""
    FEASIBLE = "feasible"
    """It has a placement that keeps the rules, without a proof (policies)."""
    BOUNDED = "bounded"
    """It has a placement and a lower bound, with a gap no larger than was asked for."""
    REPAIRED = "repaired"
    """Its own answer broke the rules; the placement is the nearest one that keeps them."""
    INFEASIBLE = "infeasible"
    """Its answer breaks the rules; the placement is shown, not to be used."""
    LIMIT = "limit"
    """It ran into a limit; the placement, if any, is the best seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """When a solver may stop, and what it runs.

    Attributes:
        seconds: The time after which it has to.
        gap: The relative gap between value and lower bound with which it may stop; None leaves
            that to the solver, 0 asks for the optimum.
        engine: The program that solves integer programs, for solvers with a choice.

    Raises:
        PlanError: If a time is not > 0, or a gap no fraction.
    """

    seconds: float | None = None
    gap: float | None = None
    engine: str | None = None

    def __post_init__(self) -> None:
        wrong = {}
        if self.seconds is not None and not 0 < self.seconds < inf:
            wrong["seconds"] = "a time > 0"
        if self.gap is not None and not 0 <= self.gap < 1:
            wrong["gap"] = "a fraction from 0 to below 1"
        for name, expected in wrong.items():
            text = f"`{name}` is {getattr(self, name)!r}, expected {expected}"
            raise PlanError(text, code="PLN410", where=name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a solver can do; checked before it starts.

    Attributes:
        is_exact: Whether it proves its answers.
        max_hosts: The longest route it handles; None for any.
        max_free_operators: Above this many operators that no rule binds it refuses.
        summary: One line for people.
        honours_memory: Whether it keeps memory limits. A policy need not: its answer is checked.
        objectives: What it can minimise.
        runs_engines: Whether it has a program solve integer programs, which can be named.
        tolerance: What its proofs in floating point may leave open, relative; 0 in whole numbers.
    """

    is_exact: bool
    summary: str
    max_hosts: int | None = None
    max_free_operators: int | None = None
    honours_memory: bool = False
    objectives: tuple[Objective, ...] = (Objective.DELAY,)
    runs_engines: bool = False
    tolerance: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """What was proved, in ticks.

    Attributes:
        value: Total of the placement.
        lower_bound: Ticks that no feasible placement can go below; 0 if nothing was proved.
        quantum_s: Seconds of one tick.
        tolerance: What a proof in floating point leaves open, relative to the value; 0 in whole
            numbers.
    """

    value: int
    lower_bound: int
    quantum_s: float
    tolerance: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether no placement is below the value."""
        return self.value - self.lower_bound <= self.tolerance * self.value

    @property
    def gap(self) -> float:
        """What the value may be above the optimum, relative to the value."""
        return (self.value - self.lower_bound) / self.value if self.value else 0.0


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
    gap = 0.0
    tolerance = 0.0

    def __init__(self, problem: Problem, placement: IntArray) -> None:
        self._open: tuple[Problem, IntArray] | None = (problem, placement)
        self._known: Certificate | None = None

    def settled(self) -> Certificate:
        """The figures; found once, and then nothing else is kept."""
        if self._known is None and self._open is not None:
            problem, placement = self._open
            value = int(problem.total(problem.ticks.terms, placement))
            while problem.goal.is_coarse_for(value):
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

    @property
    def has_bound(self) -> bool:
        """Whether it is the optimum, or as close to it as was asked for."""
        return self.is_proved or self.status is Status.BOUNDED


def bounded_solution(
    problem: Problem,
    placement: IntArray,
    lower_bound: int,
    *,
    solver: str,
    solver_version: str,
    message: str,
    started: float,
    tolerance: float = 0.0,
    stopped: Status = Status.LIMIT,
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
        tolerance: Of the proof, relative.
        stopped: Why it stopped, if the bound is lower than the value.

    Raises:
        SolverError: If the placement is below the bound, which is then none.
    """
    goal = problem.goal
    value = goal.value(placement)
    if value < lower_bound:
        raise SolverError(
            f"`{solver}` says that nothing is below {lower_bound} ticks, but its placement has "
            f"{value}",
            code="PLN502",
            exit_code=70,
        )
    certificate = Certificate(
        value=value, lower_bound=lower_bound, quantum_s=goal.quantum_s, tolerance=tolerance
    )
    return Solution(
        placement=placement,
        certificate=certificate,
        status=Status.OPTIMAL if certificate.holds else stopped,
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


SOLVERS: Registry[Solver] = Registry(
    "planner.solvers",
    "solver",
    {
        "segments": "planner.solvers.segments:SOLVER",
        "maxflow": "planner.solvers.maxflow:SOLVER",
        "blockwise": "planner.solvers.blockwise:SOLVER",
        "networkx": "planner.solvers.networkx_flow:SOLVER",
        "budget": "planner.solvers.budget:SOLVER",
        "pulp": "planner.solvers.pulp_milp:SOLVER",
        "pyomo": "planner.solvers.pyomo_milp:SOLVER",
        "brute-force": "planner.solvers.brute_force:SOLVER",
        "device-only": "planner.solvers.policies:DEVICE_ONLY",
        "server-only": "planner.solvers.policies:SERVER_ONLY",
        "best-prefix": "planner.solvers.policies:BEST_PREFIX",
        "best-layer": "planner.solvers.policies:BEST_LAYER",
        "dads": "planner.solvers.policies:DADS",
        "naive-blocks": "planner.solvers.policies:NAIVE_BLOCKS",
    },
    "PLN301",
)
