"""What memory limits decide before anything is solved.

An operator on the first host brings all its ancestors there, one on the last host all its
descendants: what they need together it can only have more of. So an operator whose ancestors do not
fit on the first host is placed after it, and one whose descendants do not fit on the last host is
placed before it, in every feasible placement.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import BoolArray, IntArray
from planner.errors import PlanError
from planner.graphs.orders import comparable
from planner.problems.feasibility import Constraints
from planner.problems.memory import nothing_fits

if TYPE_CHECKING:
    from planner.problems.problem import Problem

MAX_EXACT = 4096
"""Operators up to which all ancestors are found; above, only those known through pivots."""

_CHUNK = 512


def tightened(problem: Problem, rules: Constraints) -> Constraints:
    """Rules of a problem, its own or tighter ones, with what its memory limits add to them.

    Raises:
        PlanError: With exit status 3, if that shows that no placement fits.
    """
    memory = problem.memory
    if memory is None:
        return rules
    last = problem.n_hosts - 1
    while True:
        latest, earliest = rules.extremes
        low, high = rules.low.copy(), rules.high.copy()
        if np.isfinite(memory.limits[0]):
            need = _needs(problem, latest == 0, rules.before, rules.after)
            low[need > memory.limits[0]] = np.maximum(1, low[need > memory.limits[0]])
        if np.isfinite(memory.limits[last]):
            need = _needs(problem, earliest == last, rules.after, rules.before)
            too_much = need > memory.limits[last]
            high[too_much] = np.minimum(last - 1, high[too_much])
        if np.array_equal(low, rules.low) and np.array_equal(high, rules.high):
            return rules
        rules = replace(rules, low=low, high=high)
        try:
            rules.require_feasible()
        except PlanError as error:
            raise nothing_fits() from error


def _needs(problem: Problem, forced: BoolArray, before: IntArray, after: IntArray) -> IntArray:
    """Bytes of each operator with what it brings along and what is there anyway; [operators]."""
    memory, n = problem.memory, problem.n_operators
    assert memory is not None
    if n > MAX_EXACT:
        return _needs_by_pivots(problem, forced, before, after)
    need = np.zeros(n, np.int64)
    for start, parts in _closures(n, before, after):
        need[start : start + len(parts)] = memory.held(parts | forced)
    return need


def _closures(n: int, before: IntArray, after: IntArray) -> Iterator[tuple[int, BoolArray]]:
    """(first, rows): the operators that each operator brings along, itself included.

    Arcs against the direction of most are left out: then less is found than there is.
    """
    is_forward = before < after if before.sum() <= after.sum() else before > after
    tails, heads = before[is_forward], after[is_forward]
    order = np.argsort(heads, kind="stable")
    if len(tails) and tails[0] > heads[0]:
        order = order[::-1]
    brings = [1 << v for v in range(n)]
    for tail, head in zip(tails[order].tolist(), heads[order].tolist(), strict=True):
        brings[head] |= brings[tail]
    width = -(-n // 8)
    for start in range(0, n, _CHUNK):
        rows = b"".join(bits.to_bytes(width, "little") for bits in brings[start : start + _CHUNK])
        packed = np.frombuffer(rows, np.uint8).reshape(-1, width)
        yield start, np.unpackbits(packed, axis=1, count=n, bitorder="little").view(np.bool_)


def _needs_by_pivots(
    problem: Problem, forced: BoolArray, before: IntArray, after: IntArray
) -> IntArray:
    """The same from below: an operator brings along everything up to the nearest pivot."""
    memory, n = problem.memory, problem.n_operators
    assert memory is not None
    is_backward = bool(before.sum() > after.sum())
    if is_backward:
        before, after = n - 1 - before, n - 1 - after
    pivots = comparable(before, after, n)
    ends = np.concatenate([[0], pivots + 1])
    upto = ends[np.searchsorted(pivots, np.arange(n), side="right")]
    use = memory.prefix_use()
    need = use[n - upto, 1] if is_backward else use[upto, 0]
    if is_backward:
        need = need[::-1]
    return np.asarray(np.maximum(need, memory.held(forced[None, :])[0]))
