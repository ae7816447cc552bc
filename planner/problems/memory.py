"""How much memory a placement needs on every host, as arrays that solvers can work with.

What a host holds is a sum over sets of operators: a set's bytes are held, once, on every host that
has one of its operators. In training that is every parameter with its gradient and optimizer
states, and every tensor that a backward pass reads again; in inference every parameter, and then
the largest working set of one operator. docs/theory.md, §15.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from planner.arrays import BoolArray, FloatArray, IntArray
from planner.costs.cost_table import CostTable
from planner.costs.scenario import Scenario
from planner.errors import PlanError
from planner.graphs.graph import Graph
from planner.units import format_memory

MAX_TOTAL = 2**62
"""All bytes together stay below this, so that no sum of them overflows."""

Hosts = npt.NDArray[np.integer]
"""Host indices, of whatever size."""

ByteSet = tuple[tuple[int, ...], int]
"""Operators, and the bytes that are held wherever one of them is."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MemoryDemand:
    """Bytes that are held where certain operators are, and the limit of every host.

    Attributes:
        limits: Bytes that each host has, infinite where that is not limited; shape [hosts].
        own_bytes: Held on an operator's host on its account alone; shape [operators].
        indptr: CSR row starts into `members`; shape [sets + 1].
        members: Operators of sets with several; ascending within a set.
        set_bytes: Held on every host that has a member of the set; shape [sets].
        working_bytes: Each host needs the largest of its operators' on top; shape [operators].
    """

    limits: FloatArray
    own_bytes: IntArray
    indptr: IntArray
    members: IntArray
    set_bytes: IntArray
    working_bytes: IntArray

    def use(self, placements: Hosts) -> IntArray:
        """Bytes that each host needs; [operators] → [hosts], [p, operators] → [p, hosts]."""
        many = np.atleast_2d(placements)
        hosts = range(len(self.limits))
        need = np.stack([self.held(many == host) for host in hosts], axis=1)
        return need[0] if placements.ndim == 1 else need

    def held(self, parts: BoolArray) -> IntArray:
        """Bytes that one host needs for some parts of the model; [p, operators] → [p]."""
        need = np.asarray(parts @ self.own_bytes, np.int64)
        if len(self.set_bytes):
            held = np.logical_or.reduceat(parts[:, self.members], self.indptr[:-1], axis=1)
            need += held @ self.set_bytes
        if self.working_bytes.any():
            need += (parts * self.working_bytes).max(axis=1, initial=0)
        return need

    def fits(self, placements: Hosts) -> BoolArray:
        """Whether no host needs more than it has; shape [] or [placements]."""
        return np.asarray((self.use(placements) <= self.limits).all(axis=-1))

    @property
    def least_bytes(self) -> int:
        """What all hosts together hold at least, wherever anything is placed."""
        return int(self.own_bytes.sum() + self.set_bytes.sum() + self.working_bytes.max(initial=0))

    def alone_bytes(self) -> IntArray:
        """What a host needs for each operator if it has no other; shape [operators]."""
        needs = self.own_bytes + self.working_bytes
        np.add.at(needs, self.members, np.repeat(self.set_bytes, np.diff(self.indptr)))
        return needs

    def prefix_use(self) -> IntArray:
        """Bytes that the operators before each position, and those from it on, need.

        Returns:
            Shape [operators + 1, 2]; row j is the use of the first and of the last host if the
            operators before j are on the first and the others on the last.
        """
        n = len(self.own_bytes)
        before, after = self.own_bytes.copy(), self.own_bytes.copy()
        if len(self.set_bytes):
            np.add.at(before, self.members[self.indptr[:-1]], self.set_bytes)
            np.add.at(after, self.members[self.indptr[1:] - 1], self.set_bytes)
        need = np.zeros((n + 1, 2), np.int64)
        need[1:, 0] = np.cumsum(before) + np.maximum.accumulate(self.working_bytes)
        backwards = self.working_bytes[::-1]
        need[:-1, 1] = (np.cumsum(after[::-1]) + np.maximum.accumulate(backwards))[::-1]
        return need

    def prefix_fits(self) -> BoolArray:
        """Which cut positions of a route of two hosts keep both limits; shape [operators + 1]."""
        return np.asarray((self.prefix_use() <= self.limits).all(axis=1))

    def merged(self, group_of: IntArray, n_groups: int) -> MemoryDemand:
        """The same with operators placed in groups; see `planner.problems.quotient`."""
        own, working = np.zeros(n_groups, np.int64), np.zeros(n_groups, np.int64)
        np.add.at(own, group_of, self.own_bytes)
        np.maximum.at(working, group_of, self.working_bytes)
        starts, ends = self.indptr[:-1].tolist(), self.indptr[1:].tolist()
        groups = group_of[self.members].tolist()
        rows = (
            (tuple(sorted(set(groups[start:end]))), size)
            for start, end, size in zip(starts, ends, self.set_bytes.tolist(), strict=True)
        )
        return _demand(self.limits, own, working, rows)


