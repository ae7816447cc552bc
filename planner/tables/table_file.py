"""The plan table's file, `table.v1`: every plan that is best somewhere in a box, and the proof."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from planner.arrays import FloatArray
from planner.costs.cost_file import MAX_RATE, MIN_RATE
from planner.errors import InputError, PlannerError, raise_all
from planner.files.documents import (
    WHOLE,
    Items,
    StrictModel,
    read_document,
)
from planner.tables.envelopes import Cut, Envelope

MIN_SPEED, MAX_SPEED = 1e-6, 1e6
"""Factors on the device's speed beyond these are mistakes."""
LIMITS = {
    "uplink_bps": (MIN_RATE, MAX_RATE),
    "downlink_bps": (MIN_RATE, MAX_RATE),
    "device_speed": (MIN_SPEED, MAX_SPEED),
}
"""What a table may be over, and between which values."""
TOLERANCE = 1e-9
"""How far, relatively, a file's totals may be from what its plans give."""
LARGEST_GAP = 1e-6
"""What a proof may leave open, relatively: rounding, and not other plans."""

Seconds = Annotated[float, Field(ge=0, le=1e200)]
Slope = Annotated[float, Field(ge=0, le=1e200)]
Value = Annotated[float, Field(ge=MIN_SPEED, le=MAX_RATE)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1), WHOLE]
ParameterName = Literal["uplink_bps", "downlink_bps", "device_speed"]


Complaint = tuple[str, str, str]
"""Place in the file, what is wrong, and the code."""


class ParameterEntry(StrictModel):
    """What varies, and from where to where."""

    name: ParameterName
    low: Value
    high: Value


class TableLink(StrictModel):
    """A link; null is what varies."""

    uplink_bps: Value | None
    downlink_bps: Value | None
    latency_s: Seconds


class TableCrossing(StrictModel):
    """What crosses one link under a plan: a tensor, or the labels."""

    kind: Literal["tensor", "labels"]
    tensor: str
    link: Count
    up_bytes: Count
    down_bytes: Count


class PlanEntry(StrictModel):
    """One plan: a round takes `constant_s + Σ slopes[j] / parameter[j]`.

    `region` are the corners, as positions in `proof.vertices`, of where it is best: their convex
    hull in 1 / parameter. `placement` is the host of every node, as positions in `hosts`.
    """

    constant_s: Seconds
    slopes: Items[Slope]
    region: Annotated[Items[Count], Field(min_length=2)]
    crossing: Items[TableCrossing]
    placement: Items[Count]


class VertexEntry(StrictModel):
    """A state in which an exact solver proved that no placement takes less than `total_s`."""

    state: Items[Value]
    total_s: Seconds


class ProofEntry(StrictModel):
    """Why no plan is missing: all vertices of the minimum of all plans, each solved exactly."""

    solver: str
    solver_version: str
    n_solves: Count
    largest_relative_gap: Annotated[float, Field(ge=0)]
    vertices: Annotated[Items[VertexEntry], Field(min_length=2)]


class TableFile(StrictModel):
    """A saved plan table, `table.v1`."""

    kind: Literal["table"]
    version: Annotated[Literal[1], WHOLE]
    tool: str
    graph: str
    graph_digest: str
    costs_digest: str
    batch: Annotated[int, Field(ge=1), WHOLE] | None
    mode: Literal["training", "inference"]
    iterations_per_round: Annotated[int, Field(ge=1, le=10**9), WHOLE]
    hosts: Annotated[Items[str], Field(min_length=2)]
    links: Annotated[Items[TableLink], Field(min_length=1)]
    parameters: Annotated[Items[ParameterEntry], Field(min_length=1, max_length=3)]
    proof: ProofEntry
    nodes: Items[str]
    plans: Annotated[Items[PlanEntry], Field(min_length=1)]
    notes: Items[str]
    warnings: Items[str]


def read_table_file(path: str | Path) -> TableFile:
    """Read and check a saved table.

    Raises:
        PlannerError: With every problem of the file at its place.
    """
    where = str(path)
    file = read_document(path, "table", TableFile)
    raise_all(list(_shape_problems(file, where)))
    raise_all([*_inconsistencies(file, where), *_contradictions(file, where)])
    return file


