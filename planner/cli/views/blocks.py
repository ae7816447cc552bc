"""Blocks as people and programs read them: what repeats in a model, and what one vertex became."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from planner.cli.views.tables import Table, show
from planner.graphs.blocks import Block, Structure
from planner.graphs.graph import Graph

if TYPE_CHECKING:
    from planner.solvers.blockwise.explanations import Explanation

MAX_ROWS = 12


def describe_blocks(graph: Graph, structure: Structure) -> dict[str, object]:
    """Pivots and kinds of blocks, as JSON values."""
    return {
        "pivots": structure.n_pivots,
        "largest_gap": structure.largest_gap,
        "block_kinds": [
            {
                "kind": _name(kind),
                "count": len(blocks),
                "operators": len(blocks[0].operators),
                "starts_with": graph.operators[blocks[0].first].op,
                "ends_with": graph.operators[blocks[0].exit].op,
                "places": [
                    {
                        "first": graph.operators[block.first].name,
                        "last": graph.operators[block.exit].name,
                    }
                    for block in blocks
                ],
            }
            for kind, blocks in _kinds(structure)
        ],
    }


def show_blocks(graph: Graph, structure: Structure, *, show_all: bool) -> None:
    """Print each kind of block to stdout: how often it occurs, and where."""
    kinds = list(_kinds(structure))
    if not kinds:
        return
    table = Table(("kind", "count", "operators", "ops", "where"), words="where")
    shown = kinds if show_all else kinds[:MAX_ROWS]
    for kind, blocks in shown:
        ends = [
            (graph.operators[block.first].name, graph.operators[block.exit].name)
            for block in blocks
        ]
        ops = f"{graph.operators[blocks[0].first].op} … {graph.operators[blocks[0].exit].op}"
        counts = f"{len(blocks):,}", f"{len(blocks[0].operators):,}"
        table.add_row(_name(kind), *counts, ops, where(ends, show_all=show_all))
    table.add_rest(len(kinds) - len(shown))
    show("Blocks", table)


def show_explanation(explanation: Explanation, *, show_all: bool) -> None:
    """Print to stdout which blocks became one vertex, and why the others did not."""
    heading = (
        f"Blocks: {explanation.n_operators:,} operators as {explanation.n_vertices:,} "
        f"{'vertex' if explanation.n_vertices == 1 else 'vertices'}"
    )
    show(None, "")  # apart from the plan above
    if not explanation.verdicts:
        show(heading, "the model has no blocks of several operators")
        return
    table = Table(("kind", "count", "operators", "one vertex", "where"), words="where")
    shown = explanation.verdicts if show_all else explanation.verdicts[:MAX_ROWS]
    reasons = []
    for verdict in shown:
        counts = f"{len(verdict.places):,}", f"{verdict.n_operators:,}"
        answer = "yes" if verdict.is_abstracted else "no"
        place = where(verdict.places, show_all=show_all)
        table.add_row(_name(verdict.kind), *counts, answer, place)
        if verdict.reason is not None:
            first = verdict.places[0][0]
            name = _name(verdict.kind)
            reasons.append(f"{name} from `{first}` is not one vertex: {verdict.reason}")
    table.add_rest(len(explanation.verdicts) - len(shown))
    show(heading, table, *reasons)


def where(places: Sequence[tuple[str, str]], *, show_all: bool) -> str:
    """First and last operator of one block, and where the last of several ends."""
    spelled = [f"{first} … {last}" for first, last in places]
    if show_all or len(spelled) <= 2:
        return ", ".join(spelled)
    return f"{spelled[0]}, {len(spelled) - 1} more up to {places[-1][1]}"


def _name(kind: int) -> str:
    """A, B, … Z, AA, AB, … by number."""
    letters = ""
    number = kind + 1
    while number:
        number, rest = divmod(number - 1, 26)
        letters = chr(ord("A") + rest) + letters
    return letters


def _kinds(structure: Structure) -> list[tuple[int, list[Block]]]:
    found: list[list[Block]] = [[] for _ in structure.kinds]
    for block in structure.blocks:
        found[block.kind].append(block)
    return list(enumerate(found))
