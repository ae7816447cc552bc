"""The stages of a placement as a pipeline, and the memory that it needs, straight from the graph.

Like `planner.evaluation.delay`, which this extends, it shares the priced inputs with the problem
but
nothing of its terms: solvers are checked against it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

import numpy as np

from planner.arrays import IntArray
from planner.costs.cost_table import CostTable
from planner.costs.scenario import Scenario
from planner.evaluation.delay import holders, straddles, traffic
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT


class StageKind(Enum):
    """What a stage of the pipeline keeps busy."""

    HOST = "host"
    UPLINK = "uplink"
    DOWNLINK = "downlink"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: seconds that each mini-batch occupies a host, or a link in one direction."""

    kind: StageKind
    index: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HostMemory:
    """Bytes that one host holds.

    Attributes:
        parameter_bytes: Weights of every parameter that one of its operators reads.
        gradient_bytes: Their gradients, of those that are trained.
        optimizer_bytes: What the optimizer keeps for them.
        tensor_bytes: In training every tensor that a backward pass on this host reads again; in
            inference the inputs and outputs of the operator that has most of them.
    """

    parameter_bytes: int
    gradient_bytes: int
    optimizer_bytes: int
    tensor_bytes: int

    @property
    def total_bytes(self) -> int:
        """All of it."""
        weights = self.parameter_bytes + self.gradient_bytes + self.optimizer_bytes
        return weights + self.tensor_bytes


def stages_of(
    graph: Graph, table: CostTable, scenario: Scenario, hosts: IntArray
) -> tuple[Stage, ...]:
    """Every stage of a placement that keeps the rules: hosts, links up, links down.

    Keeping tied parameters equal is traffic of every mini-batch, and counted. Latency and the
    exchange of parameters are not.
    """
    links = scenario.route.links
    up, down = traffic(graph, table, scenario, hosts)
    if scenario.workload.is_training:
        holds = holders(graph, hosts, len(scenario.route.hosts))
        for k, link in enumerate(links):
            bits = (8.0 * table.parameter_bytes[straddles(holds, k)]).tolist()
            up[k] += [b / link.uplink_bps for b in bits]
            down[k] += [b / link.downlink_bps for b in bits]
    compute = table.forward_s + table.backward_s
    return (
        *(
            Stage(kind=StageKind.HOST, index=h, seconds=math.fsum(row[hosts == h]))
            for h, row in enumerate(compute)
        ),
        *(Stage(kind=StageKind.UPLINK, index=k, seconds=math.fsum(s)) for k, s in enumerate(up)),
        *(
            Stage(kind=StageKind.DOWNLINK, index=k, seconds=math.fsum(s))
            for k, s in enumerate(down)
        ),
    )


def memory_of(
    graph: Graph, table: CostTable, scenario: Scenario, hosts: IntArray
) -> tuple[HostMemory, ...]:
    """What every host needs for a placement, in route order."""
    n_hosts, workload = len(scenario.route.hosts), scenario.workload
    holds = holders(graph, hosts, n_hosts)
    weights = np.array([p.size_bytes for p in graph.parameters], np.int64)
    is_trained = np.array([p.trainable and workload.is_training for p in graph.parameters], bool)
    tensors = _saved(graph, table, hosts, n_hosts)
    if not workload.is_training:
        tensors = _largest_working_set(graph, hosts, n_hosts)
    found = []
    for held, tensor_bytes in zip(holds, tensors, strict=True):
        # Python's integers cannot overflow.
        trained = sum(weights[held & is_trained].tolist())
        found.append(
            HostMemory(
                parameter_bytes=sum(weights[held].tolist()),
                gradient_bytes=trained,
                optimizer_bytes=trained * workload.optimizer_states,
                tensor_bytes=tensor_bytes,
            )
        )
    return tuple(found)


def _saved(graph: Graph, table: CostTable, hosts: IntArray, n_hosts: int) -> list[int]:
    indptr, consumers = graph.consumers
    tensor_of = np.repeat(np.arange(len(graph.tensors)), np.diff(indptr))
    reads_again = table.has_backward[consumers]
    saves = np.zeros((n_hosts, len(graph.tensors)), np.bool_)
    saves[hosts[consumers[reads_again]], tensor_of[reads_again]] = True
    return [sum(graph.tensor_bytes[row].tolist()) for row in saves]


def _largest_working_set(graph: Graph, hosts: IntArray, n_hosts: int) -> list[int]:
    largest = [0] * n_hosts
    working = dict.fromkeys(range(len(graph.operators)), 0)
    for tensor in graph.tensors:
        for operator in {tensor.producer, *tensor.consumers} - {GRAPH_INPUT}:
            working[operator] += tensor.size_bytes
    for operator, host in enumerate(hosts.tolist()):
        largest[host] = max(largest[host], working[operator])
    return largest
