"""Pivots: operators that every cut treats alike, and the gaps between them (two hosts).

A pivot is comparable, as ancestor or descendant, with every other free operator. A feasible device
part is closed under predecessors: with a pivot on the device, so is everything before it; with one
on the server, so is everything after it. So exactly one gap between two consecutive pivots can hold
a cut that is no prefix of the order, and gaps are small independent problems; docs/theory.md, §12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import IntArray
from planner.graphs.orders import comparable
from planner.solvers.pivots.pass_through import Reduced, without_passing

if TYPE_CHECKING:
    from planner.problems.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Layout:
    """Free operators in graph order, and where the order can be cut into segments.

    Attributes:
        reduced: The problem without operators that only hand a tensor on.
        free: The operators of it that the rules leave a choice, in graph order; shape [free].
        position: Index into `free` of each operator; -1 where the rules fix it to the device, the
            number of free operators where they fix it to the server; what only hands on has the
            position of its first reader; shape [operators].
        pivots: Positions of the pivots, ascending.
        low, high: The pivots on both sides of each gap, which holds the positions between them; -1
            and the number of free operators stand for the ends; shape [gaps].
        gap_of: Gap of each position, -1 for pivots; shape [free].
        cuts: Prefix cuts that are comparable with every other cut: positions before and after each
            pivot, and the two ends. A cut at j leaves free operators before j on the device.
    """

    reduced: Reduced
    free: IntArray
    position: IntArray
    pivots: IntArray
    low: IntArray
    high: IntArray
    gap_of: IntArray
    cuts: IntArray

    @property
    def largest_gap(self) -> int:
        """Operators in the largest gap."""
        return int((self.high - self.low).max()) - 1 if len(self.low) else 0

    def placement(self, cut: int) -> IntArray:
        """Host of every operator for a prefix cut; shape [operators]."""
        return (self.position >= cut).astype(np.int64)


def layout_of(problem: Problem) -> Layout:
    """Pivots and gaps of a problem with two hosts; found once and shared between its states.

    Raises:
        PlanError: If no placement is feasible.
    """
    return problem.shared("layout", lambda: find_layout(problem, with_passing=False))


def find_layout(problem: Problem, *, with_passing: bool) -> Layout:
    """Pivots and gaps of a problem with two hosts.

    Args:
        problem: In any state.
        with_passing: Whether operators that only hand a tensor on are left in.

    Raises:
        PlanError: If no placement is feasible.
    """
    latest, earliest = problem.constraints.extremes
    is_free = latest > earliest
    reduced = without_passing(problem, is_free & (not with_passing))
    is_free[reduced.passing] = False
    free = np.flatnonzero(is_free)
    m = len(free)
    position = np.where(latest == 0, np.int64(-1), np.int64(m))
    position[free] = np.arange(m)
    reduced.place_passing(position)
    rules = reduced.problem.constraints
    before, after = position[rules.before], position[rules.after]
    inside = (before >= 0) & (after < m) & (after >= 0) & (before < m)
    pivots = comparable(before[inside], after[inside], m)
    ends = np.concatenate([[-1], pivots, [m]])
    has_gap = np.flatnonzero(np.diff(ends) > 1)
    low, high = ends[has_gap], ends[has_gap + 1]
    gap_of = np.full(m, -1, np.int64)
    is_inner = np.ones(m, np.bool_)
    is_inner[pivots] = False
    gap_of[is_inner] = np.repeat(np.arange(len(low)), high - low - 1)
    is_cut = np.zeros(m + 1, np.bool_)
    is_cut[[0, m]] = True
    is_cut[pivots] = True
    is_cut[pivots + 1] = True
    return Layout(
        reduced=reduced,
        free=free,
        position=position,
        pivots=pivots,
        low=low,
        high=high,
        gap_of=gap_of,
        cuts=np.flatnonzero(is_cut),
    )
