"""All that follows from a placement, under the names that it has in a plan."""

from __future__ import annotations

from dataclasses import dataclass

from planner.arrays import IntArray
from planner.costs.cost_table import CostTable
from planner.costs.scenario import Objective, Scenario
from planner.evaluation.delay import Crossing, Delay, crossings, delay_of
from planner.evaluation.entries import (
    CrossingEntry,
    DelayEntry,
    HostSeconds,
    MemoryEntry,
    PipelineEntry,
)
from planner.evaluation.memory import memory_of
from planner.evaluation.stages import stages_of
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The entries of a plan that its placement decides, under the names they have there."""

    total_s: float
    iteration_s: float
    delay: DelayEntry
    crossing: tuple[CrossingEntry, ...]
    memory: tuple[MemoryEntry, ...]
    pipeline: PipelineEntry | None

    @property
    def objective_s(self) -> float:
        """What was minimised: the delay of a round, or the slowest stage."""
        return self.total_s if self.pipeline is None else self.pipeline.slowest_s


def outcome_of(graph: Graph, table: CostTable, scenario: Scenario, hosts: IntArray) -> Outcome:
    """Everything by the independent evaluator, for a placement that keeps the rules.

    Args:
        graph: The model.
        table: Its costs.
        scenario: Route, work, rules and limits.
        hosts: Host index of each operator, in graph order.
    """
    delay = delay_of(graph, table, scenario, hosts)
    return Outcome(
        total_s=delay.total_s,
        iteration_s=delay.iteration_s,
        delay=_delay_entry(delay, scenario.route.hosts),
        crossing=tuple(
            _crossing_entry(graph, scenario, hosts, crossing)
            for crossing in crossings(graph, table, scenario, hosts)
        ),
        memory=memory_of(graph, table, scenario, hosts),
        pipeline=_pipeline(graph, table, scenario, hosts),
    )


def objective_s(graph: Graph, table: CostTable, scenario: Scenario, hosts: IntArray) -> float:
    """What is minimised, in seconds, of one placement: its delay or its slowest stage."""
    if scenario.workload.objective is Objective.DELAY:
        return delay_of(graph, table, scenario, hosts).total_s
    return max(stage.seconds for stage in stages_of(graph, table, scenario, hosts))


def _pipeline(
    graph: Graph, table: CostTable, scenario: Scenario, hosts: IntArray
) -> PipelineEntry | None:
    if scenario.workload.objective is not Objective.THROUGHPUT:
        return None
    stages = stages_of(graph, table, scenario, hosts)
    slowest = max(stage.seconds for stage in stages)
    rate = 1.0 / slowest if slowest > 1e-300 else None
    return PipelineEntry(
        stages=stages,
        slowest_s=slowest,
        mini_batches_per_s=rate,
        samples_per_s=rate * graph.batch if rate is not None and graph.batch is not None else None,
    )


def _crossing_entry(
    graph: Graph, scenario: Scenario, hosts: IntArray, crossing: Crossing
) -> CrossingEntry:
    link = scenario.route.links[crossing.link]
    if crossing.tensor is None:
        name, producer = "labels", None
        readers = graph.output_operators.tolist()
    else:
        tensor = graph.tensors[crossing.tensor]
        name = tensor.name
        is_input = tensor.producer == GRAPH_INPUT
        producer = None if is_input else graph.operators[tensor.producer].name
        readers = list(tensor.consumers)
    return CrossingEntry(
        kind="labels" if crossing.tensor is None else "tensor",
        tensor=name,
        link=crossing.link,
        up_bytes=crossing.up_bytes,
        down_bytes=crossing.down_bytes,
        up_s=8.0 * crossing.up_bytes / link.uplink_bps,
        down_s=8.0 * crossing.down_bytes / link.downlink_bps,
        producer=producer,
        consumers=tuple(graph.operators[r].name for r in readers if hosts[r] > crossing.link),
    )


def _delay_entry(delay: Delay, hosts: tuple[str, ...]) -> DelayEntry:
    return DelayEntry(
        forward_s=tuple(
            HostSeconds(host=host, seconds=s)
            for host, s in zip(hosts, delay.forward_s, strict=True)
        ),
        backward_s=tuple(
            HostSeconds(host=host, seconds=s)
            for host, s in zip(hosts, delay.backward_s, strict=True)
        ),
        uplink_s=delay.uplink_s,
        downlink_s=delay.downlink_s,
        latency_s=delay.latency_s,
        sync_s=delay.sync_s,
        exchange_s=delay.exchange_s,
    )
