"""Operators that provably share a host in the best cut become one vertex (two hosts).

What has to do with bytes is proved once per graph (`planner.solvers.blockwise.regions`). A link
state or host speed decides which operators are faster on the server, in whole ticks; from there on
everything depends on that pattern alone, and is remembered by it. docs/theory.md, §14, has the
proof.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import BoolArray, IntArray
from planner.problems.quotient import Quotient, quotient
from planner.problems.terms import Ticks
from planner.solvers.blockwise.pairs import join
from planner.solvers.blockwise.regions import Regions, regions_of
from planner.solvers.flow.network import Network, network_of
from planner.solvers.flow.whole import MinimumCut

if TYPE_CHECKING:
    from planner.problems.problem import Problem

MAX_REMEMBERED = 64
MAX_REMEMBERED_OPERATORS = 2**19
"""Patterns of operators, and abstractions, that are kept per problem; fewer of large graphs."""

LEAST_QUANTUM_S = 2.0**-900
"""With shorter ticks costs may be subnormal numbers, which are rounded more than they say."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Abstraction:
    """A problem with regions as single vertices, and its network.

    Attributes:
        merged: The problem over vertices.
        network: Its network; parallel arcs are one.
        slots: Slots of the arcs that were parallel, sorted by arc.
        starts: Where each arc's slots start; shape [arcs].
        n_regions: Regions of more than one operator that became one vertex.
    """

    merged: Quotient
    network: Network
    slots: IntArray
    starts: IntArray
    n_regions: int

    def capacities(self, ticks: Ticks) -> IntArray:
        """Capacity of every arc, from the ticks of the original problem."""
        finite = self.merged.terms(ticks.terms).flat()
        found: IntArray = np.add.reduceat(
            np.append(finite, ticks.infinite)[self.slots], self.starts
        )
        return found

    def placement(self, source_side: BoolArray) -> IntArray:
        """Host of every original operator."""
        return self.merged.expand(self.network.placement(source_side))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pattern:
    """How the hosts compare in one state, by position; shape [free operators].

    Attributes:
        is_slower: Whether the server takes longer, by any number of ticks.
        is_close: Whether the device does not take longer by more ticks than rounding can explain.
    """

    is_slower: BoolArray
    is_close: BoolArray


def pattern_of(problem: Problem, regions: Regions) -> Pattern:
    """Compare the hosts operator by operator, exchange and returned outputs included."""
    ticks = problem.ticks
    device, server = ticks.terms.unary[:, regions.order.free]
    surplus = device - server
    is_close = surplus < _rounding(ticks)
    if ticks.quantum_s < LEAST_QUANTUM_S:
        is_close[:] = True
    return Pattern(is_slower=surplus < 0, is_close=is_close)


def _rounding(ticks: Ticks) -> int:
    """Ticks by which a cut may seem to send less than another that sends no more bits.

    Half a tick for every term of both; 2^-48 of the bound for the operations in float64 before;
    and what clipping may add to one term of the second.
    """
    return 4 * len(ticks.terms.flat()) + (ticks.bound >> 48) + 16


def groups_of(regions: Regions, pattern: Pattern) -> IntArray:
    """Which free operators become one vertex: a number from 0 for each position.

    All regions and pairs that satisfy the block condition, joined where they overlap.
    """
    ends, m = regions.ends, len(regions.order.free)
    joined = np.zeros(m + 2, np.int64)
    starts = np.arange(len(ends))
    exits = _furthest(regions, pattern)
    is_wide = (exits > starts) & (ends[exits] > ends + 1)
    np.add.at(joined, ends[is_wide] + 2, 1)
    np.subtract.at(joined, ends[exits[is_wide]] + 1, 1)
    groups = np.cumsum(np.cumsum(joined)[:m] == 0) - 1
    is_safe = ~pattern.is_close | (regions.hands_on & ~pattern.is_slower)
    return join(groups, np.where(is_safe, regions.follower, -1))


def _furthest(regions: Regions, pattern: Pattern) -> IntArray:
    """The largest k of a region (i, k) that may be one vertex, or i, for each start i; [ends]."""
    ends, starts = regions.ends, np.arange(len(regions.ends))
    slower = np.append(np.flatnonzero(pattern.is_slower), len(pattern.is_slower))
    # The exit itself may be slower: cuts inside the region have it on the server.
    first_slower = slower[np.searchsorted(slower, ends + 1)]
    exits = np.minimum(regions.reach, np.searchsorted(ends, first_slower, "right") - 1)
    return np.where(_is_proved(regions, pattern, exits), exits, starts)


