"""Memory limits at any size: prices on the minimum cut give a bound and plans that fit.

The gap between the two is closed only if that is asked for: by branch and bound where few nodes do
it, else by an integer program. docs/theory.md, §15.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from planner.arrays import IntArray
from planner.errors import SolverError
from planner.problems.memory import nothing_fits
from planner.problems.problem import Problem
from planner.problems.solution import Capabilities, Limits, Solution, Status, bounded_solution
from planner.problems.ticks import feasible_placements
from planner.solvers.budget.branching import search
from planner.solvers.budget.fixings import tightened
from planner.solvers.budget.lagrangian import relax
from planner.solvers.flow.cuts import ORTOOLS, VERSION
from planner.solvers.flow.whole import whole_network_solution
from planner.solvers.milp.answers import no_placement

TOLERANCE = 1e-9
"""Prices are rounded down, and integer programs are solved in floating point: relative."""

MILP_S = 2e-4
"""Seconds per operator that it takes to write an integer program, roughly."""

MAX_NODES = 400
"""Branch and bound goes no further: where this is not enough, an integer program does better."""


class Budget:
    """Lower bound and plan in milliseconds, the optimum only if that is asked for."""

    name = "budget"
    requires = ("ortools",)
    capabilities = Capabilities(
        is_exact=True,
        runs_engines=True,
        honours_memory=True,
        tolerance=TOLERANCE,
        summary="memory limits as prices on the minimum cut; gap reported, `--gap 0` closes it",
    )

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        """Place every operator within the memory limits.

        Without `limits.gap` the gap is what the relaxation leaves. With it, the search goes on
        until the gap is no larger.

        Raises:
            PlanError: If no placement keeps the rules and fits.
            SolverError: If the time was over before any placement was found that does.
        """
        started = time.perf_counter()
        if problem.memory is None:
            remark = "; no host is limited"
            return whole_network_solution(
                problem, ORTOOLS, solver=self.name, started=started, remark=remark
            )
        rules = problem.shared("tightened", lambda: tightened(problem, problem.constraints))
        tight = problem.under(rules, problem.shared("tightened_structure", dict))
        found = _Search(tight, limits, started).run()
        if found.placement is None:
            raise nothing_fits()
        return bounded_solution(
            problem,
            found.placement,
            found.lower_bound,
            solver=self.name,
            solver_version=found.version,
            message="; ".join(found.words),
            started=started,
            tolerance=TOLERANCE,
            stopped=Status.BOUNDED if found.is_close else Status.LIMIT,
        )


@dataclass
class _Search:
    """One search: relaxation, then branch and bound, then an integer program."""

    problem: Problem
    limits: Limits
    started: float

    def __post_init__(self) -> None:
        self.placement: IntArray | None = None
        self.lower_bound = 0
        self.version = f"ortools {VERSION}"
        self.words: list[str] = []

    @property
    def gap(self) -> float:
        """What is left open, relative to the best placement; infinite if there is none."""
        if self.placement is None:
            return float("inf")
        value = self.problem.goal.value(self.placement)
        return (value - self.lower_bound) / value if value else 0.0

    @property
    def wanted(self) -> float:
        """The gap that was asked for; 1 if none was, because any plan will do then."""
        return 1.0 if self.limits.gap is None else self.limits.gap

    @property
    def is_close(self) -> bool:
        """Whether the gap is no larger than was asked for."""
        return self.gap <= max(TOLERANCE, self.wanted)

    def run(self) -> _Search:
        """Search until the gap is small enough, nothing fits, or the time is over."""
        seconds = self.limits.seconds
        deadline = None if seconds is None else self.started + seconds
        root = relax(self.problem, feasible_placements(self.problem), deadline)
        self.placement, self.lower_bound = root.placement, root.lower_bound
        cuts = "1 minimum cut" if root.n_cuts == 1 else f"{root.n_cuts} minimum cuts"
        self._say(f"Lagrangian relaxation, {cuts}")
        if self.is_close:
            return self
        found = search(
            self.problem,
            root,
            gap=max(1e-12, self.wanted),
            max_nodes=MAX_NODES,
            deadline=deadline,
        )
        self.placement = found.placement
        self.lower_bound = max(self.lower_bound, found.lower_bound)
        self._say(f"branch and bound, {found.n_nodes} nodes")
        if not (self.is_close or found.is_complete):
            self._close_by_milp()
        return self

    def _say(self, step: str) -> None:
        """Note a step, and the gap that it leaves."""
        left = f", gap {self.gap:.2%}" if self.placement is not None else ", no plan"
        self.words.append(step + (left if self.gap > TOLERANCE else ""))

    def _close_by_milp(self) -> None:
        from planner.solvers.pyomo_milp.engines import solve_model

        limits = replace(self.limits, gap=min(self.wanted, 0.99))
        if limits.seconds is not None:
            left = self.started + limits.seconds - time.perf_counter()
            if left < self.problem.n_operators * MILP_S:
                self._give_up("no time is left for an integer program")
                return
            limits = replace(limits, seconds=left)
        try:
            answer = solve_model(
                self.problem, limits=limits, incumbent=self.placement, lower_bound=self.lower_bound
            )
        except SolverError as error:
            self._give_up(error.message)
            return
        self.placement = answer.placement
        self.lower_bound = max(self.lower_bound, answer.lower_bound)
        self.version += f", {answer.version}"
        self._say(answer.message)
        if answer.placement is None:
            raise self._nothing()

    def _give_up(self, why: str) -> None:
        """Stay with what is known, if that is a placement."""
        self.words.append(why)
        if self.placement is None:
            raise self._nothing()

    def _nothing(self) -> SolverError:
        quantum_s = self.problem.goal.quantum_s
        return no_placement(Budget.name, "; ".join(self.words), self.lower_bound, quantum_s)


SOLVER = Budget()
