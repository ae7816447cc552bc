"""Where to cut: ends, prefixes, and sets of operators that end in the middle of blocks."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import networkx as nx

from planner.graphs.graph import Graph

if TYPE_CHECKING:
    Units = nx.DiGraph[frozenset[str]]


@dataclass(frozen=True, kw_only=True)
class Place:
    """A cut: its name, the operators before it, and whether a prefix of the order gives it."""

    name: str
    on_device: frozenset[str]


def units(graph: Graph, groups: Iterable[Sequence[str]]) -> Units:
    """What can be placed apart: operators, with those of a group as one; nodes are frozensets.

    Groups that no downward closed set can tell apart are joined.

    >>> from types import SimpleNamespace as N
    >>> ops = [N(name=n, outputs=(i,), inputs=()) for i, n in enumerate("abc")]
    >>> edges = [N(consumers=(1,)), N(consumers=(2,)), N(consumers=())]
    >>> found = units(N(operators=ops, tensors=edges), [("a", "c")])
    >>> [sorted(unit) for unit in found]
    [['a', 'b', 'c']]
    """
    joined: nx.Graph[str] = nx.Graph()
    joined.add_nodes_from(operator.name for operator in graph.operators)
    for group in groups:
        nx.add_path(joined, group)
    unit_of = {}
    for unit in nx.connected_components(joined):
        unit_of.update(dict.fromkeys(unit, frozenset(unit)))
    quotient: Units = nx.DiGraph()
    for operator in graph.operators:  # in the graph's order, not that of sets
        quotient.add_node(unit_of[operator.name])
    for operator in graph.operators:
        for tensor in operator.outputs:
            for consumer in graph.tensors[tensor].consumers:
                ends = unit_of[operator.name], unit_of[graph.operators[consumer].name]
                if ends[0] != ends[1]:
                    quotient.add_edge(*ends)
    condensed = nx.condensation(quotient)
    members = {i: _union(data["members"]) for i, data in condensed.nodes(data=True)}
    return cast("Units", nx.relabel_nodes(condensed, members))


def _union(sets: Iterable[frozenset[str]]) -> frozenset[str]:
    return frozenset(name for names in sets for name in names)


def ordered(graph: Graph, quotient: Units) -> list[frozenset[str]]:
    """The units in a topological order close to the graph's."""
    rank = graph.operator_index
    key = {unit: min(rank[name] for name in unit) for unit in quotient}
    return list(nx.lexicographical_topological_sort(quotient, key=key.__getitem__))


def prefixes(order: Sequence[frozenset[str]], count: int) -> Iterator[Place]:
    """So many prefixes, evenly spread, none of them empty or whole."""
    for k in range(1, count + 1):
        size = round(k * len(order) / (count + 1))
        yield Place(name=f"prefix-{size}", on_device=_union(order[:size]))


def inside(graph: Graph, quotient: Units, count: int, seed: int) -> Iterator[Place]:
    """Sets that run ahead in one branch and leave another behind: at least two tensors cross.

    Fewer than `count` where the graph has no branches, or a group around each of them.
    """
    generator = random.Random(seed)
    order = ordered(graph, quotient)
    seen: set[frozenset[str]] = set()
    for attempt in range(20 * count):
        if len(seen) == count:
            return
        # The target moves through the model, so that the sets are spread over it.
        target = (attempt % count + generator.random()) * len(order) / count
        found = _deep_first(quotient, order, target, generator)
        if found and found not in seen and len(crossing(graph, found)) >= 2:
            seen.add(found)
            yield Place(name=f"inside-{len(found)}-{len(seen)}", on_device=found)


def _deep_first(
    quotient: Units, order: list[frozenset[str]], target: float, generator: random.Random
) -> frozenset[str]:
    """What a random end needs, and what a prefix of most of it holds."""
    prefix = set(order[: int(target)])
    ready = [u for u in order[int(target) :] if prefix.issuperset(quotient.predecessors(u))]
    for _ in range(generator.randint(1, 6)):
        # The latest: one branch is followed to where it meets another one.
        if not ready:
            break
        unit = ready[-1] if generator.random() < 0.8 else generator.choice(ready)
        prefix.add(unit)
        ready = [
            u for u in order if u not in prefix and prefix.issuperset(quotient.predecessors(u))
        ]
    if len(prefix) == len(order):
        return frozenset()
    return _union(prefix)


def crossing(graph: Graph, on_device: frozenset[str]) -> list[str]:
    """Names of the tensors that cross, inputs of the model included."""
    found = []
    for tensor in graph.tensors:
        is_here = tensor.producer < 0 or graph.operators[tensor.producer].name in on_device
        readers = (graph.operators[c].name for c in tensor.consumers)
        if is_here and any(name not in on_device for name in readers):
            found.append(tensor.name)
    return found


def places(
    graph: Graph, groups: Iterable[Sequence[str]], *, n_prefixes: int, n_inside: int, seed: int = 0
) -> list[Place]:
    """Both ends, prefixes, and sets that end inside blocks; no set twice."""
    quotient = units(graph, groups)
    everything = frozenset(operator.name for operator in graph.operators)
    found = [
        Place(name="server-only", on_device=frozenset()),
        *prefixes(ordered(graph, quotient), n_prefixes),
        *inside(graph, quotient, n_inside, seed),
        Place(name="device-only", on_device=everything),
    ]
    return unique(found)


def unique(found: Iterable[Place]) -> list[Place]:
    """The places without those that are another one under another name."""
    return list({place.on_device: place for place in reversed(list(found))}.values())[::-1]
