"""A plan table as people read it: the regions, what each plan does there, and the proof."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from planner.arrays import FloatArray
from planner.cli.console import write_out
from planner.cli.ranges import format_value
from planner.cli.views.region_bar import bar
from planner.cli.views.tables import Table as Grid
from planner.cli.views.tables import show
from planner.costs.cost_file import Costs
from planner.tables.table import Table, TablePlan
from planner.tables.table_file import ParameterEntry, TableFile
from planner.units import format_bytes, format_rate, format_seconds

MAX_NAMES = 2
GRID_POINTS = 40_000
FLOAT64 = 2.0**-53
"""What float64 rounds by, relatively, if nothing else does."""
NEGLIGIBLE = 1e-9
"""What rounding may leave open, relatively, of a table that is called complete."""
NAMES = {"uplink_bps": "uplink", "downlink_bps": "downlink", "device_speed": "device speed"}


def show_plan_table(table: Table, costs: Costs) -> None:
    """Print a table to stdout."""
    show(*title(table.file, costs))
    names = [NAMES[parameter.name] for parameter in table.parameters]
    over = " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    count = f"{len(table.plans)} plan{'s' if len(table.plans) > 1 else ''}"
    heading = f"{count} over {over}"
    if len(table.parameters) == 1:
        show(heading, *bar(table), line_grid(table))
    else:
        show(heading, plan_grid(table))
        show("Where each is best: within", bounds_grid(table))
    show("What crosses, per iteration", crossing_grid(table))
    write_out(verdict(table) + "\n")


def title(file: TableFile, costs: Costs) -> tuple[str, Grid]:
    """What is planned, what varies and what is fixed."""
    batch = f", batch {file.batch}" if file.batch is not None else ""
    plural = "" if file.iterations_per_round == 1 else "s"
    rounds = f", {file.iterations_per_round} iteration{plural} per round"
    wire = f", {costs.workload.wire_dtype} on the wire" if costs.workload.wire_dtype else ""
    ranges = {parameter.name: _range(parameter) for parameter in file.parameters}
    rows = Grid(("",))
    for (host, following), link in zip(pairwise(file.hosts), file.links, strict=True):
        up = ranges["uplink_bps"] if link.uplink_bps is None else format_rate(link.uplink_bps)
        down = (
            ranges["downlink_bps"] if link.downlink_bps is None else format_rate(link.downlink_bps)
        )
        latency = f", {format_seconds(link.latency_s)} latency" if link.latency_s else ""
        rows.add_row(f"{host} → {following}: {up} up, {down} down{latency}")
    if "device_speed" in ranges:
        rows.add_row(f"{file.hosts[0]}: {ranges['device_speed']} its speed")
    work = f"{file.mode}{batch}{rounds if file.mode == 'training' else ''}"
    return f"{file.graph}: {work}{wire}", rows


def line_grid(table: Table) -> Grid:
    """Over one parameter: each plan's interval, and a round at both ends of it."""
    (parameter,) = table.parameters
    grid = Grid(("plan", "from", "to", _hosts_heading(table.file), "round from", "to"))
    for plan in table.plans:
        ((low, high),) = plan.bounds
        grid.add_row(
            str(plan.index),
            format_value(parameter.name, low),
            format_value(parameter.name, high),
            _hosts(plan),
            format_seconds(plan.total_s(low)),
            format_seconds(plan.total_s(high)),
        )
    return grid


def plan_grid(table: Table) -> Grid:
    """Over several parameters: each plan's share of the box, and its least and longest round."""
    grid = Grid(("plan", "share", _hosts_heading(table.file), "round from", "to"))
    for plan, share in zip(table.plans, shares(table), strict=True):
        totals = [plan.total_s(*state) for state in plan.region]
        grid.add_row(
            str(plan.index),
            f"{share:.1%}",
            _hosts(plan),
            format_seconds(min(totals)),
            format_seconds(max(totals)),
        )
    return grid


def bounds_grid(table: Table) -> Grid:
    """The lowest and highest value of each parameter in each region."""
    ends = [text for p in table.parameters for text in (f"{NAMES[p.name]} from", "to")]
    grid = Grid(("plan", *ends))
    for plan in table.plans:
        cells = [
            format_value(parameter.name, value)
            for parameter, bounds in zip(table.parameters, plan.bounds, strict=True)
            for value in bounds
        ]
        grid.add_row(str(plan.index), *cells)
    return grid


def shares(table: Table) -> list[float]:
    """What part of the box each plan is best in, on logarithmic axes."""
    side = round(GRID_POINTS ** (1 / len(table.parameters)))
    axes = [middles(parameter, side) for parameter in table.parameters]
    grid = np.meshgrid(*axes, indexing="ij")
    names = [p.name for p in table.parameters]
    best = table.best_many(**dict(zip(names, grid, strict=True))).indices
    counts = np.bincount(best.reshape(-1), minlength=len(table.plans))
    return [float(count) / best.size for count in counts]


def middles(parameter: ParameterEntry, count: int) -> FloatArray:
    """The middles of so many equal parts of a range, on a logarithmic axis."""
    low, high = parameter.low, parameter.high
    # In a range of a few bits they would leave it by one.
    return np.clip(np.geomspace(low, high, 2 * count + 1)[1::2], low, high)


def verdict(table: Table) -> str:
    """That no plan is missing, and how that is known."""
    proof = table.proof
    is_one = len(table.plans) == 1
    what = "this plan is best everywhere" if is_one else "no other plan is faster anywhere"
    rounding = max(proof.largest_relative_gap, FLOAT64)
    claim = f"Complete: {what} in the range."
    if rounding > NEGLIGIBLE:
        claim = (
            f"Complete but for {rounding:.0e} of the delay: no other plan is faster by more than\n"
            "that anywhere in the range."
        )
    return (
        f"{claim}\n"
        f"Proof: {proof.n_solves} exact solves ({proof.solver}, {proof.solver_version}), "
        "with one at each of the\n"
        f"{len(proof.vertices)} corners of the regions: no placement is faster there, but for "
        f"rounding ({rounding:.0e}\n"
        "of the delay). The least delay is concave in 1 / rate and 1 / speed, so none\n"
        "is in between."
    )


def _range(parameter: ParameterEntry) -> str:
    ends = (format_value(parameter.name, value) for value in (parameter.low, parameter.high))
    return " … ".join(ends)


def _hosts_heading(file: TableFile) -> str:
    return f"on {file.hosts[0]}" if len(file.hosts) == 2 else "per host"


def _hosts(plan: TablePlan) -> str:
    """How many operators each host gets; with two hosts, the first says it all."""
    counts = np.bincount(plan.entry.placement, minlength=len(plan.table.hosts)).tolist()
    if len(counts) == 2:
        return f"{counts[0]} of {sum(counts)}"
    return " + ".join(map(str, counts))


def crossing_grid(table: Table) -> Grid:
    """What crosses under each plan, the largest first, and its bytes per iteration."""
    grid = Grid(("plan", "up", "down", "tensors"), words="tensors")
    for plan in table.plans:
        by_size = sorted(plan.crossing, key=lambda c: -(c.up_bytes + c.down_bytes))
        names = list(dict.fromkeys(entry.tensor for entry in by_size))
        hidden = len(names) - MAX_NAMES
        more = [f"{hidden} more"] if hidden > 0 else []
        grid.add_row(
            str(plan.index),
            format_bytes(sum(entry.up_bytes for entry in plan.crossing)),
            format_bytes(sum(entry.down_bytes for entry in plan.crossing)),
            ", ".join([*names[:MAX_NAMES], *more]) or "nothing",
        )
    return grid
