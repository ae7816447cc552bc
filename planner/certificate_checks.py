"""A plan's certificate and the costs behind it: ticks against seconds, one by one."""

from __future__ import annotations

from dataclasses import dataclass
from math import frexp, isfinite

import numpy as np

from planner.costs import CostTable, FloatArray
from planner.discrepancies import RELATIVE_TOLERANCE, Ledger, apart
from planner.evaluation import violations
from planner.graphs import Graph, IntArray
from planner.objectives import stage_seconds
from planner.outcomes import objective_s
from planner.plans import Plan
from planner.problems import Problem
from planner.quantisation import rounding_s
from planner.scenarios import Objective, Scenario
from planner.solutions import Status
from planner.terms import Terms
from planner.units import format_seconds

MAX_TOLERANCE = 1e-6
"""A proof in floating point may leave open this much of the value, and is none with more."""

MAX_PROBES = 64
"""Placements that the problem's terms are held against the evaluator with."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
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
    """

    plan: Plan
    graph: Graph
    table: CostTable
    scenario: Scenario
    problem: Problem
    hosts: IntArray
    objective_s: float

    @property
    def rounding_s(self) -> float:
        """How far the plan's ticks may be from its seconds."""
        return rounding_s(self.problem, self.plan.certificate.quantum_s)


def check_certificate(ledger: Ledger, case: Case) -> None:
    """The figures of a certificate: consistent, and what the placement takes."""
    name, proof = "certificate", case.plan.certificate
    is_within = proof.value - proof.lower_bound <= proof.tolerance * proof.value
    is_optimal = proof.status == Status.OPTIMAL.value
    if proof.lower_bound > proof.value:
        text = f"the lower bound of {proof.lower_bound} ticks is above the value, {proof.value}"
        ledger.differ(name, "$.certificate.lower_bound", proof.lower_bound, proof.value, text)
    elif proof.holds != (is_within and is_optimal):
        text = f"bound {proof.lower_bound}, value {proof.value}, status `{proof.status}`"
        claim = "holds" if proof.holds else "does not hold"
        text = f"the certificate says that it {claim}, but its figures are {text}"
        ledger.differ(name, "$.certificate.holds", proof.holds, not proof.holds, text)
    elif is_optimal and not proof.holds:
        text = f"the status is `{proof.status}`, and nothing was proved"
        ledger.differ(name, "$.certificate.status", proof.status, None, text)
    if proof.tolerance > MAX_TOLERANCE:
        text = f"a proof with a tolerance of {proof.tolerance:.3g} is none: expected at most 1e-6"
        ledger.differ(name, "$.certificate.tolerance", proof.tolerance, MAX_TOLERANCE, text)
    _check_value(ledger, case)
    ledger.close(name, f"{proof.value} ticks of {proof.quantum_s:.3g} s are what it takes")


def _check_value(ledger: Ledger, case: Case) -> None:
    name, proof = "certificate", case.plan.certificate
    quantum_s = proof.quantum_s
    if frexp(quantum_s)[0] != 0.5:
        text = f"the quantum is {quantum_s} s, which is no power of two"
        ledger.differ(name, "$.certificate.quantum_s", quantum_s, None, text)
        return
    paid = case.problem.paid(case.hosts)
    found = max(_in_ticks(part.flat()[paid], quantum_s) for part in _parts_s(case.problem))
    goal = case.problem.goal
    # What only a policy would choose may be clipped to the bound of the ticks.
    clipped = goal.value(case.hosts) if goal.quantum_s == quantum_s and not proof.holds else found
    if proof.value not in (found, clipped):
        text = (
            f"the value is {proof.value} ticks in the plan, and the placement takes {found:.0f} "
            f"of them: {apart('ticks', proof.value, found)}"
        )
        ledger.differ(name, "$.certificate.value", proof.value, int(min(found, 2.0**62)), text)
        return
    ticks_s = proof.value * quantum_s
    surplus = case.objective_s - ticks_s
    tolerance = case.rounding_s + RELATIVE_TOLERANCE * case.objective_s
    if surplus < -tolerance or (surplus > tolerance and proof.value == found):
        text = (
            f"the value stands for {format_seconds(ticks_s)}, and the placement takes "
            f"{format_seconds(case.objective_s)}: {apart('ticks_s', ticks_s, case.objective_s)}"
        )
        ledger.differ(name, "$.certificate.value", ticks_s, case.objective_s, text)


