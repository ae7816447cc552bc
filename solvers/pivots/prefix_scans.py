"""What every prefix cut of a layout costs, by one scan over operators and transfers (two hosts)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planner.arrays import IntArray
from planner.problems.terms import Number, Terms
from planner.solvers.pivots.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Spans:
    """Which prefix cuts pay for a transfer, and for a tied parameter.

    Attributes:
        start, last: A transfer is paid by cuts start … last, by none if start > last; [transfers].
        tied_first, tied_last: Positions of the first and last reader of a tied parameter: cuts
            after the first pay its exchange, those that are not after the last its synchronisation.
    """

    start: IntArray
    last: IntArray
    tied_first: IntArray
    tied_last: IntArray


def spans_of(layout: Layout) -> Spans:
    """Spans of all transfers and tied parameters of a reduced problem."""
    problem = layout.reduced.problem
    m, x, tied = len(layout.free), problem.transfers, problem.tied
    source = layout.position[np.maximum(x.source, 0)] + 1
    # What lives at the server from the start is never sent up.
    start = np.where(x.source < 0, np.where(x.source == -1, 0, m + 1), source)
    has_rows = len(x) > 0
    readers = layout.position[x.readers]
    tied_readers = layout.position[tied.readers]
    none = np.zeros(0, np.int64)
    return Spans(
        start=start,
        last=np.maximum.reduceat(readers, x.indptr[:-1]) if has_rows else none,
        tied_first=np.minimum.reduceat(tied_readers, tied.indptr[:-1]) if len(tied.bits) else none,
        tied_last=np.maximum.reduceat(tied_readers, tied.indptr[:-1]) if len(tied.bits) else none,
    )


def cut_costs(layout: Layout, spans: Spans, terms: Terms[Number]) -> npt.NDArray[Number]:
    """The total of `terms`, those of the reduced problem, for the prefix cut at every position.

    Operators are summed in the widest type there is, and every entry is a sum of costs ≥ 0, so that
    nothing is lost to cancellation but in what transfers add, which are whole bits.

    Returns:
        Shape [free operators + 1]; the cut at j has free operators before j on the device.
    """
    m = len(layout.free)
    device, server = terms.unary
    steps = np.zeros(m + 2, terms.unary.dtype)
    is_paid = spans.start <= spans.last
    cost = terms.transfer[is_paid, 0]
    np.add.at(steps, spans.start[is_paid], cost)
    np.subtract.at(steps, spans.last[is_paid] + 1, cost)
    if len(spans.tied_first):
        np.add.at(steps, spans.tied_first + 1, terms.exchange + terms.sync)
        np.subtract.at(steps, spans.tied_last + 1, terms.sync)
    costs: npt.NDArray[Number] = np.cumsum(steps[: m + 1])
    costs += device[layout.position < 0].sum() + server[layout.position >= m].sum()
    wide = np.int64 if costs.dtype.kind == "i" else np.longdouble
    on_device = np.cumsum(device[layout.free], dtype=wide)
    on_server = np.cumsum(server[layout.free][::-1], dtype=wide)[::-1]
    costs[1:] += on_device.astype(costs.dtype)
    costs[:-1] += on_server.astype(costs.dtype)
    return costs
