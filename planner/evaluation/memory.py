"""The memory that hosts need for a placement, straight from the graph."""

from __future__ import annotations

import numpy as np

from planner.arrays import IntArray
from planner.costs.cost_table import CostTable
from planner.costs.scenario import Scenario
from planner.evaluation.delay import holders
from planner.evaluation.entries import MemoryEntry
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT


def memory_of(
    graph: Graph, table: CostTable, scenario: Scenario, hosts: IntArray
) -> tuple[MemoryEntry, ...]:
    """What every host needs for a placement, in route order.

    Weights of every parameter that one of its operators reads; their gradients and what the
    optimizer keeps, of those that are trained; and tensors. In training those are all that a
    backward pass on this host reads again; in inference the inputs and outputs of the operator that
    has most of them.
    """
    names, workload = scenario.route.hosts, scenario.workload
    n_hosts = len(names)
    holds = holders(graph, hosts, n_hosts)
    weights = np.array([p.size_bytes for p in graph.parameters], np.int64)
    is_trained = np.array([p.trainable and workload.is_training for p in graph.parameters], bool)
    tensors = _saved(graph, table, hosts, n_hosts)
    if not workload.is_training:
        tensors = _largest_working_set(graph, hosts, n_hosts)
    found = []
    hosts_limits = zip(names, scenario.memory_limits or [None] * n_hosts, strict=True)
    for (host, limit), held, tensor_bytes in zip(hosts_limits, holds, tensors, strict=True):
        # Python's integers cannot overflow.
        parameter_bytes = sum(weights[held].tolist())
        trained = sum(weights[held & is_trained].tolist())
        kept = trained * workload.optimizer_states
        found.append(
            MemoryEntry(
                host=host,
                parameter_bytes=parameter_bytes,
                gradient_bytes=trained,
                optimizer_bytes=kept,
                tensor_bytes=tensor_bytes,
                total_bytes=parameter_bytes + trained + kept + tensor_bytes,
                limit_bytes=limit,
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
