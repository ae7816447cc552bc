"""The regions of a table as a map over two parameters: the one module that knows matplotlib."""

from __future__ import annotations

import io
import math
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from planner.cli.map_requests import MapRequest
from planner.cli.ranges import format_value
from planner.cli.views.table import NAMES, middles
from planner.cli.views.tables import one_line
from planner.errors import PlanError
from planner.files.writing import write_bytes
from planner.tables.envelopes import Cut, Envelope, Vertex
from planner.tables.table import Table, TablePlan
from planner.tables.table_file import ParameterEntry

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Points = npt.NDArray[np.float64]

COLORS = (
    "#8dd3c7", "#ffffb3", "#bebada", "#fb8072", "#80b1d3", "#fdb462",
    "#b3de69", "#fccde5", "#d9d9d9", "#bc80bd", "#ccebc5", "#ffed6f",
)  # fmt: skip
"""Light enough to print and to write on (ColorBrewer's Set3)."""
HATCHES = ("", "///", "...", "xx")
"""What tells plans of one colour apart."""
RASTER = 90
"""Cells per axis when looking for room for a label."""
STYLE = {
    "svg.hashsalt": "planner",
    "svg.fonttype": "none",
    "font.family": "DejaVu Sans",  # the one that comes with matplotlib
    "text.parse_math": False,
}
MAX_TICKS = 8


