"""Types of arrays, and CSR: rows of many lengths as one array and where each of them starts."""

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
