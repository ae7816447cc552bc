"""Placements along one topological order: what depends on a cut position, and the best of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from planner.arrays import BoolArray, IntArray
from planner.problems.instance import Instance
from planner.problems.terms import Number, Terms


def best_prefix(
    problem: Instance, terms: Terms[Number], allowed: BoolArray | None = None
) -> IntArray | None:
    """The best placement along the graph's topological order, or None if none is feasible.

    Link k gets one cut position j_k: operators before it are on hosts up to k. The total is a sum
    of one function of each j_k with j_0 ≤ j_1 ≤ …, so a running minimum per link solves it.

    Args:
        problem: Gives transfers and constraints.
        terms: Costs, in seconds or ticks.
        allowed: Cut positions that may be used; shape [links, operators + 1].
    """
    n, links = problem.n_operators, problem.n_links
    feasible = feasible_positions(problem)
    if allowed is not None:
        feasible = feasible & allowed
    worst = np.iinfo(np.int64).max if terms.unary.dtype.kind == "i" else np.inf
    best = np.zeros(n + 1, terms.unary.dtype)
    choice = np.empty((links, n + 1), np.int64)
    reachable = np.ones(n + 1, np.bool_)
    for k in range(links):
        cost = np.where(reachable & feasible[k], best + prefix_costs(problem, terms, k), worst)
        is_lower = np.concatenate([[True], cost[1:] < np.minimum.accumulate(cost)[:-1]])
        choice[k] = np.maximum.accumulate(np.where(is_lower, np.arange(n + 1), 0))
        best = np.minimum.accumulate(cost)
        reachable = best < worst
        best = np.where(reachable, best, 0)
    if not reachable[n]:
        return None
    placement = np.zeros(n, np.int64)
    position = n
    for k in reversed(range(links)):
        position = int(choice[k, position])
        placement[position:] += 1
    return placement


def steadiest_prefix(
    problem: Instance, stages: Sequence[Terms[Number]], allowed: BoolArray | None = None
) -> IntArray | None:
    """The prefix with the fastest slowest stage, or None if none is feasible; two hosts.

    Args:
        problem: Gives transfers and constraints.
        stages: Terms of every stage, in seconds or ticks.
        allowed: Cut positions that may be used; shape [links, operators + 1].
    """
    feasible = feasible_positions(problem)[0] & (True if allowed is None else allowed[0])
    positions = np.flatnonzero(feasible)
    if not len(positions):
        return None
    slowest = np.max(
        [prefix_costs(problem, stage, 0) + stage.unary[1].sum() for stage in stages], axis=0
    )
    position = positions[slowest[positions].argmin()]
    return np.asarray(np.arange(problem.n_operators) >= position, np.int64)


def feasible_positions(problem: Instance) -> BoolArray:
    """Which cut positions of the order keep the rules; shape [links, operators + 1].

    With two hosts the memory limits, too. With more they bind several positions at a time, and
    whoever uses one has to look at its memory.
    """
    feasible = problem.constraints.prefix_feasible
    if problem.memory is not None and problem.n_hosts == 2:
        feasible = feasible & problem.memory.prefix_fits()
    return feasible


def prefix_costs(problem: Instance, terms: Terms[Number], link: int) -> npt.NDArray[Number]:
    """What depends on the cut position of one link: the hosts' difference and the crossings.

    Returns:
        Cost of each position 0 … operators, up to a constant; shape [operators + 1].
    """
    n = problem.n_operators
    steps = np.zeros(n + 2, terms.unary.dtype)
    steps[1 : n + 1] = terms.unary[link] - terms.unary[link + 1]
    x = problem.transfers
    if len(x):
        last = np.maximum.reduceat(x.readers, x.indptr[:-1])
        start = np.where(x.source < 0, 0, x.source + 1)
        cost = np.where(-1 - x.source <= link, terms.transfer[:, link], 0)
        np.add.at(steps, start, cost)
        np.add.at(steps, last + 1, -cost)
    if len(problem.tied.bits):
        first = np.minimum.reduceat(problem.tied.readers, problem.tied.indptr[:-1])
        last = np.maximum.reduceat(problem.tied.readers, problem.tied.indptr[:-1])
        np.add.at(steps, first + 1, terms.exchange + terms.sync)
        np.add.at(steps, last + 1, -terms.sync)
    costs: npt.NDArray[Number] = np.cumsum(steps)[: n + 1]
    return costs
