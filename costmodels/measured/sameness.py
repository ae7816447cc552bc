"""Whether operators of one name are one: what models of equal digest may still differ in.

The digest leaves out constants, such as the factor of a Resize or the end of a Slice, because
exporters bake the batch into them. What they change is seen in what operators read and write.
"""

from __future__ import annotations

from collections.abc import Sequence

from planner.costs.profile_file import Measurement
from planner.errors import shorten
from planner.graphs.graph import Graph
from planner.graphs.signatures import operator_signature, output_bytes


def difference(graph: Graph, measurement: Measurement) -> str | None:
    """The first operator that was another one where it was measured, at the graph's batch.

    Returns:
        What it wrote there and writes here, as part of a sentence; None if all are the same.
    """
    for row in measurement.nodes:
        index = graph.operator_index.get(row.node)
        if index is None:
            continue
        size = output_bytes(graph, index)
        if row.output_bytes not in (None, size):
            return f"`{shorten(row.node)}` wrote {row.output_bytes} bytes, in the graph {size}"
        # Scaled graphs have the shapes of the exported batch: only their sizes can be compared.
        is_comparable = bool(row.signature) and graph.batch_scale == 1
        if is_comparable and row.signature != operator_signature(graph, index):
            return f"`{shorten(row.node)}` has other shapes or types in the graph"
    return None


def off_the_line(graph: Graph, series: Sequence[Measurement]) -> str | None:
    """The first operator whose output does not grow with the batch as it did where measured.

    Args:
        graph: At a batch that was not measured.
        series: One model at two or more batches, ascending.

    Returns:
        As `difference`: sizes are checked against the line through the first and the last batch.
    """
    first, *between, last = series
    sizes = [{row.node: row.output_bytes for row in m.nodes} for m in (first, last, *between)]
    start, end, *inner = [m.batch or 0 for m in (first, last, *between)]
    for name, small in sizes[0].items():
        large, index = sizes[1].get(name), graph.operator_index.get(name)
        if small is None or large is None or index is None:
            continue
        wanted = output_bytes(graph, index)
        points = [(graph.batch or 0, wanted)]
        points += [(b, s) for b, row in zip(inner, sizes[2:], strict=True) if (s := row.get(name))]
        for batch, size in points:
            off = (size - small) * (end - start) - (large - small) * (batch - start)
            if abs(off) > end - start:  # a byte is rounding
                return (
                    f"`{shorten(name)}` writes {size} bytes at batch {batch}, which is not on the "
                    f"line through {small} at batch {start} and {large} at batch {end}"
                )
    return None
