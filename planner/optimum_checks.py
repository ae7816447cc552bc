"""What others say about the optimum: a maximum flow, and whether it contradicts a plan."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from planner.certificate_checks import Case
from planner.discrepancies import RELATIVE_TOLERANCE, Finding, Ledger, apart
from planner.evaluation import violations
from planner.graphs import BoolArray, IntArray
from planner.minimum_cuts import maximum_flow
from planner.networks import SINK, SOURCE, Network, network_of
from planner.problems import Problem
from planner.quantisation import rounding_s
from planner.scenarios import Objective
from planner.units import format_seconds

MILP_TOLERANCE = 1e-12
"""What two proofs in floating point may differ by at least, relative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What somebody says about the optimum: it is not below one number, nor above another.

    Attributes:
        who: In words.
        low: Ticks.
        high: Ticks; None where no placement stands for them.
        quantum_s: Seconds of one tick.
        tolerance: Of the proof, relative.
    """

    who: str
    low: int
    high: int | None
    quantum_s: float
    tolerance: float = 0.0


def check_flow(ledger: Ledger, case: Case) -> None:
    """A fresh maximum flow: what it proves does not depend on who found it.

    Any flow is a lower bound of any cut, so the flow's own arithmetic is checked here: every arc
    within its capacity, what goes into a vertex comes out of it, and a cut of the same value.
    """
    name = "flow"
    if case.problem.workload.objective is Objective.THROUGHPUT:
        text = "a minimum cut knows nothing of stages: only a second solver tells"
        ledger.add(name, Finding.NOT_APPLICABLE, text)
        return
    problem, is_limited = case.problem, case.problem.memory is not None
    if is_limited:
        problem = replace(problem, memory=None)
    while True:
        network = network_of(problem)
        capacities = network.capacities(problem.ticks)
        flows, side = maximum_flow(network, capacities)
        flow = int(flows[network.tail == SOURCE].sum() - flows[network.head == SOURCE].sum())
        placement = network.placement(side)
        if not problem.ticks.is_coarse_for(flow):
            break
        # As `solve` does, so that the ticks are those of the plan.
        sharper = problem.with_incumbent(placement)
        if _bound_s(sharper) >= _bound_s(problem):
            break
        problem = sharper
    _check_flow(ledger, network, capacities, flows, side)
    _check_cut(ledger, case, problem, placement, flow)
    found = Bounds(
        who="the maximum flow",
        low=flow,
        high=None if is_limited else flow,
        quantum_s=problem.ticks.quantum_s,
    )
    compare_bounds(ledger, name, case, found)
    ledger.close(name, _flow_words(case, flow, found))


def _bound_s(problem: Problem) -> float:
    return problem.ticks.bound * problem.ticks.quantum_s


def _flow_words(case: Case, flow: int, found: Bounds) -> str:
    proof = case.plan.certificate
    if case.problem.memory is not None:
        flow_s, value_s = flow * found.quantum_s, proof.value * proof.quantum_s
        if value_s - flow_s <= case.rounding_s:
            return "a maximum flow without the memory limits proves that nothing takes less"
        return (
            f"a maximum flow without the memory limits is a lower bound, "
            f"{format_seconds(flow_s)}: {apart('flow_s', flow_s, value_s)}"
        )
    if not proof.holds:
        best_s, value_s = flow * found.quantum_s, proof.value * proof.quantum_s
        if value_s - best_s <= 2 * case.rounding_s:
            return "not proved by the plan; a maximum flow proves that nothing takes less"
        return (
            f"not proved: the best placement takes {format_seconds(best_s)} by a maximum flow, "
            f"the plan {apart('value_s', value_s, best_s)}"
        )
    if (flow, found.quantum_s) != (proof.value, proof.quantum_s):
        flow_s, value_s = flow * found.quantum_s, proof.value * proof.quantum_s
        if flow_s == value_s:
            return "a maximum flow is as large as its cut, and takes as long as the plan"
        gap = apart("value_s", value_s, flow_s)
        return f"a maximum flow is as large as its cut; the plan is within its tolerance: {gap}"
    return f"a maximum flow of {flow} ticks is as large as its cut and the plan's value"


def _check_flow(
    ledger: Ledger, network: Network, capacities: IntArray, flows: IntArray, side: BoolArray
) -> None:
    """Whether these are a flow and a cut of the network, and of the same value."""
    excess = np.zeros(network.n_vertices, np.int64)
    np.add.at(excess, network.head, flows)
    np.subtract.at(excess, network.tail, flows)
    value = int(excess[SINK])
    inner = excess.copy()
    inner[[SOURCE, SINK]] = 0
    is_flow = bool(((flows >= 0) & (flows <= capacities)).all()) and not inner.any()
    if not is_flow or value != -int(excess[SOURCE]):
        text = "what OR-tools calls a flow is none: an arc or a vertex does not balance"
        ledger.differ("flow", "flow", None, value, text)
    is_cut = side[network.tail] & ~side[network.head]
    cut = sum(capacities[is_cut].tolist())
    if cut != value:
        text = f"the flow is {value} ticks and its cut {cut}: {apart('ticks', value, cut)}"
        ledger.differ("flow", "flow", value, cut, text)


def _check_cut(
    ledger: Ledger, case: Case, problem: Problem, placement: IntArray, flow: int
) -> None:
    """Whether the cut is a placement that keeps the rules and takes as much."""
    broken = next(violations(case.graph, case.scenario, placement), None)
    if broken is not None:
        text = f"the minimum cut of the network is no placement: {broken.message}"
        ledger.differ("flow", "flow", None, None, text)
        return
    value = int(problem.total(problem.ticks.terms, placement))
    if value != flow:
        text = (
            f"the minimum cut of the network is {flow} ticks, but its placement takes {value}: "
            f"{apart('ticks', flow, value)}"
        )
        ledger.differ("flow", "flow", flow, value, text)


def compare_bounds(ledger: Ledger, check: str, case: Case, other: Bounds) -> None:
    """Note where a plan and somebody else cannot both be right about the optimum."""
    proof = case.plan.certificate
    plan = Bounds(
        who="the plan",
        low=proof.lower_bound,
        high=proof.value,
        quantum_s=proof.quantum_s,
        tolerance=proof.tolerance,
    )
    for one, two, where in ((other, plan, "value"), (plan, other, "lower_bound")):
        if two.high is not None and _is_above(case, one, two):
            low_s, high_s = one.low * one.quantum_s, two.high * two.quantum_s
            text = (
                f"by {one.who} nothing takes less than {format_seconds(low_s)} "
                f"({one.low} ticks), but {two.who} has a placement of {format_seconds(high_s)} "
                f"({two.high} ticks): {apart('high_s', high_s, low_s)}"
            )
            stated, found = (high_s, low_s) if where == "value" else (low_s, high_s)
            ledger.differ(check, f"$.certificate.{where}", stated, found, text)


def _is_above(case: Case, one: Bounds, two: Bounds) -> bool:
    """Whether one's lower bound is above two's value, by more than their proofs leave open."""
    assert two.high is not None
    tolerance = max(one.tolerance, two.tolerance)
    if tolerance:
        tolerance = max(tolerance, MILP_TOLERANCE)
    if one.quantum_s == two.quantum_s:
        return one.low - two.high > tolerance * one.low
    low_s, high_s = one.low * one.quantum_s, two.high * two.quantum_s
    rounding = sum(rounding_s(case.problem, bounds.quantum_s) for bounds in (one, two))
    return low_s - high_s > rounding + (tolerance + RELATIVE_TOLERANCE) * low_s
