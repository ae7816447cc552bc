"""Minimum cuts of delay plus memory at a price per byte.

A set of operators whose bytes are held on the first host if any of them is there costs like a tied
parameter, one on the last host like an input that is read there. What a host between the two holds
is counted by one member of each set, and of all working sets by that of one operator: too little,
so that what is found is a lower bound. docs/theory.md, §15.
"""

from __future__ import annotations

from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import FloatArray, IntArray
from planner.problems.instance import LATENCY
from planner.problems.terms import Terms, Ticks
from planner.problems.ticks import MAX_TICKS
from planner.solvers.flow.cuts import minimum_cut
from planner.solvers.flow.network import Network, network_of

if TYPE_CHECKING:
    from planner.problems.problem import Problem

_UP, _DOWN = 1 + 2.0**-50, 1 - 2.0**-50
"""Prices times bytes are rounded: what is asked for down, what is paid up."""


class PricedCuts:
    """Minimum cuts of one problem at any prices, in whole numbers that bound it from below.

    Args:
        problem: With memory limits, for a delay.
    """

    def __init__(self, problem: Problem) -> None:
        memory = problem.memory
        assert memory is not None
        self.problem, self.memory = problem, memory
        self.network: Network = problem.shared("priced_network", lambda: _network(problem))
        self.terms = _possible(problem)
        # Room for the prices: in all, they and the delay stay below 2^61.
        n_costs = len(self.terms.flat()) + 2 * len(memory.set_bytes)
        self.shift = max(2, int(n_costs).bit_length())

    def solve(self, prices: FloatArray, working: IntArray) -> tuple[int, IntArray]:
        """(lower bound in ticks, placement) at some prices in ticks per byte."""
        shift = self.shift if prices.any() else 0
        terms, paid = self._terms(prices, working, shift)
        flat = terms.flat()
        ticks = Ticks(terms=terms, quantum_s=1.0, bound=0, infinite=int(flat.sum()) + 1)
        flow, source_side = minimum_cut(self.network, self.network.capacities(ticks))
        return (flow - paid) << shift, self.network.placement(source_side)

    def _terms(
        self, prices: FloatArray, working: IntArray, shift: int
    ) -> tuple[Terms[np.int64], int]:
        memory, terms, last = self.memory, self.terms, self.problem.n_links
        cap = (self.problem.goal.bound >> shift) + 1
        unary = terms.unary >> shift
        extra = {host: np.zeros(len(memory.set_bytes), np.int64) for host in (0, last)}
        paid = 0
        for host in np.flatnonzero(prices).tolist():
            price = float(prices[host]) / 2**shift
            held = memory.own_bytes.copy()
            if working[host] >= 0:
                held[working[host]] += memory.working_bytes[working[host]]
            if host in extra:
                extra[host] = _charge(memory.set_bytes, price, cap)
            else:
                # Any member of a set stands for all of them: that counts too little.
                np.add.at(held, memory.members[memory.indptr[:-1]], memory.set_bytes)
            unary[host] += _charge(held, price, cap)
            paid += ceil(price * float(memory.limits[host]) * _UP)
        transfer = np.zeros((len(memory.set_bytes), last), np.int64)
        transfer[:, -1] = extra[last]
        none = np.zeros(len(memory.set_bytes), np.int64)
        return (
            Terms(
                unary=unary,
                transfer=np.concatenate([terms.transfer >> shift, transfer]),
                exchange=np.concatenate([terms.exchange >> shift, extra[0]]),
                sync=np.concatenate([terms.sync >> shift, none]),
            ),
            paid,
        )


def _possible(problem: Problem) -> Terms[np.int64]:
    """The delay, and more than any optimum where an operator alone is too large for a host."""
    terms, memory = problem.goal.parts[0], problem.memory
    assert memory is not None
    is_too_large = memory.own_bytes + memory.working_bytes > memory.limits[:, None]
    above = problem.goal.bound + 1
    if above * int(is_too_large.sum()) > MAX_TICKS:  # nothing is known that fits
        return terms
    return replace(terms, unary=np.where(is_too_large, above, terms.unary))


def _charge(held: IntArray, price: float, cap: int) -> IntArray:
    """The price of some bytes, rounded down; above `cap` it would be in no best cut."""
    return np.asarray(np.minimum(np.floor(held * price * _DOWN), cap), np.int64)


def _network(problem: Problem) -> Network:
    """The network with an arc more for every set of operators that hold bytes together."""
    memory, x, tied = problem.memory, problem.transfers, problem.tied
    assert memory is not None
    n = len(memory.set_bytes)
    no_bits, indptr = np.zeros(n), memory.indptr[1:]
    return network_of(
        replace(
            problem,
            memory=None,
            transfers=replace(
                x,
                tensor=np.concatenate([x.tensor, np.full(n, LATENCY)]),
                source=np.concatenate([x.source, np.full(n, -1)]),
                indptr=np.concatenate([x.indptr, indptr + x.indptr[-1]]),
                readers=np.concatenate([x.readers, memory.members]),
                up_bits=np.concatenate([x.up_bits, no_bits]),
                down_bits=np.concatenate([x.down_bits, no_bits]),
                latencies=np.concatenate([x.latencies, no_bits]),
                is_forbidden=np.concatenate([x.is_forbidden, np.zeros(n, np.bool_)]),
            ),
            tied=replace(
                tied,
                parameter=np.concatenate([tied.parameter, np.full(n, -1)]),
                indptr=np.concatenate([tied.indptr, indptr + tied.indptr[-1]]),
                readers=np.concatenate([tied.readers, memory.members]),
                bits=np.concatenate([tied.bits, no_bits]),
            ),
        )
    )
