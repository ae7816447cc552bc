"""The planning problem that solvers get: an instance, its terms in whole ticks, and its goal."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from planner.costs.scenario import Objective
from planner.problems.feasibility import Constraints
from planner.problems.goals import Goal, delay_goal, throughput_goal
from planner.problems.instance import Instance
from planner.problems.terms import Ticks
from planner.problems.ticks import quantise


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem(Instance):
    """One planning problem in one state; made by `planner.problem(graph, costs)`.

    Solvers see the terms in whole ticks, so that equality means equality. See `Instance` for the
    attributes.
    """

    _OF_STATE: ClassVar[tuple[str, ...]] = ("seconds", "ticks", "goal")

    @cached_property
    def ticks(self) -> Ticks:
        """Every term of this state in whole ticks; see docs/theory.md, §6."""
        return quantise(self)

    @cached_property
    def goal(self) -> Goal:
        """What is minimised in this state, in whole ticks."""
        if self.workload.objective is Objective.DELAY:
            return delay_goal(self, self.ticks)
        return throughput_goal(self)

    def under(self, rules: Constraints, structure: dict[Hashable, object]) -> Problem:
        """The same problem in the same ticks under tighter rules.

        Args:
            rules: They exclude only what is infeasible anyway, or not looked for.
            structure: What is shared between states under these rules.
        """
        kept = {"ticks": self.ticks, "goal": self.goal}
        return self._in_state(constraints=rules, structure=structure, **kept)
