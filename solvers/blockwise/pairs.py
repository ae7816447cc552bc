"""Pairs of an operator and the only one that follows it, which may share a vertex (two hosts).

Between pivots there are no regions, but branches are chains. If all results of `v` go to `w` alone
and are at least as large as all that `v` reads, a cut between them never beats moving `v` to the
server, where it is faster: the block condition for two operators; docs/theory.md, §14.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import DisjointSets, IntArray
from planner.solvers.pivots.layout import Layout

if TYPE_CHECKING:
    from planner.problems.problem import Problem


def followers_of(problem: Problem, layout: Layout, sent: IntArray) -> IntArray:
    """Position of the operator that may share a vertex with each one before it, or -1; [free].

    Args:
        problem: With two hosts.
        layout: Its free operators.
        sent: Bytes of each transfer up and down; shape [2, transfers].
    """
    m = len(layout.free)
    follower = _only_follower(problem, layout)
    x, tied = problem.transfers, problem.tied
    row_of = np.repeat(np.arange(len(x)), np.diff(x.indptr))
    # Labels and latency are paid once for all operators that produce an output.
    excluded = np.concatenate([x.readers[x.tensor[row_of] < 0], tied.readers])
    places = layout.position[excluded]
    follower[places[(places >= 0) & (places < m)]] = -1
    reader, source = layout.position[x.readers], layout.position[np.maximum(x.source, 0)]
    is_read = (reader >= 0) & (reader < m)
    is_made = (x.source >= 0) & (source >= 0) & (source < m)
    for size in sent:
        read, made = np.zeros(m, np.int64), np.zeros(m, np.int64)
        np.add.at(read, reader[is_read], size[row_of[is_read]])
        np.add.at(made, source[is_made], size[is_made])
        follower[made < read] = -1
    return follower


def _only_follower(problem: Problem, layout: Layout) -> IntArray:
    """The one operator after each that any rule keeps it before, or -1 if there are several."""
    m = len(layout.free)
    before = layout.position[problem.constraints.before]
    after = layout.position[problem.constraints.after]
    leaves = (before >= 0) & (before < m)
    before, after = before[leaves], after[leaves]
    first, last = np.full(m, m + 1), np.full(m, -1)
    np.minimum.at(first, before, after)
    np.maximum.at(last, before, after)
    is_only = (first == last) & (first > np.arange(m)) & (first < m)
    return np.where(is_only, first, -1)


def join(groups: IntArray, follower: IntArray) -> IntArray:
    """Groups with those of each operator and its follower (-1: none) united; numbered from 0."""
    before = np.flatnonzero(follower >= 0)
    one, other = groups[before], groups[follower[before]]
    sets = DisjointSets(int(groups.max(initial=-1)) + 1)
    for a, b in zip(one[one != other].tolist(), other[one != other].tolist(), strict=True):
        sets.join(a, b)
    _, numbered = np.unique(sets.labels()[groups], return_inverse=True)
    return numbered.astype(np.int64)