def _shape_problems(file: TableFile, where: str) -> Iterator[PlannerError]:
    """Ranges, lengths and positions that no single key shows."""
    for place, text, code in (*_head_problems(file), *_plan_problems(file)):
        yield InputError(text, code=code, where=f"{where}: $.{place}")


def _head_problems(file: TableFile) -> Iterator[Complaint]:
    lists = {
        "hosts": file.hosts,
        "nodes": file.nodes,
        "parameters": tuple(parameter.name for parameter in file.parameters),
    }
    for key, names in lists.items():
        if len(set(names)) < len(names):
            repeated = next(name for i, name in enumerate(names) if name in names[:i])
            yield key, f"`{repeated}` is listed twice", "PLN105"
    if len(file.links) != len(file.hosts) - 1:
        text = f"has {len(file.links)} links for {len(file.hosts)} hosts"
        yield "links", f"{text}, expected {len(file.hosts) - 1}", "PLN109"
    for i, parameter in enumerate(file.parameters):
        least, most = LIMITS[parameter.name]
        if not least <= parameter.low < parameter.high <= most:
            text = f"runs from {parameter.low} to {parameter.high}"
            expected = f"expected low < high within {least:g} to {most:g}"
            yield f"parameters[{i}]", f"{text}, {expected}", "PLN109"
    for i, vertex in enumerate(file.proof.vertices):
        ends = [(parameter.low, parameter.high) for parameter in file.parameters]
        if len(vertex.state) != len(ends):
            text = f"has {len(vertex.state)} values for {len(ends)} parameters"
            yield f"proof.vertices[{i}].state", text, "PLN109"
        elif not all(a <= x <= b for x, (a, b) in zip(vertex.state, ends, strict=True)):
            yield f"proof.vertices[{i}].state", "is outside of the parameters' ranges", "PLN109"


def _plan_problems(file: TableFile) -> Iterator[Complaint]:
    for i, plan in enumerate(file.plans):
        lengths = (
            ("slopes", len(plan.slopes), len(file.parameters), "parameters"),
            ("placement", len(plan.placement), len(file.nodes), "nodes"),
        )
        for key, found, expected_length, of in lengths:
            if found != expected_length:
                text = f"has {found} values for {expected_length} {of}"
                yield f"plans[{i}].{key}", text, "PLN109"
        positions = (
            ("region", plan.region, len(file.proof.vertices), "vertices of the proof"),
            ("placement", plan.placement, len(file.hosts), "hosts"),
            ("crossing", tuple(c.link for c in plan.crossing), len(file.links), "links"),
        )
        for key, numbers, count, of in positions:
            highest = max(numbers, default=0)
            if numbers and highest >= count:
                text = f"names number {highest} of {count} {of}, which count from 0"
                yield f"plans[{i}].{key}", text, "PLN109"


def _inconsistencies(file: TableFile, where: str) -> Iterator[PlannerError]:
    """What needs no computing: fixed rates that vary, a proof that is none, a plan twice."""
    complaints = []
    varies = {parameter.name for parameter in file.parameters}
    for i, link in enumerate(file.links):
        for name, rate in (("uplink_bps", link.uplink_bps), ("downlink_bps", link.downlink_bps)):
            if rate is not None and name in varies:
                complaints.append((f"links[{i}].{name}", f"is {rate:g}, expected null: it varies"))
            elif rate is None and name not in varies:
                text = "is null, expected a rate: it is no parameter"
                complaints.append((f"links[{i}].{name}", text))
    gap = file.proof.largest_relative_gap
    if gap > LARGEST_GAP:
        text = f"is {gap:g}, expected at most {LARGEST_GAP:g}: rounding leaves no more open"
        complaints.append(("proof.largest_relative_gap", text))
    first: dict[tuple[tuple[float, ...], str], int] = {}
    for i, plan in enumerate(file.plans):
        keys = ((plan.placement, "placement"), (_cut(plan), "total"))
        earlier = min(first.setdefault(key, i) for key in keys)
        if earlier < i:
            complaints.append((f"plans[{i}]", f"is the same plan as plans[{earlier}]"))
    for place, text in complaints:
        yield InputError(text, code="PLN125", where=f"{where}: $.{place}")


