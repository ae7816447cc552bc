"""From seconds to whole ticks, so that equality means equality."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from planner.feasibility import feasible_extremes
from planner.prefixes import best_prefix
from planner.terms import Ticks

if TYPE_CHECKING:
    from planner.problems import Problem

MAX_TICKS = 2**60
"""The sum of all finite costs stays below this, so that int64 flows cannot overflow."""


def quantise(problem: Problem) -> Ticks:
    """Whole ticks for the current state.

    A cost above the value of some feasible placement is in no best cut: it is clipped to one tick
    above it, so that one absurd cost does not eat the precision of the others. The quantum is the
    smallest power of two seconds for which the sum of all finite costs stays below 2^60.
    """
    seconds = problem.seconds
    known = [*feasible_extremes(problem.constraints)]
    prefix = best_prefix(problem, seconds)
    known += [p for p in (prefix, problem.incumbent) if p is not None]
    placements = np.stack(known)
    totals = problem.totals(seconds, placements)
    # A bound must not be below the value by a rounding error, or it would clip what it is made of.
    best, bound_s = placements[totals.argmin()], float(totals.min()) * (1 + 1e-9)
    flat = seconds.flat()
    total = float(np.minimum(flat, bound_s).sum()) * (1 + 1e-9)
    slack = 2 * len(flat) + 2
    exponent = 0 if total == 0 else int(np.frexp(total / (MAX_TICKS - slack))[1])
    rounded = np.rint(np.ldexp(np.minimum(flat, 2 * bound_s), -exponent)).astype(np.int64)
    bound = int(problem.total(seconds.like(rounded), best))
    clipped = np.where(flat > bound_s, bound + 1, np.minimum(rounded, bound + 1))
    infinite = int(clipped.sum()) + 1
    return Ticks(
        terms=seconds.like(clipped),
        quantum_s=float(np.ldexp(1.0, exponent)),
        bound=bound,
        infinite=infinite,
    )


def rounding_s(problem: Problem, quantum_s: float) -> float:
    """How far whole ticks may be from the seconds they stand for, in any placement.

    Half a tick for each cost that a placement pays: one for every operator, transfer and link, and
    two for every tied parameter.
    """
    n_costs = problem.n_operators + len(problem.transfers) * problem.n_links
    return (n_costs + 2 * len(problem.tied.bits)) * quantum_s / 2
