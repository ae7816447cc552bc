"""Modules as people and programs read them: what is in each, and where a plan puts it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from planner.cli.views.tables import Table
from planner.graphs.graph import Graph
from planner.graphs.modules import ROOT, ModuleRow, ModuleTree, modules_of
from planner.plans.plan_file import Plan
from planner.units import format_count

MAX_ROWS = 12


def placement_by_module_table(plan: Plan, *, show_all: bool) -> Table | None:
    """Coarsest modules that are on one host, neighbours as one row; None if that says nothing new.

    That is the case if everything is on one host, if no module has several operators, and if the
    operators in their order show as much: no host has a part of a module between others.
    """
    if len(set(plan.placement.values())) < 2 or not ModuleTree([*plan.placement]).has_modules:
        return None
    runs = [(row,) for row in plan.by_module] if show_all else _runs(plan.by_module)
    if not show_all and len(runs) == len([*groupby(plan.placement.values())]):
        return None
    table = Table(("host", "modules", "operators"), n_names=2)
    shown = runs if show_all or len(runs) <= MAX_ROWS else runs[: MAX_ROWS - 1]
    for rows in shown:
        first, last, count = rows[0].name, rows[-1].name, len(rows)
        text = first if count == 1 else f"{first} … {last} ({count})"
        table.add_row(rows[0].host, text, f"{sum(len(row.operators) for row in rows):,}")
    table.add_rest(len(runs) - len(shown), first="…")
    return table


def _runs(rows: Sequence[ModuleRow]) -> list[tuple[ModuleRow, ...]]:
    """Rows that follow each other, of one module around them and on one host."""
    return [tuple(run) for _, run in groupby(rows, key=lambda row: (row.host, row.parent))]


@dataclass(frozen=True, slots=True)
class _Totals:
    """What every node of a tree adds up to; a parameter counts once however often it is read."""

    flops: list[float]
    parameters: list[int]
    parameter_bytes: list[int]


def _totals(graph: Graph, tree: ModuleTree) -> _Totals:
    flops = [0.0] * len(tree.parents)
    for node, value in zip(tree.nodes, graph.forward_flops.tolist(), strict=True):
        flops[node] += value
    elements, sizes = [0] * len(tree.parents), [0] * len(tree.parents)
    for parameter in graph.parameters:
        seen = set()
        for reader in parameter.readers:
            node = tree.nodes[reader]
            while node not in seen:
                seen.add(node)
                elements[node] += parameter.elements
                sizes[node] += parameter.size_bytes
                node = tree.parents[node]
    return _Totals(tree.added_up(flops), elements, sizes)


def describe_modules(graph: Graph) -> dict[str, object]:
    """The part of `planner inspect --format json` about modules; empty where there are none."""
    tree = modules_of(graph)
    if not tree.has_modules:
        return {}
    totals = _totals(graph, tree)
    return {
        "modules": [
            {
                "name": tree.path(node),
                "operators": tree.counts[node],
                "forward_flops": totals.flops[node],
                "parameters": totals.parameters[node],
                "parameter_bytes": totals.parameter_bytes[node],
            }
            for node in _in_order(tree)
        ]
    }


def modules_table(graph: Graph, *, show_all: bool) -> Table | None:
    """As many levels of modules as fit, every operator in one row; all of several parts if asked.

    None where there are no modules.
    """
    tree = modules_of(graph)
    if not tree.has_modules:
        return None
    totals = _totals(graph, tree)
    nodes = list(_in_order(tree)) if show_all else _level(tree)
    table = Table(("module", "operators", "FLOPs", "parameters"))
    shown = nodes if show_all or len(nodes) <= MAX_ROWS else nodes[: MAX_ROWS - 1]
    for node in shown:
        figures = (format_count(totals.flops[node]), f"{totals.parameters[node]:,}")
        table.add_row(tree.path(node), f"{tree.counts[node]:,}", *figures)
    table.add_rest(len(nodes) - len(shown))
    return table


def _in_order(tree: ModuleTree) -> Iterator[int]:
    """Modules of several parts, each before those within, in the order of their operators."""
    chosen = set(tree.branching())
    seen = {ROOT}
    for node in tree.nodes:
        way = []
        while node not in seen:
            seen.add(node)
            way.append(node)
            node = tree.parents[node]
        yield from (node for node in reversed(way) if node in chosen)


def _level(tree: ModuleTree) -> list[int]:
    """The nodes of as many levels as fit; of levels with the same number of nodes the outermost."""
    within: list[list[int]] = [[] for _ in tree.parents]
    for node in range(1, len(tree.parents)):
        within[tree.parents[node]].append(node)
    # Operators of a node's own would be in no row if it were opened.
    closed = {node for node in tree.nodes if within[node]}
    found, level = within[ROOT], within[ROOT]
    while True:
        opened = [
            part
            for node in level
            for part in (within[node] if within[node] and node not in closed else [node])
        ]
        if opened == level or len(opened) > MAX_ROWS:
            return found
        level = opened
        if len(level) > len(found):
            found = level
