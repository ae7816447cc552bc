"""What a solver minimises, in whole ticks: the delay of a round, or the slowest stage.

As a pipeline, hosts and links work on consecutive mini-batches at the same time. Its stages are the
compute of each host and the traffic of each link, up and down; the slowest sets the rate. Latency
and the exchange of parameters are no stages: they delay a mini-batch, or a round, but block nobody.
docs/theory.md, §16.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.arrays import FloatArray, IntArray
from planner.problems.instance import Instance
from planner.problems.prefixes import steadiest_prefix
from planner.problems.terms import Terms, Ticks
from planner.problems.ticks import feasible_placements, in_ticks


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Goal:
    """The value of a placement: the largest of the totals of some parts.

    Attributes:
        problem: Whose placements these are.
        parts: Terms in ticks: one part for a delay, one per stage for a throughput.
        quantum_s: Seconds of one tick.
        bound: Ticks that some feasible placement does not exceed.
    """

    problem: Instance
    parts: tuple[Terms[np.int64], ...]
    quantum_s: float
    bound: int

    def value(self, placement: IntArray) -> int:
        """Ticks of one feasible placement; shape [operators]."""
        return max(int(self.problem.total(part, placement)) for part in self.parts)

    def values(self, placements: IntArray) -> IntArray:
        """Ticks of many; [placements, operators] → [placements]."""
        totals = [self.problem.totals(part, placements) for part in self.parts]
        highest: IntArray = np.max(totals, axis=0)
        return highest

    def is_coarse_for(self, value: int) -> bool:
        """Whether a best value is so far below the bound that it should become the bound.

        Below half of it, a bit of every cost is wasted.
        """
        return 2 * value < self.bound


def delay_goal(problem: Instance, ticks: Ticks) -> Goal:
    """The delay of a round, in the ticks of the current state; `Problem.goal` keeps it."""
    return Goal(problem=problem, parts=(ticks.terms,), quantum_s=ticks.quantum_s, bound=ticks.bound)


def throughput_goal(problem: Instance) -> Goal:
    """The slowest stage of a pipeline; `Problem.goal` keeps it."""
    stages = stage_seconds(problem)
    flat = np.stack([stage.flat() for stage in stages])
    known = feasible_placements(problem)
    if problem.n_hosts == 2 and (prefix := steadiest_prefix(problem, stages)) is not None:
        known.append(prefix)
    # What a placement pays is the same in every stage; costs that are not a stage's are 0 there.
    paid = np.stack([problem.paid(p) for p in known] or [flat[0] >= 0])
    good = paid[(flat @ paid.T).max(axis=0).argmin()]
    own = np.repeat(np.eye(len(stages), dtype=np.bool_), flat.shape[1], axis=1)
    whole, quantum_s, bound = in_ticks(flat.ravel(), own & np.tile(good, len(stages)))
    rows = whole.reshape(flat.shape)
    parts = tuple(stage.like(row) for stage, row in zip(stages, rows, strict=True))
    return Goal(problem=problem, parts=parts, quantum_s=quantum_s, bound=bound)


def stage_seconds(problem: Instance) -> tuple[Terms[np.float64], ...]:
    """What every stage spends on one mini-batch: hosts, then links up, then links down."""
    hosts = np.arange(problem.n_hosts)[:, None]
    compute = problem.compute_s / problem.speed[:, None]
    stages = [_stage(problem, unary=np.where(hosts == h, compute, 0.0)) for h in hosts.ravel()]
    x = problem.transfers
    for rates, bits, is_down in (
        (problem.uplink_bps, x.up_bits, False),
        (problem.downlink_bps, x.down_bits, True),
    ):
        for link, rate in enumerate(rates.tolist()):
            unary = np.where(is_down & (hosts > link), problem.returned_bits, 0.0)
            transfer = np.zeros((len(x), problem.n_links))
            transfer[:, link] = np.where(x.is_forbidden, 0.0, bits)
            stages.append(
                _stage(
                    problem,
                    unary=unary / rate,
                    transfer=transfer / rate,
                    sync=problem.tied.bits / rate,
                )
            )
    return tuple(stages)


def _stage(
    problem: Instance,
    *,
    unary: FloatArray,
    transfer: FloatArray | None = None,
    sync: FloatArray | None = None,
) -> Terms[np.float64]:
    nothing = np.zeros(len(problem.tied.bits))
    return Terms(
        unary=unary,
        transfer=np.zeros((len(problem.transfers), problem.n_links))
        if transfer is None
        else transfer,
        exchange=nothing,
        sync=nothing if sync is None else sync,
    )
