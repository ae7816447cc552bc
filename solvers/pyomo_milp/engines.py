"""Running a Pyomo model: CBC and HiGHS as programs of their own, others as Pyomo runs them."""

from __future__ import annotations

import logging
import shutil
import time
from dataclasses import replace
from math import isfinite
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyomo.environ as pyo
from pyomo.common.errors import ApplicationError
from pyomo.common.tempfiles import TempfileManager
from pyomo.opt import SolverStatus, TerminationCondition

from planner.arrays import IntArray
from planner.errors import PlannerError, SolverError
from planner.problems.memory import MemoryDemand, nothing_fits
from planner.problems.solution import Limits
from planner.solvers.milp.answers import MilpAnswer, MilpStatus, with_bound
from planner.solvers.milp.engines import (
    EngineAnswer,
    EngineFailure,
    EngineOptions,
    EngineStatus,
    absent_engine,
    run_cbc,
    run_highs,
)
from planner.solvers.pyomo_milp.model import VERSION, PlacementModel, tolerance_of

if TYPE_CHECKING:
    from planner.problems.problem import Problem

GAP_USED = 0.99
"""The part of a gap that is left to an engine: the rest is for the digits that it prints."""
MAX_REPAIRS = 100
"""Placements over a limit by less than tolerances that are excluded before giving up."""
HIGHS_NAMES = ("highs", "appsi_highs", "highs_direct", "highs_persistent", "highs_v2")
"""Pyomo's names for HiGHS: highspy cannot be in one process with OR-tools."""
GAP_OPTIONS = {
    "glpk": "mipgap",
    "gurobi": "MIPGap",
    "cplex": "mip_tolerances_mipgap",
    "scip": "limits/gap",
}
"""What solvers call the relative gap; others go on to the optimum."""


def default_cbc() -> Path:
    """The CBC of PuLP, or else one on the path.

    Raises:
        PluginError: If there is none (exit status 4).
    """
    from planner.solvers.milp import cbc  # loads PuLP

    found = cbc.bundled_cbc() or shutil.which("cbc")
    if found is None:
        raise absent_engine("cbc", "pip install --force-reinstall 'pulp>=3.3,<4'")
    return Path(found)


def run(placements: PlacementModel, engine: str, options: EngineOptions) -> EngineAnswer:
    """Run an engine; values go by the names of variables in the model.

    Raises:
        PluginError: If the engine is not installed (exit status 4).
        SolverError: If it fails.
    """
    if engine != "cbc" and engine not in HIGHS_NAMES:
        return _run_by_pyomo(placements.model, engine, options)
    with TemporaryDirectory(prefix="planner-") as folder:
        path = Path(folder) / "model.lp"
        names = placements.write(path)
        symbols = {name: symbol for symbol, name in names.items()}
        start = tuple(symbols[name] for name in options.start if name in symbols)
        options = replace(options, start=start)
        if engine == "cbc":
            answer = run_cbc(default_cbc(), path, options)
        else:
            answer = run_highs(path, options)
    if answer.values is None:
        return answer
    # Of rows an engine gives the activity.
    columns = {v.name for v in placements.model.component_data_objects(pyo.Var)}
    known = ((names.get(symbol, ""), value) for symbol, value in answer.values.items())
    values = {name: value for name, value in known if name in columns}
    return replace(answer, values=values)


def _run_by_pyomo(model: Any, engine: str, options: EngineOptions) -> EngineAnswer:
    """Any other solver that Pyomo knows and finds; it says nothing on our streams."""
    logger = logging.getLogger("pyomo")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        solver = pyo.SolverFactory(engine)
        if not solver.available(exception_flag=False):
            raise absent_engine(engine, "install it so that Pyomo finds it: `pyomo help -s`")
        if options.gap and engine in GAP_OPTIONS:
            solver.options[GAP_OPTIONS[engine]] = options.gap
        limit = {} if options.seconds is None else {"timelimit": max(1, int(options.seconds))}
        with TempfileManager.new_context():
            results = solver.solve(model, load_solutions=False, **limit)
            version = ".".join(str(part) for part in solver.version() or ())
        has_values = bool(len(results.solution))
        if has_values:
            model.solutions.load_from(results)
    except (ApplicationError, ValueError, RuntimeError, OSError) as error:
        raise EngineFailure(f"`{engine}` failed: {error}") from error
    finally:
        logger.setLevel(level)
    condition = results.solver.termination_condition
    if condition == TerminationCondition.infeasible:
        status = EngineStatus.INFEASIBLE
    elif condition == TerminationCondition.optimal:
        status = EngineStatus.OPTIMAL
    elif results.solver.status in (SolverStatus.ok, SolverStatus.aborted):
        status = EngineStatus.STOPPED
    else:
        raise EngineFailure(f"`{engine}` stopped with `{condition}`")
    bound = float(results.problem.lower_bound)
    variables = model.component_data_objects(pyo.Var)
    return EngineAnswer(
        status=status,
        values={v.name: float(v.value) for v in variables if v.value} if has_values else None,
        bound=bound if isfinite(bound) else None,
        message=f"{engine}: {condition}",
        version=f"{engine} {version}",
    )


