"""Random ranges of tables, and states in them."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import numpy as np
from hypothesis import strategies as st

from planner.problems.problem import Problem
from planner.tables.table import Table

Ranges = dict[str, tuple[float, float]]
EXACT = 1e-9
NAN = float("nan")

RATE_ENDS = [8.0, 1e3, 1e5, 3.3e6, 1e7, 1e9, 1e12, 1e18]
SPEED_ENDS = [1e-3, 0.25, 1.0, 1.7, 40.0]


@st.composite
def boxes(draw: st.DrawFn) -> Ranges:
    """One to three ranges, from narrow ones to fifteen orders of magnitude."""
    names = draw(
        st.lists(
            st.sampled_from(["uplink_bps", "downlink_bps", "device_speed"]),
            min_size=1,
            max_size=3,
            unique=True,
        )
    )
    found = {}
    for name in names:
        ends = SPEED_ENDS if name == "device_speed" else RATE_ENDS
        low, high = sorted(
            draw(st.lists(st.sampled_from(ends), min_size=2, max_size=2, unique=True))
        )
        found[name] = (low, high)
    return found


def in_state(problem: Problem, state: dict[str, float]) -> Problem:
    speed = problem.speed.copy()
    speed[0] = state.get("device_speed", 1.0)
    rates = {name: value for name, value in state.items() if name != "device_speed"}
    return replace(problem.with_links(**rates), speed=speed)


def states_of(table: Table, seed: int, count: int) -> list[dict[str, float]]:
    """Corners, vertices of the proof, and random states, half of them on a border between plans."""
    names = [p.name for p in table.parameters]
    ends = [(p.low, p.high) for p in table.parameters]
    rng = np.random.default_rng(seed)
    found = [*product(*ends), *(vertex.state for vertex in table.proof.vertices)]
    vertices = np.array([vertex.state for vertex in table.proof.vertices])
    for _ in range(count):
        low, high = np.log(ends).T
        found.append(tuple(np.exp(rng.uniform(low, high))))
        one, other = 1.0 / vertices[rng.integers(len(vertices), size=2)]
        share = rng.uniform()
        found.append(tuple(1.0 / (share * one + (1 - share) * other)))
    low, high = np.transpose(ends)
    return [dict(zip(names, np.clip(state, low, high).tolist(), strict=True)) for state in found]
