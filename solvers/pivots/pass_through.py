"""Operators that only hand a tensor on: they are taken out before anything is solved.

An operator that costs nothing anywhere, is the only reader of one transfer and the source of
another of the same size (a Reshape, an Identity) can be anywhere between them at the same cost. Its
place in the answer follows from its readers: on the server if all of them are, because of several
best placements the one with the fewest operators on the device is wanted. Left in, each such
operator would be a tie that has to be told apart in every state.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from planner.arrays import BoolArray, IntArray, take_rows
from planner.problems.terms import Number, Terms

if TYPE_CHECKING:
    from planner.problems.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Reduced:
    """A problem without the operators that only hand on, which keep their numbers.

    Attributes:
        problem: The problem with transfers and rules led past these operators. Only its structure
            is meant; its state is that in which it was made.
        rows: Original row of each transfer that is left.
        passing: The operators that were taken out; shape [passing].
        chain: The chain of such operators that each of them belongs to; shape [passing].
        indptr, readers: CSR of the operators that read what each chain hands on; [chains + 1].
    """

    problem: Problem
    rows: IntArray
    passing: IntArray
    chain: IntArray
    indptr: IntArray
    readers: IntArray

    def terms(self, terms: Terms[Number]) -> Terms[Number]:
        """The terms that are left, from those of the whole problem."""
        if len(self.rows) == len(terms.transfer):
            return terms
        return replace(terms, transfer=terms.transfer[self.rows])

    def place_passing(self, hosts: IntArray) -> None:
        """Set the hosts (or positions) of the operators taken out, from those of the others."""
        if len(self.passing):
            first = np.minimum.reduceat(hosts[self.readers], self.indptr[:-1])
            hosts[self.passing] = first[self.chain]


def without_passing(problem: Problem, is_free: BoolArray) -> Reduced:
    """Take out every operator that only hands on.

    Args:
        problem: With two hosts.
        is_free: Whether the rules leave an operator a choice; shape [operators].
    """
    x, n = problem.transfers, problem.n_operators
    row_in, row_out, is_member = handing_on(problem)
    is_passing = (
        is_member
        & is_free
        & (problem.compute_s == 0).all(axis=0)
        & (problem.exchange_bits == 0)
        & (problem.returned_bits == 0)
    )
    passing = np.flatnonzero(is_passing)
    if not len(passing):
        none = np.zeros(0, np.int64)
        all_rows = np.arange(len(x))
        return Reduced(
            problem=problem,
            rows=all_rows,
            passing=passing,
            chain=none,
            indptr=none,
            readers=none,
        )
    before = np.where(is_passing, x.source[row_in], -1)  # the operator before, -1 for the input
    previous = np.where(is_passing[before] & (before >= 0), before, -1)
    first = chain_ends(previous, passing)
    origin = before[first]
    following = np.full(n, -1)
    has_one = np.diff(x.indptr)[row_out] == 1
    reader = x.readers[x.indptr[row_out]]
    following[passing] = np.where(has_one & is_passing[reader], reader, -1)[passing]
    ends, chain = np.unique(chain_ends(following, passing)[passing], return_inverse=True)
    indptr, readers = take_rows(x.indptr, x.readers, row_out[ends])
    source = x.source.copy()
    comes_from = np.maximum(source, 0)
    is_led = (source >= 0) & is_passing[comes_from]
    source[is_led] = origin[comes_from[is_led]]
    is_dropped = np.zeros(len(x), np.bool_)
    is_dropped[row_in[passing]] = True
    rows = np.flatnonzero(~is_dropped)
    return Reduced(
        problem=_led_past(problem, source, rows, is_passing, origin),
        rows=rows,
        passing=passing,
        chain=chain,
        indptr=indptr,
        readers=readers,
    )


def chain_ends(step: IntArray, members: IntArray) -> IntArray:
    """Where following `step` (-1: nowhere) leads from each of `members`; by pointer doubling."""
    jump = np.where(step >= 0, step, np.arange(len(step)))
    while True:
        further = jump[jump]
        if np.array_equal(further[members], jump[members]):
            return jump
        jump = further


class HandingOn(NamedTuple):
    """Operators that hand one tensor on to another of the same size, whatever they cost.

    Attributes:
        row_in, row_out: The one transfer that each reads, and the one it makes; [operators], of
            use for members only.
        is_member: Whether an operator is one; shape [operators].
    """

    row_in: IntArray
    row_out: IntArray
    is_member: BoolArray


def handing_on(problem: Problem) -> HandingOn:
    """Every operator that is the only reader of one transfer, reads no other, and makes one.

    So a cut after it sends, to the tick, what the cut before it does.
    """
    x, n, rules = problem.transfers, problem.n_operators, problem.constraints
    counts = np.diff(x.indptr)
    row_in, row_out = np.zeros(n, np.int64), np.zeros(n, np.int64)
    row_in[x.readers] = np.repeat(np.arange(len(x)), counts)
    made = np.flatnonzero(x.source >= 0)
    row_out[x.source[made]] = made
    is_member = (np.bincount(x.readers, minlength=n) == 1) & (
        np.bincount(x.source[made], minlength=n) == 1
    )
    is_member[rules.before[~rules.is_data]] = False
    is_member[rules.after[~rules.is_data]] = False
    is_member[problem.tied.readers] = False
    if is_member.any():
        is_member &= (counts[row_in] == 1) & ~x.is_forbidden[row_in] & ~x.is_forbidden[row_out]
        is_member &= (x.tensor[row_in] >= 0) & (x.source[row_in] >= -1)
        for values in (x.up_bits, x.down_bits, x.latencies):
            is_member &= values[row_in] == values[row_out]
    return HandingOn(row_in=row_in, row_out=row_out, is_member=is_member)


def _led_past(
    problem: Problem, source: IntArray, rows: IntArray, is_passing: BoolArray, origin: IntArray
) -> Problem:
    x, rules = problem.transfers, problem.constraints
    before = np.where(is_passing[rules.before], origin[rules.before], rules.before)
    arcs = np.flatnonzero((before >= 0) & ~is_passing[rules.after])
    return replace(
        problem,
        transfers=replace(x, source=source).take(rows),
        constraints=replace(rules, before=before).take(arcs),
        incumbent=None,
    )
