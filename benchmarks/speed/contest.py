"""Competitors on the same problem in the same state, one right after another."""

from __future__ import annotations

import gc
import signal
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import FrameType

from benchmarks.speed.states import State
from planner.costs.cost_file import Costs
from planner.costs.cost_table import CostTable
from planner.costs.pricing import priced
from planner.costs.scenario import Scenario
from planner.graphs.graph import Graph
from planner.problems.formulation import formulate
from planner.problems.problem import Problem

FAST_S = 0.005
"""Solves below this are measured three times, each after an untimed one of another state."""

Prepare = Callable[["Setup", State], Callable[[], object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """A graph at one batch with one workload, priced.

    Problems of it can be made afresh without paying for that.
    """

    workload: str
    costs: Costs
    graph: Graph
    table: CostTable
    scenario: Scenario
    problem: Problem

    @classmethod
    def of(cls, graph: Graph, workload: str, costs: Costs) -> Setup:
        """Price a graph."""
        scenario, table = priced(graph, costs)
        problem = formulate(graph, table, scenario)
        return cls(
            workload=workload,
            costs=costs,
            graph=graph,
            table=table,
            scenario=scenario,
            problem=problem,
        )

    def fresh_problem(self) -> Problem:
        """A problem that shares nothing computed with any other, not even through its graph."""
        return formulate(replace(self.graph), self.table, self.scenario)


class TimeLimitError(Exception):
    """A competitor took longer than it may."""


@dataclass(kw_only=True)
class Contestant:
    """One way to answer.

    Attributes:
        name: As in the results.
        prepare: Untimed; gives what is then timed, for one state.
        max_states: It takes part in so many states.
        budget_factor: Its share of time, relative to the others'.
        is_cold: Whether each answer is the first of its problem: measured once, no warming up.
        seconds: What it took in each state, None where it did not take part.
        note: Why it stopped early.
    """

    name: str
    prepare: Prepare
    max_states: int = 10**9
    budget_factor: float = 1.0
    is_cold: bool = False
    seconds: list[float | None] = field(default_factory=list)
    spent_s: float = 0.0
    note: str = ""


def compete(
    setups: list[Setup],
    contestants: list[Contestant],
    states: list[State],
    *,
    budget_s: float,
    limit_s: float,
) -> None:
    """Let every contestant answer every state and fill in `seconds`.

    Args:
        setups: States use them in turn.
        contestants: The order rotates from state to state.
        states: The same for all.
        budget_s: Who has spent more than this is left out of further states.
        limit_s: Who takes longer than this for one state is left out of it and of all further ones.
    """
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        for i, state in enumerate(states):
            setup = setups[i % len(setups)]
            other = replace(
                states[i - 1], device_speed=state.device_speed, server_speed=state.server_speed
            )
            shift = i % len(contestants)
            for contestant in contestants[shift:] + contestants[:shift]:
                budget = budget_s * contestant.budget_factor
                is_in = i < contestant.max_states and contestant.spent_s < budget
                taken = None
                if is_in and not contestant.note:
                    taken = _measure(contestant, setup, state, other, limit_s)
                contestant.seconds.append(taken)
    finally:
        gc.enable()
        gc.unfreeze()


def _measure(
    contestant: Contestant, setup: Setup, state: State, other: State, limit_s: float
) -> float | None:
    started = time.perf_counter()
    known = [s for s in contestant.seconds if s is not None]
    is_fast = not contestant.is_cold and (not known or statistics.median(known) < FAST_S)
    times = []
    try:
        with _time_limit(limit_s):
            for _ in range(3 if is_fast else 1):
                # What was timed before has emptied the processor's caches: a first answer, of
                # another state, is for filling them.
                if is_fast or not (known or contestant.is_cold):
                    contestant.prepare(setup, other)()
                answer = contestant.prepare(setup, state)
                start = time.perf_counter()
                answer()
                times.append(time.perf_counter() - start)
                if times[0] > FAST_S:
                    break
    except TimeLimitError:
        contestant.note = f"{contestant.name} stopped after {limit_s:.0f} s in one state"
        return None
    finally:
        contestant.spent_s += time.perf_counter() - started
        if contestant.spent_s > 0.5 or not is_fast:
            gc.collect()
    return statistics.median(times)


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Interrupt pure Python after `seconds`; compiled code is interrupted when it returns."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeLimitError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def ratios(one: Contestant, other: Contestant, *, start: int = 0, step: int = 1) -> list[float]:
    """How many times as long `one` took as `other`, for every state that both answered.

    Every `step`-th state from `start` is looked at: those of one setup.
    """
    pairs = zip(one.seconds[start::step], other.seconds[start::step], strict=True)
    return [a / b for a, b in pairs if a is not None and b is not None]


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """First quartile, median, third quartile; the value itself where there is one.

    >>> quartiles([1.0, 2.0, 3.0])
    (1.5, 2.0, 2.5)
    """
    if len(values) == 1:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high
