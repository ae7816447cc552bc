"""A verification as people read it: what was checked, what disagrees, and the verdict."""

from __future__ import annotations

from planner.cli.console import printable, write_out
from planner.cli.views.tables import Table, show
from planner.verification.verifying import Verification

MAX_ROWS = 12


def show_verification(plan: str, found: Verification) -> None:
    """Print every check, every difference and the verdict to stdout."""
    checks = Table(("check", "finding", "in words"), n_names=2, words="in words")
    for check in found.checks:
        checks.add_row(check.name, check.finding.value, check.text)
    show(f"Verification of {plan}", checks)
    if found.differences:
        table = Table(("place", "difference"), words="difference")
        for difference in found.differences[:MAX_ROWS]:
            table.add_row(difference.where, difference.text)
        table.add_rest(len(found.differences) - MAX_ROWS, "--format json", first="…")
        show("Differences", table)
    write_out(printable(verdict(plan, found)) + "\n")


def verdict(plan: str, found: Verification) -> str:
    """Whether the plan holds, in words."""
    n = len(found.differences)
    if n:
        return f"{plan} does not hold: {n} difference{'s' if n > 1 else ''}."
    if not found.is_complete:
        return f"Nothing disagrees with {plan}, but not every check could be made."
    return f"{plan} holds."
