"""Why no placement fits the memory limits: a minimal set of limits and rules that conflict.

More operators on a host never need less memory, so what must be on a host is the smallest part it
can have, and a host whose limit is below that conflicts with rules alone: found without search.
Limits that only conflict with each other are found by leaving out one after another and asking
somebody who can tell whether the rest can be kept.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from planner.arrays import IntArray
from planner.costs.cost_table import CostTable
from planner.costs.scenario import Objective, Rules, Scenario
from planner.errors import PlanError, SolverError, listed
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.formulation import formulate
from planner.problems.memory import shortage
from planner.problems.prefixes import feasible_positions
from planner.problems.problem import Problem
from planner.problems.solution import Limits
from planner.units import format_memory

Oracle = Callable[[Problem], bool | None]
"""Whether some placement keeps all rules and limits of a problem; None if that is not known."""

MAX_QUESTIONS = 100
"""An oracle solves an integer program: this often at most for one explanation."""

MAX_RULES = 10
"""Rules that are told one by one."""

MAX_NAMED = 3
"""Operators that are named as the largest."""

PATIENCE_S = 20.0
"""Seconds for an explanation why nothing fits; after that it is one that may say too much."""

Kind = Literal["limit", "pins", "together", "forbidden", "input_hosts"]
Item = tuple[Kind, int]
"""A limit, by its host, or a rule, by its position in the field of `Rules` of that name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryConflict:
    """Limits and rules that no placement keeps together.

    Attributes:
        scenario: The task with these limits and rules alone.
        hosts: Whose limits.
        is_minimal: Whether all of them are needed: without any one the others can be kept.
    """

    scenario: Scenario
    hosts: tuple[int, ...]
    is_minimal: bool


@contextmanager
def explained(
    graph: Graph, table: CostTable, scenario: Scenario, limits: Limits | None = None
) -> Iterator[None]:
    """Say which limits and rules conflict where a solver only finds that nothing fits."""
    try:
        yield
    except PlanError as error:
        if error.code != "PLN406":
            raise
        given = limits.seconds if limits is not None else None
        until = time.monotonic() + min(PATIENCE_S, given or PATIENCE_S)

        def has_a_plan(problem: Problem) -> bool | None:
            """Whether any placement keeps rules and limits; None if that takes too long."""
            seconds = max(0.01, until - time.monotonic())
            workload = replace(problem.workload, objective=Objective.DELAY)
            problem = replace(problem, workload=workload)
            try:
                solve(problem, "budget", limits=Limits(seconds=seconds))
            except PlanError:
                return False
            except SolverError:
                return None
            return True

        raise explain_memory(graph, table, scenario, has_a_plan, until=until) from None


def explain_memory(
    graph: Graph,
    table: CostTable,
    scenario: Scenario,
    is_feasible: Oracle,
    until: float = math.inf,
) -> PlanError:
    """The error of a task whose rules can be kept, but not within its memory limits.

    Args:
        graph: The model.
        table: Its costs.
        scenario: A task that no placement satisfies.
        is_feasible: Asked only where limits of several hosts conflict.
        until: When to stop looking for a smaller set, as a time of `time.monotonic()`.
    """
    conflict = memory_conflict(graph, table, scenario, is_feasible, until)
    alone = formulate(graph, table, conflict.scenario)
    is_single = len(conflict.hosts) == 1
    if is_single:
        whole = formulate(graph, table, scenario)
        clauses = [*_host_clauses(whole, alone, conflict.hosts[0])]
    else:
        clauses = [*_limit_clauses(alone, conflict.hosts)]
    rules = [*_rule_clauses(graph, conflict.scenario)]
    clauses += rules[:MAX_RULES]
    if len(rules) > MAX_RULES:
        clauses.append(f"of {len(rules) - MAX_RULES} more rules")
    lines = ["no placement fits the memory limits", "because " + "\n  and because ".join(clauses)]
    lines += _figures(alone, conflict.hosts)
    if not conflict.is_minimal:
        lines.append("some of this may not be needed: the search for a smaller set was cut short")
    hosts = " or ".join(f"`{alone.hosts[host]}`" for host in conflict.hosts)
    drop = ", or drop one of these rules" if rules else ""
    need = ""
    if is_single:
        least = int(_forced_use(whole)[conflict.hosts[0]])
        need = f" (`memory_bytes` of at least {least})"
    return PlanError(
        "\n  ".join(lines),
        code="PLN406",
        exit_code=3,
        hint=f"allow {hosts} more memory{need}{drop}",
    )


