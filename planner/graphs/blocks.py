"""Blocks of a model: regions with one entry and one exit, and which of them repeat.

The main part of a model are the operators that a parameter leads to; what only prepares a mask or
positions from the inputs is read all over the model and belongs to no block. A *waist* is a pivot
of the main part at which no tensor of the main part is live but its own. What lies between two
waists is a section; sections of several operators are blocks, and so are sequences of sections that
follow one another twice or more, such as the two halves of a transformer's layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from planner.arrays import IntArray
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT, Operator
from planner.graphs.orders import comparable

MAX_PERIOD = 64
"""Repeated sequences of more sections than this are not looked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block: its operators, ascending, and the number of its kind."""

    operators: tuple[int, ...]
    kind: int

    @property
    def first(self) -> int:
        """The first operator in graph order."""
        return self.operators[0]

    @property
    def exit(self) -> int:
        """The last operator: what leaves the block is its outputs."""
        return self.operators[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """How a model is made up.

    Attributes:
        n_pivots: Operators that are ancestor or descendant of every other, inputs in one vertex.
        largest_gap: The most operators between two consecutive pivots.
        blocks: In graph order; no operator is in two of them.
        kinds: Digest of each kind, by number; blocks of one kind differ in names alone.
    """

    n_pivots: int
    largest_gap: int
    blocks: tuple[Block, ...]
    kinds: tuple[bytes, ...]

    def places(self, kind: int) -> list[Block]:
        """The blocks of one kind, in graph order."""
        return [block for block in self.blocks if block.kind == kind]


def structure_of(graph: Graph) -> Structure:
    """Pivots and blocks of a model; depends on its operators and their order alone."""
    before, after = _edges(graph)
    n = len(graph.operators)
    pivots = comparable(before, after, n)
    sections = _sections(graph, before, after)
    hashes = Hashes(graph)
    digests = [hashes.of_part(section) for section in sections]
    numbers = {digest: i for i, digest in enumerate(dict.fromkeys(digests))}
    symbols = np.array([numbers[digest] for digest in digests], np.int64)
    runs = _repeated(symbols, [_weight(graph, section) for section in sections])
    parts = [list(range(*run)) for run in runs]
    taken = {section for part in parts for section in part}
    parts += [[i] for i, s in enumerate(sections) if i not in taken and len(s) > 1]
    kinds: dict[tuple[bytes, ...], int] = {}
    blocks = []
    for part in sorted(parts):
        kind = kinds.setdefault(tuple(digests[i] for i in part), len(kinds))
        members = sorted(operator for i in part for operator in sections[i])
        blocks.append(Block(operators=tuple(members), kind=kind))
    return Structure(
        n_pivots=len(pivots),
        largest_gap=int(np.diff(np.concatenate([[-1], pivots, [n]])).max()) - 1,
        blocks=tuple(blocks),
        kinds=tuple(b"".join(digest) for digest in kinds),
    )


def _edges(graph: Graph) -> tuple[IntArray, IntArray]:
    """Producer and consumer of every tensor between operators."""
    indptr, consumers = graph.consumers
    producer = np.repeat(graph.producers, np.diff(indptr))
    is_edge = producer != GRAPH_INPUT
    return producer[is_edge], consumers[is_edge]


def _main_part(graph: Graph) -> list[int]:
    """Operators that read a parameter, or the result of one that does."""
    is_main = [False] * len(graph.operators)
    for index, operator in enumerate(graph.operators):
        sources = (graph.tensors[t].producer for t in operator.inputs)
        is_main[index] = bool(operator.parameters) or any(is_main[s] for s in sources if s >= 0)
    # A model without parameters is all main part.
    return [i for i, main in enumerate(is_main) if main] or list(range(len(is_main)))


def _sections(graph: Graph, before: IntArray, after: IntArray) -> list[list[int]]:
    """The main part between consecutive waists; what follows the last one is in no section."""
    main = np.array(_main_part(graph), np.int64)
    place = np.full(len(graph.operators), -1, np.int64)
    place[main] = np.arange(len(main))
    before, after = place[before], place[after]
    inside = (before >= 0) & (after >= 0)
    before, after = before[inside], after[inside]
    last_read = np.arange(len(main))
    np.maximum.at(last_read, before, after)
    sections, start, live_until = [], 0, -1
    for pivot in comparable(before, after, len(main)).tolist():
        live_until = max(live_until, int(last_read[start:pivot].max(initial=-1)))
        if live_until <= pivot:
            sections.append(main[start : pivot + 1].tolist())
            # The waist's own tensors are live in the next section.
            start, live_until = pivot + 1, int(last_read[pivot])
    return sections


def _weight(graph: Graph, section: Sequence[int]) -> int:
    """Where a repeated sequence should rather start: 2 at a branch, 1 at a parameter, else 0."""
    return 2 if len(section) > 1 else int(bool(graph.operators[section[0]].parameters))


def _repeated(symbols: IntArray, weights: Sequence[int]) -> list[tuple[int, int]]:
    """Sections [start, stop) of sequences that follow one another, the longest stretches first."""
    found = []
    for period in range(1, min(MAX_PERIOD, len(symbols) // 2) + 1):
        is_same = np.concatenate([[False], symbols[period:] == symbols[:-period], [False]])
        for first, last in np.flatnonzero(np.diff(is_same)).reshape(-1, 2).tolist():
            stretch = _best_phase(first, last + period, period, weights)
            if stretch is not None:
                found.append(stretch)
    is_taken = np.zeros(len(symbols), np.bool_)
    runs = []
    for covered, period, _, start in sorted(found, key=lambda s: (-s[0], s[1], -s[2], s[3])):
        if not is_taken[start : start + covered].any():
            is_taken[start : start + covered] = True
            runs += [(i, i + period) for i in range(start, start + covered, period)]
    return runs


def _best_phase(
    first: int, stop: int, period: int, weights: Sequence[int]
) -> tuple[int, int, int, int] | None:
    """(Sections covered, period, weight, start) of the best sequences in a periodic stretch."""
    best = None
    for start in range(first, min(first + period, stop)):
        covered = (stop - start) // period * period
        is_wide = period > 1 or weights[start] == 2
        if covered >= 2 * period and weights[start] and is_wide:
            candidate = (covered, weights[start], -start)
            best = candidate if best is None else max(best, candidate)
    return None if best is None else (best[0], period, best[1], -best[2])


class Hashes:
    """Digests of parts of one graph, whatever their names and the order of their branches.

    An operator's signature is its type, attributes and operand shapes, its parameters and outputs;
    its digest also covers, recursively, what it reads, then what reads it. A part's is that of its
    operators' digests, sorted. Only repeated blocks are found by it: no proof rests on it.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._returned = frozenset(graph.outputs)
        self._signatures: dict[int, bytes] = {}

    def of_part(self, operators: Sequence[int]) -> bytes:
        """Digest of a part of the graph: operator indices, ascending.

        What comes from outside counts by type and size alone.
        """
        forwards: dict[int, bytes] = {}
        for index in operators:
            forwards[index] = _digest(self._signature(index), *self._reads(index, forwards))
        both: dict[int, bytes] = {}
        for index in reversed(operators):
            both[index] = _digest(forwards[index], *self._readers(index, both))
        return _digest(*sorted(both.values()))

    def _reads(self, index: int, known: dict[int, bytes]) -> list[bytes]:
        """What an operator reads, in order: the order of operands matters to most operators."""
        found = []
        for tensor in self._graph.operators[index].inputs:
            item = self._graph.tensors[tensor]
            if item.producer in known:
                outputs = self._graph.operators[item.producer].outputs
                found.append(_digest(known[item.producer], outputs.index(tensor)))
            else:
                found.append(_digest("outside", item.dtype, item.shape, item.size_bytes))
        return found

    def _readers(self, index: int, known: dict[int, bytes]) -> list[bytes]:
        """What reads each output, in any order, and whether anything outside does."""
        found = []
        for tensor in self._graph.operators[index].outputs:
            consumers = self._graph.tensors[tensor].consumers
            inside = sorted(known[c] for c in consumers if c in known)
            is_read_outside = tensor in self._returned or any(c not in known for c in consumers)
            found.append(_digest(*inside, is_read_outside))
        return found

    def _signature(self, index: int) -> bytes:
        if index not in self._signatures:
            self._signatures[index] = self._sign(self._graph.operators[index])
        return self._signatures[index]

    def _sign(self, operator: Operator) -> bytes:
        graph = self._graph
        parameters = [
            (p.size_bytes, p.trainable, p.dtype, p.shape, len(p.readers))
            for p in (graph.parameters[i] for i in operator.parameters)
        ]
        outputs = [
            (t.size_bytes, t.dtype, t.shape, t.requires_grad)
            for t in (graph.tensors[i] for i in operator.outputs)
        ]
        attributes = sorted((key, repr(value)) for key, value in operator.attributes.items())
        return _digest(
            operator.op,
            operator.domain,
            operator.operand_shapes,
            attributes,
            parameters,
            outputs,
            operator.forward_flops,
        )


def _digest(*parts: object) -> bytes:
    return blake2b(repr(parts).encode(), digest_size=16).digest()
