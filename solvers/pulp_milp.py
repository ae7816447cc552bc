"""The delay as a MILP in PuLP, straight from the terms: the one module that knows PuLP.

x[v,h] = 1 places operator v on host h. Z[v,k] = Σ_{h ≤ k} x[v,h] says whether it is at or before
host k, and everything else is a difference of two of these (Picard and Queyranne 1982 for two
hosts): operators keep their order, Z[after,k] ≤ Z[before,k]; tensor t crosses link k,
y[t,k] ≥ Z[source,k] - Z[reader,k]. Rows of differences are totally unimodular, so the relaxation
is integral, and CBC seldom branches. No network, no flow: an error there cannot hide here.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from planner.arrays import IntArray
from planner.errors import SolverError
from planner.problems.problem import Problem
from planner.problems.solution import Capabilities, Limits, Solution
from planner.solvers.milp import cbc
from planner.solvers.milp.answers import (
    MilpAnswer,
    MilpStatus,
    require_feasible,
    solution_of,
    whole,
    with_bound,
)
from planner.solvers.milp.engines import (
    EngineAnswer,
    EngineFailure,
    EngineOptions,
    EngineStatus,
    absent_engine,
    run_cbc,
    run_highs,
    without_highspy,
)

with without_highspy():  # PuLP would import it, to see whether it can
    import pulp

VERSION: str = pulp.__version__
SCALE = 1e9
"""What the known upper bound becomes in the file. Tolerances of 1e-7 are then below the 13 digits
that the file keeps, and the rounding of sums in float64 is below the tolerances."""
TOLERANCE = 1e-12
"""Relative error of the file's costs: differences below it are ties."""

Linear = tuple[list[tuple[pulp.LpVariable, float]], float]
"""Variables with coefficients, and a constant."""


@dataclass(eq=False)
class _Model:
    """Variables and rows of one problem with costs in one unit; one model is made once.

    Args:
        problem: What to formulate.
        upper: Value of a known placement: no cost above it matters.
    """

    problem: Problem
    upper: int
    milp: pulp.LpProblem = field(init=False)

    def __post_init__(self) -> None:
        self.milp = pulp.LpProblem("placement", pulp.LpMinimize)
        self.costs: list[tuple[pulp.LpVariable, float]] = []
        unary, rules = self.problem.ticks.terms.unary, self.problem.constraints
        hosts = np.arange(self.problem.n_hosts)[:, None]
        self.is_allowed = (rules.low <= hosts) & (hosts <= rules.high)
        infinite = np.iinfo(np.int64).max
        least = np.where(self.is_allowed, unary, infinite).min(axis=0)
        self.base = int(least.sum())
        # What every placement pays is left out: only differences need digits.
        self.room = max(0, self.upper - self.base)
        self.x = {
            (v, h): self._variable(f"x{v}_{h}", int(unary[h, v] - least[v]), pulp.LpBinary)
            for h, v in zip(*np.nonzero(self.is_allowed), strict=True)
        }
        for v in range(self.problem.n_operators):
            self._row([(self.x[v, h], 1.0) for h in np.flatnonzero(self.is_allowed[:, v])], "=", 1)
        self._add_order()
        self._add_transfers()
        self._add_tied()
        self.milp.setObjective(pulp.LpAffineExpression(self.costs))

    def _variable(self, name: str, cost: int, kind: str = pulp.LpContinuous) -> pulp.LpVariable:
        variable = self.milp.add_variable(name, 0, 1, kind)
        if cost:
            # What no best placement pays must stand out: a cost of one tick too many is, in
            # float64, the same as none too many.
            shown = cost if cost <= self.room else 2 * self.room + 1
            self.costs.append((variable, shown * self.unit))
        return variable

    @cached_property
    def unit(self) -> float:
        """What one tick is in the file: a power of two, so that nothing is rounded twice."""
        return float(2.0 ** np.floor(np.log2(SCALE / (self.room + 1))))

    def _row(self, terms: list[tuple[pulp.LpVariable, float]], sense: str, right: float) -> None:
        senses = {"=": pulp.LpConstraintEQ, "<": pulp.LpConstraintLE}
        expression = pulp.LpAffineExpression(terms)
        self.milp.addConstraint(pulp.LpConstraint(expression, senses[sense], None, right))

    def _before(self, operator: int, link: int) -> Linear:
        """Z[operator, link], or the constant that bounds make of it."""
        low, high = self.problem.constraints.low, self.problem.constraints.high
        if high[operator] <= link:
            return [], 1.0
        return [(self.x[operator, h], 1.0) for h in range(low[operator], link + 1)], 0.0

    def _at_most(self, smaller: Linear, *larger: Linear) -> None:
        """A row: the first is at most the sum of the others."""
        terms = dict(smaller[0])
        for part, _ in larger:
            for variable, factor in part:
                terms[variable] = terms.get(variable, 0.0) - factor
        right = sum(constant for _, constant in larger) - smaller[1]
        if terms or right < 0:
            self._row(list(terms.items()), "<", right)

    def _add_order(self) -> None:
        rules = self.problem.constraints
        arcs = dict.fromkeys(zip(rules.before.tolist(), rules.after.tolist(), strict=True))
        for before, after in arcs:
            for k in range(self.problem.n_links):
                self._at_most(self._before(after, k), self._before(before, k))

    def _add_transfers(self) -> None:
        x, costs = self.problem.transfers, self.problem.ticks.terms.transfer
        for row in range(len(x)):
            source = int(x.source[row])
            readers = x.readers[x.indptr[row] : x.indptr[row + 1]].tolist()
            for k in range(self.problem.n_links):
                if source < 0 and -1 - source > k:
                    continue  # it lives after this link
                here: Linear = ([], 1.0) if source < 0 else self._before(source, k)
                crosses: Linear = ([], 0.0)
                if not x.is_forbidden[row]:
                    y = self._variable(f"y{row}_{k}", int(costs[row, k]))
                    crosses = ([(y, 1.0)], 0.0)
                for reader in readers:
                    self._at_most(here, crosses, self._before(reader, k))

    def _add_tied(self) -> None:
        """`some` reader is before the link, `every` reader is; they differ if it straddles."""
        tied, terms = self.problem.tied, self.problem.ticks.terms
        for row in range(len(tied.bits)):
            some = [(self._variable(f"some{row}", int(terms.exchange[row])), 1.0)]
            every = [(self._variable(f"every{row}", 0), 1.0)]
            differ = [(self._variable(f"differ{row}", int(terms.sync[row])), 1.0)]
            for reader in tied.readers[tied.indptr[row] : tied.indptr[row + 1]].tolist():
                before = self._before(reader, 0)
                self._at_most(before, (some, 0.0))
                self._at_most((every, 0.0), before)
            self._at_most((some, 0.0), (every, 0.0), (differ, 0.0))

    def solve(self, engine: str, options: EngineOptions) -> EngineAnswer:
        """Run an engine on this model; values go by the names that its variables have here."""
        with TemporaryDirectory(prefix="planner-") as folder:
            path = Path(folder) / "model.mps"
            _, names, _, _ = self.milp.writeMPS(str(path), rename=1)
            answer = _run_engine(engine, path, options)
        if answer.values is None:
            return answer
        known = {short: name for name, short in names.items()}
        values = {known[short]: v for short, v in answer.values.items() if short in known}
        return replace(answer, values=values)

    def placement(self, values: dict[str, float]) -> IntArray:
        """Host of each operator.

        Raises:
            SolverError: If it is not integral or breaks a rule.
        """
        share = np.zeros(self.is_allowed.shape)
        for v, h in self.x:
            share[h, v] = values.get(f"x{v}_{h}", 0.0)
        chosen = whole(share, "pulp")
        if not (chosen.sum(axis=0) == 1).all():
            raise SolverError("`pulp` gave operators no host, or two", code="PLN502")
        placement: IntArray = chosen.argmax(axis=0).astype(np.int64)
        require_feasible(self.problem, placement, "pulp")
        return placement

    def bound_ticks(self, bound: float | None) -> int:
        """A bound of the engine in ticks, rounded down; at least what every placement pays."""
        if bound is None:
            return self.base
        return self.base + max(0, int(np.floor(bound / self.unit * (1 - TOLERANCE))))


