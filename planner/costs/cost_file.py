"""The costs file, `costs.v1`: hosts, links, workload and rules, as its readers know them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    model_validator,
)

from planner.costs.profile_entries import ProfileEntry, settled
from planner.errors import InputError, PlannerError, name_hint, raise_all
from planner.files.documents import (
    WHOLE,
    Items,
    StrictModel,
    check_kind,
    one_of_keys,
    parse_json,
    read_bytes,
    validate,
)
from planner.files.values import JsonValue
from planner.graphs.dtypes import BITS, WIRE_DTYPES

MAX_SECONDS = 1e9
"""Times of one operator above this (thirty years) are refused as mistakes."""
MIN_RATE, MAX_RATE = 1e-3, 1e18
"""Bits per second of a link: what is slower than a bit in a quarter of an hour is none."""

Name = Annotated[str, Field(min_length=1)]
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
Rate = Annotated[float, Field(ge=MIN_RATE, le=MAX_RATE)]
PositiveRate = Annotated[float, Field(gt=0, le=1e24)]
ByteCount = Annotated[int, Field(ge=0, le=2**53), WHOLE]
MemoryBytes = Annotated[int, Field(ge=1, le=2**53), WHOLE]
Dimension = Annotated[int, Field(ge=1, le=2**31), WHOLE]
if TYPE_CHECKING:
    Dtype = str
    WireDtype = str
else:
    Dtype = Literal[tuple(BITS)]
    WireDtype = Literal[WIRE_DTYPES]

_NULL: dict[str, JsonValue] = {"type": "null"}


class NodeCost(StrictModel):
    """What one operator costs, in seconds per iteration at the planned batch."""

    node: Annotated[str, Field(alias="name", min_length=1)]
    forward_s: Seconds
    backward_s: Seconds | None = None


class DefaultCost(StrictModel):
    """What operators cost that the table does not name."""

    forward_s: Seconds
    backward_s: Seconds = 0.0


class TableHost(StrictModel):
    """A host whose operators are priced one by one."""

    name: Name
    model: Literal["table"]
    nodes: Items[NodeCost] = ()
    default: DefaultCost | None = None
    memory_bytes: MemoryBytes | None = None


class AnalyticalHost(StrictModel):
    """A host priced by the roofline of its hardware: a preset, figures, or both."""

    model_config = ConfigDict(
        json_schema_extra=one_of_keys(["hardware"], ["peak_flops", "memory_bandwidth_bytes_per_s"])
    )

    name: Name
    model: Literal["analytical"]
    hardware: str | None = None
    precision: Literal["float32", "float16", "bfloat16", "int8"] | None = None
    peak_flops: PositiveRate | None = None
    memory_bandwidth_bytes_per_s: PositiveRate | None = None
    efficiency: Annotated[float, Field(gt=0, le=1)] | None = None
    overhead_s: Seconds | None = None
    memory_bytes: MemoryBytes | None = None

    @model_validator(mode="after")
    def _is_priced(self) -> AnalyticalHost:
        if self.hardware is None and (
            self.peak_flops is None or self.memory_bandwidth_bytes_per_s is None
        ):
            raise ValueError(
                "needs `hardware`, or both `peak_flops` and `memory_bandwidth_bytes_per_s`"
            )
        return self


class MeasuredHost(StrictModel):
    """A host whose operators were measured: a profile, inline or by the path of its file.

    `read_costs` and `check_costs` put the file's content in the path's place.
    """

    name: Name
    model: Literal["measured"]
    profile: ProfileEntry
    by_signature: bool = False
    memory_bytes: MemoryBytes | None = None


BUILT_IN = ("table", "analytical", "measured")
"""Cost models whose keys are checked here."""


class PluginHost(StrictModel):
    """A host priced by a cost model that is not built in; the model checks the other keys."""

    model_config = ConfigDict(extra="allow")

    name: Name
    model: Annotated[Name, Field(json_schema_extra={"not": {"enum": list(BUILT_IN)}})]
    memory_bytes: MemoryBytes | None = None


def _host_kind(host: Any) -> str:
    model = host.get("model") if isinstance(host, dict) else getattr(host, "model", None)
    return model if model in BUILT_IN else "plugin"


HostEntry = Annotated[
    Annotated[TableHost, Tag("table")]
    | Annotated[AnalyticalHost, Tag("analytical")]
    | Annotated[MeasuredHost, Tag("measured")]
    | Annotated[PluginHost, Tag("plugin")],
    Discriminator(_host_kind),
]


class LinkEntry(StrictModel):
    """A link between two neighbouring hosts."""

    uplink_bps: Rate
    downlink_bps: Rate
    latency_s: Seconds = 0.0


class WorkloadEntry(StrictModel):
    """What one round consists of."""

    mode: Literal["training", "inference"] = "training"
    objective: Literal["delay", "throughput"] = "delay"
    iterations_per_round: Annotated[int, Field(ge=1, le=10**9), WHOLE] = 1
    label_bytes: ByteCount = 0
    return_outputs: bool = False
    batch_size: Annotated[int, Field(ge=1, le=10**9), WHOLE] | None = None
    wire_dtype: WireDtype | None = None
    optimizer_states: Annotated[int, Field(ge=0, le=16), WHOLE] = 0


class PinEntry(StrictModel):
    """An operator, or a module, that must be placed on a host."""

    node: Name
    host: Name


class InputEntry(StrictModel):
    """A model input: the host that produces it, what type and shape it has, or both."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                one_of_keys(["host"], ["dtype", "shape"]),
                {"anyOf": [
                    one_of_keys(["dtype", "shape"]),
                    {"properties": {"dtype": _NULL, "shape": _NULL}},
                ]},
            ]
        }
    )  # fmt: skip

    name: Name
    host: Name | None = None
    dtype: Dtype | None = None
    shape: Items[Dimension] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> InputEntry:
        if (self.dtype is None) != (self.shape is None):
            given, other = ("shape", "dtype") if self.dtype is None else ("dtype", "shape")
            raise ValueError(f"`{self.name}` has a `{given}` but no `{other}`")
        if self.host is None and self.dtype is None:
            raise ValueError(f"`{self.name}` needs a `host`, or `dtype` and `shape`")
        return self

    @property
    def spec(self) -> str | None:
        """Type and shape as `planner.load` takes them; None if they are not given."""
        if self.shape is None:
            return None
        return f"{self.name}:{self.dtype}[{','.join(map(str, self.shape))}]"