def memory_conflict(
    graph: Graph,
    table: CostTable,
    scenario: Scenario,
    is_feasible: Oracle,
    until: float = math.inf,
) -> MemoryConflict:
    """A minimal set of limits and rules that no placement keeps; see `explain_memory`."""
    rules = scenario.rules
    positions: dict[Kind, Sequence[object]] = {
        "pins": rules.pins,
        "input_hosts": rules.input_hosts,
        "forbidden": rules.forbidden,
        "together": rules.together,
    }
    # What comes first is left out first: pins are what people expect to see.
    items: list[Item] = [
        (kind, i) for kind in reversed(positions) for i in range(len(positions[kind]))
    ]
    limits: list[Item] = [
        ("limit", host) for host, limit in enumerate(scenario.memory_limits) if limit is not None
    ]

    def problem_of(kept: Sequence[Item]) -> Problem:
        return formulate(graph, table, _scenario_with(scenario, kept))

    whole = problem_of([*items, *limits])
    assert whole.memory is not None
    tight = np.flatnonzero(_forced_use(whole) > whole.memory.limits)
    if len(tight):
        item: Item = ("limit", int(tight[0]))
        kept, is_minimal = _shrink(
            items, lambda rest: _cannot_hold(problem_of([*rest, item])), until
        )
        kept.append(item)
    else:
        asked = _Asked(is_feasible)
        kept, is_minimal = _shrink(
            [*reversed(limits), *items], lambda rest: asked.is_conflict(problem_of(rest)), until
        )
        is_minimal &= asked.is_sure
    return MemoryConflict(
        scenario=_scenario_with(scenario, kept),
        hosts=tuple(sorted(i for kind, i in kept if kind == "limit")),
        is_minimal=is_minimal,
    )


def _scenario_with(scenario: Scenario, kept: Sequence[Item]) -> Scenario:
    """The task with some of its limits and rules."""
    chosen = set(kept)
    rules = scenario.rules
    limits = tuple(
        limit if ("limit", host) in chosen else None
        for host, limit in enumerate(scenario.memory_limits)
    )
    return replace(
        scenario,
        memory_limits=limits if any(limit is not None for limit in limits) else (),
        rules=Rules(
            pins=tuple(r for i, r in enumerate(rules.pins) if ("pins", i) in chosen),
            together=tuple(r for i, r in enumerate(rules.together) if ("together", i) in chosen),
            forbidden=tuple(r for i, r in enumerate(rules.forbidden) if ("forbidden", i) in chosen),
            input_hosts=tuple(
                r for i, r in enumerate(rules.input_hosts) if ("input_hosts", i) in chosen
            ),
        ),
    )


def _forced_use(problem: Problem) -> IntArray:
    """Bytes that each host needs for the operators that can be nowhere else; shape [hosts].

    One placement leaves everything else to the other hosts, whichever host is asked about.
    """
    assert problem.memory is not None
    latest, earliest = problem.constraints.extremes
    return problem.memory.use(np.where(latest == earliest, latest, -1))


def _cannot_hold(problem: Problem) -> bool:
    """Whether what must be on some host is too much for it."""
    assert problem.memory is not None
    return bool((_forced_use(problem) > problem.memory.limits).any())


class _Asked:
    """An oracle that is asked only where a glance does not tell, and so often at most."""

    def __init__(self, is_feasible: Oracle) -> None:
        self._is_feasible = is_feasible
        self.n_left = MAX_QUESTIONS
        self.is_sure = True

    def is_conflict(self, problem: Problem) -> bool:
        """Whether no placement is known to keep the rules and limits; if unsure, no."""
        if problem.memory is None or _is_easy(problem):
            return False
        if _cannot_hold(problem):
            return True
        answer = None
        if self.n_left:
            self.n_left -= 1
            answer = self._is_feasible(problem)
        self.is_sure &= answer is not None
        return answer is False


