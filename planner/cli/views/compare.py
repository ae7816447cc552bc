"""A comparison as people read it."""

from __future__ import annotations

from collections.abc import Sequence

from planner.cli.views.tables import Table, show
from planner.plans.comparison import Comparison
from planner.units import format_seconds


def show_comparison(
    graph: str, n_operators: int, rows: Sequence[Comparison], objective: str
) -> None:
    """Print one row per solver and policy to stdout, exact ones first."""
    what = "round" if objective == "delay" else "slowest"
    table = Table(("solver", what, "ratio", "solved in", "proof"), words="proof")
    for row in sorted(rows, key=lambda r: (not r.is_exact, r.total_s is None, r.total_s or 0.0)):
        proof = "optimal" if row.is_proved else row.message
        table.add_row(
            row.solver,
            _round(row),
            f"{row.ratio:.4f}" if row.ratio is not None else "",
            format_seconds(row.seconds) if row.seconds is not None else "",
            proof,
        )
    show(f"{graph}: {n_operators} operators", table)


def _round(row: Comparison) -> str:
    if row.total_s is not None:
        return format_seconds(row.total_s)
    return "refused" if row.is_refused else "not feasible"