def nothing_fits() -> PlanError:
    """The error of a solver for which every placement that keeps the rules breaks a limit."""
    return PlanError("no placement fits the memory limits", code="PLN406", exit_code=3)


def shortage(need: int, limit: int) -> str:
    """A need and a limit in words, in as many digits as it takes to tell them apart.

    >>> shortage(5 * 2**30, 4 * 2**30), shortage(4096, 4095)
    ('needs 5.0 GiB, the limit is 4.0 GiB', 'needs 4.000 KiB, the limit is 3.999 KiB')
    """
    for digits in (1, 2, 3):
        shown, has = format_memory(need, digits), format_memory(limit, digits)
        if shown != has:
            return f"needs {shown}, the limit is {has}"
    return f"needs {need} B, the limit is {limit} B"


def shortages(
    hosts: Sequence[str], needs: Sequence[int], limits: Sequence[float | None]
) -> Iterator[tuple[str, int, int]]:
    """(In words, need, limit) of every host that needs more than it has; None: not limited."""
    for host, need, limit in zip(hosts, needs, limits, strict=True):
        if limit is not None and need > limit:
            yield f"`{host}` memory: {shortage(need, int(limit))}", need, int(limit)


def memory_demand(graph: Graph, table: CostTable, scenario: Scenario) -> MemoryDemand | None:
    """What the hosts of a scenario need; None if none of them is limited.

    Raises:
        PlanError: If everything together is too much to be added up.
    """
    if not scenario.memory_limits:
        return None
    limits = np.array([np.inf if m is None else m for m in scenario.memory_limits], np.float64)
    n = len(graph.operators)
    is_training = scenario.workload.is_training
    held = [*_parameter_sets(graph, scenario)]
    working = [0] * n
    if is_training:
        held += _saved_tensors(graph, table)
    else:
        sizes = graph.tensor_bytes.tolist()
        working = [sum(sizes[t] for t in (*op.inputs, *op.outputs)) for op in graph.operators]
    hosts = len(limits)
    if hosts * sum(size for _, size in held) + max(working, default=0) > MAX_TOTAL:
        raise PlanError(
            "the model needs more than 2^62 bytes of memory",
            code="PLN411",
            hint="check the sizes of its parameters and tensors",
        )
    return _demand(limits, np.zeros(n, np.int64), np.array(working, np.int64), held)


def _parameter_sets(graph: Graph, scenario: Scenario) -> Iterator[ByteSet]:
    copies = 2 + scenario.workload.optimizer_states if scenario.workload.is_training else 1
    for parameter in graph.parameters:
        yield parameter.readers, parameter.size_bytes * (copies if parameter.trainable else 1)


def _saved_tensors(graph: Graph, table: CostTable) -> Iterator[ByteSet]:
    """Every tensor that an operator with a backward pass reads."""
    has_backward = table.has_backward.tolist()
    for tensor in graph.tensors:
        readers = tuple(reader for reader in tensor.consumers if has_backward[reader])
        if readers:
            yield readers, tensor.size_bytes


def _demand(
    limits: FloatArray, own: IntArray, working: IntArray, held: Iterator[ByteSet] | list[ByteSet]
) -> MemoryDemand:
    """Sets with one member are its own, equal sets are one."""
    several: dict[tuple[int, ...], int] = {}
    for members, size in held:
        if len(members) == 1:
            own[members[0]] += size
        elif size and members:
            several[members] = several.get(members, 0) + size
    return MemoryDemand(
        limits=limits,
        own_bytes=own,
        indptr=np.cumsum([0, *(len(members) for members in several)]).astype(np.int64),
        members=np.fromiter((m for members in several for m in members), np.int64),
        set_bytes=np.fromiter(several.values(), np.int64, len(several)),
        working_bytes=working,
    )
