"""The problem of docs/theory.md, §1, from a graph, its costs and a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from planner.arrays import FloatArray, IntArray
from planner.costs.cost_file import Costs
from planner.costs.cost_table import CostTable
from planner.costs.pricing import priced
from planner.costs.scenario import Scenario
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT
from planner.problems.feasibility import Constraints
from planner.problems.instance import LABELS, LATENCY, TiedParameters, Transfers
from planner.problems.memory import memory_demand
from planner.problems.problem import Problem


def build_problem(graph: Graph, costs: Costs) -> Problem:
    """The planning problem of a graph under a costs file, in the file's link state.

    Raises:
        PlannerError: If costs are missing, or rules name what the graph does not have.
    """
    scenario, table = priced(graph, costs)
    return formulate(graph, table, scenario)


def formulate(graph: Graph, table: CostTable, scenario: Scenario) -> Problem:
    """The planning problem from parts that are already priced and resolved."""
    links = scenario.route.links
    n_hosts = len(scenario.route.hosts)
    exchange_bits, tied, kept_together = _parameters(graph, table, n_hosts)
    return Problem(
        graph=graph,
        hosts=scenario.route.hosts,
        workload=scenario.workload,
        compute_s=table.forward_s + table.backward_s,
        returned_bits=_returned_bits(graph, table, scenario),
        exchange_bits=exchange_bits,
        transfers=_transfers(graph, table, scenario),
        tied=tied,
        constraints=_constraints(graph, scenario, kept_together),
        uplink_bps=np.array([link.uplink_bps for link in links]),
        downlink_bps=np.array([link.downlink_bps for link in links]),
        latency_s=np.array([link.latency_s for link in links]),
        speed=np.ones(n_hosts),
        memory=memory_demand(graph, table, scenario),
        notes=table.notes,
    )


def _returned_bits(graph: Graph, table: CostTable, scenario: Scenario) -> FloatArray:
    bits = np.zeros(len(graph.operators))
    if scenario.workload.return_outputs and not scenario.workload.is_training:
        for tensor in graph.outputs:
            producer = graph.tensors[tensor].producer
            if producer != GRAPH_INPUT:
                bits[producer] += 8.0 * table.activation_bytes[tensor]
    return bits


def _parameters(
    graph: Graph, table: CostTable, n_hosts: int
) -> tuple[FloatArray, TiedParameters, list[tuple[int, IntArray]]]:
    """Exchange charged to one operator each, tied parameters (K = 2), readers kept together."""
    indptr, readers = graph.readers
    counts = np.diff(indptr)
    trains = table.parameter_bytes > 0
    bits: FloatArray = 8.0 * table.parameter_bytes.astype(np.float64)
    exchange = np.zeros(len(graph.operators))
    is_single = trains & ((counts == 1) | (n_hosts > 2))
    np.add.at(exchange, readers[indptr[:-1][is_single]], bits[is_single])
    shared = np.flatnonzero(trains & (counts > 1))
    rows = [readers[indptr[p] : indptr[p + 1]] for p in shared]
    if n_hosts > 2:
        tied, kept_together = np.zeros(0, np.int64), list(zip(shared.tolist(), rows, strict=True))
        rows = []
    else:
        tied, kept_together = shared, []
    starts = np.cumsum([0, *(len(row) for row in rows)])
    return (
        exchange,
        TiedParameters(
            parameter=tied,
            indptr=starts.astype(np.int64),
            readers=np.concatenate(rows) if rows else np.zeros(0, np.int64),
            bits=bits[tied],
        ),
        kept_together,
    )


def _transfers(graph: Graph, table: CostTable, scenario: Scenario) -> Transfers:
    """Tensors with consumers, then labels and latency as inputs read by every output operator."""
    workload, rules = scenario.workload, scenario.rules
    indptr, consumers = graph.consumers
    counts = np.diff(indptr)
    tensor = np.flatnonzero(counts)
    source = graph.producers.copy()
    for index, host in rules.input_hosts:
        source[index] = -1 - host
    forbidden = np.zeros(len(graph.tensors), np.bool_)
    forbidden[list(rules.forbidden)] = True
    outputs = graph.output_operators
    extra = []
    if len(outputs):
        returns = workload.return_outputs and not workload.is_training
        extra.append((LATENCY, 0.0, 2.0 if workload.is_training or returns else 1.0))
        if workload.is_training and workload.label_bytes:
            extra.append((LABELS, 8.0 * workload.label_bytes, 0.0))
    kinds = np.array([kind for kind, _, _ in extra], np.int64)
    none = np.zeros(len(extra))
    sizes = np.concatenate([counts[tensor], np.full(len(extra), len(outputs), np.int64)])
    return Transfers(
        tensor=np.concatenate([tensor, kinds]),
        source=np.concatenate([source[tensor], np.full(len(extra), -1, np.int64)]),
        indptr=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        readers=np.concatenate([consumers, np.tile(outputs, len(extra))]),
        up_bits=np.concatenate(
            [8.0 * table.activation_bytes[tensor], [bits for _, bits, _ in extra]]
        ),
        down_bits=np.concatenate([8.0 * table.gradient_bytes[tensor], none]),
        latencies=np.concatenate([np.zeros(len(tensor)), [count for _, _, count in extra]]),
        is_forbidden=np.concatenate([forbidden[tensor], none.astype(np.bool_)]),
    )


@dataclass(slots=True)
class _RuleArcs:
    """Arcs that are no tensor's, with the words for each."""

    before: list[int] = field(default_factory=list)
    after: list[int] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    rule: list[int] = field(default_factory=list)

    def add(self, before: int, after: int, words: str, rule: int) -> None:
        """One arc; `rule` is the number of the user's rule that it comes from, or -1."""
        self.before.append(before)
        self.after.append(after)
        self.words.append(words)
        self.rule.append(rule)

    def same_host(self, operators: list[int], words: str, rule: int) -> None:
        """Tie operators to one host by arcs both ways along the list."""
        for one, other in pairwise(operators):
            self.add(one, other, words, rule)
            self.add(other, one, words, rule)


