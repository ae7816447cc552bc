"""From a graph, costs and ranges to a plan table: price, search, write down."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import numpy as np

from planner.arrays import IntArray
from planner.costs.cost_file import Costs
from planner.costs.cost_table import CostTable
from planner.costs.pricing import priced
from planner.costs.scenario import Objective, Scenario
from planner.errors import PlanError, PlannerError, PluginError, raise_all
from planner.evaluation.delay import Crossing, crossings
from planner.graphs.graph import Graph
from planner.plans.planning import warnings_for
from planner.plans.solving import AUTO
from planner.problems.formulation import formulate
from planner.problems.memory import shortages
from planner.problems.problem import Problem
from planner.registry import OWN_DISTRIBUTION, tool_version
from planner.tables.envelopes import Cut, Envelope, Vertex
from planner.tables.lookup import real_number, shown
from planner.tables.search import Search
from planner.tables.table import Table
from planner.tables.table_file import (
    LIMITS,
    ParameterEntry,
    PlanEntry,
    ProofEntry,
    TableCrossing,
    TableFile,
    TableLink,
    VertexEntry,
)

Range = tuple[float, float]


def table(
    graph: Graph,
    costs: Costs,
    *,
    uplink_bps: Range | None = None,
    downlink_bps: Range | None = None,
    device_speed: Range | None = None,
    solver: str = AUTO,
) -> Table:
    """Every plan that is best for some state of the link and the device, with the proof.

    What is not given stays as the costs file says. A range of rates is for all links of the route.

    Args:
        graph: From `planner.load`.
        costs: From `planner.read_costs`.
        uplink_bps: Lowest and highest rate up, bits per second.
        downlink_bps: Lowest and highest rate down, bits per second.
        device_speed: Lowest and highest factor on the speed of the first host; 0.5 is half as
            fast as the costs say.
        solver: A registered exact solver, or `auto`.

    Raises:
        PlannerError: If a range is none, costs are missing, the solver is not exact, no placement
            is feasible (exit status 3, with the chain of reasons), the objective is not the delay,
            or a plan of the table breaks a memory limit.
    """
    given = {"uplink_bps": uplink_bps, "downlink_bps": downlink_bps, "device_speed": device_speed}
    parameters = _parameters({name: ends for name, ends in given.items() if ends is not None})
    _check_solver(solver)
    scenario, priced_table = priced(graph, costs)
    problem = formulate(graph, priced_table, scenario)
    _check_objective(problem)
    search = Search(problem=replace(problem, memory=None), parameters=parameters, solver=solver)
    envelope = search.run()
    _check_memory(problem, [search.placements[cut] for cut in envelope.cells()])
    return Table(file=_file(graph, costs, scenario, priced_table, search, envelope))


def _check_solver(solver: object) -> None:
    if not isinstance(solver, str):
        text = f"the solver is {shown(solver)}, expected a name"
        raise PluginError(text, code="PLN301", where="solver", hint="for example `auto`")


def _check_objective(problem: Problem) -> None:
    if problem.workload.objective is not Objective.DELAY:
        raise PlanError(
            "a table holds plans of least delay, and the objective is throughput",
            code="PLN405",
            where="table",
            hint="plan each state by itself: `planner plan`",
        )


def _check_memory(problem: Problem, placements: Sequence[IntArray]) -> None:
    """Plans that are best without limits, and keep them, are best with them."""
    memory = problem.memory
    if memory is None:
        return
    for placement in placements:
        needs = memory.use(placement).tolist()
        for words, _, _ in shortages(problem.hosts, needs, memory.limits.tolist()):
            raise PlanError(
                f"tables over memory limits that bind are not made; for one of the plans, {words}",
                code="PLN405",
                where="table",
                hint="plan each state by itself: `planner plan`",
            )


def _parameters(ranges: Mapping[str, object]) -> tuple[ParameterEntry, ...]:
    problems: list[PlannerError] = []
    found = []
    for name, ends in ranges.items():
        low, high = _ends(ends)
        least, most = LIMITS[name]
        if not least <= low < high <= most:
            text = f"`{name}` is {shown(ends)}, expected (low, high), low < high, "
            text += f"within {least:g} to {most:g}"
            problems.append(PlanError(text, code="PLN412", where=name))
        elif 1.0 / low == 1.0 / high:
            text = f"the ends of `{name}`, {low!r} and {high!r}, are too close: 1 / low is 1 / high"
            problems.append(PlanError(text, code="PLN412", where=name))
        else:
            found.append(ParameterEntry.model_validate({"name": name, "low": low, "high": high}))
    if not ranges:
        text = f"there is no range, expected one for any of {', '.join(f'`{n}`' for n in LIMITS)}"
        hint = "for example `uplink_bps=(1e6, 1e9)`"
        problems.append(PlanError(text, code="PLN412", where="table", hint=hint))
    raise_all(problems)
    return tuple(found)


def _ends(given: object) -> Range:
    """Two real numbers, or what compares with nothing."""
    pair = given.tolist() if isinstance(given, np.ndarray) else given
    if isinstance(pair, (tuple, list)) and len(pair) == 2:
        with suppress(TypeError, ValueError, ArithmeticError):
            return real_number(pair[0]), real_number(pair[1])
    return math.nan, math.nan


def _file(
    graph: Graph,
    costs: Costs,
    scenario: Scenario,
    priced_table: CostTable,
    search: Search,
    envelope: Envelope,
) -> TableFile:
    varies = {parameter.name for parameter in search.parameters}
    return TableFile(
        kind="table",
        version=1,
        tool=f"{OWN_DISTRIBUTION} {tool_version()}",
        graph=graph.name,
        graph_digest=graph.digest,
        costs_digest=costs.digest,
        batch=graph.batch,
        mode=scenario.workload.mode.value,
        iterations_per_round=scenario.workload.iterations,
        hosts=scenario.route.hosts,
        links=tuple(
            TableLink(
                uplink_bps=None if "uplink_bps" in varies else link.uplink_bps,
                downlink_bps=None if "downlink_bps" in varies else link.downlink_bps,
                latency_s=link.latency_s,
            )
            for link in scenario.route.links
        ),
        parameters=search.parameters,
        proof=_proof(search, envelope),
        nodes=tuple(operator.name for operator in graph.operators),
        plans=_plans(graph, scenario, priced_table, search, envelope),
        notes=(*graph.notes, *priced_table.notes),
        warnings=tuple(warnings_for(graph, costs)),
    )


def _plans(
    graph: Graph,
    scenario: Scenario,
    priced_table: CostTable,
    search: Search,
    envelope: Envelope,
) -> tuple[PlanEntry, ...]:
    number = {id(vertex): i for i, vertex in enumerate(_sorted(envelope))}
    regions = {
        cut: tuple(sorted(number[id(v)] for v in cell)) for cut, cell in envelope.cells().items()
    }

    def rank(cut: int) -> tuple[int, Cut]:
        """By rising parameter; over several, the more on earlier hosts the earlier."""
        is_line = len(search.parameters) == 1
        first = regions[cut][0] if is_line else int(search.placements[cut].sum())
        return first, envelope.cuts[cut]

    plans = []
    for cut in sorted(regions, key=rank):
        hosts = search.placements[cut]
        constant, *slopes = envelope.cuts[cut]
        crossing = crossings(graph, priced_table, scenario, hosts)
        plans.append(
            PlanEntry(
                constant_s=constant,
                slopes=tuple(slopes),
                region=regions[cut],
                crossing=tuple(_crossing_entry(graph, c) for c in crossing),
                placement=tuple(hosts.tolist()),
            )
        )
    return tuple(plans)


def _sorted(envelope: Envelope) -> list[Vertex]:
    """Vertices by rising parameters, that is by falling coordinates: exactly, to the last bit."""

    def inverse_order(vertex: Vertex) -> list[Fraction]:
        weight, *scaled = vertex.point[:-1]
        return [Fraction(-x, weight) for x in scaled]

    return sorted(envelope.vertices, key=inverse_order)


def _proof(search: Search, envelope: Envelope) -> ProofEntry:
    solution = next(iter(search.answers.values())).solution
    gaps, vertices = [0.0], []
    for vertex in _sorted(envelope):
        state, total = search.state_at(envelope, vertex), vertex.height
        vertices.append(VertexEntry(state=state, total_s=total))
        if total:
            gaps.append(1.0 - search.answers[state].lower_bound_s / total)
    return ProofEntry(
        solver=solution.solver,
        solver_version=solution.solver_version,
        n_solves=len(search.answers),
        largest_relative_gap=max(gaps),
        vertices=tuple(vertices),
    )


def _crossing_entry(graph: Graph, crossing: Crossing) -> TableCrossing:
    is_labels = crossing.tensor is None
    return TableCrossing(
        kind="labels" if is_labels else "tensor",
        tensor="labels" if crossing.tensor is None else graph.tensors[crossing.tensor].name,
        link=crossing.link,
        up_bytes=crossing.up_bytes,
        down_bytes=crossing.down_bytes,
    )
