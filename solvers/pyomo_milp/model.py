"""What a cut cannot do, as a MILP in Pyomo; `engines` beside it runs it, and no other knows Pyomo.

z[v,k] = 1 says that operator v is at or before host k. The delay is a sum of terms in differences
of two z, as in `planner.problems.problem`, and so are the stages of a pipeline, of which the
slowest is minimised. A memory limit is one row per host. Sets of operators of which any one costs
bytes, and the largest working set, enter it by the Lovász extension of their cost (a variable per
set that is ≥ each member, and a chain of them for a maximum), so that the relaxation is the
Lagrangian bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import floor, inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo
import pyomo.environ as pyo
from pyomo.core.expr import LinearExpression

from planner.arrays import BoolArray, IntArray
from planner.problems.goals import Goal
from planner.solvers.milp.answers import INTEGRALITY, require_feasible, whole

if TYPE_CHECKING:
    from planner.problems.problem import Problem

VERSION: str = pyomo.__version__
SUM_SCALE = 1e9
"""What the known upper bound of a sum becomes in the objective."""
MAX_SCALE = 1e6
"""The same for a maximum, whose parts are rows: tolerances of rows are absolute."""
MEMORY_UNITS = 2**20
"""Memory limits are rows of whole numbers up to this, which floats hold with room to spare."""

SUM_TOLERANCE = 1e-12
"""Relative error of a proof about a sum: what float64 makes of its costs."""
MAX_TOLERANCE = 1e-9
"""The same for a maximum: presolve and row scaling loosen the tolerance of rows."""

Term = tuple[Any, int]
"""A variable, of whatever library, and its coefficient."""
Linear = tuple[tuple[Term, ...], int]
"""Terms and a constant."""
ZERO: Linear = ((), 0)
ONE: Linear = ((), 1)


def times(form: Linear, factor: int) -> Linear:
    """A multiple of a form."""
    terms, constant = form
    return tuple((variable, factor * c) for variable, c in terms), factor * constant


def added(*forms: Linear) -> Linear:
    """The sum of some forms."""
    terms = [term for part, _ in forms for term in part]
    return tuple(joined(terms)), sum(constant for _, constant in forms)


def joined(terms: Iterable[Term]) -> list[Term]:
    """The same with every variable once, and none whose coefficient is 0."""
    found: dict[int, Term] = {}
    for variable, factor in terms:
        known = found.get(id(variable), (variable, 0))[1]
        found[id(variable)] = (variable, known + factor)
    return [term for term in found.values() if term[1]]


def tolerance_of(problem: Problem) -> float:
    """What proofs about a problem leave open, relative to its value."""
    return SUM_TOLERANCE if len(problem.goal.parts) == 1 else MAX_TOLERANCE


def rule_hosts(problem: Problem) -> BoolArray:
    """Hosts that the rules' bounds leave to each operator; shape [hosts, operators]."""
    hosts = np.arange(problem.n_hosts)[:, None]
    rules = problem.constraints
    return np.asarray((rules.low <= hosts) & (hosts <= rules.high))


