"""Minimum cuts, in bytes, through what lies between two consecutive pivots (two hosts)."""

from __future__ import annotations

import numpy as np

from planner.arrays import IntArray
from planner.solvers.flow.network import Network
from planner.solvers.flow.whole import MinimumCut
from planner.solvers.pivots.gaps import Gaps, by_gap, crossing_network


class GapCuts:
    """Cuts inside gaps; each different inside is solved once.

    Attributes:
        known: Value by arcs and capacities: repeated blocks have the same.
    """

    def __init__(self, gaps: Gaps, minimum_cut: MinimumCut) -> None:
        self.gaps = gaps
        self.minimum_cut = minimum_cut
        self.known: dict[tuple[bytes, ...], int] = {}
        self._network, arc_gap = crossing_network(gaps)
        self._arcs = by_gap(arc_gap, np.arange(len(arc_gap)), len(gaps))

    def saved(self, gap: int, sent: IntArray) -> int:
        """Bytes of the cheapest cut of a gap, less those of the cut at its start; ≤ 0."""
        rows, low = self.gaps.rows.of(gap), self.gaps.layout.low[gap]
        at_start = int(sent[rows[self.gaps.spans.start[rows] <= low + 1]].sum())
        if not at_start:
            return 0
        network = self._of(gap)
        capacities = np.append(sent, sent[rows].sum() + 1)[network.slot]
        key = (network.tail.tobytes(), network.head.tobytes(), capacities.tobytes())
        if key not in self.known:
            self.known[key] = self.minimum_cut(network, capacities)[0]
        return self.known[key] - at_start

    def _of(self, gap: int) -> Network:
        """One gap's part of the network, with vertices numbered within it."""
        layout, arcs = self.gaps.layout, self._arcs.of(gap)
        n_positions, low = len(layout.free), int(layout.low[gap])
        first_collector = n_positions + 2 + int(self.gaps.rows.indptr[gap])
        n_inner = int(layout.high[gap]) - low - 1

        def local(vertex: IntArray) -> IntArray:
            of_position = np.where(vertex < 2, vertex, vertex - low - 1)
            of_collector = vertex - first_collector + n_inner + 2
            return np.where(vertex < n_positions + 2, of_position, of_collector)

        return Network(
            n_vertices=n_inner + 2 + len(self.gaps.rows.of(gap)),
            tail=local(self._network.tail[arcs]),
            head=local(self._network.head[arcs]),
            slot=self._network.slot[arcs],
            vertex=self._network.vertex,
        )
