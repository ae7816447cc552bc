"""Operators that the rules leave a choice, in order, and which of them every cut treats alike.

A cut at position j leaves the free operators before j on the device. For two hosts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.feasibility import feasible_extremes
from planner.graphs import IntArray

if TYPE_CHECKING:
    from planner.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FreeOrder:
    """Positions of operators, and what happens between them.

    Attributes:
        free: Operators that the rules leave a choice, in graph order; shape [free].
        position: Index into `free` of each operator; -1 where the rules fix it to the device, the
            number of free operators where they fix it to the server; shape [operators].
        pivots: Positions that are comparable, as ancestor or descendant, with all others.
        start, last: Cuts from `start` to `last` pay for a transfer, none if start > last.
        tied_first, tied_last: Positions of the first and last reader of each tied parameter.
    """

    free: IntArray
    position: IntArray
    pivots: IntArray
    start: IntArray
    last: IntArray
    tied_first: IntArray
    tied_last: IntArray


def free_order_of(problem: Problem) -> FreeOrder:
    """The free operators of a problem with two hosts.

    Raises:
        PlanError: If no placement is feasible.
    """
    latest, earliest = feasible_extremes(problem.constraints)
    free = np.flatnonzero(latest > earliest)
    m = len(free)
    position = np.where(latest == 0, np.int64(-1), np.int64(m))
    position[free] = np.arange(m)
    before, after = position[problem.constraints.before], position[problem.constraints.after]
    inside = (before >= 0) & (after >= 0) & (before < m) & (after < m)
    x, tied = problem.transfers, problem.tied
    source = np.where(x.source < 0, -1, position[np.maximum(x.source, 0)])
    return FreeOrder(
        free=free,
        position=position,
        pivots=comparable(before[inside], after[inside], m),
        # What lives at the server from the start is never sent up.
        start=np.where(x.source < -1, m + 1, source + 1),
        last=_extreme(np.maximum, position[x.readers], x.indptr),
        tied_first=_extreme(np.minimum, position[tied.readers], tied.indptr),
        tied_last=_extreme(np.maximum, position[tied.readers], tied.indptr),
    )


def _extreme(of: np.ufunc, values: IntArray, indptr: IntArray) -> IntArray:
    """Maximum or minimum of every row of a CSR without empty rows."""
    result: IntArray = of.reduceat(values, indptr[:-1]) if len(values) else values
    return result


def comparable(before: IntArray, after: IntArray, m: int) -> IntArray:
    """Positions 0 … m-1 that are ancestor or descendant of every other, by the given arcs.

    p is one if every later position has a predecessor ≥ p, and every earlier one a successor ≤ p:
    by induction all later ones descend from p, and all earlier ones lead to it. An arc against the
    order ties all positions that it spans; none of them is taken.
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
    against = before > after
    spans = np.bincount(after[against], minlength=m + 1)
    spans -= np.bincount(before[against] + 1, minlength=m + 1)
    is_tied = np.cumsum(spans)[:m] > 0
    return np.flatnonzero((lowest >= positions) & (highest <= positions) & ~is_tied)