def _run_engine(engine: str, path: Path, options: EngineOptions) -> EngineAnswer:
    match engine:
        case "cbc":
            executable = cbc.bundled_cbc()
            if executable is None:
                raise absent_engine("cbc", "pip install --force-reinstall 'pulp>=3.3,<4'")
            return run_cbc(executable, path, options)
        case "highs":
            return run_highs(path, options)
        case _:
            raise absent_engine(engine, "use `cbc` or `highs`, which `pulp` can run")


def solve_model(problem: Problem, *, limits: Limits) -> MilpAnswer:
    """The best placement by PuLP.

    Costs are rescaled to the value of a known placement. If the best one is far below that, the
    known one was a poor guide, and the model is scaled again.

    Raises:
        PluginError: If the engine is not installed (exit status 4).
        SolverError: If the engine fails, or its answer breaks a rule.
    """
    deadline = None if limits.seconds is None else time.monotonic() + limits.seconds
    upper, best = problem.ticks.bound, None
    while True:
        model = _Model(problem, upper)
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        options = EngineOptions(seconds=left, gap=limits.gap or 0.0)
        try:
            answer = model.solve(limits.engine or "cbc", options)
        except EngineFailure as failure:
            bound = model.bound_ticks(failure.bound)
            raise with_bound(failure, bound, problem.ticks.quantum_s) from failure
        if answer.status is EngineStatus.INFEASIBLE:
            raise SolverError("`pulp` finds no placement, but there is one", code="PLN502")
        if answer.values is not None:
            best = model.placement(answer.values)
        value = upper if best is None else int(problem.total(problem.ticks.terms, best))
        is_optimal = answer.status is EngineStatus.OPTIMAL
        if is_optimal and 2 * value < upper:
            upper = value
            continue
        is_exact = is_optimal and not limits.gap
        lower = value - int(TOLERANCE * value) if is_exact else model.bound_ticks(answer.bound)
        return MilpAnswer(
            placement=best,
            lower_bound=lower if best is None else min(lower, value),
            status=MilpStatus(answer.status.value),
            message=answer.message,
            version=f"PuLP {VERSION}, {answer.version}",
        )


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
