"""The planning problem as arrays: every term of the delay, and every rule that binds a placement.

All terms are kept linear in (1/uplink, 1/downlink, host slowness): a new link state or host speed
is one numpy expression. A term is one of four kinds:

* unary: what an operator costs on a host (compute, parameter exchange, returned outputs);
* transfer: what crosses a link once if any reader is after it (tensors, labels, link latency);
* exchange and synchronisation of a tied parameter (two hosts only).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import inf
from typing import ClassVar, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt

from planner.arrays import BoolArray, FloatArray, IntArray, take_rows
from planner.costs.scenario import Workload
from planner.errors import PlanError
from planner.graphs.graph import Graph
from planner.problems.feasibility import Constraints
from planner.problems.memory import MemoryDemand
from planner.problems.terms import Number, Terms

LABELS = -1
"""`Transfers.tensor` of the labels."""


LATENCY = -2
"""`Transfers.tensor` of the latency of a used link."""


T = TypeVar("T")


_ABSENT = object()


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

    def take(self, rows: IntArray) -> Transfers:
        """Some of the rows, in the order given."""
        indptr, readers = take_rows(self.indptr, self.readers, rows)
        return Transfers(
            tensor=self.tensor[rows],
            source=self.source[rows],
            indptr=indptr,
            readers=readers,
            up_bits=self.up_bits[rows],
            down_bits=self.down_bits[rows],
            latencies=self.latencies[rows],
            is_forbidden=self.is_forbidden[rows],
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TiedParameters:
    """Trainable parameters with several readers (K = 2): CSR of readers, and bits of one copy."""

    parameter: IntArray
    indptr: IntArray
    readers: IntArray
    bits: FloatArray

    def take(self, rows: IntArray) -> TiedParameters:
        """Some of the rows, in the order given."""
        indptr, readers = take_rows(self.indptr, self.readers, rows)
        return TiedParameters(
            parameter=self.parameter[rows], indptr=indptr, readers=readers, bits=self.bits[rows]
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scaled:
    """Costs of a whole round per unit of the state; transfers as columns, forbidden ones zero."""

    compute_s: FloatArray
    up_bits: FloatArray
    down_bits: FloatArray
    latencies: FloatArray
    has_exchange: bool
    has_returned: bool
    has_latency: bool


@dataclass(frozen=True, kw_only=True, eq=False)
class Instance:
    """Every term of the delay in one state, in seconds, and the rules that bind a placement.

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
        memory: What hosts need and have, if one of them is limited.
        incumbent: A feasible placement known to be good, which sharpens the ticks.
        notes: What the cost models want a person to know.
        structure: What solvers compute once per graph and share between states; `replace` starts
            with none, because it may change more than the state.
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
    memory: MemoryDemand | None = None
    incumbent: IntArray | None = None
    notes: tuple[str, ...] = ()
    structure: dict[Hashable, object] = field(init=False, default_factory=dict, repr=False)

    _OF_STATE: ClassVar[tuple[str, ...]] = ("seconds",)
    """What is computed once per state."""

    def shared(self, key: Hashable, make: Callable[[], T]) -> T:
        """What `make` gives, made once for all states of this problem and kept under `key`."""
        known = self.structure.get(key, _ABSENT)
        if known is _ABSENT:
            known = self.structure[key] = make()
        return cast(T, known)

    @property
    def n_operators(self) -> int:
        """Number of operators."""
        return int(self.compute_s.shape[1])

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
    ) -> Self:
        """The same problem in another link state; no graph work.

        Args:
            uplink_bps: Bits per second up, one number for all links or one per link.
            downlink_bps: Bits per second down.
            latency_s: Seconds one way.

        Raises:
            PlanError: If a rate is not a finite number > 0, or a latency is negative.
        """
        return self._in_state(
            uplink_bps=self._link_values(uplink_bps, self.uplink_bps, "uplink_bps"),
            downlink_bps=self._link_values(downlink_bps, self.downlink_bps, "downlink_bps"),
            latency_s=self._link_values(latency_s, self.latency_s, "latency_s"),
            incumbent=None,
        )

    def _in_state(self, **changes: object) -> Self:
        """`dataclasses.replace` without the cost of running through every field."""
        other = object.__new__(type(self))
        fields = other.__dict__
        fields.update(self.__dict__)
        for cached in self._OF_STATE:
            fields.pop(cached, None)
        fields.update(changes)
        return other

    def _link_values(self, value: RateInput | None, old: FloatArray, what: str) -> FloatArray:
        if value is None:
            return old
        is_latency = what == "latency_s"
        if type(value) is float and len(old) == 1 and 0 < value < inf:
            return np.array((value,))  # the usual case, without the checks of arrays
        try:
            array = np.asarray(value, np.float64)
        except (TypeError, ValueError):
            array = np.array(np.nan)
        low = 0.0 if is_latency else np.nextafter(0.0, 1.0)
        is_number = not isinstance(value, str | bytes | bool) and array.shape in ((), old.shape)
        if not (is_number and np.all(np.isfinite(array) & (array >= low))):
            expected = "≥ 0" if is_latency else "> 0"
            raise PlanError(
                f"`{what}` is {value!r}, expected a finite number {expected}, or one per link",
                code="PLN410",
                where=what,
            )
        return np.broadcast_to(array, old.shape).copy()

    def with_speed(self, /, **speeds: float) -> Self:
        """The same problem with some hosts faster (> 1) or slower (< 1), by host name.

        A name may be any string: `with_speed(**{"edge server": 2.0})`.

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
        return self._in_state(speed=speed, incumbent=None)

    def with_incumbent(self, placement: IntArray) -> Self:
        """The same problem in the same state, in ticks that are sharper by a known placement."""
        return self._in_state(incumbent=placement)

    @cached_property
    def seconds(self) -> Terms[np.float64]:
        """Every term of this state, in seconds per round.

        Raises:
            PlanError: If a term, or the sum of all, is too large for a float64.
        """
        scaled = self._scaled
        up, down = 1.0 / self.uplink_bps, 1.0 / self.downlink_bps
        to_home = (up + down)[::-1].cumsum()[::-1]
        with np.errstate(over="ignore", invalid="ignore"):
            unary = scaled.compute_s * (1.0 / self.speed)[:, None]
            if scaled.has_exchange:
                unary[:-1] += to_home[:, None] * self.exchange_bits
            if scaled.has_returned:
                unary[1:] += down.cumsum()[:, None] * self.returned_bits
            transfer = scaled.up_bits * up
            transfer += scaled.down_bits * down
            if scaled.has_latency:
                transfer += scaled.latencies * self.latency_s
            exchange = self.tied.bits * to_home[0]
            sync = exchange * float(self.workload.iterations)
            terms = Terms(unary=unary, transfer=transfer, exchange=exchange, sync=sync)
            total = terms.flat().sum()
        if not np.isfinite(total) or total > 1e200:
            raise PlanError(
                "the costs add up to more than a float64 can hold exactly enough",
                code="PLN411",
                hint="check the units of the costs and rates: seconds and bits per second",
            )
        return terms

    @property
    def _scaled(self) -> _Scaled:
        """What `seconds` multiplies with the state; the same in all states."""

        def build() -> _Scaled:
            x, rounds = self.transfers, float(self.workload.iterations)
            is_sent = np.where(x.is_forbidden, 0.0, rounds)
            return _Scaled(
                compute_s=self.compute_s * rounds if rounds != 1 else self.compute_s,
                up_bits=(x.up_bits * is_sent)[:, None],
                down_bits=(x.down_bits * is_sent)[:, None],
                latencies=(x.latencies * is_sent)[:, None],
                has_exchange=bool(self.exchange_bits.any()),
                has_returned=bool(self.returned_bits.any()),
                has_latency=bool(x.latencies.any()),
            )

        return self.shared("scaled", build)

    def total(self, terms: Terms[Number], placement: IntArray) -> Number:
        """Sum of `terms` for one feasible placement; shape [operators]."""
        total: Number = terms.flat()[self.paid(placement)].sum()
        return total

    def paid(self, placement: IntArray) -> BoolArray:
        """Which terms one feasible placement pays, in the order of `Terms.flat`."""
        is_there = placement == np.arange(self.n_hosts)[:, None]
        parts = [is_there.ravel()]
        if len(self.transfers):
            first, last = self._ends(placement[None, :])
            links = np.arange(self.n_links)
            crosses = (first[0][:, None] <= links) & (links < last[0][:, None])
            parts.append(crosses.ravel())
        if len(self.tied.bits):
            low, high = self._tied_ends(placement[None, :])
            parts += [low[0] == 0, low[0] != high[0]]
        return np.concatenate(parts)

    def totals(self, terms: Terms[Number], placements: IntArray) -> npt.NDArray[Number]:
        """Sums of `terms` for many feasible placements; [placements, operators] → [placements]."""
        result: npt.NDArray[Number] = terms.unary[placements, np.arange(self.n_operators)].sum(
            axis=1
        )
        if len(self.transfers):
            first, last = self._ends(placements)
            # Link by link: a difference of running sums would lose a fast link behind a slow one.
            for link in range(self.n_links):
                crosses = (first <= link) & (link < last)
                result = result + (terms.transfer[:, link] * crosses).sum(axis=1)
        if len(self.tied.bits):
            low, high = self._tied_ends(placements)
            result = result + (terms.exchange * (low == 0)).sum(axis=1)
            result = result + (terms.sync * (low != high)).sum(axis=1)
        return result

    def _ends(self, placements: IntArray) -> tuple[IntArray, IntArray]:
        """Host that each transfer comes from, and the last that reads it; [placements, rows]."""
        x = self.transfers
        last = np.maximum.reduceat(placements[:, x.readers], x.indptr[:-1], axis=1)
        first = np.where(x.source < 0, -1 - x.source, placements[:, np.maximum(x.source, 0)])
        return first, last

    def _tied_ends(self, placements: IntArray) -> tuple[IntArray, IntArray]:
        """First and last host that holds each tied parameter; [placements, tied]."""
        hosts, starts = placements[:, self.tied.readers], self.tied.indptr[:-1]
        low = np.minimum.reduceat(hosts, starts, axis=1)
        return low, np.maximum.reduceat(hosts, starts, axis=1)
