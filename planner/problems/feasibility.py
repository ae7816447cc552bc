"""Which placements are feasible, decided by reachability before any cost is looked at.

Every rule says that one operator is not after another, or bounds an operator's host. So the
operators that must be at or before a host are found by a search backwards from those that are bound
to it, and a contradiction is a chain of rules from one pin to another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from heapq import heappop, heappush

import numpy as np

from planner.arrays import BoolArray, IntArray
from planner.errors import PlanError

Describe = Callable[[int, int, int], str]


@dataclass(frozen=True, kw_only=True, eq=False)
class Constraints:
    """Placement rules as bounds and arcs.

    Attributes:
        n_hosts: Number of hosts, K.
        low, high: First and last host allowed for each operator; shape [operators].
        before, after: Arcs: the operator `before[i]` is not placed after `after[i]`; [arcs].
        reason: What each arc comes from, an index that `describe` understands; [arcs].
        is_data: Whether an arc is a tensor's, not another rule's; shape [arcs].
        rule: Which of the user's rules an arc comes from, -1 if from none: tensors, and trained
            parameters that are read together; shape [arcs].
        describe: (before, after, reason) → a clause in words, for a chain of reasons.
        describe_bound: (operator, low or high) → why an operator is bound, in words.
    """

    n_hosts: int
    low: IntArray
    high: IntArray
    before: IntArray
    after: IntArray
    reason: IntArray
    is_data: BoolArray
    rule: IntArray
    describe: Describe
    describe_bound: Callable[[int, bool], str]

    @property
    def is_bound(self) -> bool:
        """Whether any operator may not be on every host."""
        return bool(self.low.any() or (self.high < self.n_hosts - 1).any())

    def take(self, arcs: IntArray | BoolArray) -> Constraints:
        """The same bounds with some of the arcs: their positions, or a mask."""
        return replace(
            self,
            before=self.before[arcs],
            after=self.after[arcs],
            reason=self.reason[arcs],
            is_data=self.is_data[arcs],
            rule=self.rule[arcs],
        )

    def keeps(self, placements: IntArray) -> BoolArray:
        """Whether placements keep all bounds and arcs; [operators] → [], [p, operators] → [p]."""
        is_bound = ((self.low <= placements) & (placements <= self.high)).all(axis=-1)
        in_order = placements[..., self.before] <= placements[..., self.after]
        return np.asarray(is_bound & in_order.all(axis=-1))

    @cached_property
    def extremes(self) -> tuple[IntArray, IntArray]:
        """The componentwise latest and earliest feasible placements; shape [operators] each.

        Read-only, because every state of a problem shares them.

        Raises:
            PlanError: With exit status 3 and the chain of reasons, if no placement is feasible.
        """
        found = _find_extremes(self)
        for placement in found:
            placement.flags.writeable = False
        return found

    def require_feasible(self) -> None:
        """Nothing, if some placement keeps the rules.

        Raises:
            PlanError: As `extremes`.
        """
        _ = self.extremes

    @cached_property
    def prefix_feasible(self) -> BoolArray:
        """Which cut positions of one topological order keep the rules; [links, operators + 1].

        A position j of link k puts operators before j on hosts up to k. An arc that points against
        the order ties two operators, so no position may lie between them.
        """
        n, links = len(self.low), self.n_hosts - 1
        blocked = np.zeros(n + 2, np.int64)
        against = self.before > self.after
        np.add.at(blocked, self.after[against] + 1, 1)
        np.add.at(blocked, self.before[against] + 1, -1)
        open_positions = np.cumsum(blocked)[: n + 1] == 0
        feasible = np.empty((links, n + 1), np.bool_)
        positions = np.arange(n + 1)
        for k in range(links):
            must_be_after = np.flatnonzero(self.low > k)
            must_be_before = np.flatnonzero(self.high <= k)
            last = must_be_after[0] if len(must_be_after) else n
            first = must_be_before[-1] + 1 if len(must_be_before) else 0
            feasible[k] = open_positions & (positions >= first) & (positions <= last)
        feasible.flags.writeable = False
        return feasible


def _find_extremes(constraints: Constraints) -> tuple[IntArray, IntArray]:
    latest = np.full(len(constraints.low), constraints.n_hosts - 1, np.int64)
    earliest = np.zeros(len(constraints.low), np.int64)
    if not constraints.is_bound:
        return latest, earliest
    for host in reversed(range(constraints.n_hosts - 1)):
        found = closed_before(constraints, np.flatnonzero(constraints.high <= host))
        if (constraints.low[found.members] > host).any():
            raise _infeasible(constraints)
        latest[found.members] = host
    for host in range(1, constraints.n_hosts):
        starts = np.flatnonzero(constraints.low >= host)
        n = len(constraints.low)
        found = _search(starts, constraints.before, constraints.after, n)
        earliest[found.members] = host
    return latest, earliest


def closed_before(constraints: Constraints, starts: IntArray) -> Closure:
    """`starts` and every operator that may not be placed after one of them."""
    return _search(starts, constraints.after, constraints.before, len(constraints.low))


@dataclass(frozen=True, slots=True, kw_only=True)
class Closure:
    """What a breadth-first search found, and over which arc (-1: a start)."""

    members: IntArray
    arc_to: dict[int, int]


def _search(starts: IntArray, tails: IntArray, heads: IntArray, n: int) -> Closure:
    order = np.argsort(tails, kind="stable")
    row = np.searchsorted(tails[order], np.arange(n + 1))
    arc_to = dict.fromkeys(starts.tolist(), -1)
    queue = list(arc_to)
    for vertex in queue:
        for arc in order[row[vertex] : row[vertex + 1]].tolist():
            head = int(heads[arc])
            if head not in arc_to:
                arc_to[head] = arc
                queue.append(head)
    return Closure(members=np.array(sorted(arc_to), np.int64), arc_to=arc_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Conflict:
    """A minimal set of rules that no placement keeps: two bounds and a path of arcs between them.

    Attributes:
        late: The operator that is bound to be after a host.
        early: The operator that is bound to be at or before it; may be the same one.
        arcs: Positions of the arcs that say why `late` is not placed after `early`, in the order
            from `early` to `late`.
    """

    late: int
    early: int
    arcs: tuple[int, ...]


def conflict_of(constraints: Constraints) -> Conflict | None:
    """A chain of few rules that contradict each other; None if some placement is feasible.

    Without any one of its rules the others can be kept. Data flows as it does: tensors are no
    rules that could be dropped.
    """
    conflict = _shortest_chain(constraints)
    if conflict is None:
        return None
    last = constraints.n_hosts - 1
    low, high = np.zeros_like(constraints.low), np.full_like(constraints.high, last)
    low[conflict.late] = constraints.low[conflict.late]
    high[conflict.early] = constraints.high[conflict.early]
    between = replace(constraints, low=low, high=high)
    # The path has the fewest arcs of rules, but a rule may have several, and others be spared.
    needed = set(constraints.rule[list(conflict.arcs)].tolist()) - {-1}
    for rule in sorted(needed):
        others = np.flatnonzero(np.isin(constraints.rule, [-1, *(needed - {rule})]))
        shorter = _shortest_chain(between.take(others))
        if shorter is not None:
            arcs = tuple(others[list(shorter.arcs)].tolist())
            conflict = replace(conflict, arcs=arcs)
            needed = set(constraints.rule[list(arcs)].tolist()) - {-1}
    return conflict


def _shortest_chain(constraints: Constraints) -> Conflict | None:
    """Of all chains from a bound to one that contradicts it, one with the fewest rules.

    Dijkstra's algorithm, backwards from what is bound early; of equal ones the one with the fewest
    arcs.
    """
    n = len(constraints.low)
    order = np.argsort(constraints.after, kind="stable")
    row = np.searchsorted(constraints.after[order], np.arange(n + 1)).tolist()
    best: tuple[tuple[int, int], Conflict] | None = None
    for host in range(constraints.n_hosts - 1):
        starts = np.flatnonzero(constraints.high <= host).tolist()
        heap = [((0, 0), v, -1) for v in starts]
        arc_to: dict[int, int] = {}
        while heap:
            cost, vertex, arc = heappop(heap)
            if vertex in arc_to:
                continue
            arc_to[vertex] = arc
            if constraints.low[vertex] > host:
                if best is None or cost < best[0]:
                    best = cost, _chain(constraints, arc_to, vertex)
                break
            for onward in order[row[vertex] : row[vertex + 1]].tolist():
                n_rules = cost[0] + int(constraints.rule[onward] >= 0)
                heappush(heap, ((n_rules, cost[1] + 1), int(constraints.before[onward]), onward))
    return best[1] if best is not None else None


def _chain(constraints: Constraints, arc_to: dict[int, int], clash: int) -> Conflict:
    path, vertex = [], clash
    while (arc := arc_to[vertex]) >= 0:
        path.append(arc)
        vertex = int(constraints.after[arc])
    return Conflict(late=clash, early=vertex, arcs=tuple(reversed(path)))


def _infeasible(constraints: Constraints) -> PlanError:
    conflict = conflict_of(constraints)
    assert conflict is not None
    late = constraints.describe_bound(conflict.late, True)
    early = constraints.describe_bound(conflict.early, False)
    if len(conflict.arcs) == 1 and constraints.is_data[conflict.arcs[0]]:
        # Both say of which operator they are: "`relu1` is pinned to `device`".
        chain, end = f"{late}, but its consumer {early}", ""
    else:
        clauses = [early, *_clauses(constraints, conflict), late]
        shown = clauses if len(clauses) <= 12 else [*clauses[:6], "…", *clauses[-5:]]
        chain, end = "\n  and because ".join(shown), "\n  no host is left for it"
    is_fused = "as one kernel" in chain
    apart = ", or measure kernels apart: `planner profile --no-fusion`" if is_fused else ""
    return PlanError(
        f"no placement satisfies the rules\n  because {chain}{end}",
        code="PLN401",
        exit_code=3,
        hint=f"drop one of the rules in the chain{apart}",
    )


def _clauses(constraints: Constraints, conflict: Conflict) -> Iterator[str]:
    """Along the arcs, from the operator that is bound early to the one that is bound late."""
    for arc in conflict.arcs:
        before, after = int(constraints.before[arc]), int(constraints.after[arc])
        yield constraints.describe(before, after, int(constraints.reason[arc]))