def _constraints(
    graph: Graph, scenario: Scenario, kept_together: list[tuple[int, IntArray]]
) -> Constraints:
    rules, hosts = scenario.rules, scenario.route.hosts
    n, last_host = len(graph.operators), len(hosts) - 1
    low, high = np.zeros(n, np.int64), np.full(n, last_host, np.int64)
    reasons: dict[tuple[int, bool], str] = {}

    def bind(operator: int, host: int, words: str, *, from_below: bool) -> None:
        bounds = low if from_below else high
        if (bounds[operator] < host) if from_below else (bounds[operator] > host):
            bounds[operator] = host
            reasons[operator, from_below] = words

    for operator, host in rules.pins:
        words = f"`{graph.operators[operator].name}` is pinned to `{hosts[host]}`"
        bind(operator, host, words, from_below=True)
        bind(operator, host, words, from_below=False)
    input_hosts = dict(rules.input_hosts)
    arcs = _RuleArcs()
    for tensor, host in rules.input_hosts:
        for operator in graph.tensors[tensor].consumers:
            words = (
                f"`{graph.operators[operator].name}` reads `{graph.tensors[tensor].name}`, "
                f"which lives on `{hosts[host]}`"
            )
            bind(operator, host, words, from_below=True)
    for tensor in rules.forbidden:
        item = graph.tensors[tensor]
        words = f"`{item.name}` may not cross a link"
        if item.producer == GRAPH_INPUT:
            host = input_hosts.get(tensor, 0)
            for operator in item.consumers:
                text = f"`{graph.operators[operator].name}` reads `{item.name}`, and {words}"
                bind(operator, host, text, from_below=False)
        for operator in item.consumers if item.producer != GRAPH_INPUT else ():
            arcs.add(operator, item.producer, words, tensor)
    for number, group in enumerate(rules.together, len(graph.tensors)):
        arcs.same_host(list(group), _why_together(scenario, group), number)
    for parameter, readers in kept_together:
        name = graph.parameters[parameter].name
        arcs.same_host(readers.tolist(), f"both read the trainable parameter `{name}`", -1)
    return _with_data_arcs(graph, scenario, arcs, low, high, reasons)


def _why_together(scenario: Scenario, group: Sequence[int]) -> str:
    kernel = scenario.kernel_clause(group)
    return "they are kept together" if kernel is None else f"they are together: {kernel}"


def _with_data_arcs(
    graph: Graph,
    scenario: Scenario,
    arcs: _RuleArcs,
    low: IntArray,
    high: IntArray,
    reasons: dict[tuple[int, bool], str],
) -> Constraints:
    indptr, consumers = graph.consumers
    tensor_of = np.repeat(np.arange(len(graph.tensors)), np.diff(indptr))
    producer = graph.producers[tensor_of]
    is_edge = producer != GRAPH_INPUT
    n_tensors, operators = len(graph.tensors), graph.operators

    def describe(before: int, after: int, reason: int) -> str:
        one, other = operators[before].name, operators[after].name
        if reason < n_tensors:
            return (
                f"`{other}` reads `{graph.tensors[reason].name}` of `{one}`, "
                f"so `{one}` is not placed after `{other}`"
            )
        words = arcs.words[reason - n_tensors]
        return f"`{one}` is not placed after `{other}`: {words}"

    def describe_bound(operator: int, from_below: bool) -> str:
        default = f"`{operators[operator].name}` is bound"
        return reasons.get((operator, from_below), default)

    data = np.flatnonzero(is_edge)
    rule_reasons = n_tensors + np.arange(len(arcs.words))
    return Constraints(
        n_hosts=len(scenario.route.hosts),
        low=low,
        high=high,
        before=np.concatenate([producer[data], np.array(arcs.before, np.int64)]),
        after=np.concatenate([consumers[data], np.array(arcs.after, np.int64)]),
        reason=np.concatenate([tensor_of[data], rule_reasons]),
        is_data=np.arange(len(data) + len(arcs.words)) < len(data),
        rule=np.concatenate([np.full(len(data), -1), np.array(arcs.rule, np.int64)]),
        describe=describe,
        describe_bound=describe_bound,
    )
