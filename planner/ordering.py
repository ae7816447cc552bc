"""Topological orders that keep a file's order wherever it is one."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Sequence


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
