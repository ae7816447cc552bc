"""What follows from a placement, as plans hold it: delay, what crosses, memory, stages."""

from __future__ import annotations

from dataclasses import dataclass

from planner.arrays import IntArray
from planner.costs.cost_table import CostTable
from planner.costs.scenario import Objective, Scenario
from planner.evaluation.delay import Crossing, crossings, delay_of
from planner.evaluation.stages import HostMemory, Stage, StageKind, memory_of, stages_of
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT
from planner.plans.plan_file import (
    CrossingEntry,
    DelayEntry,
    MemoryEntry,
    PipelineEntry,
    StageEntry,
    delay_entry,
)


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
        delay=delay_entry(delay, scenario.route.hosts),
        crossing=tuple(
            _crossing_entry(graph, scenario, hosts, crossing)
            for crossing in crossings(graph, table, scenario, hosts)
        ),
        memory=tuple(
            _memory_entry(scenario, host, use)
            for host, use in enumerate(memory_of(graph, table, scenario, hosts))
        ),
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
        stages=tuple(_stage_entry(scenario.route.hosts, stage) for stage in stages),
        slowest_s=slowest,
        mini_batches_per_s=rate,
        samples_per_s=rate * graph.batch if rate is not None and graph.batch is not None else None,
    )


def _stage_entry(hosts: tuple[str, ...], stage: Stage) -> StageEntry:
    here = hosts[stage.index]
    is_host = stage.kind is StageKind.HOST
    following = None if is_host else hosts[stage.index + 1]
    return StageEntry(kind=stage.kind.value, host=here, next_host=following, seconds=stage.seconds)


def _memory_entry(scenario: Scenario, host: int, use: HostMemory) -> MemoryEntry:
    return MemoryEntry(
        host=scenario.route.hosts[host],
        parameter_bytes=use.parameter_bytes,
        gradient_bytes=use.gradient_bytes,
        optimizer_bytes=use.optimizer_bytes,
        tensor_bytes=use.tensor_bytes,
        total_bytes=use.total_bytes,
        limit_bytes=scenario.memory_limits[host] if scenario.memory_limits else None,
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
