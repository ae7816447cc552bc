"""What others say about the optimum: a maximum flow, and whether it contradicts a plan."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from planner.arrays import BoolArray, IntArray
from planner.costs.scenario import Objective
from planner.evaluation.delay import violations
from planner.evaluation.outcome import objective_s
from planner.problems.problem import Problem
from planner.solvers.flow.cuts import maximum_flow
from planner.solvers.flow.network import SINK, SOURCE, Network, network_of
from planner.units import format_seconds
from planner.verification.case import Case, is_power_of_two, ticks_of
from planner.verification.ledger import Finding, Ledger, apart

MILP_TOLERANCE = 1e-12
"""What two proofs in floating point may differ by at least, relative."""

SUM_TOLERANCE = 1e-12
"""Sums of the same seconds in float64 differ by less, relative."""

MAX_ROUNDING = 1e-6
"""No rounding excuses a plan that takes longer than another placement by more, relative."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What somebody says about the optimum: it is not below one number, nor above another.

    Attributes:
        who: In words.
        low: Ticks.
        high: Ticks; None where no placement stands for them.
        quantum_s: Seconds of one tick.
        tolerance: Of the proof, relative.
        placement: One that keeps rules and limits and stands for `high`, if there is one.
    """

    who: str
    low: int
    high: int | None
    quantum_s: float
    tolerance: float = 0.0
    placement: IntArray | None = None


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
        if not problem.goal.is_coarse_for(flow):
            break
        # As `solve` does, so that the ticks are those of the plan.
        sharper = problem.with_incumbent(placement)
        if _bound_s(sharper) >= _bound_s(problem):
            break
        problem = sharper
    _check_flow(ledger, network, capacities, flows, side)
    is_cut = _check_cut(ledger, case, problem, placement, flow)
    found = Bounds(
        who="the maximum flow",
        low=flow,
        high=None if is_limited else flow,
        quantum_s=problem.ticks.quantum_s,
        placement=placement if is_cut and not is_limited else None,
    )
    compare_bounds(ledger, name, case, found)
    cut_s = objective_s(case.graph, case.table, case.scenario, placement)
    ledger.close(name, _flow_words(case, flow, found, cut_s))


def _bound_s(problem: Problem) -> float:
    return problem.ticks.bound * problem.ticks.quantum_s


def _flow_words(case: Case, flow: int, found: Bounds, cut_s: float) -> str:
    proof = case.plan.certificate
    is_as_good = ticks_of(case.problem, case.hosts, found.quantum_s) == flow
    if case.problem.memory is not None:
        if is_as_good:
            return "a maximum flow without the memory limits proves that nothing takes less"
        flow_s = flow * found.quantum_s
        return (
            f"a maximum flow without the memory limits is a lower bound, "
            f"{format_seconds(flow_s)}: {apart('flow_s', flow_s, case.objective_s)}"
        )
    if not proof.holds:
        if is_as_good:
            return "not proved by the plan; a maximum flow proves that nothing takes less"
        return (
            f"not proved: the best placement takes {format_seconds(cut_s)} by a maximum flow, "
            f"the plan {apart('value_s', case.objective_s, cut_s)}"
        )
    if (flow, found.quantum_s) == (proof.value, proof.quantum_s):
        return f"a maximum flow of {flow} ticks is as large as its cut and the plan's value"
    if is_as_good or case.objective_s == cut_s:
        return "a maximum flow is as large as its cut, and takes as long as the plan"
    gap = apart("value_s", case.objective_s, cut_s)
    return f"a maximum flow is as large as its cut; the plan is within its tolerance: {gap}"


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
) -> bool:
    """Whether the cut is a placement that keeps the rules; and it has to take as much."""
    broken = next(violations(case.graph, case.scenario, placement), None)
    if broken is not None:
        text = f"the minimum cut of the network is no placement: {broken.message}"
        ledger.differ("flow", "flow", None, None, text)
        return False
    value = int(problem.total(problem.ticks.terms, placement))
    if value != flow:
        text = (
            f"the minimum cut of the network is {flow} ticks, but its placement takes {value}: "
            f"{apart('ticks', flow, value)}"
        )
        ledger.differ("flow", "flow", flow, value, text)
    return True


def compare_bounds(ledger: Ledger, check: str, case: Case, other: Bounds) -> None:
    """Note where a plan and somebody else cannot both be right about the optimum.

    A bound is in ticks of its own, so the other's placement is priced in these: nobody's placement
    takes fewer of them. Whoever claims an optimum is also held against the other's placement in
    seconds, because ticks may be coarse.
    """
    proof = case.plan.certificate
    plan = Bounds(
        who="the plan",
        low=proof.lower_bound,
        high=proof.value,
        quantum_s=proof.quantum_s,
        tolerance=proof.tolerance,
        placement=case.hosts if case.is_feasible else None,
    )
    before = len(ledger.differences)
    for one, two, where in ((other, plan, "value"), (plan, other, "lower_bound")):
        high = _in_ticks_of(case, one, two)
        if high is not None and one.low - high > _tolerance(one, two) * one.low:
            low_s, high_s = one.low * one.quantum_s, high * one.quantum_s
            is_visible = format_seconds(low_s) != format_seconds(high_s)
            gap = apart("high_s", high_s, low_s) if is_visible else apart("ticks", high, one.low)
            text = (
                f"by {one.who} nothing takes less than {format_seconds(low_s)} "
                f"({one.low} ticks), but {two.who} has a placement of {format_seconds(high_s)} "
                f"({high} ticks): {gap}"
            )
            stated, found = (high_s, low_s) if where == "value" else (low_s, high_s)
            ledger.differ(check, f"$.certificate.{where}", stated, found, text)
    if len(ledger.differences) == before and proof.holds:
        _compare_seconds(ledger, check, case, other)


def _in_ticks_of(case: Case, one: Bounds, two: Bounds) -> int | None:
    """What the second has, in ticks of the first; None if it has nothing, or they overflow."""
    if two.high is None or one.quantum_s == two.quantum_s:
        return two.high
    if two.placement is None or not is_power_of_two(one.quantum_s):
        return None
    return ticks_of(case.problem, two.placement, one.quantum_s)


def _tolerance(one: Bounds, two: Bounds) -> float:
    """What the proofs of two leave open; those in floating point have a least difference."""
    tolerance = max(one.tolerance, two.tolerance)
    return max(tolerance, MILP_TOLERANCE) if tolerance else 0.0


def _compare_seconds(ledger: Ledger, check: str, case: Case, other: Bounds) -> None:
    """Whether an optimum takes longer than a placement, by more than its ticks can explain."""
    if other.placement is None:
        return
    best_s = objective_s(case.graph, case.table, case.scenario, other.placement)
    # The plan's ticks round what it takes, and what the other does. No tick counts where the
    # optimum is nothing at all, nor one that is coarser than it would have to be.
    rounding = min(2 * case.rounding_s, MAX_ROUNDING * best_s) if case.is_fine else 0.0
    tolerance = SUM_TOLERANCE + case.plan.certificate.tolerance
    if case.objective_s - best_s > rounding + tolerance * best_s:
        text = (
            f"the plan takes {format_seconds(case.objective_s)} and says that this is the "
            f"optimum, but {other.who} has a placement of {format_seconds(best_s)}: "
            f"{apart('high_s', case.objective_s, best_s)}"
        )
        ledger.differ(check, "$.certificate.value", case.objective_s, best_s, text)
