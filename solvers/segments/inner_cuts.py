"""The cuts strictly inside one gap: all of them where they are few, else the best by a flow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import FloatArray, IntArray
from planner.errors import SolverError
from planner.problems.enumeration import enumerate_placements
from planner.problems.linear_terms import coefficients
from planner.solvers.flow.network import network_of
from planner.solvers.pivots.gaps import gap_placement, gap_problem, gap_terms
from planner.solvers.segments.bounds import DEVICE, SERVER, UP, SegmentBounds

if TYPE_CHECKING:
    from planner.problems.problem import Problem

MAX_OPERATORS = 2**7
MAX_SETS = 2**12
"""Gaps with more operators, or more feasible placements, than this are left to a flow."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ClosedSets:
    """Every cut strictly inside one gap.

    Attributes:
        hosts: Of the gap's operators; shape [cuts, inner operators].
        rows: Coefficients of the whole placement, as `planner.problems.linear_terms` has them; [5,
            cuts].
    """

    hosts: IntArray
    rows: FloatArray


def closed_sets_of(problem: Problem, bounds: SegmentBounds, gap: int) -> ClosedSets | None:
    """All cuts strictly inside a gap, found once; None if there are more than `MAX_SETS`."""
    return problem.shared(("closed_sets", gap), lambda: _enumerate(bounds, gap))


def _enumerate(bounds: SegmentBounds, gap: int) -> ClosedSets | None:
    local = gap_problem(bounds.gaps, gap)
    if local.n_operators > MAX_OPERATORS:
        return None
    try:
        placements = enumerate_placements(local, MAX_SETS).astype(np.int64)
    except SolverError:
        return None
    rows = coefficients(local, placements).T
    hosts = placements[:, 1:-1]
    on_server = hosts.sum(axis=1)
    is_entry = on_server == hosts.shape[1]
    rows[UP:] += bounds.entry_rows[UP:, [gap]] - rows[UP:, is_entry]
    rows[DEVICE] += bounds.entry_rows[DEVICE, gap]
    rows[SERVER] += bounds.gap_rows[SERVER, gap]
    inside = np.flatnonzero(~is_entry & (on_server > 0))
    return ClosedSets(hosts=hosts[inside], rows=np.ascontiguousarray(rows[:, inside]))


def best_of(problem: Problem, bounds: SegmentBounds, gap: int, rows: IntArray) -> IntArray:
    """The best, in ticks, of some of the cuts inside a gap; at least one.

    Returns:
        Host of every operator of the problem; of several the one with the fewest on the device.
    """
    found = closed_sets_of(problem, bounds, gap)
    assert found is not None
    hosts = found.hosts[rows]
    ends = np.zeros((len(hosts), 1), np.int64)
    terms = gap_terms(bounds.gaps, gap, bounds.layout.reduced.terms(problem.ticks.terms))
    local = gap_problem(bounds.gaps, gap)
    values = local.totals(terms, np.hstack([ends, hosts, ends + 1]))
    # Best placements form a lattice: their componentwise maximum is one of them.
    return gap_placement(bounds.gaps, gap, hosts[values == values.min()].max(axis=0))


def best_inside(problem: Problem, bounds: SegmentBounds, gap: int) -> IntArray:
    """The best placement that cuts one gap, or before or after it, by a flow in ticks.

    Returns:
        Host of every operator of the problem; of several the one with the fewest on the device.
    """
    from planner.solvers.flow.cuts import minimum_cut  # OR-tools: rarely needed

    network = problem.shared(
        ("gap_network", gap), lambda: network_of(gap_problem(bounds.gaps, gap))
    )
    terms = gap_terms(bounds.gaps, gap, bounds.layout.reduced.terms(problem.ticks.terms))
    capacities = np.append(terms.flat(), problem.ticks.infinite)[network.slot]
    _, source_side = minimum_cut(network, capacities)
    return gap_placement(bounds.gaps, gap, network.placement(source_side)[1:-1])
