"""Everything about one graph, measured in the process that this runs in: it must be a fresh one."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, count

import numpy as np

import planner
from benchmarks.machine import peak_kib, resident_kib
from benchmarks.records import rounded
from benchmarks.speed.agreement import check
from benchmarks.speed.cases import PRIVATE_TRAINING, Case, costs
from benchmarks.speed.contest import Contestant, Prepare, Setup, compete, ratios
from benchmarks.speed.lookups import RANGES, check_table
from benchmarks.speed.results import Exactness, GraphResult, Memory, Spread, TableCheck
from benchmarks.speed.states import State, random_states
from planner.plans.solving import solve
from planner.problems.problem import Problem
from planner.problems.solution import SOLVERS, Limits

REPLAN = "segments"
UNLIMITED = 10**9
Answer = Callable[[], object]
PAIRS = (
    ("networkx", "segments, proof read"),
    ("maxflow", "segments, proof read"),
    ("networkx", "blockwise, networkx"),
    ("maxflow", "blockwise"),
)
"""Ratios that are stored beside everybody's to the re-plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How much to measure.

    Attributes:
        timed_states: States in which competitors are timed.
        exact_states: States in which answers are compared.
        large_exact_states: The same for graphs above `large_operators`.
        boundaries: For each setup, so many boundaries between best plans are looked for.
        exact_budget_s: Seconds for comparing answers, and again for those at boundaries.
        table_states: States in which tables are compared with the exact solver.
        many: Look-ups at once.
        budget_s: Seconds for each competitor's timing.
        limit_s: A competitor may take so long for one state.
        networkx_operators: It is left out above.
        same_engine_operators: So is `blockwise` with networkx as its engine.
        large_operators: What counts as large.
    """

    timed_states: int
    exact_states: int
    large_exact_states: int
    boundaries: int
    exact_budget_s: float
    table_states: int
    many: int
    budget_s: float
    limit_s: float
    networkx_operators: int = 13_500
    same_engine_operators: int = 5_000
    large_operators: int = 20_000


FULL = Effort(
    timed_states=96,
    exact_states=1_000,
    large_exact_states=50,
    boundaries=5,
    exact_budget_s=90.0,
    table_states=10_000,
    many=1_000_000,
    budget_s=2.5,
    limit_s=20.0,
)
QUICK = Effort(
    timed_states=3,
    exact_states=20,
    large_exact_states=20,
    boundaries=2,
    exact_budget_s=10.0,
    table_states=50,
    many=1_000,
    budget_s=2.0,
    limit_s=10.0,
)


def measure(case: Case, effort: Effort) -> GraphResult:
    """Measure one graph; the first thing is its memory, before anything else has used any."""
    graph = case.make(case.batches[0])
    problem = planner.problem(graph, costs(case.workloads[0], graph))
    solve(problem)
    resident = resident_kib()
    memory = Memory(resident_kib=resident, peak_kib=max(resident, peak_kib()))
    graphs = [graph, *(case.make(batch) for batch in case.batches[1:])]
    setups = [Setup.of(g, w, costs(w, g)) for w in case.workloads for g in graphs]
    n = len(graph.operators)
    contestants, notes = _contestants(setups, n, effort)
    if case.has_table:
        contestants.append(_table_contestant(setups))
    states = random_states(effort.timed_states, seed=1, per_speed=4)
    compete(setups, contestants, states, budget_s=effort.budget_s, limit_s=effort.limit_s)
    notes += [contestant.note for contestant in contestants if contestant.note]
    took_part = [c for c in contestants if any(s is not None for s in c.seconds)]
    return GraphResult(
        name=case.name,
        title=case.title,
        group=case.group,
        family=case.family,
        batches=case.batches,
        workloads=case.workloads,
        operators=n,
        tensors=len(graph.tensors),
        seconds={c.name: Spread.of([s for s in c.seconds if s is not None]) for c in took_part},
        ratios=_ratios(took_part, len(setups), range(len(setups))),
        ratios_by_workload=_ratios_by_workload(took_part, setups),
        numpy_pass_s=rounded(_numpy_pass_s(problem)),
        exactness=_exactness(setups, n, effort),
        memory=memory,
        tables=_tables(setups, case, effort),
        notes=tuple(notes),
    )


def _contestants(setups: list[Setup], n: int, effort: Effort) -> tuple[list[Contestant], list[str]]:
    notes = []
    found = [
        Contestant(name="maxflow", prepare=_replan("maxflow")),
        Contestant(name="blockwise", prepare=_replan("blockwise")),
        Contestant(name="blockwise, new speeds", prepare=_new_speeds("blockwise")),
        Contestant(name=REPLAN, prepare=_replan(REPLAN)),
        # The certificate in ticks is made when asked for; this competitor asks.
        Contestant(name="segments, proof read", prepare=_replan(REPLAN, reads=True)),
        Contestant(name="segments, new speeds", prepare=_new_speeds(REPLAN)),
        Contestant(name="segments, cold", prepare=_first_answer, max_states=11, is_cold=True),
    ]
    if n <= effort.networkx_operators:
        # The slowest by far is a base of the figures: it gets time for more than a few states.
        found.append(Contestant(name="networkx", prepare=_replan("networkx"), budget_factor=4.0))
    else:
        notes.append(f"`networkx` above {effort.networkx_operators:,} operators")
    if n <= effort.same_engine_operators:
        found.append(Contestant(name="blockwise, networkx", prepare=_blockwise_by_networkx))
    if _has_few_free_operators(setups):
        found.append(Contestant(name="brute-force", prepare=_replan("brute-force"), max_states=20))
    return found, notes


def _has_few_free_operators(setups: list[Setup]) -> bool:
    """Whether exhaustive search takes the problem."""
    latest, earliest = setups[0].problem.constraints.extremes
    most = SOLVERS.peek("brute-force").capabilities.max_free_operators or 0
    return int((latest > earliest).sum()) <= most


def _replan(solver: str, *, reads: bool = False) -> Prepare:
    """From a problem in which the hosts have their speeds: new rates, then the answer."""

    def prepare(setup: Setup, state: State) -> Answer:
        problem = state.speeds(setup.problem)

        def answer() -> object:
            solution = solve(state.links(problem), solver)
            return (solution.value, solution.lower_bound, solution.is_proved) if reads else solution

        return answer

    return prepare


def _blockwise_by_networkx(setup: Setup, state: State) -> Answer:
    """Block-wise with the engine that `networkx` has for the whole network."""
    from planner.solvers.blockwise import BlockWise
    from planner.solvers.networkx_flow import VERSION, minimum_cut

    solver = BlockWise(minimum_cut, f"networkx {VERSION}")
    problem = state.speeds(setup.problem)

    def answer() -> object:
        # As `planner.solve` does with registered solvers.
        new = state.links(problem)
        solution = solver.solve(new, limits=Limits())
        while new.goal.is_coarse_for(solution.value):
            new = new.with_incumbent(solution.placement)
            solution = solver.solve(new, limits=Limits())
        return solution

    return answer


_ANSWERS = count(1)


def _new_speeds(solver: str) -> Prepare:
    """Hosts get new speeds, too, which no state before had."""

    def prepare(setup: Setup, state: State) -> Answer:
        own = replace(state, device_speed=state.device_speed * (1 + 1e-6 * next(_ANSWERS)))
        return lambda: solve(own.links(own.speeds(setup.problem)), solver)

    return prepare


def _first_answer(setup: Setup, state: State) -> Answer:
    problem = state.links(state.speeds(setup.fresh_problem()))
    return lambda: solve(problem, REPLAN)


def _table_contestant(setups: list[Setup]) -> Contestant:
    ends = RANGES["uplink_bps"]
    tables = {id(s): planner.table(s.graph, s.costs, uplink_bps=ends) for s in setups}

    def prepare(setup: Setup, state: State) -> Answer:
        table, uplink = tables[id(setup)], state.uplink_bps
        return lambda: table.best(uplink_bps=uplink)

    return Contestant(name="table", prepare=prepare)


def _ratios(contestants: list[Contestant], n_setups: int, own: Sequence[int]) -> dict[str, Spread]:
    """`a / b` over the states of some setups, by position."""
    by_name = {c.name: c for c in contestants}
    pairs = [(name, REPLAN) for name in by_name if name != REPLAN]
    found = {}
    for one, other in (*pairs, *PAIRS):
        if one in by_name and other in by_name:
            a, b = by_name[one], by_name[other]
            values = list(chain(*(ratios(a, b, start=i, step=n_setups) for i in own)))
            if values:
                found[f"{one} / {other}"] = Spread.of(values)
    return found


def _ratios_by_workload(
    contestants: list[Contestant], setups: list[Setup]
) -> dict[str, dict[str, Spread]]:
    """The same for each workload alone: pooled medians hide which of them is hard."""
    engines = ("networkx", "maxflow")
    found = {}
    for workload in dict.fromkeys(setup.workload for setup in setups):
        own = [i for i, setup in enumerate(setups) if setup.workload == workload]
        pairs = _ratios(contestants, len(setups), own)
        found[workload] = {k: v for k, v in pairs.items() if k.split(" / ")[0] in engines}
    return found


def _numpy_pass_s(problem: Problem) -> float:
    """One pass over the cost arrays: the sum of each."""
    x = problem.transfers
    arrays = (problem.compute_s, problem.exchange_bits, x.up_bits, x.down_bits)
    times = []
    for _ in range(21):
        start = time.perf_counter()
        for array in arrays:
            array.sum()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def _exactness(setups: list[Setup], n: int, effort: Effort) -> Exactness:
    is_large = n > effort.large_operators
    n_states = effort.large_exact_states if is_large else effort.exact_states
    solvers = dict.fromkeys((REPLAN, "blockwise"), UNLIMITED)
    if n <= effort.networkx_operators:
        solvers["networkx"] = max(1, min(20, 10_000 // n))
    if _has_few_free_operators(setups):
        solvers["brute-force"] = 200
    states = random_states(n_states, seed=2)
    per_setup = effort.boundaries if n <= 5_000 else 1
    n_boundaries = 1 if is_large else len(setups) * per_setup
    return check(setups, solvers, states, n_boundaries=n_boundaries, budget_s=effort.exact_budget_s)


def _tables(setups: list[Setup], case: Case, effort: Effort) -> tuple[TableCheck, ...]:
    """Of the largest batch, in training with inputs that stay on the device; for the zoo."""
    setup = next((s for s in reversed(setups) if s.workload == PRIVATE_TRAINING), None)
    if setup is None or not case.has_table or case.group != "zoo":
        return ()
    parameters = [("uplink_bps",), ("uplink_bps", "downlink_bps", "device_speed")]
    return tuple(
        check_table(setup, names, n_states=effort.table_states, n_many=effort.many)
        for names in parameters
    )