@dataclass(eq=False)
class PlacementModel:
    """One problem as a Pyomo model.

    Args:
        problem: What to formulate.
        upper: Value of some feasible placement in ticks: no cost above it matters.
        relax: Make every variable continuous.

    Attributes:
        is_empty: Whether a limit leaves no placement, which a model without variables cannot say.
    """

    problem: Problem
    upper: int
    relax: bool = False

    def __post_init__(self) -> None:
        problem, goal = self.problem, self.problem.goal
        self.model = pyo.ConcreteModel()
        self.model.rows = pyo.ConstraintList()
        self.model.z = pyo.VarList(domain=pyo.UnitInterval if self.relax else pyo.Binary)
        self.model.y = pyo.VarList(domain=pyo.UnitInterval)
        self.is_empty = False
        allowed = rule_hosts(problem)
        infinite = np.iinfo(np.int64).max
        least = [np.where(allowed, part.unary, infinite).min(axis=0) for part in goal.parts]
        self.base = [int(row.sum()) for row in least]
        self.is_sum = len(goal.parts) == 1
        self.tolerance = tolerance_of(problem)
        scale = SUM_SCALE if self.is_sum else MAX_SCALE
        room = self.upper - (self.base[0] if self.is_sum else 0)
        # A power of two, so that nothing is rounded twice.
        self.unit = float(2.0 ** np.floor(np.log2(scale / (max(0, room) + 1))))
        rooms = [max(0, self.upper - base) for base in self.base]
        for part, low, most in zip(goal.parts, least, rooms, strict=True):
            # What no best placement pays is ruled out: in float64 it could look like a tie.
            allowed = allowed & (part.unary - low <= most)
        self.is_empty |= not allowed.any(axis=0).all()
        self.allowed = allowed
        self._add_places()
        self._add_order()
        sums: list[list[Term]] = [[] for _ in goal.parts]
        constants = [0 for _ in goal.parts]
        self._add_unary(goal, least, sums, constants)
        self._add_transfers(goal, rooms, sums)
        self._add_tied(goal, rooms, sums)
        self._add_memory()
        self._add_objective(sums, constants)

    def _add_places(self) -> None:
        """z[v,k], a constant where the hosts left to v decide it."""
        self.z: dict[tuple[int, int], Linear] = {}
        hosts, n = self.problem.n_hosts, self.problem.n_operators
        first = self.allowed.argmax(axis=0)
        last = hosts - 1 - self.allowed[::-1].argmax(axis=0)
        for v in range(n):
            self.z[v, -1], self.z[v, hosts - 1] = ZERO, ONE
            for k in range(hosts - 1):
                is_open = first[v] <= k < last[v]
                constant = ONE if k >= last[v] else ZERO
                self.z[v, k] = (((self.model.z.add(), 1),), 0) if is_open else constant
            for k in range(hosts):
                skips = first[v] < k < last[v] and not self.allowed[k, v]
                if skips:
                    self.at_most(self.z[v, k], self.z[v, k - 1])
                if k:
                    self.at_most(self.z[v, k - 1], self.z[v, k])

    def here(self, v: int, host: int) -> Linear:
        """Whether an operator is on a host: z[v,host] - z[v,host-1]."""
        return added(self.z[v, host], times(self.z[v, host - 1], -1))

    def at_most(self, smaller: Linear, *larger: Linear) -> None:
        """A row: the first is at most the sum of the others."""
        terms, constant = added(smaller, *(times(part, -1) for part in larger))
        self._row(terms, -constant)

    def _row(self, terms: Sequence[tuple[Any, float]], right: float) -> None:
        """Σ terms ≤ right."""
        lowest = sum(min(0.0, c) for _, c in terms)
        highest = sum(max(0.0, c) for _, c in terms)
        if terms and highest > right >= lowest:
            self.model.rows.add((None, _expression(terms), right))
        elif right < lowest:
            self.is_empty = True

    def _add_order(self) -> None:
        rules = self.problem.constraints
        arcs = dict.fromkeys(zip(rules.before.tolist(), rules.after.tolist(), strict=True))
        for before, after in arcs:
            for k in range(self.problem.n_links):
                self.at_most(self.z[after, k], self.z[before, k])

    def _add_unary(
        self,
        goal: Goal,
        least: list[IntArray],
        sums: list[list[Term]],
        constants: list[int],
    ) -> None:
        for p, part in enumerate(goal.parts):
            cost = np.where(self.allowed, part.unary - least[p], 0)
            for host, v in zip(*np.nonzero(cost), strict=True):
                terms, constant = times(self.here(int(v), int(host)), int(cost[host, v]))
                sums[p] += terms
                constants[p] += constant

    def _add_transfers(self, goal: Goal, rooms: list[int], sums: list[list[Term]]) -> None:
        x = self.problem.transfers
        for row in range(len(x)):
            source = int(x.source[row])
            readers = x.readers[x.indptr[row] : x.indptr[row + 1]].tolist()
            for k in range(self.problem.n_links):
                if source < 0 and -1 - source > k:
                    continue  # it lives after this link
                begin = ONE if source < 0 else self.z[source, k]
                costs = [int(part.transfer[row, k]) for part in goal.parts]
                if x.is_forbidden[row]:
                    crosses = ZERO
                elif any(costs):
                    crosses = self._paid(costs, rooms, sums)
                else:
                    continue
                for reader in readers:
                    self.at_most(begin, crosses, self.z[reader, k])

    def _paid(self, costs: list[int], rooms: list[int], sums: list[list[Term]]) -> Linear:
        """A variable that costs something; zero if no best placement pays that much."""
        if any(cost > room for cost, room in zip(costs, rooms, strict=True)):
            return ZERO
        variable = self.model.y.add()
        for p, cost in enumerate(costs):
            if cost:
                sums[p].append((variable, cost))
        return (((variable, 1),), 0)

    def _add_tied(self, goal: Goal, rooms: list[int], sums: list[list[Term]]) -> None:
        """`some` reader is before the link, `every` one is: they differ where it straddles.

        The difference of readers next to each other would do for whole numbers, but three readers
        at 1, 1/2 and 0 would pay half.
        """
        tied = self.problem.tied
        for row in range(len(tied.bits)):
            readers = tied.readers[tied.indptr[row] : tied.indptr[row + 1]].tolist()
            some = self._paid([int(part.exchange[row]) for part in goal.parts], rooms, sums)
            differ = self._paid([int(part.sync[row]) for part in goal.parts], rooms, sums)
            every: Linear = (((self.model.y.add(), 1),), 0)
            for reader in readers:
                self.at_most(self.z[reader, 0], some)
                self.at_most(every, self.z[reader, 0])
            self.at_most(some, every, differ)

    def _add_memory(self) -> None:
        """A row per limited host, in units of which a limit has no more than `MEMORY_UNITS`.

        Needs are rounded down: whatever keeps a limit in bytes keeps it in units, too. What keeps
        it in units alone is excluded once it is found. Rows in bytes would leave that to the
        tolerances of floats, and CBC has called placements optimal that broke rows by far.
        """
        memory = self.problem.memory
        if memory is None:
            return
        for host in np.flatnonzero(memory.limits < inf).tolist():
            limit = int(memory.limits[host])
            unit = max(1, -(-limit // MEMORY_UNITS))
            own = memory.own_bytes // unit
            parts = [times(self.here(v, host), int(own[v])) for v in np.flatnonzero(own).tolist()]
            for row, size in enumerate(memory.set_bytes.tolist()):
                members = memory.members[memory.indptr[row] : memory.indptr[row + 1]].tolist()
                parts.append(times(self._any(members, host), size // unit))
            parts += self._working(host, memory.working_bytes // unit)
            terms, constant = added(*parts)
            # Halfway to the next whole number no tolerance matters.
            self._row(terms, limit // unit - constant + 0.5)

    def _any(self, operators: Iterable[int], host: int, *others: Linear) -> Linear:
        """A number that is at least whether any of the operators is on a host."""
        held = [self.here(v, host) for v in operators] + list(others)
        if any(not terms and constant >= 1 for terms, constant in held):
            return ONE
        held = [part for part in held if part[0]]
        if len(held) <= 1:
            return held[0] if held else ZERO
        some: Linear = (((self.model.y.add(), 1),), 0)
        for part in held:
            self.at_most(part, some)
        return some

    def _working(self, host: int, working: IntArray) -> list[Linear]:
        """The largest working set on a host: what each size adds to the next smaller one."""
        steps = []
        some = ZERO
        sizes = np.unique(working)[::-1].tolist()
        for size, smaller in zip(sizes, [*sizes[1:], 0], strict=True):
            if size:
                some = self._any(np.flatnonzero(working == size).tolist(), host, some)
                steps.append(times(some, size - smaller))
        return steps

    def _add_objective(self, sums: list[list[Term]], constants: list[int]) -> None:
        scaled = [[(v, c * self.unit) for v, c in joined(terms)] for terms in sums]
        shifts = [constant * self.unit for constant in constants]
        if self.is_sum:
            # With the constant the objective is ≥ 0, and a relative gap means something.
            self.model.goal = pyo.Objective(expr=_expression(scaled[0], shifts[0]))
            return
        # Far above the known value: at it, CBC's preprocessing can take the best for infeasible.
        self.model.slowest = pyo.Var(bounds=(0.0, 2 * MAX_SCALE))
        self.model.goal = pyo.Objective(expr=self.model.slowest)
        for terms, shift, base in zip(scaled, shifts, self.base, strict=True):
            row = _expression([*terms, (self.model.slowest, -1.0)])
            self.model.rows.add((None, row, -shift - base * self.unit))

    def bound_ticks(self, bound: float | None) -> int:
        """An engine's bound in ticks, lowered by its tolerance; at least what all must pay."""
        known = max(self.base)
        if bound is None:
            return known
        scale = SUM_SCALE if self.is_sum else MAX_SCALE
        offset = self.base[0] if self.is_sum else 0
        return max(known, offset + floor((bound - self.tolerance * scale) / self.unit))

    def exclude(self, operators: IntArray, host: int) -> None:
        """Forbid that all of some operators are on a host together."""
        terms, constant = added(*(self.here(int(v), host) for v in operators))
        self._row(joined(terms), len(operators) - 1 - constant)

    def placement(self, values: dict[str, float]) -> tuple[IntArray, bool]:
        """Host of each operator, and whether that needed no rounding.

        Where a limit is missed by a byte, CBC may give an operator all but a trifle of a host.

        Args:
            values: By the names that variables have in the model.

        Raises:
            SolverError: If it is not integral without that excuse, or breaks a rule.
        """
        hosts, n = self.problem.n_hosts, self.problem.n_operators
        before = np.zeros((hosts - 1, n))
        for k in range(hosts - 1):
            for v in range(n):
                terms, constant = self.z[v, k]
                before[k, v] = constant + sum(values.get(x.name, 0.0) * c for x, c in terms)
        tolerance = INTEGRALITY if self.problem.memory is None else 0.5
        chosen: IntArray = hosts - 1 - whole(before, "pyomo", tolerance).sum(axis=0)
        require_feasible(self.problem, chosen, "pyomo")
        is_integral = bool((np.abs(before - np.rint(before)) <= INTEGRALITY).all())
        return chosen, is_integral

    def start(self, placement: IntArray) -> dict[str, float]:
        """The variables that are 1 in a placement, by the names they have in the model."""
        chosen = {}
        for (v, k), (terms, _) in self.z.items():
            if terms and placement[v] <= k:
                chosen[str(terms[0][0].name)] = 1.0
        return chosen

    def write(self, path: Path) -> dict[str, str]:
        """Write an LP file; the name in the model of every column of the file."""
        with path.open("w", encoding="utf-8") as stream:
            from pyomo.repn.plugins.lp_writer import LPWriter

            info = LPWriter().write(self.model, stream)
        return {symbol: item.name for symbol, item in info.symbol_map.bySymbol.items()}


def _expression(terms: Sequence[tuple[Any, float]], constant: float = 0.0) -> Any:
    return LinearExpression(
        constant=constant,
        linear_coefs=[float(c) for _, c in terms],
        linear_vars=[v for v, _ in terms],
    )
