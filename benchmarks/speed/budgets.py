"""Memory limits on the zoo's models: the gap of the relaxation, its time, and closing it.

Each model is planned for training and for private inference, in a few states of link and device,
with the device limited to 25, 50 and 75 % of what the plan without limits needs there (or
everything on the device, where that plan has nothing on it). Times are minima of interleaved runs
on fresh problems, whose networks have to be built, and are shown as ratios to `maxflow` without
limits.

With `--perturbed` every operator's costs are multiplied by random factors (log-normal, seeded), and
the server is limited, too: harder than what models and hardware give, so that gaps show.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

import planner
from benchmarks.machine import describe
from benchmarks.speed.cases import (
    INFERENCE,
    PRIVATE_INFERENCE,
    PRIVATE_TRAINING,
    TRAINING,
    all_cases,
    costs,
)
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.problem import Problem
from planner.problems.solution import Limits, Solution

SHARES = (0.25, 0.5, 0.75)
STATES = ((5e6, 1.0), (50e6, 1.0), (50e6, 30.0), (1e9, 30.0), (200e6, 300.0))
"""Uplink, half of the downlink, in bit/s; and how many times faster the device is."""

WANTED_GAP, WANTED_S, WANTED_RATIO = 0.01, 60.0, 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One problem: gap and time of the relaxation, time to the wanted gap, and the gap then."""

    model: str
    workload: str
    gap: float
    ratio: float
    closing_s: float
    closed_gap: float


def problems(graph: Graph) -> Iterator[tuple[str, Problem]]:
    """Every workload, state and limit."""
    for workload in (TRAINING, PRIVATE_TRAINING, INFERENCE, PRIVATE_INFERENCE):
        document = costs(workload, graph)
        device, *others = document.hosts
        limited = (device.model_copy(update={"memory_bytes": 2**53}), *others)
        base = planner.problem(graph, document.model_copy(update={"hosts": limited}))
        for uplink, speed in STATES:
            state = base.with_links(uplink_bps=uplink, downlink_bps=2 * uplink)
            state = state.with_speed(device=speed)
            memory = state.memory
            assert memory is not None
            free = solve(replace(state, memory=None), "maxflow").placement
            everything = np.zeros(state.n_operators, np.int64)
            used = memory.use(free)[0] or memory.use(everything)[0]
            for share in SHARES:
                limits = np.array([max(1.0, np.floor(used * share)), np.inf])
                yield workload, replace(state, memory=replace(memory, limits=limits))


def perturbed(graph: Graph, count: int = 30) -> Iterator[tuple[str, Problem]]:
    """Random costs, states and limits of both hosts."""
    random = np.random.default_rng(1)
    for workload in (TRAINING, INFERENCE):
        document = costs(workload, graph)
        limited = [h.model_copy(update={"memory_bytes": 2**53}) for h in document.hosts]
        base = planner.problem(graph, document.model_copy(update={"hosts": tuple(limited)}))
        memory = base.memory
        assert memory is not None
        everything = memory.use(np.zeros(base.n_operators, np.int64))[0]
        for _ in range(count):
            factors = np.exp(random.normal(0.0, 1.5, base.compute_s.shape))
            state = replace(base, compute_s=base.compute_s * factors)
            equal = float(state.compute_s[0].sum() / state.compute_s[1].sum())
            state = state.with_links(
                uplink_bps=float(10 ** random.uniform(6, 9.5)),
                downlink_bps=float(10 ** random.uniform(6, 9.5)),
            ).with_speed(device=equal * float(np.exp(random.normal(0.0, 0.7))))
            device = random.uniform(0.1, 0.9)
            shares = np.array([device, random.uniform(1.05 - device, 1.0)])
            limits = np.floor(everything * shares)
            yield workload, replace(state, memory=replace(memory, limits=limits))


def measure(model: str, workload: str, problem: Problem, repeat: int) -> Row | None:
    """One row; None where nothing fits."""
    free = replace(problem, memory=None)
    times: dict[str, list[float]] = {"budget": [], "maxflow": []}
    try:
        relaxed = solve(problem, "budget")
    except planner.PlannerError:
        return None
    for _ in range(repeat):
        for name, fresh in (("maxflow", replace(free)), ("budget", replace(problem))):
            started = time.perf_counter()
            solve(fresh, name)
            times[name].append(time.perf_counter() - started)
    started = time.perf_counter()
    limits = Limits(gap=WANTED_GAP, seconds=WANTED_S)
    closed: Solution = solve(replace(problem), "budget", limits=limits)
    return Row(
        model=model,
        workload=workload,
        gap=relaxed.certificate.gap,
        ratio=min(times["budget"]) / min(times["maxflow"]),
        closing_s=time.perf_counter() - started,
        closed_gap=closed.certificate.gap,
    )


def main() -> None:
    """Print one line per model, and the wanted figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", default=None, help="names of models")
    parser.add_argument("--perturbed", action="store_true", help="random costs, both hosts limited")
    parser.add_argument("--repeat", type=int, default=5)
    arguments = parser.parse_args()
    print(describe())
    print(
        f"{'model':<16}{'problems':>9}{'gap = 0':>9}{'largest gap':>13}{'ratio':>7}{'worst':>7}"
        f"{'closing s':>11}{'gap then':>10}{'unfit':>7}"
    )
    rows: list[Row] = []
    for case in all_cases().values():
        if case.group == "generated" or (arguments.only and case.name not in arguments.only):
            continue
        graph = case.make(case.batches[-1])
        found = [
            measure(case.title, workload, problem, arguments.repeat)
            for workload, problem in (perturbed if arguments.perturbed else problems)(graph)
        ]
        mine = [row for row in found if row is not None]
        rows += mine
        if not mine:
            continue
        print(
            f"{case.name:<16}{len(mine):>9}{sum(row.gap <= 1e-9 for row in mine):>9}"
            f"{max(row.gap for row in mine):>13.2%}"
            f"{statistics.median(row.ratio for row in mine):>7.1f}"
            f"{max(row.ratio for row in mine):>7.1f}{max(row.closing_s for row in mine):>11.2f}"
            f"{max(row.closed_gap for row in mine):>10.2%}{len(found) - len(mine):>7}",
            flush=True,
        )
    worst = max(rows, key=lambda row: row.ratio)
    print(f"time of the relaxation, worst: {worst.ratio:.1f} x maxflow (wanted: {WANTED_RATIO:g})")
    is_closed = all(row.closed_gap <= WANTED_GAP for row in rows)
    slowest = max(row.closing_s for row in rows)
    print(
        f"closed to {WANTED_GAP:.0%}: {'all' if is_closed else 'not all'}, {slowest:.2f} s at most"
    )


if __name__ == "__main__":
    main()
