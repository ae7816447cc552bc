"""The figures that the project promises, each with what was measured."""

from __future__ import annotations

import math
from dataclasses import dataclass

from benchmarks.speed.results import Results

LEAST_STATES, LEAST_STATES_LARGE, LARGE = 1_000, 50, 20_000
REPLAN = "segments"
READ = "segments, proof read"
REPLANS: tuple[tuple[tuple[str, ...], float, float], ...] = (
    (("resnet50", "resnet50.train"), 300, 5),
    (("gpt2", "gpt2.dyn"), 500, 3),
    (("transformer3000",), 2_500, 15),
)
"""Graphs, and how many times `networkx` and `maxflow` have to take as long."""
SAME_ENGINE: tuple[tuple[str, str, float | None], ...] = (
    ("networkx / blockwise, networkx", "networkx", 13),
    ("maxflow / blockwise", "maxflow", None),
)
BLOCKY = ("densenet121", "densenet121.train", "gpt2", "gpt2.dyn")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One promise.

    Attributes:
        what: What is measured.
        target: What is wanted, in words; empty where the figure is only for information.
        measured: What came out, in words.
        is_reached: None where nothing was measured, or nothing is wanted.
        is_headline: Whether the README shows it.
    """

    what: str
    target: str
    measured: str
    is_reached: bool | None
    is_headline: bool = False

    @property
    def verdict(self) -> str:
        """In words."""
        if not self.target:
            return ""
        if self.is_reached is None:
            return "too few states" if self.measured else "not measured"
        return "reached" if self.is_reached else "**not reached**"


def figures(results: Results) -> list[Figure]:
    """All of them, in the order of the report."""
    found = [_exactness(results)]
    for own, words in ((REPLAN, "placement alone"), (READ, "certificate read")):
        for names, networkx, maxflow in REPLANS:
            for engine, least in (("networkx", networkx), ("maxflow", maxflow)):
                what = f"`segments` for a new link state, {words}, against `{engine}`"
                wanted = least if own == REPLAN else None
                found.append(_at_least(results, names, f"{engine} / {own}", wanted, what))
    for ratio, engine, wanted in SAME_ENGINE:
        what = f"`blockwise` against `{engine}` on the whole network, both with its engine"
        found.append(_at_least(results, BLOCKY, ratio, wanted, what))
    return [*found, *_large(results), *_tables(results), *_memory(results)]


def number(value: float) -> str:
    """Three significant digits, thousands set apart.

    >>> number(1234.5), number(12.345), number(0.01234)
    ('1,230', '12.3', '0.0123')
    """
    if value == 0:
        return "0"
    value = float(f"{value:.3g}")
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def seconds(value: float) -> str:
    """With a unit that people read.

    >>> seconds(0.0000123), seconds(0.25)
    ('12.3 µs', '250 ms')
    """
    for factor, unit in ((1.0, "s"), (1e-3, "ms")):
        if value >= factor:
            return f"{number(value / factor)} {unit}"
    return f"{number(value / 1e-6)} µs"


def _exactness(results: Results) -> Figure:
    checked = [(g, g.exactness) for g in results.graphs]
    agreements = [a for _, e in checked for a in e.agreements if a.solver != e.reference]
    differing = sum(not a.is_perfect for a in agreements)
    names = {a.solver for a in agreements}
    enough = all(
        e.states >= (LEAST_STATES_LARGE if g.operators > LARGE else LEAST_STATES)
        for g, e in checked
    )
    n_random = sum(e.states for _, e in checked)
    n_boundary = sum(e.boundary_states for _, e in checked)
    wrong = sum(max(a.other_values, a.other_placements, a.unproved) for a in agreements)
    listed = ", ".join(f"`{name}`" for name in sorted(names))
    is_whole = enough and {REPLAN, "blockwise"} <= names
    return Figure(
        what=f"{listed} = `maxflow`, in ticks and in placement",
        target="0 differences in ≥ 1,000 states for every graph (50 above 20,000 operators)",
        measured=f"{wrong} differences; {len(checked)} graphs, {n_random:,} random states and "
        f"{n_boundary:,} that close in on where the best plan changes",
        is_reached=not differing if differing or is_whole else None,
        is_headline=True,
    )


def _at_least(
    results: Results, names: tuple[str, ...], ratio: str, least: float | None, what: str
) -> Figure:
    """By the workload in which the ratio is lowest: pooled medians would hide it."""
    found = []
    for graph in results.graphs:
        medians = {w: r[ratio].median for w, r in graph.ratios_by_workload.items() if ratio in r}
        if graph.name in names and medians:
            found.append((graph, min(medians, key=lambda w: medians[w]), medians))
    return Figure(
        what=what,
        target=f"≥ {number(least)} times" if least else "",
        measured="; ".join(
            f"{graph.title}: {number(medians[lowest])} times in {lowest}, "
            f"at most {number(max(medians.values()))}"
            for graph, lowest, medians in found
        ),
        is_reached=all(m[w] >= least for _, w, m in found) if least and found else None,
    )


def _large(results: Results) -> list[Figure]:
    graph = results.graph("transformer50000")
    found = []
    for name, what, most in (
        ("segments, cold", "first answer, structure included", 0.050),
        (REPLAN, "answer in a new link state, placement alone", 0.002),
        (READ, "the same, certificate read", None),
    ):
        spread = graph.seconds.get(name) if graph else None
        measured, is_reached = "", None
        if graph and spread:
            passes = spread.median / graph.numpy_pass_s
            measured = f"{seconds(spread.median)}: {number(passes)} numpy passes over the costs"
            is_reached = spread.median <= most if most else None
        found.append(
            Figure(
                what=f"transformer of 50,000 operators: {what}",
                target=f"≤ {seconds(most)}" if most else "",
                measured=measured,
                is_reached=is_reached,
                is_headline=name == REPLAN,
            )
        )
    return found


def _tables(results: Results) -> list[Figure]:
    tables = [(g, table) for g in results.graphs for table in g.tables]
    single = [(g, t) for g, t in tables if len(t.parameters) == 1]
    images = [t for g, t in single if g.group == "zoo" and g.name != "gpt2"]
    wrong = sum(t.wrong for _, t in tables)
    states = sum(t.states for _, t in tables)
    worst = max((t.largest_error for _, t in tables), default=0.0)
    lookup = max((t.lookup_s for _, t in single), default=0.0)
    million = max((t.million_s for _, t in single), default=0.0)
    solves = max((t.solves for t in images), default=0)
    largest = max((t.solves for _, t in tables), default=0)
    least = min((t.states for _, t in tables), default=0)
    many = {"what": "plan tables over one parameter: "}
    return [
        Figure(
            what="plan tables against the exact solver",
            target="0 of 10,000 random states off by more than 1e-9",
            measured=f"{wrong} of {states:,} in {len(tables)} tables over one and three parameters"
            f"; at most {worst:.1g} off",
            is_reached=wrong == 0 if wrong or least >= 10_000 else None,
            is_headline=True,
        ),
        Figure(
            what=many["what"] + "one look-up, and a million at once",
            target="≤ 3 µs, ≤ 0.3 s",
            measured=f"at most {seconds(lookup)}, {number(million)} s",
            is_reached=lookup <= 3e-6 and million <= 0.3 if single else None,
        ),
        Figure(
            what=many["what"] + "exact solves to build one for the zoo's image networks",
            target="≤ 100",
            measured=f"at most {solves} (over three parameters, for all graphs: {largest})",
            is_reached=solves <= 100 if images else None,
        ),
    ]


def _memory(results: Results) -> list[Figure]:
    found = []
    for family in dict.fromkeys(g.family for g in results.graphs if g.family):
        line = sorted((g for g in results.graphs if g.family == family), key=lambda g: g.operators)
        line = [g for g in line if 9_000 <= g.operators <= 110_000]
        if len(line) < 2 or line[-1].operators < 90_000:
            continue
        first, last = line[0], line[-1]
        rise = last.memory.resident_kib - first.memory.resident_kib
        slope = rise / (last.operators - first.operators)
        peak = last.memory.peak_kib / 1024
        found.append((family, slope, peak))
    return [
        Figure(
            what="resident memory from 10,000 to 100,000 operators, names included",
            target="≤ 3 KiB per operator",
            measured="; ".join(
                f"{number(slope)} KiB ({family}; peak at 100,000: {peak:.0f} MiB)"
                for family, slope, peak in found
            ),
            is_reached=all(slope <= 3 for _, slope, _ in found) if found else None,
        )
    ]
