"""The terms of one state, in seconds or in whole ticks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

Number = TypeVar("Number", np.int64, np.float64)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms(Generic[Number]):
    """All terms of one state, in seconds or in ticks per round.

    Attributes:
        unary: Cost of each operator on each host; shape [hosts, operators].
        transfer: Cost of each transfer on each link, 0 where it is forbidden; [transfers, links].
        exchange: Cost of each tied parameter if a reader is on host 0; shape [tied].
        sync: Cost of each tied parameter if its readers are on both hosts; shape [tied].
    """

    unary: npt.NDArray[Number]
    transfer: npt.NDArray[Number]
    exchange: npt.NDArray[Number]
    sync: npt.NDArray[Number]

    def flat(self) -> npt.NDArray[Number]:
        """Every term in one vector: unary, transfer, exchange, sync, each in row order."""
        return np.concatenate([self.unary.ravel(), self.transfer.ravel(), self.exchange, self.sync])

    def like(self, flat: npt.NDArray[np.int64]) -> Terms[np.int64]:
        """The inverse of `flat` for a vector of the same length."""
        transfers = self.unary.size
        tied = transfers + self.transfer.size
        sync = tied + len(self.exchange)
        return Terms(
            unary=flat[:transfers].reshape(self.unary.shape),
            transfer=flat[transfers:tied].reshape(self.transfer.shape),
            exchange=flat[tied:sync],
            sync=flat[sync:],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ticks:
    """One state in whole ticks.

    Attributes:
        terms: Every finite cost, clipped to `bound + 1`.
        quantum_s: Seconds of one tick, a power of two.
        bound: Value of a feasible placement, in ticks.
        infinite: What stands for an infinite cost: 1 + the sum of all finite ones.
    """

    terms: Terms[np.int64]
    quantum_s: float
    bound: int
    infinite: int
