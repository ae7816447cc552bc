"""Every solver and policy on one problem, side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module

from planner.arrays import IntArray
from planner.costs.cost_file import Costs
from planner.costs.pricing import priced
from planner.errors import PlannerError
from planner.evaluation.outcome import objective_s
from planner.files.values import JsonValue
from planner.graphs.graph import Graph
from planner.plans.baselines import ratio_of
from planner.plans.conflicts import explained
from planner.plans.solving import solve
from planner.problems.formulation import formulate
from planner.problems.problem import Problem
from planner.problems.solution import SOLVERS, Limits, Status

MAX_OPERATORS = {"networkx": 5_000, "pulp": 1_500, "pyomo": 1_500}
"""Graphs above this are left to faster solvers, unless one is asked for by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One row: what a solver answered; `total_s` is None where it has no feasible answer.

    It is the delay of a round, or the slowest stage where the objective is throughput.
    """

    solver: str
    is_exact: bool
    is_proved: bool
    is_refused: bool
    total_s: float | None
    ratio: float | None
    seconds: float | None
    message: str

    def to_dict(self) -> dict[str, JsonValue]:
        """The row as JSON values."""
        return asdict(self)


def compare(
    graph: Graph, costs: Costs, solvers: Sequence[str] = (), *, limits: Limits | None = None
) -> list[Comparison]:
    """Ask every solver and policy, or only `solvers`; ratios are to the best feasible one.

    Each may take as long as `limits` say.

    Raises:
        PlannerError: If costs are missing, no placement is feasible, or a name is unknown.
    """
    scenario, table = priced(graph, costs)
    problem = formulate(graph, table, scenario)
    for name in solvers:
        SOLVERS.get(name, where="solver")
    # Whoever needs OR-tools first would be charged for loading it.
    import_module("planner.solvers.flow.cuts")
    rows = []
    for name in solvers or SOLVERS.names():
        limit = MAX_OPERATORS.get(name)
        if not solvers and limit is not None and problem.n_operators > limit:
            rows.append(_refused(name, f"left out above {limit} operators; name it to run it"))
            continue
        with explained(graph, table, scenario, limits):
            rows.append(
                _ask(name, problem, lambda p: objective_s(graph, table, scenario, p), limits)
            )
    best = min((row.total_s for row in rows if row.total_s is not None), default=0.0)
    return [
        replace(row, ratio=ratio_of(row.total_s, best)) if row.total_s is not None else row
        for row in rows
    ]


def _ask(
    name: str,
    problem: Problem,
    total_of: Callable[[IntArray], float],
    limits: Limits | None,
) -> Comparison:
    try:
        solution = solve(problem, name, limits=_own(name, limits))
    except PlannerError as error:
        if error.exit_code == 3:
            raise
        return _refused(name, error.message)
    is_feasible = solution.status is not Status.INFEASIBLE
    return Comparison(
        solver=name,
        is_exact=_is_exact(name),
        is_refused=False,
        is_proved=solution.is_proved,
        total_s=total_of(solution.placement) if is_feasible else None,
        ratio=None,
        seconds=solution.seconds,
        message=solution.message,
    )


def _own(name: str, limits: Limits | None) -> Limits | None:
    """The limits as they are for one solver: not all of them run another program."""
    if limits is None or SOLVERS.get(name).capabilities.runs_engines:
        return limits
    return replace(limits, engine=None)


def _refused(name: str, message: str) -> Comparison:
    return Comparison(
        solver=name,
        is_exact=_is_exact(name),
        is_proved=False,
        is_refused=True,
        total_s=None,
        ratio=None,
        seconds=None,
        message=message,
    )


def _is_exact(name: str) -> bool:
    try:
        return SOLVERS.peek(name).capabilities.is_exact
    except PlannerError:  # it does not load, and is shown as refused
        return False
