"""From a graph and a costs file to what a problem is made of: a cost table and a scenario."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from planner.arrays import IntArray
from planner.costs.cost_file import Costs, options_of
from planner.costs.cost_table import (
    COST_MODELS,
    CostContext,
    CostModel,
    CostTable,
    HostCosts,
    has_backward,
)
from planner.costs.rule_names import operator_rules
from planner.costs.scenario import Link, Mode, Objective, Route, Rules, Scenario, Workload
from planner.errors import PlanError, PlannerError, PluginError, name_hint, raise_all
from planner.graphs.dtypes import ASSUMED_BITS, BITS, is_floating
from planner.graphs.gradients import needs_gradient
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT


def priced(graph: Graph, costs: Costs) -> tuple[Scenario, CostTable]:
    """The scenario and the cost table of a costs file.

    Raises:
        PlannerError: With every problem of either.
    """
    problems: list[PlannerError] = []
    found: list[Scenario] = []
    tables: list[CostTable] = []
    try:
        found.append(scenario_of(graph, costs))
    except PlannerError as error:
        problems += error.problems
    try:
        tables.append(price(graph, costs, workload_of(costs)))
    except PlannerError as error:
        problems += error.problems
    raise_all(problems)
    return _with_kernels(found[0], tables[0]), tables[0]


def _with_kernels(scenario: Scenario, table: CostTable) -> Scenario:
    """What hosts run as one is kept together, like what the user wants to be."""
    if not table.kernels:
        return scenario
    kernels = tuple((host, tuple(sorted(group))) for host, group in table.kernels)
    rules = scenario.rules
    told = {tuple(sorted(group)) for group in rules.together}
    new = [group for group in dict.fromkeys(group for _, group in kernels) if group not in told]
    rules = replace(rules, together=(*rules.together, *new))
    return replace(scenario, rules=rules, kernels=kernels)


def workload_of(costs: Costs) -> Workload:
    """What a round consists of, by a costs file."""
    entry = costs.workload
    return Workload(
        mode=Mode(entry.mode),
        objective=Objective(entry.objective),
        iterations_per_round=entry.iterations_per_round,
        label_bytes=entry.label_bytes,
        return_outputs=entry.return_outputs,
        batch_size=entry.batch_size,
        wire_dtype=entry.wire_dtype,
        optimizer_states=entry.optimizer_states,
    )


def scenario_of(graph: Graph, costs: Costs) -> Scenario:
    """Route, workload and rules of a costs file, with names resolved in `graph`.

    Raises:
        PlannerError: With every name that the graph does not have, and if the costs are for
            another batch than the graph.
    """
    entry = costs.workload
    problems: list[PlannerError] = []
    if entry.batch_size is not None and graph.batch not in (None, entry.batch_size):
        problems.append(
            PlanError(
                f"the graph is at batch {graph.batch}, the costs are for {entry.batch_size}",
                code="PLN310",
                where=f"{costs.where}: $.workload.batch_size",
                hint=f"load the graph with `batch={entry.batch_size}` (`--batch`)",
            )
        )
    hosts = tuple(host.name for host in costs.hosts)
    rules = _rules(graph, costs, hosts, problems)
    raise_all(problems)
    return Scenario(
        route=Route(
            hosts=hosts,
            links=tuple(
                Link(
                    uplink_bps=link.uplink_bps,
                    downlink_bps=link.downlink_bps,
                    latency_s=link.latency_s,
                )
                for link in costs.links
            ),
        ),
        workload=workload_of(costs),
        rules=rules,
        memory_limits=_memory_limits(costs),
    )


def _memory_limits(costs: Costs) -> tuple[int | None, ...]:
    limits = tuple(host.memory_bytes for host in costs.hosts)
    return limits if any(limit is not None for limit in limits) else ()


def _rules(graph: Graph, costs: Costs, hosts: Sequence[str], problems: list[PlannerError]) -> Rules:
    def tensor(name: str, where: str) -> int:
        index = graph.tensor_index.get(name, -1)
        if index < 0:
            hint = partial(name_hint, name, graph.tensor_index, "tensors")
            text = f"the graph has no tensor `{name}`"
            place = f"{costs.where}: {where}"
            problems.append(PlanError(text, code="PLN303", where=place, hint=hint))
        return index

    pins, together = operator_rules(graph, costs, problems)
    forbidden = tuple(
        tensor(name, f"$.forbid_crossing[{i}]") for i, name in enumerate(costs.forbid_crossing)
    )
    placed = []
    for i, entry in enumerate(costs.inputs):
        if entry.host is None:
            continue  # a type and a shape, which are for who reads the model
        index = tensor(entry.name, f"$.inputs[{i}].name")
        if index >= 0 and graph.tensors[index].producer != GRAPH_INPUT:
            text = f"`{entry.name}` is no graph input"
            inputs = [graph.tensors[t].name for t in graph.inputs]
            hint = partial(name_hint, entry.name, inputs, "graph inputs")
            problems.append(
                PlanError(
                    text, code="PLN303", where=f"{costs.where}: $.inputs[{i}].name", hint=hint
                )
            )
        placed.append((index, hosts.index(entry.host)))
    return Rules(pins=pins, together=together, forbidden=forbidden, input_hosts=tuple(placed))


def price(graph: Graph, costs: Costs, workload: Workload) -> CostTable:
    """Ask every host's cost model, and size what crosses the links.

    Raises:
        PlannerError: With every host that has no price for some operator.
    """
    gradient = (
        needs_gradient(graph) if workload.is_training else np.zeros(len(graph.tensors), np.bool_)
    )
    rows: list[HostCosts] = []
    kernels: list[tuple[int, tuple[int, ...]]] = []
    problems: list[PlannerError] = []
    notes: dict[str, None] = {}
    for position, host in enumerate(costs.hosts):
        context = CostContext(
            host=host.name,
            where=f"{costs.where}: $.hosts[{position}]",
            is_training=workload.is_training,
            needs_gradient=gradient,
        )
        try:
            model: CostModel = COST_MODELS.get(host.model, where=f"{context.where}.model")
            row = model.cost(graph, options_of(host, model.options, context.where), context)
            _check_row(graph, row, context)
        except PlannerError as error:
            problems += error.problems
            continue
        rows.append(row)
        notes.update(dict.fromkeys(f"`{host.name}`: {note}" for note in row.notes))
        kernels += [(position, group) for group in row.together]
    raise_all(problems)
    activation_bytes = wire_bytes(graph, workload)
    return CostTable(
        forward_s=np.stack([row.forward_s for row in rows]),
        backward_s=np.stack([row.backward_s for row in rows]),
        activation_bytes=activation_bytes,
        gradient_bytes=np.where(gradient, activation_bytes, 0),
        has_backward=has_backward(graph, gradient),
        parameter_bytes=np.array(
            [p.size_bytes if p.trainable and workload.is_training else 0 for p in graph.parameters],
            np.int64,
        ),
        notes=tuple(notes),
        kernels=tuple(kernels),
    )


def _check_row(graph: Graph, row: HostCosts, context: CostContext) -> None:
    """A plug-in's numbers are checked like a file's: shape, finite, not negative."""
    for what, values in (("forward_s", row.forward_s), ("backward_s", row.backward_s)):
        if values.shape != (len(graph.operators),):
            text = f"the cost model gave {what} of shape {values.shape}"
            raise PluginError(text, code="PLN309", where=context.where)
        wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
        if len(wrong):
            name = graph.operators[wrong[0]].name
            text = f"{what} of `{name}` is {values[wrong[0]]}, expected a finite number ≥ 0"
            raise PluginError(text, code="PLN309", where=context.where)
    n = len(graph.operators)
    if not all(0 <= operator < n for group in row.together for operator in group):
        text = f"a group names an operator beyond the {n} that there are"
        raise PluginError(text, code="PLN309", where=context.where)


def wire_bytes(graph: Graph, workload: Workload) -> IntArray:
    """Bytes of every tensor on the wire: floating-point ones wider than `wire_dtype` shrink."""
    sizes = graph.tensor_bytes
    if workload.wire_dtype is None:
        return sizes
    wire = BITS[workload.wire_dtype]
    bits = np.array([_floating_bits(tensor.dtype) or wire for tensor in graph.tensors], np.int64)
    shrunk = np.array(
        [-(-int(size) * wire // int(width)) for size, width in zip(sizes, bits, strict=True)],
        np.int64,
    )
    return np.where(bits > wire, shrunk, sizes)


def _floating_bits(dtype: str | None) -> int:
    if not is_floating(dtype) or (dtype or "").startswith("complex"):
        return 0
    return BITS[dtype] if dtype else ASSUMED_BITS
