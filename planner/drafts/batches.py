"""Planning at another batch than that of the file."""

from __future__ import annotations

from dataclasses import replace

from planner.errors import GraphError
from planner.graphs.graph import Graph


def at_batch(graph: Graph, batch: int | None, *, where: str, is_bound: bool = False) -> Graph:
    """The graph planned at `batch`: scaled if it was read at another one.

    Args:
        graph: As it was read.
        batch: Wanted; None keeps the graph's.
        where: What messages call the file.
        is_bound: The shapes hold at `batch` already, because a dimension was bound to it.

    Raises:
        GraphError: PLN209 if the inputs have no batch in common.
    """
    if batch is None or graph.batch == batch:
        return graph
    if is_bound:
        return replace(graph, batch=batch)
    if batch < 1 or graph.batch is None:
        raise GraphError(
            f"batch {batch} cannot be planned: the inputs have no leading dimension in common",
            code="PLN209",
            where=where,
            hint="leave the batch out, or export the model with it",
        )
    return graph.rebatched(batch)
