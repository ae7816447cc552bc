"""The problem with memory limits, or as a pipeline, as a MILP by Pyomo and any of its solvers."""

from __future__ import annotations

import time

from planner.costs.scenario import Objective
from planner.problems.problem import Problem
from planner.problems.solution import Capabilities, Limits, Solution
from planner.solvers.milp.answers import solution_of
from planner.solvers.pyomo_milp.engines import solve_model
from planner.solvers.pyomo_milp.model import MAX_TOLERANCE, tolerance_of


class PyomoMilp:
    """An extended formulation: memory limits on every host, and the throughput of a pipeline."""

    name = "pyomo"
    requires = ("pyomo", "pulp")
    capabilities = Capabilities(
        is_exact=True,
        runs_engines=True,
        tolerance=MAX_TOLERANCE,
        summary="MILP with memory limits or throughput (Pyomo with CBC, or any of its solvers)",
        honours_memory=True,
        objectives=(Objective.DELAY, Objective.THROUGHPUT),
    )

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        """Place every operator; `limits.engine` names a solver of Pyomo's (default `cbc`).

        Raises:
            PlanError: If no placement is feasible, or none keeps the memory limits.
            PluginError: If the engine is not installed (exit status 4).
            SolverError: If the engine fails, or is stopped before it has a placement.
        """
        started = time.perf_counter()
        answer = solve_model(problem, limits=limits)
        return solution_of(
            problem, answer, solver=self.name, tolerance=tolerance_of(problem), started=started
        )


SOLVER = PyomoMilp()