def solve_model(
    problem: Problem,
    *,
    limits: Limits,
    incumbent: IntArray | None = None,
    lower_bound: int = 0,
) -> MilpAnswer:
    """The best placement that keeps the memory limits.

    Args:
        problem: Any objective, with memory limits or without.
        limits: When to stop, and the engine.
        incumbent: A placement that keeps all rules and limits; an answer is never worse.
        lower_bound: Ticks that are known to be a lower bound.

    Raises:
        PlanError: With exit status 3, if no placement keeps the limits.
        PluginError: If the engine is not installed (exit status 4).
        SolverError: If the engine fails, or its answer breaks a rule.
    """
    return _Search(problem, limits, incumbent, lower_bound).run()


class _Search:
    """Solving a model, again where the scale was too coarse or a limit was overlooked."""

    def __init__(
        self, problem: Problem, limits: Limits, incumbent: IntArray | None, lower_bound: int
    ) -> None:
        self.problem, self.limits = problem, limits
        self.best = incumbent
        self.lower_bound = lower_bound
        self.until = None if limits.seconds is None else time.monotonic() + limits.seconds
        goal = problem.goal
        self.upper = goal.bound
        if incumbent is not None:
            self.upper = min(self.upper, goal.value(incumbent))
        self.is_integral = True
        self.excluded: list[tuple[IntArray, int]] = []

    def run(self) -> MilpAnswer:
        while True:
            model = PlacementModel(self.problem, self.upper)
            for operators, host in self.excluded:
                model.exclude(operators, host)
            if model.is_empty:
                raise self._nothing()
            try:
                answer = run(model, self.limits.engine or "cbc", self._options(model))
            except EngineFailure as failure:
                bound = max(self.lower_bound, model.bound_ticks(failure.bound))
                raise with_bound(failure, bound, self.problem.goal.quantum_s) from failure
            if answer.status is EngineStatus.INFEASIBLE:
                raise self._nothing()
            self.lower_bound = max(self.lower_bound, model.bound_ticks(answer.bound))
            if answer.values is not None:
                found, self.is_integral = model.placement(answer.values)
                if self._exclude(found):
                    continue
                self._take(found)
            if answer.status is EngineStatus.OPTIMAL and self._is_coarse():
                continue
            return self._answer(answer)

    def _options(self, model: PlacementModel) -> EngineOptions:
        left = None if self.until is None else max(0.0, self.until - time.monotonic())
        start = () if self.best is None else tuple(model.start(self.best))
        return EngineOptions(seconds=left, gap=GAP_USED * (self.limits.gap or 0.0), start=start)

    def _nothing(self) -> PlannerError:
        """The error of a model without a placement."""
        if self.best is not None or self.problem.memory is None:
            return SolverError("`pyomo` finds no placement, but there is one", code="PLN502")
        return nothing_fits()

    def _exclude(self, placement: IntArray) -> bool:
        """Whether a placement breaks a limit; what is too much there is then forbidden.

        The tolerance of a row can be more than a byte, and CBC relaxes it where that helps.
        """
        memory = self.problem.memory
        if memory is None:
            return False
        over = np.flatnonzero(memory.use(placement) > memory.limits).tolist()
        self.excluded += [(_cover(memory, placement, host), host) for host in over]
        if len(self.excluded) > MAX_REPAIRS:
            raise SolverError(
                f"`pyomo` keeps giving placements that break a memory limit, {MAX_REPAIRS} so far",
                code="PLN502",
            )
        return bool(over)

    def _take(self, placement: IntArray) -> None:
        goal = self.problem.goal
        if self.best is None or goal.value(placement) < goal.value(self.best):
            self.best = placement

    def _is_coarse(self) -> bool:
        """Whether the answer is far below the bound that costs were scaled to; once more then."""
        assert self.best is not None
        value = self.problem.goal.value(self.best)
        is_coarse = 2 * value < self.upper
        self.upper = min(self.upper, value)
        return is_coarse

    def _answer(self, answer: EngineAnswer) -> MilpAnswer:
        lower = self.lower_bound
        if self.best is not None:
            value = self.problem.goal.value(self.best)
            is_exact = answer.status is EngineStatus.OPTIMAL and not self.limits.gap
            if is_exact and self.is_integral:
                lower = max(lower, value - int(tolerance_of(self.problem) * value))
            lower = min(lower, value)
        return MilpAnswer(
            placement=self.best,
            lower_bound=lower,
            status=MilpStatus(answer.status.value),
            message=answer.message,
            version=f"Pyomo {VERSION}, {answer.version}",
        )


def _cover(memory: MemoryDemand, placement: IntArray, host: int) -> IntArray:
    """Operators on a host that are too much for it, and no longer without any one of them."""
    placement = placement.copy()
    there = np.flatnonzero(placement == host)
    for operator in there[np.argsort(memory.own_bytes[there], kind="stable")].tolist():
        placement[operator] = -1
        if memory.use(placement)[host] <= memory.limits[host]:
            placement[operator] = host
    return np.flatnonzero(placement == host)
