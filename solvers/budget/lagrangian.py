"""Memory limits as prices: the Lagrangian relaxation of a planning problem, over minimum cuts.

A limit `use(p) ≤ limit` is taken out of the rules and a price λ per byte put into the delay:

    L(λ) = min over p of  T(p) + Σ_h λ_h · (use_h(p) - limit_h)   ≤   T of every placement that fits

For fixed prices that is a minimum cut again (`planner.solvers.budget.priced_cuts`). The largest
L(λ) is found by Newton's method on one price at a time, as in Handler and Zang, "A dual algorithm
for the constrained shortest path problem", Networks 10 (1980). docs/theory.md, §15.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import IntArray
from planner.solvers.budget.priced_cuts import PricedCuts

if TYPE_CHECKING:
    from planner.problems.problem import Problem

MAX_STEPS = 12
"""Cuts for one price: Newton's method seldom needs half of them."""

MAX_SWEEPS = 3
"""Rounds over all limited hosts."""

MAX_STEPS_BETWEEN = 256
"""Placements that are looked at on the way from a cut that fits to one that does not."""

MAX_LOOKS = 2**21
"""Placements times rules that are looked at on one way: fewer steps where there are many rules."""


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


def relax(
    problem: Problem, known: Sequence[IntArray] = (), deadline: float | None = None
) -> Relaxed:
    """A lower bound, and good placements that fit.

    Args:
        problem: With memory limits, for a delay; its rules should be `tightened`.
        known: Placements that keep the rules; those that fit are candidates.
        deadline: When to stop, as a time of `time.perf_counter()`; after one cut at the earliest.
    """
    return _Search(problem, deadline).run(known)


class _Search:
    """One relaxation: prices so far, the best bound, the best placement."""

    def __init__(self, problem: Problem, deadline: float | None) -> None:
        assert problem.memory is not None
        self.problem, self.memory = problem, problem.memory
        self.deadline = inf if deadline is None else deadline
        self.priced = PricedCuts(problem)
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
            lower_bound=self.lower_bound,
            placement=self.best.placement if self.best else None,
            ends=self.ends,
            n_cuts=self.n_cuts,
        )

    def _is_solved(self) -> bool:
        """Whether there is nothing left to do, or no time to do it."""
        if time.perf_counter() > self.deadline:
            return True
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
            if self._is_solved():
                break
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
        latest, earliest = self.problem.constraints.extremes
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
        rules = self.problem.constraints
        n_steps = max(8, min(MAX_STEPS_BETWEEN, MAX_LOOKS // max(1, len(rules.before))))
        steps = np.unique(np.linspace(0, len(moved), n_steps).astype(np.int64))[1:-1]
        if not len(steps):
            return
        goes_down = over.placement[moved[0]] < under.placement[moved[0]]
        order = moved if goes_down else moved[::-1]
        rank = np.full(self.problem.n_operators, len(moved), np.int64)
        rank[order] = np.arange(len(moved))
        tried = np.where(rank < steps[:, None], over.placement, under.placement)
        tried = tried[rules.keeps(tried)]
        tried = tried[self.memory.fits(tried)] if len(tried) else tried
        if len(tried):
            self._look_at(tried[self.problem.goal.values(tried).argmin()])