def _is_proved(regions: Regions, pattern: Pattern, exits: IntArray) -> BoolArray:
    """Whether rounding cannot favour a cut inside the region from each start to `exits`.

    A cut that has no head on the device sends to the tick what the entry does. Any other has one of
    the first segment with heads there, and that must be slow enough to make up for rounding.
    """
    first = np.searchsorted(regions.head_segments, np.arange(len(exits)))
    segment = np.append(regions.head_segments, len(exits))[first]
    head = np.append(regions.heads[regions.head_starts], 0)[first]
    is_weak = np.zeros(len(regions.head_segments) + 1, np.bool_)
    if len(regions.heads):
        is_close = pattern.is_close[regions.heads]
        is_weak[:-1] = np.logical_or.reduceat(is_close, regions.head_starts)
    # An exit that is the first head itself is on the server in every cut inside.
    is_exit = (exits == segment + 1) & (regions.ends[exits] == head)
    result: BoolArray = (exits <= segment) | is_exit | ~is_weak[first]
    return result


def abstracted(problem: Problem, minimum_cut: MinimumCut) -> Abstraction:
    """The problem with every region that satisfies the block condition as one vertex.

    Args:
        problem: Two hosts.
        minimum_cut: What finds minimum cuts inside blocks, once per graph and kind of block.

    Raises:
        PlanError: If no placement is feasible.
    """
    regions = regions_of(problem, minimum_cut)
    pattern = pattern_of(problem, regions)
    by_pattern = _memory(problem, "abstractions_by_pattern")
    key = _digest(pattern.is_slower, pattern.is_close)
    known = by_pattern.get(key)
    if known is None:
        groups = groups_of(regions, pattern)
        by_groups = _memory(problem, "abstractions_by_groups")
        known = by_groups.get(_digest(groups))
        if known is None:
            known = _abstract(problem, regions, groups)
            by_groups[_digest(groups)] = known
        by_pattern[key] = known
    return known


def _memory(problem: Problem, name: str) -> dict[bytes, Abstraction]:
    """What is remembered under a name; emptied when it is full."""
    known: dict[bytes, Abstraction] = problem.shared(name, dict)
    most = MAX_REMEMBERED_OPERATORS // max(1, problem.n_operators)
    if len(known) >= min(MAX_REMEMBERED, max(1, most)):
        known.clear()
    return known


def _digest(*arrays: BoolArray | IntArray) -> bytes:
    digest = blake2b()
    for array in arrays:
        digest.update(array.tobytes())
    return digest.digest()


def _abstract(problem: Problem, regions: Regions, groups: IntArray) -> Abstraction:
    merged = quotient(problem, group_of_operators(regions, groups))
    network, slots, starts = _without_parallel_arcs(
        network_of(merged.problem), len(merged.problem.seconds.flat())
    )
    return Abstraction(
        merged=merged,
        network=network,
        slots=slots,
        starts=starts,
        n_regions=int((np.bincount(groups) > 1).sum()) if len(groups) else 0,
    )


def _without_parallel_arcs(network: Network, infinite: int) -> tuple[Network, IntArray, IntArray]:
    """A network with one arc between two vertices; the slots of each arc, and where they start."""
    pairs = network.tail * network.n_vertices + network.head
    order = np.lexsort((-network.slot, pairs))
    pairs, slots = pairs[order], network.slot[order]
    is_first = np.append(True, pairs[1:] != pairs[:-1])[: len(pairs)]
    # An infinite arc stands for all that are parallel to it; its slot is the last, here the first.
    first = np.flatnonzero(is_first)
    owner = np.cumsum(is_first) - 1
    is_kept = is_first | (slots[first][owner] != infinite)
    starts = np.flatnonzero(is_first[is_kept])
    network = replace(
        network, tail=network.tail[order[first]], head=network.head[order[first]], slot=slots[first]
    )
    return network, slots[is_kept], starts


def group_of_operators(regions: Regions, groups: IntArray) -> IntArray:
    """Group of every operator: what the rules fix to one host is one group; shape [operators]."""
    position = regions.order.position
    n_groups = int(groups.max(initial=-1)) + 1
    of_free = np.append(groups, [n_groups, -1])  # one past the end: the server; -1: the device
    _, numbered = np.unique(of_free[position], return_inverse=True)
    return numbered.astype(np.int64)
