"""Per-layer times of NVIDIA `trtexec --exportProfile`, laid to the operators of a graph.

The file is a list: `{"count": runs}`, then `{"name", "timeMs", "averageMs", "medianMs",
"percentage"}` for each layer; `timeMs` is over all runs, and old versions have no `medianMs`. What
a layer is made of is only in its name.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator

from planner.costs.profile_file import MAX_SECONDS, Engine, Measurement, Timing
from planner.errors import MeasuringError, PlannerError, raise_all, shorten
from planner.files.values import JsonValue
from planner.graphs.graph import Graph
from planner.measuring.imports.attribution import (
    Attribution,
    Kernel,
    make_measurement,
    refuse_idle,
    refuse_other_model,
    refuse_untimed,
)
from planner.measuring.imports.tensorrt_names import LayerNames, Layout
from planner.measuring.imports.tensorrt_regions import Region, place_regions

_MILLISECOND = 1e-3
_MAX_RUNS = 2**53
_TIMES = ("medianMs", "averageMs", "timeMs")
_MAX_UNKNOWN_SHARE = 0.5
"""Where more than this share of the time is in layers of unknown names, it is another model."""


def read_layers(document: JsonValue, where: str, graph: Graph) -> Measurement:
    """The measurement of a graph that a `trtexec` profile holds.

    Raises:
        PlannerError: If rows are malformed, the layers are of another model, or operators that
            take time are in no layer.
    """
    kernels, statistic = _kernels(document, where)
    attribution = Attribution(graph)
    layouts = _settle(attribution, kernels)
    _check_model(graph, kernels, layouts, where)
    refuse_untimed(
        attribution,
        where,
        "was the engine built from this file? TensorRT drops what it can compute beforehand",
    )
    whole_s = sum(kernel.typical_s for kernel in kernels)
    refuse_idle(attribution, whole_s, where)
    method = f"trtexec, {statistic} of each layer"
    whole = Timing(
        typical_s=whole_s,
        n_runs=kernels[0].n_runs,
        origin="measured",
        method=f"sum of all layers ({method})",
    )
    notes = [
        "trtexec tells no time of a whole run apart from its layers: copies between host and GPU "
        "and gaps between kernels are not in it"
    ]
    twice = [name for name, n in Counter(kernel.name for kernel in kernels).items() if n > 1]
    if twice:
        shown = ", ".join(f"`{shorten(name, 60)}`" for name in twice[:5])
        notes.append(f"layers that are listed more than once were added up: {shown}")
    return make_measurement(
        attribution,
        whole=whole,
        engine=Engine(name="tensorrt", version="", provider="tensorrt"),
        method=method,
        notes=notes,
    )


def _kernels(document: JsonValue, where: str) -> tuple[list[Kernel], str]:
    """Every layer, and which statistic its time is."""
    rows = document if isinstance(document, list) else []
    n_runs, start = _count(rows, where)
    rows = rows[start:]
    if not rows:
        text = "lists no layer: nothing was timed"
        raise MeasuringError(text, code="PLN614", where=where)
    key = next((k for k in _TIMES if all(isinstance(r, dict) and k in r for r in rows)), "timeMs")
    if key == "timeMs" and n_runs is None:
        text = "has total times of layers, but no `count` of the runs to divide them by"
        raise MeasuringError(text, code="PLN611", where=f"{where}: $[0]")
    raise_all(list(_row_problems(rows, key, f"{where}: $", start)))
    runs = n_runs or 1
    factor = _MILLISECOND / (runs if key == "timeMs" else 1)
    kernels = [
        Kernel(name=str(row["name"]), typical_s=_number(row[key]) * factor, n_runs=runs)
        for row in rows
        if isinstance(row, dict)
    ]
    whole_s = sum(kernel.typical_s for kernel in kernels)
    if not 0 < whole_s <= MAX_SECONDS:
        text = "every layer took no time" if not whole_s else f"the layers took {whole_s:g} s"
        raise MeasuringError(text, code="PLN614", where=where)
    _check_share(rows, where)
    return kernels, "median" if key == "medianMs" else "mean"


def _count(rows: list[JsonValue], where: str) -> tuple[int | None, int]:
    """The number of runs, and where the layers begin."""
    match rows:
        case [{"count": count}, *_]:
            if type(count) is not int or not 1 <= count <= _MAX_RUNS:
                text = f"`count` is {count!r}, expected the number of runs, 1 to 2^53"
                raise MeasuringError(text, code="PLN611", where=f"{where}: $[0].count")
            return count, 1
    return None, 0


def _row_problems(
    rows: list[JsonValue], key: str, where: str, start: int
) -> Iterator[PlannerError]:
    for index, row in enumerate(rows, start):
        place = f"{where}[{index}]"
        if not isinstance(row, dict):
            text = "is no object with `name` and times"
        elif not isinstance(row.get("name"), str) or not row["name"]:
            text = "has no `name`"
        elif key not in row:
            text = f"has no `{key}`"
        elif not _is_time(row[key]):
            text = f"`{key}` is {row[key]!r}, expected milliseconds ≥ 0"
        else:
            continue
        yield MeasuringError(shorten(text, 120), code="PLN611", where=place)


def _is_time(value: JsonValue) -> bool:
    match value:
        case bool():
            return False
        case int() | float():
            return 0 <= value <= MAX_SECONDS / _MILLISECOND
    return False


def _number(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _check_share(rows: list[JsonValue], where: str) -> None:
    """Shares of a whole add up to one; those of two profiles in one file do not."""
    shares = [_number(row.get("percentage")) for row in rows if isinstance(row, dict)]
    total = sum(shares)
    if math.isfinite(total) and total > 110:
        text = f"`percentage` adds up to {total:.0f}, expected 100: more than one profile"
        raise MeasuringError(text, code="PLN611", where=where)


def _settle(attribution: Attribution, kernels: list[Kernel]) -> list[Layout]:
    """Charge every layer; returns what their names say."""
    names = LayerNames(attribution.graph)
    layouts = [names.read(kernel.name) for kernel in kernels]
    regions: dict[str, Region] = {}
    for position, (kernel, layout) in enumerate(zip(kernels, layouts, strict=True)):
        if layout.region is None:
            attribution.place(kernel, layout.operators, position, "layer")
            continue
        region = regions.setdefault(layout.region, Region(has_span=layout.has_span))
        region.kernels.append((position, kernel))
        region.anchors |= layout.operators
    place_regions(attribution, list(regions.values()))
    return layouts


def _check_model(graph: Graph, kernels: list[Kernel], layouts: list[Layout], where: str) -> None:
    unknown = [
        kernel
        for kernel, layout in zip(kernels, layouts, strict=True)
        if not layout.operators and layout.has_names
    ]
    lost_s = sum(kernel.typical_s for kernel in unknown)
    is_known = any(layout.operators for layout in layouts)
    total_s = sum(kernel.typical_s for kernel in kernels)
    if not is_known or lost_s > _MAX_UNKNOWN_SHARE * total_s:
        names = [kernel.name for kernel in unknown] or [kernel.name for kernel in kernels]
        refuse_other_model(graph, names, len(kernels), where)
