"""Memory limits as prices: the Lagrangian relaxation of a planning problem, over minimum cuts.

A limit `use(p) ≤ limit` is taken out of the rules and a price λ per byte put into the delay:

    L(λ) = min over p of  T(p) + Σ_h λ_h · (use_h(p) - limit_h)   ≤   T of every placement that fits

For fixed prices that is a minimum cut again: a set of operators whose bytes are held on the first
host if any of them is there costs like a tied parameter, one on the last host like an input that
is read there. What a host between the two holds is counted from below. The largest L(λ) is found
by Newton's method on one price at a time, as in Handler and Zang, "A dual algorithm for the
constrained shortest path problem", Networks 10 (1980). docs/theory.md, §15.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from typing import TYPE_CHECKING

import numpy as np

from planner.costs import FloatArray
from planner.graphs import IntArray
from planner.minimum_cuts import minimum_cut
from planner.networks import Network, network_of
from planner.problems import LATENCY
from planner.quantisation import MAX_TICKS
from planner.terms import Terms, Ticks

if TYPE_CHECKING:
    from planner.problems import Problem

MAX_STEPS = 12
"""Cuts for one price: Newton's method seldom needs half of them."""

MAX_SWEEPS = 3
"""Rounds over all limited hosts."""

MAX_STEPS_BETWEEN = 256
"""Placements that are looked at on the way from a cut that fits to one that does not."""

_UP, _DOWN = 1 + 2.0**-50, 1 - 2.0**-50


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Relaxed:
    """What the relaxation found.

    Attributes:
        lower_bound: Ticks that no placement that fits is below.
        placement: The best one seen that fits, if any.
        ends: Two placements that the relaxation wavers between; none if it does not.
        n_cuts: Minimum cuts that were computed.
    """

    lower_bound: int
    placement: IntArray | None
    ends: tuple[IntArray, IntArray] | None
    n_cuts: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Cut:
    """A placement with its delay in ticks, and what it has above each host's priced limit."""

    placement: IntArray
    value: int
    excess: tuple[int, ...]


def relax(problem: Problem, known: Sequence[IntArray] = ()) -> Relaxed:
    """A lower bound, and good placements that fit.

    Args:
        problem: With memory limits, for a delay; its rules should be `tightened`.
        known: Placements that keep the rules; those that fit are candidates.
    """
    return _Search(problem).run(known)


