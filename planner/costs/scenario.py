"""What surrounds the model: hosts in route order, links between them, the work, and the rules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum


class Mode(Enum):
    """What is done with the model."""

    TRAINING = "training"
    """Forward, backward, gradients down the link, and an exchange of parameters per round."""
    INFERENCE = "inference"
    """Forward only."""


class Objective(Enum):
    """What the best placement has least of."""

    DELAY = "delay"
    """The seconds of a round."""
    THROUGHPUT = "throughput"
    """The slowest stage, when hosts and links work on consecutive mini-batches like a pipeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """What joins two neighbouring hosts: bits per second up and down, seconds one way."""

    uplink_bps: float
    downlink_bps: float
    latency_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Hosts in the order in which data flows, with one link between each two neighbours."""

    hosts: tuple[str, ...]
    links: tuple[Link, ...]

    def __post_init__(self) -> None:
        if len(self.hosts) < 2 or len(self.links) != len(self.hosts) - 1:
            raise ValueError(f"{len(self.hosts)} hosts and {len(self.links)} links are no route")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a round consists of; see docs/theory.md, §1. Sizes in bytes."""

    mode: Mode = Mode.TRAINING
    objective: Objective = Objective.DELAY
    iterations_per_round: int = 1
    label_bytes: int = 0
    return_outputs: bool = False
    batch_size: int | None = None
    wire_dtype: str | None = None
    optimizer_states: int = 0

    @property
    def is_training(self) -> bool:
        """Whether there is a backward pass."""
        return self.mode is Mode.TRAINING

    @property
    def iterations(self) -> int:
        """Iterations per round: 1 in inference."""
        return self.iterations_per_round if self.is_training else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Placement rules, by index into the graph and the route.

    Attributes:
        pins: (operator, host) pairs.
        together: Sets of operators that share a host.
        forbidden: Tensors that may not cross any link.
        input_hosts: (tensor, host) pairs for graph inputs that do not live at host 0.
    """

    pins: tuple[tuple[int, int], ...] = ()
    together: tuple[tuple[int, ...], ...] = ()
    forbidden: tuple[int, ...] = ()
    input_hosts: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Route, workload and rules of one planning task.

    `memory_limits` holds the bytes that each host has, None where they are not limited; empty if
    no host's are. `kernels` are (host, operators) pairs: sets of `rules.together` that are there
    because a host runs them as one, operators ascending.
    """

    route: Route
    workload: Workload
    rules: Rules = Rules()
    memory_limits: tuple[int | None, ...] = ()
    kernels: tuple[tuple[int, tuple[int, ...]], ...] = ()

    def kernel_clause(self, group: Sequence[int]) -> str | None:
        """Which hosts run a set of `rules.together` as one, in words; None if none does."""
        members = tuple(sorted(group))
        found = [self.route.hosts[host] for host, kernel in self.kernels if kernel == members]
        hosts = dict.fromkeys(f"`{host}`" for host in found)
        if not hosts:
            return None
        return f"{' and '.join(hosts)} {'runs' if len(hosts) == 1 else 'run'} them as one kernel"
