"""A profile as people read it: what the whole model took, and which operators took most."""

from __future__ import annotations

from planner.cli.views.tables import Table, show
from planner.costs.profile_file import Measurement, Profile, Timing
from planner.units import format_seconds

MAX_SLOWEST = 8


def show_profile(profile: Profile) -> None:
    """Print every measurement of a profile to stdout."""
    for measurement in profile.measurements:
        show(_heading(measurement), _whole(measurement), _counts(measurement))
        show("Slowest operators", _slowest(measurement))


def _heading(measurement: Measurement) -> str:
    engine = measurement.engine
    how = [f"{engine.name} {engine.version}".strip(), engine.provider, engine.optimization]
    threads = f"{engine.threads} thread{'s' if engine.threads != 1 else ''}"
    batch = f"batch {measurement.batch}" if measurement.batch is not None else ""
    words = ", ".join(filter(None, [batch, *how, threads if engine.threads else ""]))
    return f"{measurement.model}, {measurement.mode}: {words}"


def _whole(measurement: Measurement) -> Table:
    table = Table(("pass", "whole model", "spread", "sum before scaling", "runs", "origin"))
    whole = measurement.whole
    if whole is not None:
        table.add_row("forward", *_cells(whole.forward, whole.sum_forward_s))
        if whole.backward is not None:
            table.add_row("backward", *_cells(whole.backward, whole.sum_backward_s))
    return table


def _counts(measurement: Measurement) -> str:
    n_fused = sum(len(group.nodes) for group in measurement.groups)
    n_groups = len(measurement.groups)
    fused = f", {n_fused} of them in {n_groups} groups that ran as one" if n_groups else ""
    return f"{len(measurement.nodes)} operators{fused}"


def _cells(timing: Timing, total_s: float | None) -> tuple[str, ...]:
    ratio = ""
    if total_s is not None and timing.typical_s > 0:
        ratio = f"{total_s / timing.typical_s - 1:+.1%}"
    return (
        format_seconds(timing.typical_s),
        format_seconds(timing.spread_s),
        ratio,
        str(timing.n_runs),
        timing.origin,
    )


def _slowest(measurement: Measurement) -> Table:
    table = Table(
        ("operator", "type", "forward", "backward", "together with"), words="together with"
    )
    partners = {group.nodes[0]: group.nodes[1:] for group in measurement.groups}
    rows = sorted(
        measurement.nodes,
        key=lambda row: -(row.forward.typical_s + (row.backward.typical_s if row.backward else 0)),
    )
    for row in rows[:MAX_SLOWEST]:
        backward = format_seconds(row.backward.typical_s) if row.backward is not None else ""
        forward = format_seconds(row.forward.typical_s)
        table.add_row(row.node, row.op, forward, backward, ", ".join(partners.get(row.node, ())))
    return table
