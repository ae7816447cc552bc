"""Which blocks became one vertex in a state, and why the others did not (two hosts)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from planner.arrays import IntArray
from planner.graphs.blocks import Block, structure_of
from planner.solvers.blockwise.abstraction import Pattern, group_of_operators, groups_of, pattern_of
from planner.solvers.blockwise.regions import Regions, regions_of
from planner.solvers.flow.whole import MinimumCut
from planner.units import format_bytes

if TYPE_CHECKING:
    from planner.problems.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockVerdict:
    """Blocks of one kind that share a fate.

    Attributes:
        kind: Number of the kind, as in `planner.graphs.blocks.Structure`.
        n_operators: Operators of one block.
        places: First and last operator of each block, by name, in graph order.
        reason: Why they stay expanded; None if each is (part of) one vertex.
    """

    kind: int
    n_operators: int
    places: tuple[tuple[str, str], ...]
    reason: str | None

    @property
    def is_abstracted(self) -> bool:
        """Whether each of these blocks is one vertex, or part of one."""
        return self.reason is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What `blockwise` made of a problem in its state.

    Attributes:
        n_operators: Operators of the graph.
        n_vertices: Vertices that are left of them.
        n_flows: Minimum cuts that bound the insides of all blocks: one for each different inside.
        verdicts: Of all blocks, in graph order.
    """

    n_operators: int
    n_vertices: int
    n_flows: int
    verdicts: tuple[BlockVerdict, ...]


def explain_blocks(problem: Problem, engine: MinimumCut | None = None) -> Explanation:
    """Why `blockwise` treats every block of a problem with two hosts as it does.

    Args:
        problem: In the state to explain.
        engine: What finds minimum cuts inside blocks; OR-tools unless given.

    Raises:
        PlanError: If no placement is feasible.
        ValueError: If there are more than two hosts: `blockwise` then abstracts nothing.
    """
    if problem.n_hosts != 2:
        raise ValueError(f"there are {problem.n_hosts} hosts, expected 2")
    regions = regions_of(problem, engine or _default_engine())
    pattern = pattern_of(problem, regions)
    group_of = group_of_operators(regions, groups_of(regions, pattern))
    names = [operator.name for operator in problem.graph.operators]
    found: dict[tuple[int, str | None], list[Block]] = {}
    for block in structure_of(problem.graph).blocks:
        is_one = len(np.unique(group_of[list(block.operators)])) == 1
        reason = None if is_one else _Reasons(problem, regions, pattern).of(block)
        found.setdefault((block.kind, reason), []).append(block)
    return Explanation(
        n_operators=problem.n_operators,
        n_vertices=int(group_of.max(initial=-1)) + 1,
        n_flows=regions.n_flows,
        verdicts=tuple(
            BlockVerdict(
                kind=kind,
                n_operators=len(blocks[0].operators),
                places=tuple((names[b.first], names[b.exit]) for b in blocks),
                reason=reason,
            )
            for (kind, reason), blocks in found.items()
        ),
    )


def _default_engine() -> MinimumCut:
    from planner.solvers.flow.cuts import minimum_cut  # OR-tools, which other engines do without

    return minimum_cut


class _Reasons:
    """Why a block may not be one vertex: the first part of the condition that it fails."""

    def __init__(self, problem: Problem, regions: Regions, pattern: Pattern) -> None:
        self.problem, self.regions, self.pattern = problem, regions, pattern

    def of(self, block: Block) -> str:
        """The reason, in words."""
        order, ends = self.regions.order, self.regions.ends
        positions = order.position[list(block.operators)]
        fixed = np.flatnonzero((positions < 0) | (positions >= len(order.free)))
        if len(fixed):
            return f"the rules fix {self._operator(block.operators[fixed[0]])} to one host"
        low, high = int(positions.min()), int(positions.max())
        start, stop = np.searchsorted(ends, [low - 1, high]).tolist()
        is_region = start < len(ends) and stop < len(ends)
        if not (is_region and ends[start] == low - 1 and ends[stop] == high):
            return "other operators run beside it, or a rule spans its end"
        return (
            self._slower(low, high)
            or self._bytes(start, stop)
            or self._readers(start, stop)
            or f"rounding decides: {self._closest(low, high)} takes about as long on both hosts"
        )

    def _operator(self, index: int) -> str:
        return f"`{self.problem.graph.operators[index].name}`"

    def _slower(self, low: int, high: int) -> str | None:
        slower = low + np.flatnonzero(self.pattern.is_slower[low:high])
        if not len(slower):
            return None
        others = f" and {len(slower) - 1} more are" if len(slower) > 1 else " is"
        device = self.problem.hosts[0]
        return f"{self._operator(self.regions.order.free[slower[0]])}{others} faster on `{device}`"

    def _bytes(self, start: int, stop: int) -> str | None:
        for direction, what in enumerate(("a cut inside", "the gradients of a cut inside")):
            least = int(self.regions.least_bytes[direction, start:stop].min())
            entry = int(self.regions.entry_bytes[direction, start])
            if least < entry:
                verb = "carries" if direction == 0 else "carry"
                return f"{what} {verb} {format_bytes(least)}, the entry {format_bytes(entry)}"
        return None

    def _readers(self, start: int, stop: int) -> str | None:
        if self.regions.reach[start] >= stop:
            return None
        tied, spans = self.problem.tied, self.regions.spans
        end, exit_position = self.regions.ends[start], self.regions.ends[stop]
        inside = (spans.tied_first <= end) & (end < spans.tied_last)
        for row in np.flatnonzero(inside & (spans.tied_last < exit_position)).tolist():
            name = self.problem.graph.parameters[int(tied.parameter[row])].name
            return f"its parameter `{name}` is also read before it"
        return "there is more to send than whole numbers can hold"

    def _closest(self, low: int, high: int) -> str:
        free: IntArray = self.regions.order.free
        close = low + np.flatnonzero(self.pattern.is_close[low : high + 1])
        return self._operator(int(free[close[0]])) if len(close) else "its first operator"
