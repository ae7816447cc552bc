"""From seconds to whole ticks, so that equality means equality."""

from __future__ import annotations

import numpy as np

from planner.arrays import BoolArray, FloatArray, IntArray
from planner.problems.instance import Instance
from planner.problems.linear_terms import basis_of, coefficients, state_of
from planner.problems.prefixes import best_prefix, feasible_positions, prefix_costs
from planner.problems.terms import Ticks

MIN_EXPONENT = -1074
"""A float64 has nothing smaller than 2 to this."""

MAX_TICKS = 2**60
"""The sum of all finite costs stays below this, so that int64 flows cannot overflow."""


def quantise(problem: Instance) -> Ticks:
    """Whole ticks for the current state.

    A cost above the value of some feasible placement is in no best cut: it is clipped to one tick
    above it, so that one absurd cost does not eat the precision of the others. The quantum is the
    smallest power of two seconds for which the sum of all finite costs stays below 2^60.
    """
    seconds = problem.seconds
    flat = seconds.flat()
    good = _good_placement(problem)
    # Where no placement is known to keep the memory limits, only the sum of all is a bound.
    best = np.ones(len(flat), np.bool_) if good is None else problem.paid(good)
    clipped, quantum_s, bound = in_ticks(flat, best[None, :])
    return Ticks(
        terms=seconds.like(clipped),
        quantum_s=quantum_s,
        bound=bound,
        infinite=int(clipped.sum()) + 1,
    )


def in_ticks(flat: FloatArray, paid: BoolArray) -> tuple[IntArray, float, int]:
    """Costs as whole ticks, clipped to one above the bound that some feasible placement sets.

    Args:
        flat: Costs in seconds; shape [costs].
        paid: What that placement pays for each part of its value, of which the largest counts;
            shape [parts, costs].

    Returns:
        Ticks, shape [costs]; seconds of one; and the bound in ticks.
    """
    # A bound must not be below the value by a rounding error, or it would clip what it is made of.
    bound_s = max([float(flat[part].sum()) for part in paid]) * (1 + 1e-9)
    total = float(np.minimum(flat, bound_s).sum()) * (1 + 1e-9)
    slack = 2 * len(flat) + 2
    exponent = _exponent(total / (MAX_TICKS - slack), flat)
    rounded = np.rint(_scaled(np.minimum(flat, 2 * bound_s), -exponent)).astype(np.int64)
    bound = max([int(rounded[part].sum()) for part in paid])
    clipped = np.where(flat > bound_s, bound + 1, np.minimum(rounded, bound + 1))
    return clipped, float(np.ldexp(1.0, exponent)), bound


def _exponent(share_s: float, flat: FloatArray) -> int:
    """The power of two that is the quantum, where a tick must stand for `share_s` at least."""
    if share_s:
        return int(np.frexp(share_s)[1])
    # The bound takes no time: what takes some is one tick, which must not say more than that.
    positive = flat[flat > 0]
    return max(MIN_EXPONENT, int(np.frexp(positive.min())[1]) - 2) if len(positive) else 0


def _scaled(values: FloatArray, exponent: int) -> FloatArray:
    """`values` times 2^exponent: a product, unless that is no float64, because ldexp is slow."""
    if abs(exponent) < 1000:
        return values * 2.0**exponent
    return np.ldexp(values, exponent)


def _good_placement(problem: Instance) -> IntArray | None:
    """The best of some feasible placements, or None if none is known."""
    known = feasible_placements(problem)
    if len(known) < 2:
        return known[0] if known else None
    placements = np.stack(known)
    best: IntArray = placements[problem.totals(problem.seconds, placements).argmin()]
    return best


def feasible_placements(problem: Instance) -> list[IntArray]:
    """Some placements that keep all rules and limits: extremes, the best prefix, the incumbent.

    With two hosts only the one of them with the least delay, and the incumbent.
    """
    latest, earliest = problem.constraints.extremes
    known = []
    if problem.n_hosts == 2:
        candidates, rows = _two_host_candidates(problem, latest, earliest)
        if len(candidates):
            with np.errstate(over="ignore", invalid="ignore"):  # any of them is feasible
                position = int(candidates[(state_of(problem) @ rows).argmin()])
            prefix = (np.arange(problem.n_operators) >= position).astype(np.int64)
            known = [(latest, earliest, prefix)[min(2, position + 2)]]
    else:
        found = best_prefix(problem, problem.seconds)
        known = [latest, earliest, *([found] if found is not None else [])]
        if problem.memory is not None:
            known = [placement for placement in known if problem.memory.fits(placement)]
    return known if problem.incumbent is None else [*known, problem.incumbent]


def _two_host_candidates(
    problem: Instance, latest: IntArray, earliest: IntArray
) -> tuple[IntArray, FloatArray]:
    """Cut positions of all feasible prefixes, -2 for `latest` and -1 for `earliest`, and what each
    costs per unit of the state; made once and shared between states.
    """

    def build() -> tuple[IntArray, FloatArray]:
        positions = np.flatnonzero(feasible_positions(problem)[0])
        prefixes = [
            prefix_costs(problem, terms, 0)[positions] + terms.unary[1].sum()
            for terms in basis_of(problem)
        ]
        ends = np.stack([latest, earliest])
        candidates = np.append([-2, -1], positions)
        rows = np.hstack([coefficients(problem, ends).T, np.stack(prefixes)])
        if problem.memory is None:
            return candidates, rows
        fits = np.append(problem.memory.fits(ends), np.ones(len(positions), np.bool_))
        return candidates[fits], rows[:, fits]

    return problem.shared("candidates", build)


def rounding_s(problem: Instance, quantum_s: float) -> float:
    """How far whole ticks may be from the seconds they stand for, in any placement.

    Half a tick for each cost that a placement pays: one for every operator, transfer and link, and
    two for every tied parameter.
    """
    n_costs = problem.n_operators + len(problem.transfers) * problem.n_links
    return (n_costs + 2 * len(problem.tied.bits)) * quantum_s / 2
