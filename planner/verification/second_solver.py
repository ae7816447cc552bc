"""The second solver: who is asked, and what its answer says about a plan."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from planner.costs.scenario import Objective
from planner.errors import PlanError, PluginError, SolverError
from planner.evaluation.delay import violations
from planner.evaluation.memory import memory_of
from planner.evaluation.outcome import objective_s
from planner.files.values import JsonValue
from planner.plans.plan_file import Plan
from planner.plans.solving import AUTO, solve
from planner.problems.memory import shortages
from planner.problems.problem import Problem
from planner.problems.solution import SOLVERS, Capabilities, Limits, Solution, Status
from planner.units import format_seconds
from planner.verification.case import Case
from planner.verification.entries import json_value
from planner.verification.flow import Bounds, compare_bounds
from planner.verification.ledger import Finding, Ledger

EXIT_NO_ANSWER = 5

TOO_MANY = "PLN503"
"""Code of an enumeration that finds out while it runs that there is too much to enumerate."""

PATIENCE = Limits(seconds=60.0)
"""How long a second solver may take if nobody says so; it then gives no answer."""

SAME_NETWORK = ("maxflow", "networkx", "blockwise")
"""Solvers on the network of the flow check: an error in it is theirs, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecondAnswer:
    """What the second solver said; the value is None if it gave no answer."""

    solver: str
    solver_version: str
    value_s: float | None
    lower_bound_s: float
    is_proved: bool
    seconds: float

    def to_dict(self) -> dict[str, JsonValue]:
        """The answer as JSON values."""
        return {name: json_value(getattr(self, name)) for name in self.__slots__}


def second_solver(problem: Problem, plan: Plan, solver: str) -> str:
    """A solver that can tell, and by default not the one that made the plan.

    Raises:
        PlannerError: If there is no such solver, it proves nothing, or it refuses the problem by
            what it can do.
    """
    if solver != AUTO:
        able = SOLVERS.get(solver, where="solver").capabilities
        if not able.is_exact:
            raise PlanError(
                f"`{solver}` is a policy: it proves nothing that a plan could be held against",
                code="PLN405",
                where="solver",
                hint="use `pulp`, `pyomo`, `networkx` or, on small graphs, `brute-force`",
            )
        if not _is_able(problem, able):
            solve(problem, solver)  # refuses at once, and says why
        return solver
    is_plain = problem.memory is None and problem.workload.objective is Objective.DELAY
    names = ("pulp", "pyomo", "networkx") if is_plain else ("pyomo", "pulp", "brute-force")
    usable = [name for name in names if _is_usable(problem, name)]
    # Better the same solver once more than none.
    usable += [names[0]] if not usable else []
    return next((name for name in usable if name != plan.head.solver), usable[0])


def _is_usable(problem: Problem, name: str) -> bool:
    """Whether a solver is installed, and can tell."""
    try:
        return _is_able(problem, SOLVERS.get(name, where="solver").capabilities)
    except PluginError:
        return False


def _is_able(problem: Problem, able: Capabilities) -> bool:
    latest, earliest = problem.constraints.extremes
    return (
        problem.workload.objective in able.objectives
        and (problem.memory is None or able.honours_memory)
        and (able.max_hosts is None or problem.n_hosts <= able.max_hosts)
        and (
            able.max_free_operators is None
            or int((latest > earliest).sum()) <= able.max_free_operators
        )
    )


def ask_second(
    ledger: Ledger, case: Case, solver: str, limits: Limits | None
) -> SecondAnswer | None:
    """Ask the second solver, for `PATIENCE` without limits, and hold the plan against its answer.

    Raises:
        PlannerError: If it cannot honour the problem.
    """
    name = "second solver"
    try:
        solution = solve(case.problem, solver, limits=limits or PATIENCE)
    except SolverError as error:
        if error.exit_code == EXIT_NO_ANSWER or error.code == TOO_MANY:
            ledger.add(name, Finding.NOT_MADE, f"`{solver}` gave no answer: {error.message}")
            return None
        if error.code != "PLN502":
            raise
        ledger.differ(name, "solver", None, None, f"`{solver}` contradicts itself: {error.message}")
    except PlanError as error:
        if error.exit_code != 3:
            raise
        ledger.differ(name, "$.placement", None, None, f"by `{solver}` {error.message}")
    else:
        return _heard(ledger, case, solution)
    ledger.close(name, "")
    return None


def _heard(ledger: Ledger, case: Case, solution: Solution) -> SecondAnswer:
    """Compare a second solver's answer with the plan; the answer itself is checked, too."""
    name, proof = "second solver", solution.certificate
    who = f"`{solution.solver}`"
    broken = list(_broken(case, solution))
    for rule in broken:
        text = f"the answer of {who} breaks a rule: {rule}"
        ledger.differ(name, "solver", None, None, text)
    found_s = objective_s(case.graph, case.table, case.scenario, solution.placement)
    bounds = Bounds(
        who=who,
        low=proof.lower_bound,
        high=proof.value,
        quantum_s=proof.quantum_s,
        tolerance=proof.tolerance,
        placement=solution.placement if not broken else None,
    )
    compare_bounds(ledger, name, case, bounds)
    version = f"({solution.solver_version})"
    if solution.is_proved:
        is_other = "" if solution.solver != case.plan.head.solver else ", which made the plan,"
        shared = ", on the network of the flow" if solution.solver in SAME_NETWORK else ""
        ledger.close(name, f"{who}{is_other} finds {format_seconds(found_s)} {version}{shared}")
    elif any(difference.check == name for difference in ledger.differences):
        ledger.close(name, "")
    else:
        seconds = format_seconds(solution.seconds)
        text = f"{who} {version} stopped after {seconds} without a proof: {solution.message}"
        ledger.add(name, Finding.NOT_MADE, text)
    return SecondAnswer(
        solver=solution.solver,
        solver_version=solution.solver_version,
        value_s=found_s if solution.status is not Status.INFEASIBLE else None,
        lower_bound_s=proof.lower_bound * proof.quantum_s,
        is_proved=solution.is_proved,
        seconds=solution.seconds,
    )


def _broken(case: Case, solution: Solution) -> Iterator[str]:
    """Rules and limits that an answer breaks."""
    hosts, limits = case.scenario.route.hosts, case.scenario.memory_limits
    yield from (e.message for e in violations(case.graph, case.scenario, solution.placement))
    if limits:
        uses = memory_of(case.graph, case.table, case.scenario, solution.placement)
        for text, _, _ in shortages(hosts, [use.total_bytes for use in uses], limits):
            yield text
