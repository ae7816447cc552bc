"""What users compare with: simple policies, and what planners in papers do. None is exact."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from planner.arrays import IntArray
from planner.costs.scenario import Objective
from planner.graphs.blocks import structure_of
from planner.problems.feasibility import closed_before
from planner.problems.prefixes import best_prefix, steadiest_prefix
from planner.problems.problem import Problem
from planner.problems.quotient import Quotient, quotient
from planner.problems.solution import Capabilities, Certificate, Limits, Solution, Status
from planner.solvers.flow.network import network_of, network_without_reverse_arcs

Answer = tuple[IntArray, Status, str]


class Policy:
    """A rule that places operators without a proof."""

    requires: tuple[str, ...] = ()

    def __init__(
        self,
        name: str,
        summary: str,
        place: Callable[[Problem], Answer],
        max_hosts: int | None = None,
        requires: tuple[str, ...] = (),
    ) -> None:
        self.name = name
        self.requires = requires
        self.capabilities = Capabilities(
            is_exact=False, summary=summary, max_hosts=max_hosts, objectives=tuple(Objective)
        )
        self._place = place

    def solve(self, problem: Problem, *, limits: Limits) -> Solution:
        """Place every operator; the status says whether the rules are kept."""
        start = time.perf_counter()
        placement, status, message = self._place(problem)
        goal = problem.goal
        value = 0 if status is Status.INFEASIBLE else goal.value(placement)
        return Solution(
            placement=placement,
            certificate=Certificate(value=value, lower_bound=0, quantum_s=goal.quantum_s),
            status=status,
            message=message,
            solver=self.name,
            solver_version="planner",
            seconds=time.perf_counter() - start,
        )


def _checked(problem: Problem, placement: IntArray, message: str) -> Answer:
    """Feasible if every operator is within its bounds and no arc is broken."""
    rules = problem.constraints
    misplaced = np.flatnonzero((placement < rules.low) | (placement > rules.high))
    if len(misplaced):
        operator = int(misplaced[0])
        is_low = bool(placement[operator] < rules.low[operator])
        return placement, Status.INFEASIBLE, rules.describe_bound(operator, is_low)
    broken = np.flatnonzero(placement[rules.before] > placement[rules.after])
    if len(broken):
        arc = broken[0]
        ends = int(rules.before[arc]), int(rules.after[arc]), int(rules.reason[arc])
        return placement, Status.INFEASIBLE, rules.describe(*ends)
    return placement, Status.FEASIBLE, message


def _device_only(problem: Problem) -> Answer:
    placement = np.zeros(problem.n_operators, np.int64)
    return _checked(problem, placement, "everything on the first host")


def _server_only(problem: Problem) -> Answer:
    placement = np.full(problem.n_operators, problem.n_hosts - 1, np.int64)
    return _checked(problem, placement, "everything on the last host")


def _prefix(problem: Problem, allowed: npt.NDArray[np.bool_] | None, what: str) -> Answer:
    stages = problem.goal.parts
    if len(stages) > 1 and problem.n_hosts == 2:
        placement = steadiest_prefix(problem, stages, allowed)
    else:  # with more hosts and stages their positions depend on one another: the least delay
        placement = best_prefix(problem, problem.ticks.terms, allowed)
    if placement is None:
        shown = np.full(problem.n_operators, problem.n_hosts - 1, np.int64)
        limits = " and memory limits" if problem.memory is not None else ""
        return shown, Status.INFEASIBLE, f"no {what} keeps the rules{limits}"
    return placement, Status.FEASIBLE, f"best {what}"


def _best_prefix(problem: Problem) -> Answer:
    return _prefix(problem, None, "prefix of one topological order")


def _best_layer(problem: Problem) -> Answer:
    """Cut positions that at most one tensor crosses, and the two ends."""
    n, x = problem.n_operators, problem.transfers
    steps = np.zeros(n + 2, np.int64)
    if len(x):
        is_tensor = (x.tensor >= 0).astype(np.int64)
        last = np.maximum.reduceat(x.readers, x.indptr[:-1])
        np.add.at(steps, np.where(x.source < 0, 0, x.source + 1), is_tensor)
        np.add.at(steps, last + 1, -is_tensor)
    allowed = np.cumsum(steps)[: n + 1] <= 1
    allowed[[0, n]] = True
    return _prefix(
        problem, np.tile(allowed, (problem.n_links, 1)), "layer boundary with a single tensor"
    )


def _dads(problem: Problem) -> Answer:
    """The published minimum cut without reverse arcs, closed under ancestors where infeasible."""
    from planner.solvers.flow.cuts import (
        minimum_cut,  # OR-tools, which the other policies do without
    )

    network = network_without_reverse_arcs(problem)
    _, source_side = minimum_cut(network, network.capacities(problem.ticks))
    placement = network.placement(source_side)
    answer = _checked(problem, placement, "its cut is feasible")
    if answer[1] is Status.FEASIBLE:
        return answer
    rules = problem.constraints
    backward = int((rules.is_data & (placement[rules.before] > placement[rules.after])).sum())
    latest, earliest = rules.extremes
    closed = np.clip(placement, earliest, latest)
    closed[closed_before(rules, np.flatnonzero(closed == 0)).members] = 0
    text = f"its cut sends data back over {backward} arcs for free; closed under ancestors"
    return closed, Status.REPAIRED, text


def _naive_blocks(problem: Problem) -> Answer:
    """Every block as one vertex, proof or not; only blocks that the rules divide stay expanded."""
    from planner.solvers.flow.cuts import minimum_cut

    merged, n_divided = problem.shared("naive_blocks", lambda: _merged_blocks(problem))
    network = network_of(merged.problem)
    terms = merged.terms(problem.ticks.terms)
    _, source_side = minimum_cut(network, network.capacities(replace(problem.ticks, terms=terms)))
    placement = merged.expand(network.placement(source_side))
    text = f"{problem.n_operators} operators as {merged.problem.n_operators} vertices"
    if n_divided:
        text += f"; blocks that the rules divide: {n_divided}"
    return _checked(problem, placement, text)


def _merged_blocks(problem: Problem) -> tuple[Quotient, int]:
    """The problem with every block as one vertex, and the number of blocks that rules divide."""
    structure = structure_of(problem.graph)
    latest, earliest = problem.constraints.extremes
    label = np.arange(problem.n_operators)
    n_divided = 0
    for block in structure.blocks:
        members = np.array(block.operators)
        # All hosts that one of its operators may have suit the others: then merging stays feasible.
        if np.ptp(latest[members]) or np.ptp(earliest[members]):
            n_divided += 1
        else:
            label[members] = block.first
    _, group_of = np.unique(label, return_inverse=True)
    return quotient(problem, group_of.astype(np.int64)), n_divided


DEVICE_ONLY = Policy("device-only", "everything on the first host", _device_only)
SERVER_ONLY = Policy("server-only", "everything on the last host", _server_only)
BEST_PREFIX = Policy("best-prefix", "best prefix of one topological order", _best_prefix)
BEST_LAYER = Policy("best-layer", "best point where a single tensor crosses", _best_layer)
DADS = Policy(
    "dads",
    "minimum cut without reverse arcs, as published; repaired where infeasible",
    _dads,
    max_hosts=2,
    requires=("ortools",),
)
NAIVE_BLOCKS = Policy(
    "naive-blocks",
    "every block as one vertex, whether or not that keeps the optimum",
    _naive_blocks,
    requires=("ortools",),
)
