"""The problem with memory limits, or as a pipeline, as a MILP by Pyomo and any of its solvers."""

from __future__ import annotations

import time

from planner.milp_answers import MilpStatus, no_placement
from planner.problems import Problem
from planner.pyomo_engines import solve_model
from planner.pyomo_models import MAX_TOLERANCE, tolerance_of
from planner.scenarios import Objective
from planner.solutions import Capabilities, Limits, Solution, Status, bounded_solution


class PyomoMilp:
    """An extended formulation: memory limits on every host, and the throughput of a pipeline."""

    name = "pyomo"
    requires = ("pyomo", "pulp")
    capabilities = Capabilities(
        is_exact=True,
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
        if answer.placement is None:
            raise no_placement(self.name, answer, problem.goal.quantum_s)
        is_done = answer.status is MilpStatus.OPTIMAL
        return bounded_solution(
            problem,
            answer.placement,
            answer.lower_bound,
            solver=self.name,
            solver_version=answer.version,
            message=answer.message,
            started=started,
            tolerance=tolerance_of(problem),
            stopped=Status.BOUNDED if is_done else Status.LIMIT,
        )


SOLVER = PyomoMilp()