def write_map(table: Table, request: MapRequest, *, force: bool) -> None:
    """Draw the regions of the plans, on logarithmic axes; the same bytes for the same table.

    Raises:
        PlannerError: If a fixed value is outside of the table, or the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    by_name: dict[str, ParameterEntry] = {
        parameter.name: parameter for parameter in table.parameters
    }
    for name, value in request.fixed.items():
        low, high = by_name[name].low, by_name[name].high
        if not low <= value <= high:
            ends = " to ".join(format_value(name, end) for end in (low, high))
            text = f"`{NAMES[name]}` at {format_value(name, value)} is outside of the range, {ends}"
            raise PlanError(text, code="PLN415", where="--at")
    axes = tuple(by_name[name] for name in request.axes)
    suffix = request.path.suffix.lower().removeprefix(".")
    buffer = io.BytesIO()
    # Not what a person's own settings say: the same map everywhere.
    style: Any = {**dict(mpl.rcParamsDefault), **STYLE}
    with mpl.rc_context(style), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a name with letters that no font has
        figure = Figure(figsize=(8.0, 5.0), dpi=150)
        _draw(figure.add_axes((0.12, 0.12, 0.55, 0.78)), table, axes, request.fixed)
        metadata = {"Date": None, "Creator": None} if suffix == "svg" else {"Software": None}
        figure.savefig(buffer, format=suffix, metadata=metadata)
    write_bytes(request.path, buffer.getvalue(), force=force)


def _draw(
    drawing: Axes, table: Table, axes: tuple[ParameterEntry, ...], fixed: dict[str, float]
) -> None:
    shown = []
    for plan, outline in outlines(table, axes, fixed):
        look: dict[str, Any] = {
            "facecolor": COLORS[plan.index % len(COLORS)],
            "hatch": HATCHES[plan.index // len(COLORS) % len(HATCHES)],
            "edgecolor": "black",
            "linewidth": 0.8,
        }
        drawing.fill(*outline.T, label=_label(plan), **look)
        shown.append(plan)
    for index, place in label_places(table, axes, fixed).items():
        drawing.text(*place, str(index), ha="center", va="center", fontsize=12, weight="bold")
    drawing.set_xscale("log")
    drawing.set_yscale("log")
    drawing.minorticks_off()
    for axis, parameter in zip("xy", axes, strict=True):
        values = ticks(parameter.low, parameter.high)
        labels = [format_value(parameter.name, value) for value in values]
        limits = (parameter.low, parameter.high)
        names = {"label": NAMES[parameter.name], "ticks": values, "ticklabels": labels}
        drawing.set(**{f"{axis}lim": limits}, **{f"{axis}{k}": v for k, v in names.items()})
    drawing.tick_params(labelsize=8)
    where = "".join(f" at {NAMES[n]} {format_value(n, v)}" for n, v in fixed.items())
    drawing.set_title(f"{one_line(table.file.graph)}: the best plan{where}", fontsize=11)
    drawing.legend(
        title="plan: operators per host",
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        borderaxespad=0.0,
        fontsize=8 if len(shown) <= 20 else 5,
    )


def _label(plan: TablePlan) -> str:
    counts = np.bincount(plan.entry.placement, minlength=len(plan.table.hosts)).tolist()
    hosts = zip(counts, plan.table.hosts, strict=True)
    return one_line(f"{plan.index}: {', '.join(f'{c} {host}' for c, host in hosts if c)}")


def ticks(low: float, high: float) -> list[float]:
    """Round values between both ends: 1, 2 and 5 times powers of ten, or these alone if many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for digits in ((1, 2, 5), (1,)):
        values = [float(f"{digit}e{power}") for power in powers for digit in digits]
        inside = [value for value in values if low <= value <= high]
        if 2 <= len(inside) <= MAX_TICKS:
            return inside
    return inside[:: -(-len(inside) // MAX_TICKS)] if len(inside) > 1 else [low, high]


def outlines(
    table: Table, axes: tuple[ParameterEntry, ...], fixed: dict[str, float]
) -> list[tuple[TablePlan, Points]]:
    """Each plan that is best somewhere in the slice, with its outline; shape [points, 2]."""
    cuts = [slice_of(table, plan, axes, fixed) for plan in table.plans]
    envelope = Envelope([(1.0 / p.high, 1.0 / p.low) for p in axes], cuts[0])
    for cut in cuts[1:]:
        envelope.add(cut)
    lows, highs = [p.low for p in axes], [p.high for p in axes]
    found = []
    for number, cell in envelope.cells().items():
        corners = np.array([vertex.position for vertex in _around(envelope, cell)])
        following = np.roll(corners, -1, axis=0)
        sides = [_side(*ends) for ends in zip(corners, following, strict=True)]
        outline = 1.0 / np.concatenate(sides)
        found.append((table.plans[number], np.clip(outline, lows, highs)))
    return found


def slice_of(
    table: Table, plan: TablePlan, axes: tuple[ParameterEntry, ...], fixed: dict[str, float]
) -> Cut:
    """A plan's total as a linear function of 1 / axes, the other parameters fixed."""
    names = [parameter.name for parameter in table.parameters]
    slopes: dict[str, float] = dict(zip(names, plan.slopes, strict=True))
    constant = plan.constant_s
    for name, value in fixed.items():
        constant += slopes[name] / value
    return (constant, *(slopes[parameter.name] for parameter in axes))


def _around(envelope: Envelope, cell: list[Vertex]) -> list[Vertex]:
    """The corners of a convex polygon in the order of its outline."""
    ordered, rest = [cell[0]], cell[1:]
    while rest:
        following = next(v for v in rest if envelope.is_edge(ordered[-1], v))
        ordered.append(following)
        rest.remove(following)
    return ordered


def _side(one: Points, other: Points) -> Points:
    """A straight side in 1 / rate, which is bent on logarithmic axes: many points of it."""
    # Shares of `other`, and of `one`: neither is 1 less the other where that would cancel.
    pairs = [np.array([[0.0, 1.0], [1.0, 0.0]])]
    for start, stop in zip(one, other, strict=True):
        if start != stop:
            between = np.geomspace(start, stop, 60)
            ways = np.column_stack([between - start, stop - between])
            pairs.append(np.clip(ways / (stop - start), 0.0, 1.0))
    there, back = np.concatenate(pairs).T
    order = np.lexsort((-back, there))
    points = back[order, None] * one + there[order, None] * other
    return np.asarray(np.clip(points, np.minimum(one, other), np.maximum(one, other)))


def label_places(
    table: Table, axes: tuple[ParameterEntry, ...], fixed: dict[str, float]
) -> dict[int, tuple[float, float]]:
    """Where a region's number fits: the point of it that is farthest from its border."""
    sides = [middles(parameter, RASTER) for parameter in axes]
    x, y = np.meshgrid(*sides, indexing="ij")
    state: dict[str, npt.ArrayLike] = {axes[0].name: x, axes[1].name: y, **fixed}
    best = table.best_many(**state).indices
    places = {}
    for index in np.unique(best).tolist():
        layer, depth = best == index, 0
        while True:
            padded = np.pad(layer, 1)
            inner = layer & padded[:-2, 1:-1] & padded[2:, 1:-1]
            inner &= padded[1:-1, :-2] & padded[1:-1, 2:]
            if not inner.any():
                break
            layer, depth = inner, depth + 1
        if depth >= 2:
            i, j = np.argwhere(layer)[len(np.argwhere(layer)) // 2]
            places[index] = (float(sides[0][i]), float(sides[1][j]))
    return places
