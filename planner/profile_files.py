"""The profile, `profile.v1`: what operators took on one machine, and how that was found out."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr

from planner.documents import (
    WHOLE,
    Items,
    JsonValue,
    StrictModel,
    check_kind,
    parse_json,
    read_bytes,
    validate,
)
from planner.errors import InputError, PlannerError, raise_all

MAX_SECONDS = 1e9
"""Times of one operator above this (thirty years) are refused as mistakes."""

Name = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
Count = Annotated[int, Field(ge=0, le=2**53), WHOLE]
Dimension = Annotated[int, Field(ge=0, le=2**53), WHOLE]


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
    """One operator; `signature` is that of `planner.signatures.operator_signature`."""

    node: Annotated[str, Field(alias="name", min_length=1)]
    op: Name
    signature: str = ""
    forward: Timing
    backward: Timing | None = None


class Group(StrictModel):
    """Operators that ran as one kernel or one segment: the first carries the seconds of all.

    What the others would take apart is not known, so they are kept together in every plan.
    """

    nodes: Annotated[Items[Name], Field(min_length=2)]
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
        digest: That of `planner.signatures.model_digest`.
        batch: Leading dimension of the inputs; None where they have none in common.
        is_complete: False for what was interrupted; such a measurement is never used.
        unfinished: What the measuring program needs to go on; only where not complete.
    """

    model: str
    digest: str = ""
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

    _where: str = PrivateAttr(default="profile")

    @property
    def where(self) -> str:
        """What errors call the document: the file's path, if it has one."""
        return self._where

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
    profile._where = where
    raise_all(list(_cross_problems(profile, where)))
    return profile


def _cross_problems(profile: Profile, where: str) -> Iterator[PlannerError]:
    """Operators listed twice, and groups of what was not measured."""
    for position, measurement in enumerate(profile.measurements):
        place = f"{where}: $.measurements[{position}]"
        seen: set[str] = set()
        for index, row in enumerate(measurement.nodes):
            if row.node in seen:
                text = f"node `{row.node}` is listed twice"
                yield InputError(text, code="PLN105", where=f"{place}.nodes[{index}].name")
            seen.add(row.node)
        grouped: set[str] = set()
        for index, group in enumerate(measurement.groups):
            for name in group.nodes:
                if name not in seen or name in grouped:
                    what = "is in two groups" if name in grouped else "was not measured"
                    text = f"node `{name}` {what}"
                    code = "PLN105" if name in grouped else "PLN111"
                    yield InputError(text, code=code, where=f"{place}.groups[{index}]")
                grouped.add(name)
