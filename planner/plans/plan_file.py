"""A plan: where every operator goes, what that costs, what crosses, and the proof."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from planner.errors import InputError
from planner.evaluation.entries import (
    Count,
    CrossingEntry,
    DelayEntry,
    MemoryEntry,
    PipelineEntry,
    Seconds,
)
from planner.files.documents import WHOLE, Items, StrictModel, read_document
from planner.files.values import JsonValue
from planner.graphs.modules import ModuleRow, placement_by_module
from planner.problems.solution import Status

if TYPE_CHECKING:
    StatusName = str
else:
    StatusName = Literal[tuple(status.value for status in Status)]


class PlacementEntry(StrictModel):
    """Where one operator goes."""

    node: str
    host: str


class BaselineEntry(StrictModel):
    """A policy to compare with; `total_s` and `ratio` (to the plan's) are null if not feasible.

    `total_s` is its delay, or its slowest stage where the plan is for throughput.

    `is_as_published` is false where the policy's own answer broke the rules and was repaired.
    """

    policy: str
    is_feasible: bool
    is_as_published: bool
    total_s: Seconds | None
    ratio: float | None
    message: str


class CertificateEntry(StrictModel):
    """Why no placement is better: a lower bound, in ticks, that equals the value.

    `tolerance` is what a proof in floating point leaves open, relative to the value.
    """

    holds: bool
    lower_bound: Count
    value: Count
    quantum_s: Annotated[float, Field(gt=0)]
    tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.0
    status: StatusName
    message: str


class PlanHead(StrictModel):
    """A plan without its placement, which is as long as the graph."""

    kind: Literal["plan"]
    version: Annotated[Literal[1], WHOLE]
    tool: str
    graph: str
    graph_digest: str
    costs_digest: str
    batch: Annotated[int, Field(ge=1), WHOLE] | None
    mode: Literal["training", "inference"]
    objective: Literal["delay", "throughput"] = "delay"
    iterations_per_round: Annotated[int, Field(ge=1, le=10**9), WHOLE]
    hosts: Items[str]
    solver: str
    solver_version: str
    total_s: Seconds
    iteration_s: Seconds
    delay: DelayEntry
    certificate: CertificateEntry
    crossing: Items[CrossingEntry]
    memory: Items[MemoryEntry] = ()
    pipeline: PipelineEntry | None = None
    baselines: Items[BaselineEntry]
    notes: Items[str]
    warnings: Items[str]


class PlanFile(PlanHead):
    """A saved plan, `plan.v1`."""

    placement: Items[PlacementEntry]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A plan; made by `planner.plan`, read by `planner.read_plan`.

    Attributes:
        head: Everything but the placement.
        placement: Host name of every operator, in graph order.
    """

    head: PlanHead
    placement: Mapping[str, str]

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of the hosts, in route order."""
        return self.head.hosts

    @property
    def total_s(self) -> float:
        """Seconds of one round."""
        return self.head.total_s

    @property
    def iteration_s(self) -> float:
        """Seconds of one iteration."""
        return self.head.iteration_s

    @property
    def delay(self) -> DelayEntry:
        """The delay by term."""
        return self.head.delay

    @property
    def crossing(self) -> tuple[CrossingEntry, ...]:
        """What crosses the links."""
        return self.head.crossing

    @property
    def memory(self) -> tuple[MemoryEntry, ...]:
        """What every host needs, and what it has."""
        return self.head.memory

    @property
    def pipeline(self) -> PipelineEntry | None:
        """The stages, if the objective is throughput."""
        return self.head.pipeline

    @property
    def baselines(self) -> tuple[BaselineEntry, ...]:
        """What simple policies would take."""
        return self.head.baselines

    @property
    def certificate(self) -> CertificateEntry:
        """The proof."""
        return self.head.certificate

    @property
    def by_module(self) -> tuple[ModuleRow, ...]:
        """The placement by the coarsest modules that are not split, in graph order."""
        return tuple(placement_by_module(self.placement))

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about the import and the numbers."""
        return self.head.notes

    @property
    def warnings(self) -> tuple[str, ...]:
        """What may make the plan mean something else than expected."""
        return self.head.warnings

    def to_dict(self) -> dict[str, JsonValue]:
        """The content of a plan file, as JSON values."""
        placement: list[JsonValue] = [
            {"node": node, "host": host} for node, host in self.placement.items()
        ]
        return {**self.head.model_dump(mode="json"), "placement": placement}


def read_plan(path: str | Path) -> Plan:
    """Read a saved plan.

    Raises:
        PlannerError: With every problem of the file at its place.
    """
    where = str(path)
    file = read_document(path, "plan", PlanFile)
    seen: set[str] = set()
    for position, entry in enumerate(file.placement):
        if entry.node in seen:
            text = f"operator `{entry.node}` is placed twice"
            raise InputError(text, code="PLN105", where=f"{where}: $.placement[{position}]")
        seen.add(entry.node)
    head = PlanHead(**{name: getattr(file, name) for name in PlanHead.model_fields})
    return Plan(head=head, placement={entry.node: entry.host for entry in file.placement})
