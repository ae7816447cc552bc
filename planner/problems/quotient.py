"""The problem with sets of operators merged into one vertex each.

A quotient is a problem of its own, in which every group of operators is placed as one. What is
inside a group costs nothing to send; everything else costs what it did: its terms, in seconds or in
ticks, are sums of the original ones, so that values of the two problems are the same integers.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from planner.arrays import FloatArray, IntArray
from planner.problems.feasibility import Constraints
from planner.problems.instance import Transfers
from planner.problems.problem import Problem
from planner.problems.terms import Number, Terms


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quotient:
    """A problem over groups of operators.

    Attributes:
        problem: Its operators are the groups; its state is that of the original problem. Its own
            `ticks` are not those of the original: use `terms` for equal integers.
        group_of: Group of each original operator; shape [operators].
        transfers: Original row of each transfer that is left; shape [transfers left].
        tied: Original row of each tied parameter that is left.
    """

    problem: Problem
    group_of: IntArray
    transfers: IntArray
    tied: IntArray

    def terms(self, terms: Terms[Number]) -> Terms[Number]:
        """Terms of the groups, from those of the operators in the same unit."""
        unary = np.zeros((len(terms.unary), self.problem.n_operators), terms.unary.dtype)
        for row, values in zip(unary, terms.unary, strict=True):
            np.add.at(row, self.group_of, values)
        return Terms(
            unary=unary,
            transfer=terms.transfer[self.transfers],
            exchange=terms.exchange[self.tied],
            sync=terms.sync[self.tied],
        )

    def expand(self, placement: IntArray) -> IntArray:
        """Host of every original operator, from hosts of the groups."""
        return placement[..., self.group_of]


def quotient(problem: Problem, group_of: IntArray) -> Quotient:
    """Merge the operators of each group.

    Args:
        problem: The original; any number of hosts.
        group_of: Group of each operator, 0 … groups - 1, each with a member; shape [operators].
    """
    n_groups = int(group_of.max()) + 1 if len(group_of) else 0
    transfers, kept = _merged_transfers(problem.transfers, group_of, n_groups)
    tied, kept_tied = problem.tied, np.arange(len(problem.tied.bits))
    if len(kept_tied):
        indptr, readers, _ = _merged_rows(tied.indptr, tied.readers, group_of, n_groups, None)
        tied = replace(tied, indptr=indptr, readers=readers)

    def summed(values: FloatArray) -> FloatArray:
        return np.bincount(group_of, values, n_groups).astype(np.float64)

    return Quotient(
        problem=replace(
            problem,
            compute_s=np.stack([summed(row) for row in problem.compute_s]),
            returned_bits=summed(problem.returned_bits),
            exchange_bits=summed(problem.exchange_bits),
            transfers=transfers,
            tied=tied,
            constraints=_merged_constraints(problem.constraints, group_of, n_groups),
            memory=problem.memory and problem.memory.merged(group_of, n_groups),
            incumbent=None,
        ),
        group_of=group_of,
        transfers=kept,
        tied=kept_tied,
    )


def _merged_rows(
    indptr: IntArray, members: IntArray, group_of: IntArray, n_groups: int, own: IntArray | None
) -> tuple[IntArray, IntArray, IntArray]:
    """CSR of the groups that each row reaches, `own[row]` excepted: (indptr, groups, counts)."""
    n_rows = len(indptr) - 1
    row_of = np.repeat(np.arange(n_rows), np.diff(indptr))
    groups = group_of[members]
    if own is not None:
        is_other = groups != own[row_of]
        row_of, groups = row_of[is_other], groups[is_other]
    pairs = np.unique(row_of * max(1, n_groups) + groups)
    counts = np.bincount(pairs // max(1, n_groups), minlength=n_rows)
    return np.concatenate([[0], np.cumsum(counts)]), pairs % max(1, n_groups), counts


def _merged_transfers(
    x: Transfers, group_of: IntArray, n_groups: int
) -> tuple[Transfers, IntArray]:
    """Transfers between groups; what a group sends to itself is dropped."""
    source = np.where(x.source < 0, x.source, group_of[np.maximum(x.source, 0)])
    _, readers, counts = _merged_rows(x.indptr, x.readers, group_of, n_groups, source)
    kept = np.flatnonzero(counts)
    return (
        replace(
            x.take(kept),
            source=source[kept],
            indptr=np.concatenate([[0], np.cumsum(counts[kept])]),
            readers=readers,
        ),
        kept,
    )


def _merged_constraints(rules: Constraints, group_of: IntArray, n_groups: int) -> Constraints:
    low = np.zeros(n_groups, np.int64)
    high = np.full(n_groups, rules.n_hosts - 1, np.int64)
    np.maximum.at(low, group_of, rules.low)
    np.minimum.at(high, group_of, rules.high)
    before, after = group_of[rules.before], group_of[rules.after]
    arcs = np.flatnonzero(before != after)
    _, first = np.unique(before[arcs] * max(1, n_groups) + after[arcs], return_index=True)
    arcs = arcs[first]
    merged = replace(rules, low=low, high=high, before=before, after=after)
    return merged.take(arcs)