def _contradictions(file: TableFile, where: str) -> Iterator[PlannerError]:
    """Plans against the proof: what a hand-edited table or one of other costs would get wrong."""
    inverses = 1.0 / np.array([vertex.state for vertex in file.proof.vertices])
    cuts = np.array([_cut(plan) for plan in file.plans])
    totals = cuts[:, :1] + cuts[:, 1:] @ inverses.T
    proved = np.array([vertex.total_s for vertex in file.proof.vertices])
    best = totals.min(axis=0)
    for i in np.flatnonzero(np.abs(best - proved) > TOLERANCE * proved).tolist():
        text = f"says {float(proved[i])} s, but the best of the plans takes "
        text += f"{float(best[i])} s there"
        place = f"{where}: $.proof.vertices[{i}].total_s"
        yield InputError(text, code="PLN125", where=place)
    is_worse = totals - proved > TOLERANCE * proved
    has_worse = set()
    for i, plan in enumerate(file.plans):
        worse = [k for k in plan.region if is_worse[i, k]]
        if worse:
            has_worse.add(i)
            text = f"the plan is not the best at vertex {worse[0]} of the proof"
            yield InputError(text, code="PLN125", where=f"{where}: $.plans[{i}].region")
    envelope = Envelope([(1.0 / p.high, 1.0 / p.low) for p in file.parameters], _cut(file.plans[0]))
    for plan in file.plans[1:]:
        envelope.add(_cut(plan))
    near = {id(vertex): _near(vertex.position, inverses) for vertex in envelope.vertices}
    missing = next((v for v in envelope.vertices if not near[id(v)]), None)
    if missing is not None:
        state = ", ".join(f"{1.0 / x:g}" for x in missing.position)
        text = f"lacks the state ({state}), where regions of the plans meet"
        yield InputError(text, code="PLN125", where=f"{where}: $.proof.vertices")
    if len(file.parameters) == 1:
        yield from _gaps(file, where)
    elif missing is None:
        corners = {i: [near[id(v)] for v in cell] for i, cell in envelope.cells().items()}
        for i in sorted(set(range(len(file.plans))) - has_worse):
            yield from _wrong_region(file, i, corners.get(i, []), where)


def _near(position: tuple[float, ...], others: FloatArray) -> set[int]:
    """Which of the others are there, but for rounding."""
    is_near = np.abs(others - position) <= TOLERANCE * np.array(position)
    return set(np.flatnonzero(is_near.all(axis=1)).tolist())


def _wrong_region(
    file: TableFile, i: int, corners: list[set[int]], where: str
) -> Iterator[PlannerError]:
    """A plan's region must have all of its corners, and no others.

    `corners` are the vertices of the proof that may stand for each of them.
    """
    region = set(file.plans[i].region)
    lacking = next((corner for corner in corners if not corner & region), None)
    others = region.difference(*corners)
    if not corners:
        text = "is nowhere better than all others"
        yield InputError(text, code="PLN125", where=f"{where}: $.plans[{i}]")
    elif lacking is not None:
        text = f"lacks vertex {min(lacking)} of the proof, a corner of where the plan is best"
        yield InputError(text, code="PLN125", where=f"{where}: $.plans[{i}].region")
    elif others:
        text = f"vertex {min(others)} of the proof is no corner of where the plan is best"
        yield InputError(text, code="PLN125", where=f"{where}: $.plans[{i}].region")


def _cut(plan: PlanEntry) -> Cut:
    """A plan's total as a linear function of 1 / parameters."""
    return (plan.constant_s, *plan.slopes)


def _gaps(file: TableFile, where: str) -> Iterator[PlannerError]:
    """Over one parameter, regions must follow one another from its low to its high end."""
    (parameter,) = file.parameters
    reached = parameter.low
    for i, plan in enumerate(file.plans):
        ends = sorted(file.proof.vertices[k].state[0] for k in plan.region)
        if ends[0] != reached:
            text = f"starts at {ends[0]}, expected {reached}, where the region before it ends"
            yield InputError(text, code="PLN125", where=f"{where}: $.plans[{i}].region")
            return
        reached = ends[-1]
    if reached != parameter.high:
        text = f"the last region ends at {reached}, expected {parameter.high}"
        yield InputError(text, code="PLN125", where=f"{where}: $.plans")
