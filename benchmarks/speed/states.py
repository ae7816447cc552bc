"""Random link states and host speeds, the same for every solver."""

from __future__ import annotations

import math
import random
from dataclasses import asdict, astuple, dataclass, replace

from planner.problems.problem import Problem

RATES_BPS = (1e4, 32e9)
DEVICE_SPEED = (0.3, 32.0)
SERVER_SPEED = (0.1, 316.0)
LATENCY_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """One state of the link and the hosts; speeds are factors on what the costs say."""

    uplink_bps: float
    downlink_bps: float
    latency_s: float
    device_speed: float
    server_speed: float

    def towards(self, other: State, part: float) -> State:
        """A state between this one (0) and another (1), geometrically but for the latency."""
        mine, theirs = astuple(self), astuple(other)
        logs = [a ** (1 - part) * b**part for a, b in zip(mine, theirs, strict=True)]
        between = State(**dict(zip(asdict(self), logs, strict=True)))
        latency = self.latency_s + part * (other.latency_s - self.latency_s)
        return replace(between, latency_s=latency)

    def speeds(self, problem: Problem) -> Problem:
        """The problem with this state's host speeds."""
        device, server = problem.hosts
        return problem.with_speed(**{device: self.device_speed, server: self.server_speed})

    def links(self, problem: Problem) -> Problem:
        """The problem with this state's link: what happens when a plan is made again."""
        return problem.with_links(
            uplink_bps=self.uplink_bps, downlink_bps=self.downlink_bps, latency_s=self.latency_s
        )


def random_states(count: int, seed: int, *, per_speed: int = 1) -> list[State]:
    """Rates and device speed log-uniform; the server's speed, too, but for every second state.

    Args:
        count: How many.
        seed: Equal seeds give equal states.
        per_speed: So many states in a row have the same host speeds.
    """
    rng = random.Random(seed)
    states: list[State] = []
    device = server = 1.0
    for i in range(count):
        if i % per_speed == 0:
            device = _log_uniform(rng, *DEVICE_SPEED)
            server = _log_uniform(rng, *SERVER_SPEED) if i // per_speed % 2 else 1.0
        states.append(
            State(
                uplink_bps=_log_uniform(rng, *RATES_BPS),
                downlink_bps=_log_uniform(rng, *RATES_BPS),
                latency_s=rng.uniform(0.0, LATENCY_S),
                device_speed=device,
                server_speed=server,
            )
        )
    return states


def _log_uniform(rng: random.Random, low: float, high: float) -> float:
    return math.exp(rng.uniform(math.log(low), math.log(high)))
