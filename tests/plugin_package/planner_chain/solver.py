"""Policy `random-feasible`: a random placement that keeps the rules, always the same one."""

from __future__ import annotations

import time

import numpy as np

from planner.plugins import Capabilities, Certificate, Limits, Problem, Solution, Status


class RandomFeasible:
    """Draws a host for every operator, then moves operators later until all rules hold."""

    name = "random-feasible"
    requires: tuple[str, ...] = ()
    capabilities = Capabilities(is_exact=False, summary="a random placement that keeps the rules")

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        """Place every operator; no proof."""
        start = time.perf_counter()
        rules = problem.constraints
        latest, earliest = rules.extremes
        drawn = np.random.default_rng(0).integers(0, problem.n_hosts, problem.n_operators)
        # Every rule is `before` not after `after`, and the latest placement keeps them all: so
        # nothing has to move beyond it.
        placement = np.clip(drawn, earliest, latest)
        while (broken := placement[rules.before] > placement[rules.after]).any():
            np.maximum.at(placement, rules.after[broken], placement[rules.before[broken]])
        ticks = problem.ticks
        return Solution(
            placement=placement,
            certificate=Certificate(
                value=int(problem.total(ticks.terms, placement)),
                lower_bound=0,
                quantum_s=ticks.quantum_s,
            ),
            status=Status.FEASIBLE,
            message="drawn with seed 0",
            solver=self.name,
            solver_version="planner-chain 0.1.0",
            seconds=time.perf_counter() - start,
        )


SOLVER = RandomFeasible()
