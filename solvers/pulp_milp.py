"""The problem as a MILP, by PuLP and the CBC that it carries: no flow theory in it."""

from __future__ import annotations

import time

from planner.problems.problem import Problem
from planner.problems.solution import Capabilities, Limits, Solution
from planner.solvers.milp.answers import solution_of
from planner.solvers.pulp_models import TOLERANCE, solve_model


class PulpMilp:
    """The terms of the problem as a MILP; a cross-check of the network and of the flows."""

    name = "pulp"
    requires = ("pulp",)
    capabilities = Capabilities(
        is_exact=True,
        runs_engines=True,
        tolerance=TOLERANCE,
        summary="the delay as a MILP (PuLP with CBC); no flow theory, any hosts, any rule",
    )

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        """Place every operator; `limits.engine` may be `cbc` (default) or `highs`.

        Raises:
            PlanError: If no placement is feasible.
            PluginError: If the engine is not installed (exit status 4).
            SolverError: If the engine fails, or is stopped before it has a placement.
        """
        started = time.perf_counter()
        answer = solve_model(problem, limits=limits)
        return solution_of(problem, answer, solver=self.name, tolerance=TOLERANCE, started=started)


SOLVER = PulpMilp()
