"""What a given placement costs, straight from the formulas of docs/theory.md, §1.

This module shares the priced inputs (`planner.costs.pricing`) with the problem, but nothing of its
terms,
the network or any solver: it is what they are checked against. It works in float64 and adds up with
`math.fsum`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from planner.arrays import BoolArray, FloatArray, IntArray
from planner.costs.cost_file import Costs
from planner.costs.cost_table import CostTable
from planner.costs.pricing import priced
from planner.costs.rule_names import no_such_host, spelt_out
from planner.costs.scenario import Scenario
from planner.errors import PlanError, PlannerError, name_hint, named, raise_all
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """The delay of one round by term; everything but `exchange_s` is per iteration.

    Attributes:
        iterations: Iterations per round; 1 in inference.
        forward_s: Seconds of forward compute on each host, in route order.
        backward_s: Seconds of backward compute on each host.
        uplink_s: Activations and labels up the links.
        downlink_s: Gradients (or returned outputs) down the links.
        latency_s: Latency of the links that are used.
        sync_s: Keeping both copies of straddling tied parameters equal.
        exchange_s: Download and upload of the parameters that are not at home, per round.
    """

    iterations: int
    forward_s: tuple[float, ...]
    backward_s: tuple[float, ...]
    uplink_s: float
    downlink_s: float
    latency_s: float
    sync_s: float
    exchange_s: float

    @property
    def iteration_s(self) -> float:
        """Seconds of one iteration."""
        terms = (self.uplink_s, self.downlink_s, self.latency_s, self.sync_s)
        return math.fsum([*self.forward_s, *self.backward_s, *terms])

    @property
    def total_s(self) -> float:
        """Seconds of one round."""
        return math.fsum([self.iterations * self.iteration_s, self.exchange_s])


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """A tensor (or the labels) that crosses a link: bytes up, bytes of gradient down."""

    tensor: int | None
    link: int
    up_bytes: int
    down_bytes: int


def evaluate(graph: Graph, costs: Costs, placement: Mapping[str, str]) -> Delay:
    """The delay of a placement, independent of any solver.

    Args:
        graph: The model.
        costs: The costs file.
        placement: Host name of every operator, by its name or by the path of a module around it. A
            name goes before a path, a longer path before a shorter one; the path `""` is the model.

    Raises:
        PlannerError: If the placement breaks a rule; every violation is listed.
    """
    scenario, table = priced(graph, costs)
    hosts = resolve_placement(graph, scenario, placement, has_modules=True)
    raise_all(list(violations(graph, scenario, hosts)))
    return delay_of(graph, table, scenario, hosts)


def resolve_placement(
    graph: Graph, scenario: Scenario, placement: Mapping[str, str], *, has_modules: bool = False
) -> IntArray:
    """Host index of each operator, in graph order.

    Args:
        graph: The model.
        scenario: The task.
        placement: Host name by operator.
        has_modules: Whether paths of modules are names, too; a saved plan has none.

    Raises:
        PlannerError: With every operator that is missing or unknown, and every unknown host.
    """
    names = scenario.route.hosts
    problems: list[PlannerError] = []
    if has_modules and any(name not in graph.operator_index for name in placement):
        placement = spelt_out(graph, placement, names, problems)
    missing = [op.name for op in graph.operators if op.name not in placement]
    if missing:
        shown = named(missing, 20)
        text = f"the placement lacks {len(missing)} operators: {shown}"
        problems.append(PlanError(text, code="PLN402", where="placement"))
    result = np.zeros(len(graph.operators), np.int64)
    for operator, host in placement.items():
        index = graph.operator_index.get(operator)
        if index is None:
            problems.append(_not_placed(graph, operator))
        elif host not in names:
            problems.append(no_such_host(operator, host, names))
        else:
            result[index] = names.index(host)
    raise_all(problems)
    return result


def _not_placed(graph: Graph, operator: str) -> PlanError:
    reason = graph.folded.get(operator)
    if reason is not None:
        text = f"operator `{operator}` was folded away ({reason})"
        return PlanError(text, code="PLN402", where="placement", hint="leave it out")
    return PlanError(
        f"the graph has no operator `{operator}`",
        code="PLN402",
        where="placement",
        hint=partial(name_hint, operator, graph.operator_index, "operators"),
    )


def violations(graph: Graph, scenario: Scenario, hosts: IntArray) -> Iterator[PlannerError]:
    """Every rule that a placement breaks, each as an error that names it."""
    names, rules = scenario.route.hosts, scenario.rules
    operators, place = graph.operators, hosts.tolist()

    inputs_at = dict(rules.input_hosts)
    forbidden = set(rules.forbidden)
    for index, tensor in enumerate(graph.tensors):
        is_input = tensor.producer == GRAPH_INPUT
        start = inputs_at.get(index, 0) if is_input else place[tensor.producer]
        for consumer in tensor.consumers:
            reader = f"`{operators[consumer].name}` on `{names[place[consumer]]}`"
            if place[consumer] < start:
                text = f"`{tensor.name}` flows back from `{names[start]}` to {reader}"
                yield _violation(text)
            elif place[consumer] > start and index in forbidden:
                yield _violation(f"`{tensor.name}` may not cross a link, but {reader} reads it")
    for operator, host in rules.pins:
        if place[operator] != host:
            name, found = operators[operator].name, names[place[operator]]
            yield _violation(f"`{name}` is pinned to `{names[host]}`, but placed on `{found}`")
    for group in rules.together:
        kernel = scenario.kernel_clause(group)
        why = "are kept together" + (f" ({kernel})" if kernel is not None else "")
        yield from _apart(graph, place, group, why)
    if scenario.workload.is_training and len(names) > 2:
        for parameter in graph.parameters:
            if parameter.trainable and parameter.size_bytes:
                why = f"read the trainable parameter `{parameter.name}`"
                yield from _apart(graph, place, parameter.readers, why)


def _violation(text: str) -> PlanError:
    return PlanError(text, code="PLN403", where="placement")


def _apart(
    graph: Graph, place: Sequence[int], group: Sequence[int], why: str
) -> Iterator[PlannerError]:
    others = [operator for operator in group if place[operator] != place[group[0]]]
    if others:
        pair = f"`{graph.operators[group[0]].name}` and `{graph.operators[others[0]].name}`"
        yield _violation(f"{pair} {why}, but are placed apart")


def spans(graph: Graph, scenario: Scenario, hosts: IntArray) -> tuple[IntArray, IntArray]:
    """First and last host that each tensor is on: its producer's and its furthest consumer's.

    It crosses the links from the first up to, but not including, the last. Shape [tensors] each.
    """
    first = np.zeros(len(graph.tensors), np.int64)
    for tensor, host in scenario.rules.input_hosts:
        first[tensor] = host
    is_produced = graph.producers != GRAPH_INPUT
    first[is_produced] = hosts[graph.producers[is_produced]]
    indptr, consumers = graph.consumers
    last = first.copy()
    np.maximum.at(last, np.repeat(np.arange(len(last)), np.diff(indptr)), hosts[consumers])
    return first, last


def crossings(
    graph: Graph, table: CostTable, scenario: Scenario, hosts: IntArray
) -> Iterator[Crossing]:
    """Every (tensor, link) pair over which a tensor is sent, once per link; then the labels."""
    first, last = spans(graph, scenario, hosts)
    for index in np.flatnonzero(last > first).tolist():
        for link in range(first[index], last[index]):
            yield Crossing(
                tensor=index,
                link=link,
                up_bytes=int(table.activation_bytes[index]),
                down_bytes=int(table.gradient_bytes[index]),
            )
    workload = scenario.workload
    if workload.is_training and workload.label_bytes:
        for link in range(int(hosts[graph.output_operators].max(initial=0))):
            yield Crossing(tensor=None, link=link, up_bytes=workload.label_bytes, down_bytes=0)


def delay_of(graph: Graph, table: CostTable, scenario: Scenario, hosts: IntArray) -> Delay:
    """The delay of a placement that keeps the rules; see `evaluate`."""
    workload, links = scenario.workload, scenario.route.links
    n_hosts = len(scenario.route.hosts)
    up, down = traffic(graph, table, scenario, hosts)
    used = int(hosts.max(initial=0))
    one_ways = 2 if workload.is_training or workload.return_outputs else 1
    exchange, sync = _parameter_traffic(graph, table, scenario, hosts)
    return Delay(
        iterations=workload.iterations,
        forward_s=_per_host(table.forward_s, hosts, n_hosts),
        backward_s=_per_host(table.backward_s, hosts, n_hosts),
        uplink_s=math.fsum(seconds for link in up for seconds in link),
        downlink_s=math.fsum(seconds for link in down for seconds in link),
        latency_s=math.fsum(one_ways * link.latency_s for link in links[:used]),
        sync_s=math.fsum(sync),
        exchange_s=math.fsum(exchange),
    )


def traffic(
    graph: Graph, table: CostTable, scenario: Scenario, hosts: IntArray
) -> tuple[list[list[float]], list[list[float]]]:
    """Seconds up and down every link per iteration, tensor by tensor; tied parameters apart."""
    links, workload = scenario.route.links, scenario.workload
    up: list[list[float]] = [[] for _ in links]
    down: list[list[float]] = [[] for _ in links]
    for crossing in crossings(graph, table, scenario, hosts):
        link = links[crossing.link]
        up[crossing.link].append(8.0 * crossing.up_bytes / link.uplink_bps)
        down[crossing.link].append(8.0 * crossing.down_bytes / link.downlink_bps)
    if workload.return_outputs and not workload.is_training:
        for index in graph.outputs:
            producer = graph.tensors[index].producer
            last = int(hosts[producer]) if producer != GRAPH_INPUT else 0
            for k in range(last):
                bits = 8.0 * int(table.activation_bytes[index])
                down[k].append(bits / links[k].downlink_bps)
    return up, down


def _per_host(seconds: FloatArray, hosts: IntArray, n_hosts: int) -> tuple[float, ...]:
    return tuple(math.fsum(seconds[host][hosts == host]) for host in range(n_hosts))


def _parameter_traffic(
    graph: Graph, table: CostTable, scenario: Scenario, hosts: IntArray
) -> tuple[list[float], list[float]]:
    """Seconds of exchange per round, and of synchronisation per iteration, in parts to add up."""
    exchange: list[float] = []
    sync: list[float] = []
    if not scenario.workload.is_training:
        return exchange, sync
    links = scenario.route.links
    bits = 8.0 * table.parameter_bytes
    holds = holders(graph, hosts, len(links) + 1)
    for k, link in enumerate(links):
        there_and_back = 1.0 / link.uplink_bps + 1.0 / link.downlink_bps
        # Every copy on a host up to k passes link k on its way home, the last host.
        copies = holds[: k + 1].sum(axis=0)
        exchange += (bits * copies * there_and_back).tolist()
        sync += (bits[straddles(holds, k)] * there_and_back).tolist()
    return exchange, sync


def holders(graph: Graph, hosts: IntArray, n_hosts: int) -> BoolArray:
    """Which host holds which parameter: one that a reader is placed on; [hosts, parameters]."""
    indptr, readers = graph.readers
    parameter_of = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    holds = np.zeros((n_hosts, len(indptr) - 1), np.bool_)
    holds[hosts[readers], parameter_of] = True
    return holds


def straddles(holds: BoolArray, link: int) -> BoolArray:
    """Which parameters have holders on both sides of a link; shape [parameters]."""
    return np.asarray(holds[: link + 1].any(axis=0) & holds[link + 1 :].any(axis=0))