class _Search:
    """One relaxation: prices so far, the best bound, the best placement."""

    def __init__(self, problem: Problem) -> None:
        assert problem.memory is not None
        self.problem, self.memory = problem, problem.memory
        self.priced = _PricedCuts(problem)
        self.lower_bound = 0
        self.best: _Cut | None = None
        self.n_cuts = 0
        self.ends: tuple[IntArray, IntArray] | None = None
        self.prices = np.zeros(problem.n_hosts)
        # The operator whose working set is priced along with what a host holds; -1 for none.
        self.working = np.full(problem.n_hosts, -1, np.int64)

    def run(self, known: Sequence[IntArray]) -> Relaxed:
        for placement in known:
            self._look_at(placement)
        cut = self._cut()
        self.ends = cut.placement, self._cheapest(0).placement
        for _ in range(MAX_SWEEPS):
            before = self.lower_bound
            for host in np.flatnonzero(np.isfinite(self.memory.limits)).tolist():
                if self._is_solved():
                    break
                cut = self._price(host, cut)
            if self.lower_bound <= before or self._is_solved():
                break
        return Relaxed(
            lower_bound=min(self.lower_bound, self.best.value) if self.best else self.lower_bound,
            placement=self.best.placement if self.best else None,
            ends=self.ends,
            n_cuts=self.n_cuts,
        )

    def _is_solved(self) -> bool:
        return self.best is not None and self.best.value <= self.lower_bound

    def _look_at(self, placement: IntArray) -> _Cut:
        """A placement as a candidate, if it fits."""
        value, use = self.problem.goal.value(placement), self.memory.use(placement)
        cut = _Cut(placement=placement, value=value, excess=self._excess(placement, use))
        if (use <= self.memory.limits).all() and (self.best is None or value < self.best.value):
            self.best = cut
        return cut

    def _excess(self, placement: IntArray, use: IntArray) -> tuple[int, ...]:
        """What is held above each limit, with the priced working set only."""
        found = []
        for host, limit in enumerate(self.memory.limits.tolist()):
            if limit == inf:
                found.append(0)
                continue
            v = int(self.working[host])
            largest = self.memory.working_bytes[placement == host].max(initial=0)
            counted = self.memory.working_bytes[v] if v >= 0 and placement[v] == host else 0
            found.append(int(use[host] - largest + counted) - int(limit))
        return tuple(found)

    def _counted(self, cut: _Cut) -> _Cut:
        """The same cut with the working sets that are priced now."""
        use = self.memory.use(cut.placement)
        return replace(cut, excess=self._excess(cut.placement, use))

    def _cut(self) -> _Cut:
        """The minimum cut at the current prices, and the bound that it proves."""
        self.n_cuts += 1
        bound, placement = self.priced.solve(self.prices, self.working)
        self.lower_bound = max(self.lower_bound, bound)
        return self._look_at(placement)

    def _price(self, host: int, cut: _Cut) -> _Cut:
        """Raise the price of one host's memory to where the bound is highest."""
        over, under = cut, self._cheapest(host)
        for _ in range(MAX_STEPS):
            over, under = self._counted(over), self._counted(under)
            more, less = over.excess[host], under.excess[host]
            if more <= 0 and self._add_working_set(host, over):
                continue
            if more <= max(0, less):
                break
            base = [self._priced_value(c, host) for c in (over, under)]
            price = (base[1] - base[0]) / (more - less)
            if price <= 0 or price == self.prices[host]:
                break
            self.prices[host] = price
            self.ends = over.placement, under.placement
            cut = self._cut()
            gain = base[0] + price * more - self._priced_value(cut, host) - price * cut.excess[host]
            self._walk(under, over)
            if gain <= 1e-12 * max(1, abs(base[0])):
                if not self._add_working_set(host, over):
                    break
                continue
            if cut.excess[host] > 0:
                over = cut
            else:
                under = cut
        return cut

    def _priced_value(self, cut: _Cut, but: int) -> float:
        """Delay and the prices of all hosts but one."""
        prices = self.prices.copy()
        prices[but] = 0
        return cut.value + float(prices @ np.array(cut.excess, np.float64))

    def _cheapest(self, host: int) -> _Cut:
        """A placement with little memory on one host."""
        if self.best is not None:
            return self.best
        from planner.feasibility import feasible_extremes

        latest, earliest = feasible_extremes(self.problem.constraints)
        return self._look_at(earliest if host == self.problem.n_hosts - 1 else latest)

    def _add_working_set(self, host: int, cut: _Cut) -> bool:
        """Price the working set that makes a placement too large, if that is what does."""
        limit, use = self.memory.limits[host], self.memory.use(cut.placement)[host]
        here = np.flatnonzero(cut.placement == host)
        if use <= limit or not len(here):
            return False
        v = int(here[self.memory.working_bytes[here].argmax()])
        if v == self.working[host] or self.memory.working_bytes[v] == 0:
            return False
        self.working[host] = v
        return True

    def _walk(self, under: _Cut, over: _Cut) -> None:
        """Try placements between two cuts: operators change hosts in graph order."""
        moved = np.flatnonzero(under.placement != over.placement)
        if not len(moved) or self._is_solved():
            return
        steps = np.unique(np.linspace(0, len(moved), MAX_STEPS_BETWEEN).astype(np.int64))[1:-1]
        if not len(steps):
            return
        goes_down = over.placement[moved[0]] < under.placement[moved[0]]
        order = moved if goes_down else moved[::-1]
        rank = np.full(self.problem.n_operators, len(moved), np.int64)
        rank[order] = np.arange(len(moved))
        tried = np.where(rank < steps[:, None], over.placement, under.placement)
        rules = self.problem.constraints
        keeps = (tried[:, rules.before] <= tried[:, rules.after]).all(axis=1)
        tried = tried[keeps]
        tried = tried[self.memory.fits(tried)] if len(tried) else tried
        if len(tried):
            self._look_at(tried[self.problem.goal.values(tried).argmin()])


class _PricedCuts:
    """Minimum cuts of delay plus priced memory, in whole numbers that bound it from below."""

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
