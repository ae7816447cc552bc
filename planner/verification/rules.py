"""The rules that solvers see: bounds, arcs and memory, held against graph and scenario themselves.

Every solver shares `Problem.constraints` and `Problem.memory`, so a rule too many would make all of
them agree on the same worse placement. Nothing here uses the code that makes them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from planner.arrays import IntArray
from planner.costs.scenario import Scenario
from planner.evaluation.delay import violations
from planner.evaluation.memory import memory_of
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT
from planner.problems.feasibility import Constraints
from planner.units import format_memory
from planner.verification.case import Case, n_probes, ties
from planner.verification.ledger import Ledger

N_SCATTERED = 8
"""Placements without any order, which tell sets of operators apart."""


def check_rules_seen(ledger: Ledger, case: Case) -> None:
    """Whether solvers see the rules that there are, no other ones, and no other memory."""
    problem, rules = case.problem, case.problem.constraints
    _check_bounds(ledger, case, rules)
    _check_arcs(ledger, case, rules)
    raw = list(_raw_probes(case))
    for placement in raw:
        broken = next(violations(case.graph, case.scenario, placement), None)
        if (broken is None) != bool(rules.keeps(placement)):
            words = "which breaks none" if broken is None else broken.message
            seen = "refuse" if broken is None else "allow"
            text = f"the rules that solvers see {seen} a placement, {words}"
            ledger.differ("terms", "rules", broken is not None, broken is None, text)
            break
    limits = case.scenario.memory_limits
    if (problem.memory is None) != (not limits):
        text = "solvers see memory limits where there are none, or none where there are some"
        ledger.differ("terms", "memory", problem.memory is not None, bool(limits), text)
    elif problem.memory is not None:
        _check_memory(ledger, case, [case.hosts, *raw, *_scattered(case)])


def _bounds(graph: Graph, scenario: Scenario) -> tuple[IntArray, IntArray]:
    """First and last host of each operator by pins and by where inputs live."""
    low = np.zeros(len(graph.operators), np.int64)
    high = np.full(len(graph.operators), len(scenario.route.hosts) - 1, np.int64)
    for operator, host in scenario.rules.pins:
        low[operator], high[operator] = max(low[operator], host), min(high[operator], host)
    lives_at = dict(scenario.rules.input_hosts)
    for tensor, host in lives_at.items():
        for reader in graph.tensors[tensor].consumers:
            low[reader] = max(low[reader], host)
    for tensor in scenario.rules.forbidden:
        if graph.tensors[tensor].producer == GRAPH_INPUT:
            for reader in graph.tensors[tensor].consumers:
                high[reader] = min(high[reader], lives_at.get(tensor, 0))
    return low, high


def _check_bounds(ledger: Ledger, case: Case, rules: Constraints) -> None:
    hosts, names = case.scenario.route.hosts, [op.name for op in case.graph.operators]
    low, high = _bounds(case.graph, case.scenario)
    for what, seen, found in (("before", rules.low, low), ("after", rules.high, high)):
        wrong = np.flatnonzero(seen != found)
        if len(wrong):
            i = int(wrong[0])
            bound = f"not {what} `{hosts[int(seen[i])]}`"
            text = (
                f"solvers place `{names[i]}` {bound}, and by pins and inputs it is "
                f"`{hosts[int(found[i])]}`{_others(len(wrong))}"
            )
            ledger.differ("terms", "rules", int(seen[i]), int(found[i]), text)


def _check_arcs(ledger: Ledger, case: Case, rules: Constraints) -> None:
    """Every arc is a tensor's or ties operators that a rule ties; every such tie is there."""
    graph, n = case.graph, len(case.graph.operators)
    names, tied = [op.name for op in graph.operators], ties(graph, case.scenario)
    indptr, consumers = graph.consumers
    producer = np.repeat(graph.producers, np.diff(indptr))
    is_edge = producer != GRAPH_INPUT
    edges = np.unique(producer[is_edge] * n + consumers[is_edge])
    arcs = np.unique(rules.before * n + rules.after)
    wrong = arcs[~np.isin(arcs, edges) & (tied[arcs // n] != tied[arcs % n])]
    if len(wrong):
        before, after = divmod(int(wrong[0]), n)
        text = (
            f"solvers place `{names[before]}` not after `{names[after]}`, which no tensor and no "
            f"rule asks for{_others(len(wrong))}"
        )
        ledger.differ("terms", "rules", [before, after], None, text)
    lost = np.setdiff1d(edges, arcs)
    # Operators with arcs both ways are tied; whoever a rule ties is so, one to the next.
    both = arcs[np.isin(arcs % n * n + arcs // n, arcs)]
    loose = _loose(tied, both // n, both % n)
    for pairs in (lost.tolist(), loose):
        if pairs:
            before, after = divmod(pairs[0], n)
            text = (
                f"solvers may place `{names[before]}` after `{names[after]}`, and a tensor or a "
                f"rule does not let them{_others(len(pairs))}"
            )
            ledger.differ("terms", "rules", None, [before, after], text)


def _loose(tied: IntArray, one: IntArray, other: IntArray) -> list[int]:
    """Operators, with whom they are tied to, that pairs do not connect with them."""
    n = len(tied)
    neighbours: dict[int, list[int]] = {}
    for a, b in zip(one.tolist(), other.tolist(), strict=True):
        neighbours.setdefault(a, []).append(b)
    reached = np.zeros(n, np.bool_)
    for start in np.unique(tied).tolist():
        stack = [start]
        reached[start] = True
        while stack:
            for following in neighbours.get(stack.pop(), ()):
                if not reached[following]:
                    reached[following] = True
                    stack.append(following)
    missing = np.flatnonzero(~reached)
    pairs: list[int] = (tied[missing] * n + missing).tolist()
    return pairs


def _others(n: int) -> str:
    return f"; the same of {n - 1} others" if n > 1 else ""


def _raw_probes(case: Case) -> Iterator[IntArray]:
    """Placements that no rule made: one host, prefixes of the order, the plan with one move."""
    n, n_hosts = case.problem.n_operators, case.problem.n_hosts
    count = n_probes(n)
    order = np.arange(n)
    for link in range(n_hosts - 1):
        # The ends are all on one host.
        for position in np.unique(np.linspace(0, n, min(n + 1, count)).astype(np.int64)).tolist():
            yield np.where(order < position, link, link + 1)
    for operator in np.unique(np.linspace(0, n - 1, min(n, count)).astype(np.int64)).tolist():
        for step in (-1, 1):
            if 0 <= case.hosts[operator] + step < n_hosts:
                moved = case.hosts.copy()
                moved[operator] += step
                yield moved


def _scattered(case: Case) -> Iterator[IntArray]:
    chance = np.random.default_rng(0)
    for _ in range(N_SCATTERED):
        yield chance.integers(0, case.problem.n_hosts, case.problem.n_operators)


def _check_memory(ledger: Ledger, case: Case, placements: list[IntArray]) -> None:
    memory, hosts = case.problem.memory, case.scenario.route.hosts
    assert memory is not None
    limits = [np.inf if m is None else float(m) for m in case.scenario.memory_limits]
    if memory.limits.tolist() != limits:
        text = f"solvers see memory limits of {memory.limits.tolist()} bytes instead of {limits}"
        ledger.differ("terms", "memory", None, None, text)
    for placement in placements:
        seen = memory.use(placement).tolist()
        found = [u.total_bytes for u in memory_of(case.graph, case.table, case.scenario, placement)]
        for host, one, other in zip(hosts, seen, found, strict=True):
            if one != other:
                text = (
                    f"a placement needs {format_memory(one)} ({one} B) on `{host}` by what solvers "
                    f"see, and {format_memory(other)} ({other} B) by the evaluator"
                )
                ledger.differ("terms", "memory", one, other, text)
                return
