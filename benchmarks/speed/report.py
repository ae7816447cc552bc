"""The tables of figures, from a stored run: `python -m benchmarks.speed.report`.

docs/benchmarks.md shows what this prints for `results/latest.json`, between two comments, and the
README the headlines of it; a test compares.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.pages import update
from benchmarks.speed.results import LATEST, GraphResult, Results, read
from benchmarks.speed.targets import READ, REPLAN, figures, number, seconds

BEGIN = (
    "<!-- benchmark: written by `python -m benchmarks.speed.report --update docs/benchmarks.md` -->"
)
END = "<!-- benchmark: end -->"
HEADLINES_BEGIN = (
    "<!-- headlines: written by `python -m benchmarks.speed.report --headlines README.md` -->"
)
HEADLINES_END = "<!-- headlines: end -->"
PLOTS = {
    "ratios.svg": "how many times as long as a re-plan every competitor takes, by graph",
    "growth_time.svg": "time by number of operators",
    "growth_memory.svg": "resident memory by number of operators",
}
COLUMNS = {
    "networkx": "`networkx`",
    "maxflow": "`maxflow`",
    "blockwise": "`blockwise`",
    "segments, cold": "`segments`, first",
    READ: "… proof read",
    "table": "table",
    "brute-force": "`brute-force`",
}


def main() -> None:
    """Print the report, or write it and its headlines into documents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="?", default=LATEST)
    parser.add_argument("--update", type=Path, metavar="FILE", help="write the report into it")
    parser.add_argument("--headlines", type=Path, metavar="FILE", help="and headlines into it")
    options = parser.parse_args()
    results = read(options.results)
    if options.update is not None:
        update(options.update, render(results), BEGIN, END)
    if options.headlines is not None:
        update(options.headlines, headlines(results), HEADLINES_BEGIN, HEADLINES_END)
    if options.update is None and options.headlines is None:
        print(render(results))


def is_exact(results: Results) -> bool:
    """Whether no two exact solvers differ, and no table is wrong, in any state."""
    checks = [g.exactness for g in results.graphs]
    tables = [t for g in results.graphs for t in g.tables]
    return all(a.is_perfect for e in checks for a in e.agreements) and not any(
        t.wrong for t in tables
    )


def render(results: Results) -> str:
    """Markdown: figures with their targets, every graph, plots, machine."""
    parts = [
        *_figure_table(results),
        "",
        "`networkx` and `maxflow` make their certificate, in ticks, within the time that is",
        "measured; `segments` makes it when it is read. *Certificate read* is like for like,",
        "*placement alone* is what a program waits for that only wants the new plan. Verdicts are",
        "by the workload in which the ratio is lowest.",
        "",
        "How many times as long each competitor takes as `segments` does for a new link state:",
        "medians of the ratios state by state over all workloads, in one run. Absent: left out.",
        "",
        *_graph_table(results),
        "",
        *_notes(results),
    ]
    if not results.is_quick:
        parts += ["", *(f"![{text}](../benchmarks/results/{name})" for name, text in PLOTS.items())]
    return "\n".join(parts)


def headlines(results: Results) -> str:
    """Markdown: the few figures that tell most."""
    rows = [f"| {f.what} | {f.measured or '-'} |" for f in figures(results) if f.is_headline]
    return "\n".join(["| figure | measured |", "|---|---|", *rows])


def _figure_table(results: Results) -> list[str]:
    rows = [
        f"| {f.what} | {f.target or '-'} | {f.measured or '-'} | {f.verdict} |"
        for f in figures(results)
    ]
    return ["| figure | wanted | measured | |", "|---|---|---|---|", *rows]


def _graph_table(results: Results) -> list[str]:
    columns = {
        name: title
        for name, title in COLUMNS.items()
        if any(f"{name} / {REPLAN}" in g.ratios for g in results.graphs)
    }
    head = ["graph", "operators", *columns.values(), "re-plan", "split", "states", "differ"]
    align = ["---", *["--:"] * (len(head) - 1)]
    rows = [_graph_row(graph, list(columns)) for graph in results.graphs]
    return [f"| {' | '.join(row)} |" for row in (head, align, *rows)]


def _graph_row(graph: GraphResult, columns: list[str]) -> list[str]:
    cells = []
    for name in columns:
        spread = graph.ratios.get(f"{name} / {REPLAN}")
        cells.append(number(spread.median) if spread else "")
    replan = graph.seconds.get(REPLAN)
    cells.append(f"{seconds(replan.median)} ({seconds(replan.top)})" if replan else "")
    check = graph.exactness
    others = [a for a in check.agreements if a.solver != check.reference]
    differing = sum(max(a.other_values, a.other_placements, a.unproved) for a in others)
    states = check.states + check.boundary_states
    cells += [f"{check.split_states / check.states:.0%}", f"{states:,}", f"{differing}"]
    return [graph.title, f"{graph.operators:,}", *cells]


def _notes(results: Results) -> list[str]:
    machine = results.machine
    listed = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    left_out: dict[str, list[str]] = {}
    for graph in results.graphs:
        for note in graph.notes:
            left_out.setdefault(note, []).append(graph.title)
    return [
        "Re-plan: median, and what one state in twenty is above, in brackets.",
        "`split`: random states in which the best plan uses both hosts. `states`, `differ`: states",
        "in which the exact solvers were compared, and in which any of them differed from",
        "`maxflow` in ticks or placement. First: the first answer of a problem, structure",
        "included. Proof read: with its certificate in ticks, as the other columns have theirs.",
        "Table: one look-up, the uplink being what varies. What takes less than 5 ms is timed",
        "right after an untimed answer in another state, with the processor's caches filled.",
        "",
        "Workloads in turn: training with 50 iterations a round; the same, and inference, with",
        "inputs that do not leave the device. Batch 1, image networks 1 and 32; analytical costs",
        "of a Jetson TX2 and an RTX 3090, float32. States: rates log-uniform from 10 kbit/s to",
        "32 Gbit/s, the device 0.3 to 32 times as fast, the server in half of the states 0.1 to",
        "316 times, latency up to 50 ms.",
        "",
        f"Machine: {machine.processor}, {machine.cores} cores, Python {machine.python}, {listed}.",
        *(f"Left out: {note} ({', '.join(titles)})." for note, titles in left_out.items()),
        *(f"Note: {note}." for note in results.notes),
    ]


if __name__ == "__main__":
    main()