def _parts_s(problem: Problem) -> tuple[Terms[np.float64], ...]:
    if problem.workload.objective is Objective.THROUGHPUT:
        return stage_seconds(problem)
    return (problem.seconds,)


def _in_ticks(seconds: FloatArray, quantum_s: float) -> float | int:
    """Seconds rounded to whole ticks one by one, and added up; exact below what int64 holds."""
    with np.errstate(over="ignore"):
        scaled = np.rint(np.ldexp(seconds, 1 - frexp(quantum_s)[1]))
    total = float(scaled.sum())
    return total if not isfinite(total) or total > 2.0**62 else sum(map(int, scaled.tolist()))


def check_terms(ledger: Ledger, case: Case) -> None:
    """The costs that solvers see: their ticks are their seconds, and those the evaluator's.

    Every cut position of one order is a placement, and every transfer crosses at one of them.
    """
    name, problem = "terms", case.problem
    goal = problem.goal
    for part, exact in zip(goal.parts, _parts_s(problem), strict=True):
        _check_ticks(ledger, case, part.flat(), exact.flat())
    probes = _probes(problem)
    n_probed = 0
    for placement in probes:
        if next(violations(case.graph, case.scenario, placement), None) is not None:
            continue
        n_probed += 1
        terms_s = float(max(problem.total(part, placement) for part in _parts_s(problem)))
        found = objective_s(case.graph, case.table, case.scenario, placement)
        if abs(terms_s - found) > RELATIVE_TOLERANCE * max(found, terms_s):
            text = (
                f"a placement takes {format_seconds(terms_s)} by the terms that solvers see, and "
                f"{format_seconds(found)} by the evaluator: {apart('terms_s', terms_s, found)}"
            )
            ledger.differ(name, "terms", terms_s, found, text)
    ledger.close(name, f"ticks are seconds, and the evaluator's on {n_probed} other placements")


def _check_ticks(ledger: Ledger, case: Case, ticks: IntArray, seconds: FloatArray) -> None:
    goal = case.problem.goal
    with np.errstate(over="ignore"):
        scaled = np.minimum(seconds / goal.quantum_s, 2.0 * goal.bound + 2.0)
    expected = np.minimum(np.rint(scaled).astype(np.int64), goal.bound + 1)
    # Where a cost is as large as the bound, both may be meant.
    is_clipped = (ticks == goal.bound + 1) & (scaled >= goal.bound * (1 - 1e-8))
    wrong = np.flatnonzero((ticks != expected) & ~is_clipped)
    if len(wrong):
        i = int(wrong[0])
        text = (
            f"{_term(case.problem, i)} takes {format_seconds(float(seconds[i]))}, which is "
            f"{expected[i]} ticks, and solvers see {ticks[i]}"
        )
        others = f"; the same of {len(wrong) - 1} others" if len(wrong) > 1 else ""
        ledger.differ("terms", "terms", int(ticks[i]), int(expected[i]), text + others)


def _term(problem: Problem, index: int) -> str:
    """Which cost of `Terms.flat` this is, in words."""
    if index < problem.compute_s.size:
        host, operator = divmod(index, problem.n_operators)
        return f"`{problem.graph.operators[operator].name}` on `{problem.hosts[host]}`"
    index -= problem.compute_s.size
    if index < len(problem.transfers) * problem.n_links:
        row, link = divmod(index, problem.n_links)
        tensor = int(problem.transfers.tensor[row])
        what = f"`{problem.graph.tensors[tensor].name}`" if tensor >= 0 else "labels or latency"
        return f"{what} over the link after `{problem.hosts[link]}`"
    return "a tied parameter"


def _probes(problem: Problem) -> list[IntArray]:
    """Cut positions of every link, evenly spread, moved to where the rules allow."""
    latest, earliest = problem.constraints.extremes
    n = problem.n_operators
    positions = np.unique(np.linspace(0, n, min(n + 1, MAX_PROBES)).astype(np.int64))
    order = np.arange(n)
    return [
        np.clip(np.where(order < position, link, link + 1), earliest, latest)
        for link in range(problem.n_links)
        for position in positions.tolist()
    ]
