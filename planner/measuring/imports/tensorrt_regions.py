"""Regions that another compiler runs: which operators are in one that names only some of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from planner.graphs.graph import Graph
from planner.measuring.imports.attribution import Attribution, Kernel, free_operators


@dataclass(slots=True, kw_only=True)
class Region:
    """Kernels of one region, with their positions, and the operators that they name."""

    has_span: bool
    kernels: list[tuple[int, Kernel]] = field(default_factory=list)
    anchors: frozenset[int] = frozenset()


def place_regions(attribution: Attribution, regions: list[Region]) -> None:
    """Charge regions to the operators that no other layer names.

    A region has the operators that it names, and what can be reached from them through operators
    that nobody names; between its ends, where it names the ends. What is left over by regions and
    by operators is one group: nothing tells it apart.
    """
    graph = attribution.graph
    free = {i for i in range(len(graph.operators)) if not attribution.is_timed(i)}
    claimed: set[int] = set()
    members: list[set[int]] = []
    for region in regions:
        reach = free
        if region.has_span and len(region.anchors) > 1:
            low, high = min(region.anchors), max(region.anchors)
            reach = {operator for operator in free if low <= operator <= high}
        named = set().union(*(r.anchors for r in regions if r is not region))
        inside = _flood(graph, region.anchors, (reach - named) | region.anchors)
        members.append(inside)
        claimed |= inside
    takes_none = free_operators(graph)
    rest = {o for o in free - claimed if not takes_none[o]}
    nameless: list[tuple[int, Kernel]] = []
    for region, inside in zip(regions, members, strict=True):
        if not inside:
            nameless += region.kernels
        for position, kernel in region.kernels if inside else []:
            attribution.place(kernel, inside, position, "region")
    for position, kernel in nameless:
        attribution.place(kernel, rest, position, "region")


def _flood(graph: Graph, start: Iterable[int], reach: set[int]) -> set[int]:
    """Everything in `reach` that is connected to `start` within it."""
    found = set(start)
    pending = list(found)
    while pending:
        operator = graph.operators[pending.pop()]
        near = [graph.tensors[t].producer for t in operator.inputs]
        for tensor in operator.outputs:
            near += graph.tensors[tensor].consumers
        for other in near:
            if other in reach and other not in found:
                found.add(other)
                pending.append(other)
    return found
