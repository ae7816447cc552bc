"""One plan under verification, and what all its checks share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import frexp

import numpy as np

from planner.arrays import DisjointSets, IntArray
from planner.costs.cost_table import CostTable
from planner.costs.scenario import Objective, Scenario
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT
from planner.plans.plan_file import Plan
from planner.problems.goals import stage_seconds
from planner.problems.problem import Problem
from planner.problems.terms import Terms
from planner.problems.ticks import rounding_s

FINE = 1e-9
"""Rounding of less than this, relative to what the plan takes, is always fine enough."""

SHARPENED = 4
"""Ticks of any sharpened problem are at most so many times those that the plan itself gives: its
bound is at most twice as high, and a quantum is a power of two."""

MAX_PROBES = 64
"""Placements of each kind that the rules are tried with, on graphs that are not large."""

MAX_WORK = 400_000
"""Operators in all placements of one kind together; at least 8 placements are tried."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """A plan with everything that it is checked against.

    Attributes:
        plan: What is verified.
        graph: The model.
        table: Its costs.
        scenario: Route, work, rules and limits.
        problem: Made afresh from these.
        hosts: The plan's placement; shape [operators].
        objective_s: What it takes by the independent evaluator.
        is_feasible: Whether it keeps all rules and limits.
    """

    plan: Plan
    graph: Graph
    table: CostTable
    scenario: Scenario
    problem: Problem
    hosts: IntArray
    objective_s: float
    is_feasible: bool

    @property
    def rounding_s(self) -> float:
        """How far the plan's ticks may be from its seconds."""
        return rounding_s(self.problem, self.plan.certificate.quantum_s)

    @cached_property
    def is_fine(self) -> bool:
        """Whether the plan's ticks are as fine as those of every solver that proves something."""
        if self.rounding_s <= FINE * self.objective_s:
            return True
        if not self.is_feasible:
            return False
        own = self.problem.with_incumbent(self.hosts).goal.quantum_s
        return self.plan.certificate.quantum_s <= SHARPENED * own


def is_power_of_two(quantum_s: float) -> bool:
    """Whether seconds of a tick are what every tick has."""
    return frexp(quantum_s)[0] == 0.5


def parts_s(problem: Problem) -> tuple[Terms[np.float64], ...]:
    """The terms in seconds of each part of the value: one for a delay, one per stage."""
    if problem.workload.objective is Objective.THROUGHPUT:
        return stage_seconds(problem)
    return (problem.seconds,)


def ticks_of(problem: Problem, hosts: IntArray, quantum_s: float) -> int | None:
    """A placement in whole ticks of any size, exact and not clipped; None where they overflow."""
    paid = problem.paid(hosts)
    totals = []
    for part in parts_s(problem):
        with np.errstate(over="ignore"):
            scaled = np.rint(np.ldexp(part.flat()[paid], 1 - frexp(quantum_s)[1]))
        if not np.isfinite(scaled).all():
            return None
        totals.append(sum(map(int, scaled.tolist())))
    return max(totals)


def n_probes(n_operators: int) -> int:
    """How many placements of one kind are tried."""
    return max(8, min(MAX_PROBES, MAX_WORK // max(1, n_operators)))


def ties(graph: Graph, scenario: Scenario) -> IntArray:
    """Which operators no rule lets apart: the same number for those; shape [operators]."""
    sets = DisjointSets(len(graph.operators))
    for first, *others in _groups(graph, scenario):
        for other in others:
            sets.join(first, other)
    return sets.labels()


def _groups(graph: Graph, scenario: Scenario) -> Iterator[tuple[int, ...]]:
    """Sets of operators on one host: by a rule, a tensor that may not cross, a parameter."""
    yield from (group for group in scenario.rules.together if group)
    for index in scenario.rules.forbidden:
        tensor = graph.tensors[index]
        if tensor.producer != GRAPH_INPUT:
            yield (tensor.producer, *tensor.consumers)
    if scenario.workload.is_training and len(scenario.route.hosts) > 2:
        for parameter in graph.parameters:
            if parameter.trainable and parameter.size_bytes:
                yield parameter.readers
