"""The planning problem as arrays: every term of the delay, and every rule that binds a placement.

All terms are kept linear in (1/uplink, 1/downlink, host slowness): a new link state or host speed
is one numpy expression. A term is one of four kinds:

* unary: what an operator costs on a host (compute, parameter exchange, returned outputs);
* transfer: what crosses a link once if any reader is after it (tensors, labels, link latency);
* exchange and synchronisation of a tied parameter (two hosts only).

Solvers see the terms in whole ticks (`Problem.ticks`), so that equality means equality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt

from planner.costs import FloatArray
from planner.errors import PlanError
from planner.feasibility import Constraints, feasible_extremes
from planner.graphs import Graph, IntArray
from planner.scenarios import Workload

LABELS = -1
"""`Transfers.tensor` of the labels."""
LATENCY = -2
"""`Transfers.tensor` of the latency of a used link."""

MAX_TICKS = 2**60
"""The sum of all finite costs stays below this, so that int64 flows cannot overflow."""

Number = TypeVar("Number", np.int64, np.float64)
RateInput = float | Sequence[float] | FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Transfers:
    """What crosses links: one row per tensor with readers, then labels and link latency.

    Attributes:
        tensor: Tensor index, `LABELS` or `LATENCY`; shape [transfers].
        source: Producing operator, or `-1 - j` for what lives at host j; shape [transfers].
        indptr: CSR row starts into `readers`; shape [transfers + 1].
        readers: Operators that read it; no row is empty.
        up_bits: Bits up each crossed link per iteration.
        down_bits: Bits of gradient down each crossed link per iteration.
        latencies: One-way latencies paid per crossed link and iteration.
        is_forbidden: Whether it may not cross any link.
    """

    tensor: IntArray
    source: IntArray
    indptr: IntArray
    readers: IntArray
    up_bits: FloatArray
    down_bits: FloatArray
    latencies: FloatArray
    is_forbidden: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.tensor)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TiedParameters:
    """Trainable parameters with several readers (K = 2): CSR of readers, and bits of one copy."""

    parameter: IntArray
    indptr: IntArray
    readers: IntArray
    bits: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Terms(Generic[Number]):
    """All terms of one state, in seconds or in ticks per round.

    Attributes:
        unary: Cost of each operator on each host; shape [hosts, operators].
        transfer: Cost of each transfer on each link, 0 where it is forbidden; [transfers, links].
        exchange: Cost of each tied parameter if a reader is on host 0; shape [tied].
        sync: Cost of each tied parameter if its readers are on both hosts; shape [tied].
    """

    unary: npt.NDArray[Number]
    transfer: npt.NDArray[Number]
    exchange: npt.NDArray[Number]
    sync: npt.NDArray[Number]

    def flat(self) -> npt.NDArray[Number]:
        """Every term in one vector: unary, transfer, exchange, sync, each in row order."""
        return np.concatenate([self.unary.ravel(), self.transfer.ravel(), self.exchange, self.sync])

    def like(self, flat: npt.NDArray[np.int64]) -> Terms[np.int64]:
        """The inverse of `flat` for a vector of the same length."""
        sizes = [self.unary.size, self.transfer.size, self.exchange.size]
        unary, transfer, exchange, sync = np.split(flat, np.cumsum(sizes))
        return Terms(
            unary=unary.reshape(self.unary.shape),
            transfer=transfer.reshape(self.transfer.shape),
            exchange=exchange,
            sync=sync,
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ticks:
    """One state in whole ticks.

    Attributes:
        terms: Every finite cost, clipped to `bound + 1`.
        quantum_s: Seconds of one tick, a power of two.
        bound: Value of a feasible placement, in ticks.
        infinite: What stands for an infinite cost: 1 + the sum of all finite ones.
    """

    terms: Terms[np.int64]
    quantum_s: float
    bound: int
    infinite: int


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """One planning problem in one state; made by `planner.problem(graph, costs)`.

    Attributes:
        graph: The model.
        hosts: Names in route order.
        workload: What a round consists of.
        compute_s: Forward + backward seconds per iteration at speed 1; shape [hosts, operators].
        returned_bits: Bits of graph outputs to return, per operator (inference).
        exchange_bits: Bits of trainable parameters charged to one operator alone.
        transfers: What crosses links.
        tied: Parameters charged by their set of readers (K = 2).
        constraints: Which placements are feasible.
        uplink_bps, downlink_bps, latency_s: The link state; shape [links].
        speed: Factor on every host's speed; shape [hosts].
        incumbent: A feasible placement known to be good, which sharpens the ticks.
        notes: What the cost models want a person to know.
        structure: What solvers compute once per graph and share between states.
    """

    graph: Graph
    hosts: tuple[str, ...]
    workload: Workload
    compute_s: FloatArray
    returned_bits: FloatArray
    exchange_bits: FloatArray
    transfers: Transfers
    tied: TiedParameters
    constraints: Constraints
    uplink_bps: FloatArray
    downlink_bps: FloatArray
    latency_s: FloatArray
    speed: FloatArray
    incumbent: IntArray | None = None
    notes: tuple[str, ...] = ()
    structure: dict[str, object] = field(default_factory=dict, repr=False)

    @property
    def n_operators(self) -> int:
        """Number of operators."""
        return self.compute_s.shape[1]

    @property
    def n_hosts(self) -> int:
        """Number of hosts, K."""
        return len(self.hosts)

    @property
    def n_links(self) -> int:
        """Number of links, K - 1."""
        return len(self.hosts) - 1

    def with_links(
        self,
        *,
        uplink_bps: RateInput | None = None,
        downlink_bps: RateInput | None = None,
        latency_s: RateInput | None = None,
    ) -> Problem:
        """The same problem in another link state; no graph work.

        Args:
            uplink_bps: Bits per second up, one number for all links or one per link.
            downlink_bps: Bits per second down.
            latency_s: Seconds one way.

        Raises:
            PlanError: If a rate is not a finite number > 0, or a latency is negative.
        """
        return replace(
            self,
            uplink_bps=self._link_values(uplink_bps, self.uplink_bps, "uplink_bps"),
            downlink_bps=self._link_values(downlink_bps, self.downlink_bps, "downlink_bps"),
            latency_s=self._link_values(latency_s, self.latency_s, "latency_s"),
            incumbent=None,
        )

    def _link_values(self, value: RateInput | None, old: FloatArray, what: str) -> FloatArray:
        if value is None:
            return old
        array = np.asarray(value, np.float64)
        low = 0.0 if what == "latency_s" else np.nextafter(0.0, 1.0)
        if array.shape not in ((), old.shape) or not np.all(np.isfinite(array) & (array >= low)):
            expected = "≥ 0" if what == "latency_s" else "> 0"
            raise PlanError(
                f"`{what}` is {value!r}, expected a finite number {expected}, or one per link",
                code="PLN410",
                where=what,
            )
        return np.broadcast_to(array, old.shape).copy()

    def with_speed(self, **speeds: float) -> Problem:
        """The same problem with some hosts faster (> 1) or slower (< 1), by host name.

        Raises:
            PlanError: If a host is unknown or a factor is not a finite number > 0.
        """
        speed = self.speed.copy()
        for host, factor in speeds.items():
            if host not in self.hosts or not (np.isfinite(factor) and factor > 0):
                known = ", ".join(f"`{name}`" for name in self.hosts)
                raise PlanError(
                    f"speed `{host}={factor!r}`, expected a factor > 0 for one of {known}",
                    code="PLN410",
                    where="with_speed",
                )
            speed[self.hosts.index(host)] = factor
        return replace(self, speed=speed, incumbent=None)

    def with_incumbent(self, placement: IntArray) -> Problem:
        """The same problem in the same state, in ticks that are sharper by a known placement."""
        return replace(self, incumbent=placement)

    @cached_property
    def seconds(self) -> Terms[np.float64]:
        """Every term of this state, in seconds per round.

        Raises:
            PlanError: If a term, or the sum of all, is too large for a float64.
        """
        rounds = float(self.workload.iterations)
        up, down = 1.0 / self.uplink_bps, 1.0 / self.downlink_bps
        with np.errstate(over="ignore", invalid="ignore"):
            both_to_home = np.concatenate([np.cumsum((up + down)[::-1])[::-1], [0.0]])
            down_from_start = np.concatenate([[0.0], np.cumsum(down)])
            unary = self.compute_s * (rounds / self.speed)[:, None]
            unary += np.multiply.outer(both_to_home, self.exchange_bits)
            unary += np.multiply.outer(down_from_start, self.returned_bits)
            x = self.transfers
            transfer = np.multiply.outer(x.up_bits, up) + np.multiply.outer(x.down_bits, down)
            transfer += np.multiply.outer(x.latencies, self.latency_s)
            transfer *= rounds
            transfer[x.is_forbidden] = 0.0
            exchange = self.tied.bits * both_to_home[0]
            terms = Terms(unary=unary, transfer=transfer, exchange=exchange, sync=exchange * rounds)
            total = terms.flat().sum()
        if not np.isfinite(total) or total > 1e200:
            raise PlanError(
                "the costs add up to more than a float64 can hold exactly enough",
                code="PLN411",
                hint="check the units of the costs and rates: seconds and bits per second",
            )
        return terms

    @cached_property
    def ticks(self) -> Ticks:
        """Every term of this state in whole ticks; see the design, §3, "Integers"."""
        return quantise(self)

    def total(self, terms: Terms[Number], placement: IntArray) -> Number:
        """Sum of `terms` for one feasible placement; shape [operators]."""
        return self.totals(terms, placement[None, :])[0]

    def totals(self, terms: Terms[Number], placements: IntArray) -> npt.NDArray[Number]:
        """Sums of `terms` for many feasible placements; [placements, operators] → [placements]."""
        x = self.transfers
        result = terms.unary[placements, np.arange(self.n_operators)].sum(axis=1)
        if len(x):
            last = np.maximum.reduceat(placements[:, x.readers], x.indptr[:-1], axis=1)
            first = np.where(x.source < 0, -1 - x.source, placements[:, np.maximum(x.source, 0)])
            zero = np.zeros((len(x), 1), terms.transfer.dtype)
            upto = np.concatenate([zero, np.cumsum(terms.transfer, axis=1)], axis=1)
            rows = np.arange(len(x))
            result = result + (upto[rows, np.maximum(last, first)] - upto[rows, first]).sum(axis=1)
        if len(self.tied.bits):
            hosts = placements[:, self.tied.readers]
            low = np.minimum.reduceat(hosts, self.tied.indptr[:-1], axis=1)
            high = np.maximum.reduceat(hosts, self.tied.indptr[:-1], axis=1)
            result = result + (terms.exchange * (low == 0)).sum(axis=1)
            result = result + (terms.sync * (low != high)).sum(axis=1)
        return result


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
    best, bound_s = placements[totals.argmin()], float(totals.min())
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


def best_prefix(
    problem: Problem, terms: Terms[Number], allowed: npt.NDArray[np.bool_] | None = None
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
    feasible = problem.constraints.prefix_feasible()
    if allowed is not None:
        feasible &= allowed
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


def prefix_costs(problem: Problem, terms: Terms[Number], link: int) -> npt.NDArray[Number]:
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