def _is_easy(problem: Problem) -> bool:
    """Whether an extreme placement fits, or a prefix of the operators on a route of two hosts."""
    assert problem.memory is not None
    ends = np.stack(problem.constraints.extremes)
    if problem.memory.fits(ends).any():
        return True
    return problem.n_hosts == 2 and bool(feasible_positions(problem).any())


def _shrink(
    items: Sequence[Item], is_conflict: Callable[[Sequence[Item]], bool], until: float
) -> tuple[list[Item], bool]:
    """A minimal part of `items` that still conflicts, and whether there was time to find it.

    Halves are left out first, then quarters, and single items in the end: what was needed then is
    needed still, because less never conflicts more.
    """
    kept = list(items)
    size = len(kept)
    while size:
        start = 0
        while start < len(kept):
            if time.monotonic() > until:
                return kept, False
            rest = kept[:start] + kept[start + size :]
            if is_conflict(rest):
                kept = rest
            else:
                start += size
        size //= 2
    return kept, True


def _host_clauses(whole: Problem, alone: Problem, host: int) -> Iterator[str]:
    """What must be on one host, and with which rules alone."""
    assert alone.memory is not None
    limit, name = int(alone.memory.limits[host]), alone.hosts[host]
    need, enough = int(_forced_use(whole)[host]), int(_forced_use(alone)[host])
    by_these = f" ({format_memory(enough)} by these rules alone)" if enough != need else ""
    text = shortage(need, limit)
    yield f"`{name}` memory: the smallest feasible `{name}` part {text}{by_these}"


def _limit_clauses(problem: Problem, hosts: Sequence[int]) -> Iterator[str]:
    assert problem.memory is not None
    for host in hosts:
        limit = format_memory(int(problem.memory.limits[host]))
        yield f"`{problem.hosts[host]}` memory: the limit is {limit}"


def _rule_clauses(graph: Graph, scenario: Scenario) -> Iterator[str]:
    rules, hosts = scenario.rules, scenario.route.hosts
    for operator, host in rules.pins:
        yield f"`{graph.operators[operator].name}` is pinned to `{hosts[host]}`"
    for tensor, host in rules.input_hosts:
        yield f"`{graph.tensors[tensor].name}` lives on `{hosts[host]}`"
    for tensor in rules.forbidden:
        yield f"`{graph.tensors[tensor].name}` may not cross a link"
    for group in rules.together:
        names = [f"`{graph.operators[operator].name}`" for operator in group]
        kernel = scenario.kernel_clause(group)
        why = "kept together" if kernel is None else f"together: {kernel}"
        yield f"{listed(names, MAX_NAMED)} are {why}"


def _figures(problem: Problem, hosts: Sequence[int]) -> Iterator[str]:
    """What people need to know to choose another limit."""
    memory = problem.memory
    assert memory is not None
    latest, earliest = problem.constraints.extremes
    names = [operator.name for operator in problem.graph.operators]
    needs = memory.alone_bytes()
    if len(hosts) == 1:
        there = np.flatnonzero((latest == earliest) & (latest == hosts[0]))
        largest = there[np.argsort(-needs[there], kind="stable")][:MAX_NAMED]
        shown = ", ".join(f"`{names[v]}` {format_memory(int(needs[v]))}" for v in largest)
        yield f"the largest of {len(there)} operators that must be there: {shown}"
        return
    widest = np.array(
        [memory.limits[a : b + 1].max() for a, b in zip(earliest, latest, strict=True)]
    )
    homeless = np.flatnonzero(needs > widest)
    if len(homeless):
        v = int(homeless[np.argmax(needs[homeless])])
        text = f"`{names[v]}` alone needs {format_memory(int(needs[v]))}"
        yield f"{text}, more than any host that it may be on"
        return
    total = memory.least_bytes
    if total > memory.limits.sum():
        yield (
            f"all operators together need {format_memory(total)}, "
            f"the hosts have {format_memory(int(memory.limits.sum()))}"
        )
        return
    yield "every placement breaks one of these limits"
