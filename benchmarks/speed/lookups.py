"""Plan tables: how many exact solves they take, whether they are exact, how fast they answer."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

import numpy as np

import planner
from benchmarks.records import rounded
from benchmarks.speed.contest import Setup
from benchmarks.speed.forks import SHARES, on_all_cores
from benchmarks.speed.results import TableCheck
from benchmarks.speed.states import RATES_BPS
from planner.plans.solving import solve

RANGES = {"uplink_bps": RATES_BPS, "downlink_bps": RATES_BPS, "device_speed": (0.3, 32.0)}
TOLERANCE = 1e-9


def check_table(
    setup: Setup, parameters: tuple[str, ...], *, n_states: int, n_many: int
) -> TableCheck:
    """Build a table over `parameters`, compare it in random states, and time its look-ups."""
    box = {name: RANGES[name] for name in parameters}
    start = time.perf_counter()
    table = planner.table(
        setup.graph,
        setup.costs,
        uplink_bps=box.get("uplink_bps"),
        downlink_bps=box.get("downlink_bps"),
        device_speed=box.get("device_speed"),
    )
    build_s = time.perf_counter() - start
    states = _random_points(box, n_states)
    found = table.best_many(**states).totals_s
    points = _rows(states)
    parts = on_all_cores(lambda share: [_exact_s(setup, p) for p in points[share::SHARES]])
    exact = np.empty(n_states)
    for share, part in enumerate(parts):
        exact[share::SHARES] = part
    errors = np.abs(found - exact) / exact
    many = _random_points(box, n_many)
    rows = _rows(_random_points(box, 1000))
    return TableCheck(
        parameters=parameters,
        plans=len(table.plans),
        solves=table.proof.n_solves,
        build_s=rounded(build_s),
        states=n_states,
        wrong=int((errors > TOLERANCE).sum()),
        largest_error=rounded(float(errors.max()), 2),
        lookup_s=rounded(_median_seconds(lambda: [table.best(**row) for row in rows]) / len(rows)),
        million_s=rounded(_median_seconds(lambda: table.best_many(**many)) * 1e6 / n_many),
    )


def _random_points(box: dict[str, tuple[float, float]], count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(len(box))
    return {
        name: np.clip(np.exp(rng.uniform(np.log(low), np.log(high), count)), low, high)
        for name, (low, high) in box.items()
    }


def _rows(states: dict[str, np.ndarray]) -> list[dict[str, float]]:
    columns = [values.tolist() for values in states.values()]
    return [dict(zip(states, row, strict=True)) for row in zip(*columns, strict=True)]


def _exact_s(setup: Setup, point: dict[str, float]) -> float:
    """By the exact solver, from ticks: off by less than 1e-11."""
    rates = dict(point)
    speed = rates.pop("device_speed", None)
    problem = setup.problem
    if speed is not None:
        problem = problem.with_speed(**{problem.hosts[0]: speed})
    solution = solve(problem.with_links(**rates), "maxflow")
    return solution.value * solution.quantum_s


def _median_seconds(run: Callable[[], object]) -> float:
    times = []
    run()
    gc.disable()
    for _ in range(5):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    gc.enable()
    return statistics.median(times)
