"""A plan's certificate: whether it is consistent, is what the placement takes, and may be made."""

from __future__ import annotations

from planner.errors import PluginError
from planner.plans.plan_file import CertificateEntry
from planner.problems.solution import SOLVERS, Capabilities, Status
from planner.units import format_seconds
from planner.verification.case import Case, is_power_of_two, ticks_of
from planner.verification.ledger import RELATIVE_TOLERANCE, Ledger, apart

MAX_TOLERANCE = 1e-6
"""A proof in floating point may leave open this much of the value, and is none with more."""


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
    _check_claim(ledger, case, proof)
    _check_value(ledger, case)
    ledger.close(name, f"{proof.value} ticks of {proof.quantum_s:.3g} s are what it takes")


def _check_claim(ledger: Ledger, case: Case, proof: CertificateEntry) -> None:
    """Whether the solver that is named makes such certificates at all."""
    name, solver = "certificate", case.plan.head.solver
    able = _capabilities(solver)
    if proof.status == Status.INFEASIBLE.value:
        feasible = "keeps all rules" if case.is_feasible else "breaks some"
        text = f"the status is `infeasible`, which no plan has, and the placement {feasible}"
        ledger.differ(name, "$.certificate.status", proof.status, None, text)
    if able is not None and not able.is_exact and (proof.holds or proof.lower_bound):
        text = f"`{solver}` is a policy and proves nothing, but the plan has a proof by it"
        where, stated = ("holds", True) if proof.holds else ("lower_bound", proof.lower_bound)
        ledger.differ(name, f"$.certificate.{where}", stated, None, text)
    most = MAX_TOLERANCE if able is None else min(able.tolerance, MAX_TOLERANCE)
    if proof.tolerance > most:
        text = (
            f"a proof with a tolerance of {proof.tolerance:.3g} is none: expected at most "
            f"{most:.3g}{f' by `{solver}`' if able is not None else ''}"
        )
        ledger.differ(name, "$.certificate.tolerance", proof.tolerance, most, text)
    is_sharpened = proof.holds or proof.status == Status.BOUNDED.value
    if is_sharpened and case.is_feasible and not case.is_fine:
        text = (
            f"ticks of {proof.quantum_s:.3g} s are too coarse for a proof about "
            f"{format_seconds(case.objective_s)}: rounding alone may be "
            f"{format_seconds(case.rounding_s)}"
        )
        ledger.differ(name, "$.certificate.quantum_s", proof.quantum_s, None, text)


def _capabilities(solver: str) -> Capabilities | None:
    """What a solver can do; None if it is not registered here."""
    if solver not in SOLVERS.names():
        return None
    try:
        return SOLVERS.peek(solver).capabilities
    except PluginError:
        return None


def _check_value(ledger: Ledger, case: Case) -> None:
    name, proof = "certificate", case.plan.certificate
    quantum_s = proof.quantum_s
    if not is_power_of_two(quantum_s):
        text = f"the quantum is {quantum_s} s, which is no power of two"
        ledger.differ(name, "$.certificate.quantum_s", quantum_s, None, text)
        return
    found = ticks_of(case.problem, case.hosts, quantum_s)
    goal = case.problem.goal
    # What only a policy would choose may be clipped to the bound of the ticks.
    clipped = goal.value(case.hosts) if goal.quantum_s == quantum_s and not proof.holds else found
    if proof.value not in (found, clipped):
        takes = "more of them than a float64 holds"
        if found is not None:
            takes = f"{found} of them: {apart('ticks', proof.value, found)}"
        text = f"the value is {proof.value} ticks in the plan, and the placement takes {takes}"
        shown = found if found is None else min(found, 2**63 - 1)
        ledger.differ(name, "$.certificate.value", proof.value, shown, text)
        return
    ticks_s = proof.value * quantum_s
    surplus = case.objective_s - ticks_s
    tolerance = case.rounding_s + RELATIVE_TOLERANCE * case.objective_s
    if surplus < -tolerance or (surplus > tolerance and proof.value == found):
        text = (
            f"the value stands for {format_seconds(ticks_s)} ({proof.value} ticks), and the "
            f"placement takes {format_seconds(case.objective_s)}: "
            f"{apart('ticks_s', ticks_s, case.objective_s)}"
        )
        ledger.differ(name, "$.certificate.value", ticks_s, case.objective_s, text)
