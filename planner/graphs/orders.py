"""Topological orders that keep a file's order wherever it is one, and their pivots."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence

import numpy as np

from planner.arrays import IntArray


def topological_order(needs: Sequence[Collection[int]]) -> tuple[list[int], list[int]]:
    """Kahn's algorithm, taking the smallest index that is ready.

    Args:
        needs: For each item, the items that must come before it.

    Returns:
        The order, and the items that are on a cycle or after one, ascending.

    >>> topological_order([{2}, {0}, set(), {3}])
    ([2, 0, 1], [3])
    """
    followers: list[list[int]] = [[] for _ in needs]
    waiting = [len(need) for need in needs]
    for index, need in enumerate(needs):
        for earlier in need:
            followers[earlier].append(index)
    ready = [index for index, count in enumerate(waiting) if not count]
    order: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for follower in followers[index]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heapq.heappush(ready, follower)
    return order, [index for index, count in enumerate(waiting) if count]


def comparable(before: IntArray, after: IntArray, m: int) -> IntArray:
    """Positions 0 … m-1 that are ancestor or descendant of every other; O(positions + arcs).

    p is one if every later position has a predecessor ≥ p, and every earlier one a successor ≤ p:
    by induction all later ones descend from p, and all earlier ones lead to it. An arc against the
    order ties all positions that it spans; none of them is taken as a pivot.
    """
    forward = before < after
    last_before = np.full(m, -1, np.int64)
    first_after = np.full(m, m, np.int64)
    np.maximum.at(last_before, after[forward], before[forward])
    np.minimum.at(first_after, before[forward], after[forward])
    lowest = np.full(m, m, np.int64)
    lowest[:-1] = np.minimum.accumulate(last_before[:0:-1])[::-1]
    highest = np.full(m, -1, np.int64)
    highest[1:] = np.maximum.accumulate(first_after[:-1])
    positions = np.arange(m)
    is_pivot = (lowest >= positions) & (highest <= positions)
    against = before > after
    if against.any():
        spans = np.bincount(after[against], minlength=m + 1)
        spans -= np.bincount(before[against] + 1, minlength=m + 1)
        is_pivot &= np.cumsum(spans)[:m] == 0
    return np.flatnonzero(is_pivot)
