"""Whether the exact solvers give the same ticks and the same placement, state by state."""

from __future__ import annotations

import time
from itertools import islice, pairwise

import numpy as np

from benchmarks.speed.contest import Setup
from benchmarks.speed.forks import SHARES, on_all_cores
from benchmarks.speed.results import Agreement, Exactness
from benchmarks.speed.states import State
from planner.plans.solving import solve
from planner.problems.solution import Solution

REFERENCE = "maxflow"
HALVINGS = 50


class _Tally:
    def __init__(self, solver: str) -> None:
        self.solver = solver
        self.states = self.other_values = self.other_placements = self.unproved = 0

    def add(self, solution: Solution, reference: Solution) -> None:
        self.states += 1
        same = (solution.value, solution.quantum_s) == (reference.value, reference.quantum_s)
        self.other_values += not same
        self.other_placements += not np.array_equal(solution.placement, reference.placement)
        self.unproved += not solution.is_proved

    def include(self, other: _Tally) -> None:
        self.states += other.states
        self.other_values += other.other_values
        self.other_placements += other.other_placements
        self.unproved += other.unproved

    def result(self) -> Agreement:
        return Agreement(
            solver=self.solver,
            states=self.states,
            other_values=self.other_values,
            other_placements=self.other_placements,
            unproved=self.unproved,
        )


class _Comparison:
    """Asks all solvers in one state after another and counts where they differ."""

    def __init__(self, setups: list[Setup], solvers: dict[str, int]) -> None:
        self.setups = setups
        self.limits = solvers
        self.own = _Tally(REFERENCE)
        self.others = [_Tally(name) for name in solvers]
        self.placements: set[tuple[int, bytes]] = set()
        self.split = 0

    def ask(self, position: int, state: State) -> bytes:
        """Compare the solvers in one state; returns the reference's placement."""
        problem = state.speeds(self.setups[position].problem)
        reference = solve(state.links(problem), REFERENCE)
        self.own.add(reference, reference)
        placement = np.packbits(reference.placement.astype(np.bool_)).tobytes()
        self.placements.add((position, placement))
        self.split += 0 < int(reference.placement.sum()) < problem.n_operators
        for tally in self.others:
            if tally.states < self.limits[tally.solver]:
                tally.add(solve(state.links(problem), tally.solver), reference)
        return placement

    def include(self, other: _Comparison) -> None:
        """Add what another process found."""
        for mine, theirs in zip((self.own, *self.others), (other.own, *other.others), strict=True):
            mine.include(theirs)
        self.placements |= other.placements

    def close_in(self, position: int, first: State, last: State) -> int:
        """Halve the way between two states with different best plans, to the last bit or so.

        Where two plans take the same time but for rounding, solvers that compare in float64 have
        to notice it. Returns the number of states.
        """
        low, high = 0.0, 1.0
        at_low = self.ask(position, first)
        if at_low == self.ask(position, last):
            return 0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            if self.ask(position, first.towards(last, middle)) == at_low:
                low = middle
            else:
                high = middle
        return HALVINGS


def check(
    setups: list[Setup],
    solvers: dict[str, int],
    states: list[State],
    *,
    n_boundaries: int,
    budget_s: float,
) -> Exactness:
    """Compare solvers with the reference, on all cores: nothing is timed here.

    Args:
        setups: States use them in turn.
        solvers: Name → in so many states at most.
        states: One after another.
        n_boundaries: Pairs of neighbouring states between which a boundary is looked for.
        budget_s: No further states after this many seconds, and none at boundaries after as many.
    """
    numbered = list(enumerate(states))
    pairs = list(enumerate(islice(pairwise(states), n_boundaries)))
    limits = {name: -(-limit // SHARES) for name, limit in solvers.items()}

    def compare(share: int) -> tuple[_Comparison, int, int, int]:
        """The comparison; numbers of random states, split ones, and states at boundaries."""
        comparison = _Comparison(setups, limits)
        deadline = time.perf_counter() + budget_s
        n_random = n_at_boundaries = 0
        for i, state in numbered[share::SHARES]:
            if time.perf_counter() > deadline:
                break
            comparison.ask(i % len(setups), state)
            n_random += 1
        n_split = comparison.split
        deadline = time.perf_counter() + budget_s
        for i, ends in pairs[share::SHARES]:
            if time.perf_counter() < deadline:
                n_at_boundaries += comparison.close_in(i % len(setups), *ends)
        comparison.setups = []
        return comparison, n_random, n_split, n_at_boundaries

    parts = on_all_cores(compare)
    tallies = _Comparison([], solvers)
    for part, *_ in parts:
        tallies.include(part)
    return Exactness(
        reference=REFERENCE,
        states=sum(n_random for _, n_random, _, _ in parts),
        boundary_states=sum(n_at_boundaries for *_, n_at_boundaries in parts),
        distinct_placements=len(tallies.placements),
        split_states=sum(n_split for _, _, n_split, _ in parts),
        agreements=tuple(t.result() for t in (tallies.own, *tallies.others) if t.states),
    )
