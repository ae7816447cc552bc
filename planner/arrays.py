"""Types of arrays; CSR: rows of many lengths as one array and where each starts; disjoint sets."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


def take_rows(indptr: IntArray, members: IntArray, rows: IntArray) -> tuple[IntArray, IntArray]:
    """Some rows of a CSR, in the order given, as a CSR of their own."""
    counts = indptr[rows + 1] - indptr[rows]
    ends = np.concatenate([[0], np.cumsum(counts)])
    offset = np.arange(ends[-1]) - np.repeat(ends[:-1], counts)
    return ends, members[np.repeat(indptr[rows], counts) + offset]


def csr(rows: Sequence[Sequence[int]]) -> tuple[IntArray, IntArray]:
    """Rows of many lengths as a CSR: (indptr [rows + 1], members)."""
    indptr = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=indptr[1:])
    flat = np.fromiter((item for row in rows for item in row), np.int64, int(indptr[-1]))
    return indptr, flat


class DisjointSets:
    """The numbers from 0 to `n` - 1 in sets that are joined (union-find, halving paths)."""

    def __init__(self, n: int) -> None:
        self._parent = list(range(n))

    def find(self, item: int) -> int:
        """The smallest member of its set."""
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    def join(self, one: int, other: int) -> None:
        """Make one set of those of two items."""
        low, high = sorted((self.find(one), self.find(other)))
        self._parent[high] = low

    def labels(self) -> IntArray:
        """`find` of every item; shape [n]."""
        return np.array([self.find(item) for item in range(len(self._parent))], np.int64)
