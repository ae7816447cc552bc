"""The plots, as SVG: same figures, same bytes; readable in print and without colours.

python -m benchmarks.speed.plots [RESULTS FOLDER]    draws a stored run
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.records import RESULTS
from benchmarks.speed.results import LATEST, GraphResult, Results, Spread, read
from benchmarks.speed.targets import REPLAN

# Okabe and Ito's colours, which people with any colour vision can tell apart; markers and dashes
# say the same once more.
STYLES = {
    "networkx": ("#D55E00", "s", "-", "networkx"),
    "maxflow": ("#0072B2", "o", "-", "maxflow"),
    "blockwise": ("#CC79A7", "^", "--", "blockwise"),
    "segments, cold": ("#E69F00", "D", "-.", "segments, first answer"),
    "segments, proof read": ("#56B4E9", "P", "--", "segments, certificate read"),
    "segments": ("#009E73", "v", "-", "segments, placement alone"),
    "table": ("#000000", "x", ":", "table look-up"),
}
FAMILIES = {
    "chain": ("#0072B2", "o", "-", "chain"),
    "transformer": ("#D55E00", "s", "--", "transformer"),
    "layered": ("#009E73", "^", "-.", "random layers"),
}
KIB_PER_OPERATOR = 3.0


def draw(results: Results, folder: Path) -> list[Path]:
    """Draw all plots and return their files."""
    with mpl.rc_context():
        # Labels as outlines: a viewer needs no font, and the bytes do not depend on one.
        mpl.rc("svg", hashsalt="benchmark", fonttype="path")
        mpl.rc("font", size=9)
        mpl.rc("axes", grid=True, axisbelow=True)
        mpl.rc("grid", color="#dddddd", linewidth=0.5)
        made = {
            "ratios.svg": _ratios(results),
            "growth_time.svg": _time(results),
            "growth_memory.svg": _memory(results),
        }
        paths = []
        for name, figure in made.items():
            paths.append(folder / name)
            # Neither the date nor the version of matplotlib: they would change without a change.
            nothing = {"Date": None, "Creator": None}
            figure.savefig(paths[-1], bbox_inches="tight", metadata=nothing)
    return paths


def _ratios(results: Results) -> Figure:
    """One row per graph: every competitor against the re-plan, median and quartiles."""
    graphs = [g for g in results.graphs if REPLAN in g.seconds][::-1]
    figure = Figure(figsize=(7.2, 0.24 * len(graphs) + 1.2))
    axes = figure.subplots()
    for name, (colour, marker, _, label) in STYLES.items():
        found = [(y, g.ratios.get(f"{name} / {REPLAN}")) for y, g in enumerate(graphs)]
        points = [(y, spread) for y, spread in found if spread is not None]
        if points:
            _with_quartiles(axes, points, colour, marker, label)
    axes.axvline(1, color="#009E73", linewidth=1.2)
    axes.set_xscale("log")
    axes.set_yticks(range(len(graphs)), [_label(g) for g in graphs])
    axes.set_xlabel("time relative to segments for a new link state, placement alone (green line)")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
    return figure


def _label(graph: GraphResult) -> str:
    return f"{graph.title.replace('`', '')}  ({graph.operators:,})"


def _with_quartiles(
    axes: Axes, points: list[tuple[int, Spread]], colour: str, marker: str, label: str
) -> None:
    medians = [spread.median for _, spread in points]
    below = [spread.median - spread.low for _, spread in points]
    above = [spread.high - spread.median for _, spread in points]
    axes.errorbar(
        medians,
        [y for y, _ in points],
        xerr=(below, above),
        color=colour,
        marker=marker,
        linestyle="none",
        markersize=4.5,
        elinewidth=1,
        label=label,
    )


def _time(results: Results) -> Figure:
    """Seconds by number of operators, one panel per family."""
    lines = {family: _family(results, family) for family in ("chain", "transformer")}
    figure = Figure(figsize=(7.2, 3.8))
    panels = figure.subplots(1, len(lines), sharey=True)
    for axes, (family, graphs) in zip(panels, lines.items(), strict=True):
        for name, style in STYLES.items():
            points = [(g.operators, g.seconds[name].median) for g in graphs if name in g.seconds]
            if points:
                _line(axes, points, style)
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(FAMILIES[family][3], fontsize=9)
        axes.set_xlabel("operators")
    panels[0].set_ylabel("seconds per answer")
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=3, frameon=False)
    figure.subplots_adjust(bottom=0.36, wspace=0.08)
    return figure


def _memory(results: Results) -> Figure:
    """Resident MiB by number of operators, and what 3 KiB per operator would be."""
    figure = Figure(figsize=(4.6, 3.4))
    axes = figure.subplots()
    for family, style in FAMILIES.items():
        points = [(g.operators, g.memory.resident_kib / 1024) for g in _family(results, family)]
        if points:
            _line(axes, points, style)
    smallest = min((g.memory.resident_kib for g in results.graphs), default=0)
    sizes = [1_000, 3_000, 10_000, 30_000, 100_000]
    bound = [(smallest + KIB_PER_OPERATOR * size) / 1024 for size in sizes]
    axes.plot(sizes, bound, color="#000000", linestyle=":", label="3 KiB per operator")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("operators")
    axes.set_ylabel("resident memory, MiB")
    axes.legend(frameon=False)
    return figure


def _line(axes: Axes, points: list[tuple[int, float]], style: tuple[str, str, str, str]) -> None:
    colour, marker, dashes, label = style
    axes.plot(
        *zip(*points, strict=True),
        color=colour,
        marker=marker,
        linestyle=dashes,
        markersize=4,
        linewidth=1.2,
        label=label,
    )


def _family(results: Results, family: str) -> list[GraphResult]:
    return sorted((g for g in results.graphs if g.family == family), key=lambda g: g.operators)


if __name__ == "__main__":
    stored, target = (Path(argument) for argument in sys.argv[1:] or (LATEST, RESULTS))
    draw(read(stored), target)
