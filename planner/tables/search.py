"""The search for a table's plans: cuts are added where the exact solver finds better ones.

The delay of a placement is linear in (1 / uplink, 1 / downlink, 1 / speed), so the optimum is the
minimum of linear functions, and concave. Where the minimum of the known ones equals it at every
vertex, it equals it everywhere; see docs/theory.md, §13.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from planner.arrays import IntArray
from planner.errors import SolverError
from planner.plans.solving import solve
from planner.problems.linear_terms import coefficients, state_of
from planner.problems.problem import Problem
from planner.problems.solution import Solution
from planner.problems.ticks import rounding_s
from planner.tables.envelopes import Cut, Envelope, Vertex
from planner.tables.table_file import ParameterEntry

SAME = Fraction(1, 10**12)
"""A placement this little better, relatively, is a rounding error and no other plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the exact solver says of one state, and the cut that is best there."""

    problem: Problem
    solution: Solution
    cut: Cut

    @property
    def lower_bound_s(self) -> float:
        """Seconds that no placement can go below: the solver's ticks, less all rounding."""
        solution = self.solution
        rounding = rounding_s(self.problem, solution.quantum_s)
        return solution.lower_bound * solution.quantum_s - rounding


@dataclass(slots=True, kw_only=True)
class Search:
    """The known cuts, and the exact solver that is asked for others."""

    problem: Problem
    parameters: tuple[ParameterEntry, ...]
    solver: str
    answers: dict[tuple[float, ...], Answer] = field(default_factory=dict)
    placements: list[IntArray] = field(default_factory=list)

    def run(self) -> Envelope:
        """The envelope of all cuts that are best somewhere in the box."""
        low = tuple(parameter.low for parameter in self.parameters)
        first = self.ask(low)
        # A large rate is a small 1 / rate.
        box = [(1.0 / p.high, 1.0 / p.low) for p in self.parameters]
        envelope = Envelope(box, first.cut)
        self.placements.append(first.solution.placement)
        while (
            vertex := next((v for v in envelope.vertices if not v.is_verified), None)
        ) is not None:
            answer = self.ask(self.state_at(envelope, vertex))
            if envelope.excess(vertex, answer.cut) > SAME:
                envelope.add(answer.cut)
                self.placements.append(answer.solution.placement)
            else:
                vertex.is_verified = True
        return envelope

    def state_at(self, envelope: Envelope, vertex: Vertex) -> tuple[float, ...]:
        """Values of the parameters at a vertex; at a wall of the box its end, to the last bit."""
        state = []
        walls = envelope.walls_of(vertex)
        for parameter, wall, inverse in zip(self.parameters, walls, vertex.position, strict=True):
            inside = min(max(1.0 / inverse, parameter.low), parameter.high)
            state.append({-1: parameter.high, 0: inside, 1: parameter.low}[wall])
        return tuple(state)

    def ask(self, state: tuple[float, ...]) -> Answer:
        """What is best in a state; each is solved once.

        Raises:
            SolverError: If the solver has no proof of its answer.
        """
        known = self.answers.get(state)
        if known is not None:
            return known
        problem = self.problem_at(state)
        solution = solve(problem, self.solver)
        if not solution.is_proved:
            raise SolverError(
                f"`{solution.solver}` has no proof of its answer: {solution.message}",
                code="PLN501",
                where="solver",
                hint="use an exact solver, such as `auto`",
            )
        answer = Answer(problem=problem, solution=solution, cut=self.cut_of(solution.placement))
        self.answers[state] = answer
        return answer

    def problem_at(self, state: Sequence[float]) -> Problem:
        """The problem in a state."""
        values = {p.name: value for p, value in zip(self.parameters, state, strict=True)}
        speed = values.pop("device_speed", None)
        problem = self.problem.with_links(**values)
        return problem if speed is None else problem.with_speed(**{problem.hosts[0]: speed})

    def cut_of(self, placement: IntArray) -> Cut:
        """Seconds of a round as a linear function of 1 / parameters."""
        per_unit = coefficients(self.problem, placement[None, :])[0]
        fixed = state_of(self.problem).copy()
        slopes = []
        for parameter in self.parameters:
            places = _places(self.problem, parameter.name)
            slopes.append(math.fsum(per_unit[places]))
            fixed[places] = 0.0
        return (math.fsum(per_unit * fixed), *slopes)


def _places(problem: Problem, parameter: str) -> slice:
    """Where a parameter stands in `state_of`."""
    hosts, links = problem.n_hosts, problem.n_links
    return {
        "device_speed": slice(0, 1),
        "uplink_bps": slice(hosts, hosts + links),
        "downlink_bps": slice(hosts + links, hosts + 2 * links),
    }[parameter]
