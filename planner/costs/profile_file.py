"""The profile, `profile.v1`: what operators took on one machine, and how that was found out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from planner.errors import InputError, PlannerError, raise_all
from planner.files.documents import (
    WHOLE,
    Items,
    StrictModel,
    check_kind,
    parse_json,
    read_bytes,
    validate,
)
from planner.files.values import JsonValue

MAX_SECONDS = 1e9
"""Times of one operator above this (thirty years) are refused as mistakes."""

Name = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
Count = Annotated[int, Field(ge=0, le=2**53), WHOLE]
Dimension = Annotated[int, Field(ge=0, le=2**53), WHOLE]
Edge = Annotated[Items[Name], Field(min_length=2, max_length=2)]


class Timing(StrictModel):
    """One duration: `typical_s` over `n_runs`, with the interquartile range of them as spread.

    `method` says how: what ran, or what an estimate rests on.
    """

    typical_s: Seconds
    spread_s: Seconds = 0.0
    n_runs: Count
    origin: Literal["measured", "estimated"]
    method: str


class NodeTiming(StrictModel):
    """One operator: `signature` says what it computes, `output_bytes` how much it writes."""

    node: Annotated[str, Field(alias="name", min_length=1)]
    op: Name
    signature: str = ""
    output_bytes: Dimension | None = None
    forward: Timing
    backward: Timing | None = None


class Group(StrictModel):
    """Operators that ran as one kernel or one segment: the first carries the seconds of all.

    What the others would take apart is not known, so they are kept together in every plan.
    `edges` are pairs of nodes of which the second reads what the first makes, and `read_outside`
    are nodes whose results are also read by others, or returned: what else the same kernel is
    looked for by, in another model.
    """

    nodes: Annotated[Items[Name], Field(min_length=2)]
    edges: Items[Edge] = ()
    read_outside: Items[Name] = ()
    reason: str


class WholeTiming(StrictModel):
    """The whole model, timed apart from its operators.

    `sum_forward_s` and `sum_backward_s` are the sums over operators before they were scaled to
    the time of the whole model.
    """

    forward: Timing
    backward: Timing | None = None
    sum_forward_s: Seconds
    sum_backward_s: Seconds | None = None


class Engine(StrictModel):
    """What ran the operators; `settings` holds what only this engine has."""

    name: Name
    version: str
    provider: str = ""
    threads: Count = 0
    optimization: str = ""
    settings: dict[str, str] = Field(default_factory=dict)


class InputShape(StrictModel):
    """A graph input as it was fed."""

    name: Name
    dtype: str
    shape: Items[Dimension]


class Measurement(StrictModel):
    """One model at one batch, in one mode, by one engine.

    Attributes:
        model: What the graph is called.
        digest: SHA-256 over operators, attributes, edges and parameters by name.
        gradients: SHA-256 over what a training step computes a gradient for.
        batch: Leading dimension of the inputs; None where they have none in common.
        is_complete: False for what was interrupted; such a measurement is never used.
        unfinished: What the measuring program needs to go on; only where not complete.
    """

    model: str
    digest: str = ""
    gradients: str = ""
    batch: Annotated[int, Field(ge=1, le=2**31), WHOLE] | None
    inputs: Items[InputShape] = ()
    mode: Literal["inference", "training"]
    engine: Engine
    started: str
    is_complete: bool
    whole: WholeTiming | None = None
    nodes: Items[NodeTiming]
    groups: Items[Group] = ()
    notes: Items[str] = ()
    unfinished: Any = None


class Machine(StrictModel):
    """Where it was measured, as far as the operating system tells."""

    name: str
    processor: str = ""
    accelerator: str = ""
    n_cores: Count = 0
    memory_bytes: Count = 0
    system: str = ""
    python: str = ""
    power_mode: str = ""


class Profile(StrictModel):
    """A profile file. `read_profile` makes one from a file, `check_profile` from a document."""

    kind: Literal["profile"]
    version: Annotated[Literal[1], WHOLE]
    tool: str = ""
    machine: Machine
    measurements: Annotated[Items[Measurement], Field(min_length=1)]

    _place: str = PrivateAttr(default="")

    @property
    def is_settled(self) -> bool:
        """Whether it is known where the profile is from, and its parts were checked together."""
        return bool(self._place)

    @property
    def place(self) -> str:
        """What errors call the document: its file, or its place in a costs file, as a pointer."""
        return self._place or "profile: $"

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical content: equal for files that say the same."""
        content = self.model_dump(mode="json", by_alias=True)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_profile(path: str | Path) -> Profile:
    """Read a profile.

    Args:
        path: A JSON file of kind `profile`, version 1.

    Raises:
        PlannerError: With every problem of the file at its place.
    """
    where = str(path)
    return check_profile(parse_json(read_bytes(Path(path)), where), where)


def check_profile(document: JsonValue, where: str) -> Profile:
    """Check a parsed document, alone and across its parts.

    Raises:
        PlannerError: With every problem of the document.
    """
    check_kind(document, "profile", where)
    profile = validate(Profile, document, where)
    settle(profile, f"{where}: $")
    return profile


def settle(profile: Profile, place: str) -> None:
    """Say where a profile is from, and check what no single key shows.

    Args:
        profile: Valid key by key.
        place: Its file and pointer, such as `jetson.json: $`.

    Raises:
        PlannerError: With every node that is listed twice or in two groups, and every group of
            what was not measured.
    """
    profile._place = place
    raise_all(list(_cross_problems(profile, place)))


def _cross_problems(profile: Profile, place: str) -> Iterator[PlannerError]:
    for position, measurement in enumerate(profile.measurements):
        here = f"{place}.measurements[{position}]"
        seen: set[str] = set()
        for index, row in enumerate(measurement.nodes):
            if row.node in seen:
                text = f"node `{row.node}` is listed twice"
                yield InputError(text, code="PLN105", where=f"{here}.nodes[{index}].name")
            seen.add(row.node)
        grouped: set[str] = set()
        for index, group in enumerate(measurement.groups):
            yield from _group_problems(group, seen, grouped, f"{here}.groups[{index}]")


def _group_problems(
    group: Group, measured: set[str], grouped: set[str], where: str
) -> Iterator[PlannerError]:
    """`grouped` are the nodes of the groups before, to which those of this one are added."""
    for position, name in enumerate(group.nodes):
        if name in grouped or name not in measured:
            is_twice = name in grouped
            text = f"node `{name}` {'is in a group already' if is_twice else 'was not measured'}"
            code = "PLN105" if is_twice else "PLN111"
            yield InputError(text, code=code, where=f"{where}.nodes[{position}]")
        grouped.add(name)
    for position, edge in enumerate(group.edges):
        strangers = [name for name in edge if name not in group.nodes]
        if strangers:
            text = f"node `{strangers[0]}` is not in the group"
            yield InputError(text, code="PLN111", where=f"{where}.edges[{position}]")
    for position, name in enumerate(group.read_outside):
        if name not in group.nodes:
            text = f"node `{name}` is not in the group"
            yield InputError(text, code="PLN111", where=f"{where}.read_outside[{position}]")