class Costs(StrictModel):
    """A costs file: what hosts, links and rules a plan is made for.

    `planner.read_costs` makes one from a file, `check_costs` from a parsed document.
    """

    kind: Literal["costs"]
    version: Annotated[Literal[1], WHOLE]
    workload: WorkloadEntry = Field(default_factory=WorkloadEntry)
    hosts: Annotated[Items[HostEntry], Field(min_length=2)]
    links: Annotated[Items[LinkEntry], Field(min_length=1)]
    inputs: Items[InputEntry] = ()
    pins: Items[PinEntry] = ()
    together: Items[Items[Name]] = ()
    forbid_crossing: Items[Name] = ()

    _where: str = PrivateAttr(default="costs")

    @property
    def where(self) -> str:
        """What errors call the document: the file's path, if it has one."""
        return self._where

    @property
    def input_specs(self) -> tuple[str, ...]:
        """Types and shapes of model inputs, as `planner.load(inputs=…)` takes them."""
        return tuple(entry.spec for entry in self.inputs if entry.spec is not None)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical content: equal for files that say the same."""
        content = self.model_dump(mode="json", by_alias=True)
        for entry in content["inputs"]:
            if entry["shape"] is None:  # as files were before there were shapes
                del entry["dtype"], entry["shape"]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def read_costs(path: str | Path) -> Costs:
    """Read a costs file, and the profiles that it names.

    Args:
        path: A JSON file of kind `costs`, version 1. Relative paths of profiles start in its
            folder.

    Raises:
        PlannerError: With every problem of the file, and of its profiles, at its place.
    """
    return parse_costs(read_bytes(Path(path)), str(path), Path(path).parent)


def parse_costs(data: bytes, where: str, folder: Path | None = None) -> Costs:
    """`read_costs` for bytes; `where` names them in errors."""
    return check_costs(parse_json(data, where), where, folder)


def check_costs(document: JsonValue, where: str, folder: Path | None = None) -> Costs:
    """Check a parsed document, alone and across its parts.

    Args:
        document: What a costs file holds.
        where: What errors call it.
        folder: Where relative paths of profiles start; the current folder if not given.

    Raises:
        PlannerError: With every problem of the document.
    """
    check_kind(document, "costs", where)
    costs = validate(Costs, document, where)
    problems: list[PlannerError] = []
    if any(isinstance(host, MeasuredHost) for host in costs.hosts):
        costs = _with_profiles(costs, where, folder or Path(), problems)
    costs._where = where
    problems += _cross_problems(costs, where)
    raise_all(problems)
    return costs


def _with_profiles(costs: Costs, where: str, folder: Path, problems: list[PlannerError]) -> Costs:
    """Every path of a profile replaced by what the file holds."""
    hosts = list(costs.hosts)
    for position, host in enumerate(hosts):
        if not isinstance(host, MeasuredHost):
            continue
        try:
            profile = settled(host.profile, f"{where}: $.hosts[{position}].profile", folder)
            hosts[position] = host.model_copy(update={"profile": profile})
        except PlannerError as error:
            problems += error.problems
    return costs.model_copy(update={"hosts": tuple(hosts)})


def options_of(host: BaseModel, model: type[BaseModel], where: str) -> BaseModel:
    """What a cost model gets of a host: an entry of its own kind, or a plug-in's keys, checked.

    Args:
        host: An entry of `Costs.hosts`.
        model: The keys that the host's cost model knows.
        where: Place of the host, for errors.

    Raises:
        PlannerError: With every problem of a plug-in's keys.
    """
    if isinstance(host, PluginHost):
        return validate(model, dict(host.model_extra or {}), where)
    return host


def cross_check(costs: Costs, where: str) -> None:
    """Check what no single key shows: names listed twice, unknown hosts, the number of links.

    Raises:
        PlannerError: With every such problem.
    """
    raise_all(list(_cross_problems(costs, where)))


def _cross_problems(costs: Costs, where: str) -> Iterator[PlannerError]:
    hosts = [host.name for host in costs.hosts]
    yield from _repeats(hosts, f"{where}: $.hosts", "host")
    if len(costs.links) != len(hosts) - 1:
        text = f"has {len(costs.links)} links for {len(hosts)} hosts, expected {len(hosts) - 1}"
        yield InputError(text, code="PLN109", where=f"{where}: $.links")
    named = [("pins", i, pin.host) for i, pin in enumerate(costs.pins)]
    for section, i, host in named + [("inputs", i, e.host) for i, e in enumerate(costs.inputs)]:
        place = f"{where}: $.{section}[{i}].host"
        if host is not None and host not in hosts:
            hint = name_hint(host, hosts, "hosts")
            yield InputError(f"unknown host `{host}`", code="PLN111", where=place, hint=hint)
    yield from _repeats([i.name for i in costs.inputs], f"{where}: $.inputs", "input")
    for position, host_entry in enumerate(costs.hosts):
        if isinstance(host_entry, TableHost):
            names = [row.node for row in host_entry.nodes]
            yield from _repeats(names, f"{where}: $.hosts[{position}].nodes", "node")


def _repeats(names: Sequence[str], where: str, what: str) -> Iterator[PlannerError]:
    seen: set[str] = set()
    for position, name in enumerate(names):
        if name in seen:
            text = f"{what} `{name}` is listed twice"
            yield InputError(text, code="PLN105", where=f"{where}[{position}].name")
        seen.add(name)
