"""Minimum cuts, in bytes, through what lies between two consecutive pivots (two hosts)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from planner.free_orders import FreeOrder
from planner.graphs import IntArray
from planner.networks import SINK, SOURCE, Network

if TYPE_CHECKING:
    from planner.graphs import BoolArray
    from planner.problems import Problem

MinimumCut = Callable[[Network, IntArray], "tuple[int, BoolArray]"]
"""(Network, capacities) → value and minimal source side: what engines implement."""


class GapCuts:
    """Cuts strictly between `ends[l]` and `ends[l + 1]`; each different inside is solved once.

    Attributes:
        known: Value by arcs and capacities: repeated blocks have the same.
    """

    def __init__(
        self, problem: Problem, order: FreeOrder, ends: IntArray, minimum_cut: MinimumCut
    ) -> None:
        self.problem, self.order, self.ends = problem, order, ends
        self.minimum_cut = minimum_cut
        self.known: dict[tuple[bytes, ...], int] = {}
        # Segment l holds the positions after ends[l] up to ends[l + 1], which is no part of a gap.
        self.segment_of = np.searchsorted(ends, np.arange(len(order.free))) - 1
        self.segment_of[ends[1:]] = -1
        self._rows = self._by_segment(*self._touching_rows())
        arcs = self._inner_arcs()
        before = order.position[problem.constraints.before[arcs]]
        self._arcs = self._by_segment(self.segment_of[before], arcs)

    def _touching_rows(self) -> tuple[IntArray, IntArray]:
        """Transfers whose cost depends on where a segment is cut, each with its segment."""
        x, order, at = self.problem.transfers, self.order, np.append(self.segment_of, [-1, -1])
        by_source = np.where(x.source < 0, -1, at[order.position[np.maximum(x.source, 0)]])
        by_reader = np.where(order.start <= order.last, at[order.last], -1)
        inside = np.flatnonzero(by_source >= 0)
        into = np.flatnonzero((by_reader >= 0) & (by_reader != by_source))
        return (
            np.concatenate([by_source[inside], by_reader[into]]),
            np.concatenate([inside, into]),
        )

    def _inner_arcs(self) -> IntArray:
        rules, at = self.problem.constraints, np.append(self.segment_of, [-1, -1])
        before = at[self.order.position[rules.before]]
        after = at[self.order.position[rules.after]]
        return np.flatnonzero((before >= 0) & (before == after))

    def _by_segment(self, segment: IntArray, items: IntArray) -> list[IntArray]:
        order = np.argsort(segment, kind="stable")
        bounds = np.searchsorted(segment[order], np.arange(1, len(self.ends)))
        return np.split(items[order], bounds)

    def saved(self, segment: int, sent: IntArray) -> int:
        """Bytes of the cheapest cut of a segment, less those of the cut at its start; ≤ 0."""
        network, rows = self._network(segment)
        into = rows[self.order.start[rows] <= self.ends[segment] + 1]
        at_start = int(sent[into].sum())
        if not at_start:
            return 0
        capacities = np.append(sent[rows], sent[rows].sum() + 1)[network.slot]
        key = (network.tail.tobytes(), network.head.tobytes(), capacities.tobytes())
        if key not in self.known:
            self.known[key] = self.minimum_cut(network, capacities)[0]
        return self.known[key] - at_start

    def _network(self, segment: int) -> tuple[Network, IntArray]:
        """A segment as a network whose slots are the rows it depends on, and one past for ∞."""
        x, rules = self.problem.transfers, self.problem.constraints
        low, high = int(self.ends[segment]), int(self.ends[segment + 1])
        rows, arcs = self._rows[segment], self._arcs[segment]
        tail = self._vertex(self.order.start[rows] - 1, low, high)
        counts = x.indptr[rows + 1] - x.indptr[rows]
        row_of = np.repeat(np.arange(len(rows)), counts)
        offset = np.arange(len(row_of)) - np.repeat(np.cumsum(counts) - counts, counts)
        readers = x.readers[x.indptr[rows][row_of] + offset]
        head = self._vertex(self.order.position[readers], low, high)
        row_of, head = row_of[head != SOURCE], head[head != SOURCE]
        collector = high - low + 1 + np.arange(len(rows))
        # A tensor that is read after the gap is paid as soon as its producer is on the device.
        collector[row_of[head == SINK]] = SINK
        position = self.order.position
        before = self._vertex(position[rules.before[arcs]], low, high)
        after = self._vertex(position[rules.after[arcs]], low, high)
        tails = np.concatenate([tail, collector[row_of], after])
        heads = np.concatenate([collector, head, before])
        infinite = np.full(len(row_of) + len(arcs), len(rows))
        useful = (tails != SINK) & (tails != heads)
        network = Network(
            n_vertices=high - low + 1 + len(rows),
            tail=tails[useful],
            head=heads[useful],
            slot=np.concatenate([np.arange(len(rows)), infinite])[useful],
            vertex=np.zeros((1, 0), np.int64),
        )
        return network, rows

    @staticmethod
    def _vertex(position: IntArray, low: int, high: int) -> IntArray:
        inside = np.where(position >= high, SINK, position - low + 1)
        return np.where(position <= low, SOURCE, inside)
