"""PipeDream's profiles, `graph.txt`: a model with the time and size of every layer.

    node76 -- Conv2d(128, 512, ...) -- forward_compute_time=1.318, backward_compute_time=2.796,
    activation_size=205520896.000, parameter_size=262144.000
    <TAB>node76 -- node77

One line per node (broken here), in any order, then one per edge. Times are milliseconds per
minibatch; sizes are bytes, that of the activation of the whole minibatch. Some programs write
` -- stage_id=3` at the end of a node, or a list of sizes, `[4; 8]`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from planner.costs.profile_file import MAX_SECONDS
from planner.errors import MeasuringError, PlannerError, raise_all, shorten
from planner.graphs.operators import MAX_BYTES

_NODE = re.compile(
    r"(?P<id>\S+) -- (?P<layer>.*?) -- (?P<numbers>forward_compute_time=.*?)"
    r"(?: -- stage_id=\S+)?\s*"
)
_EDGE = re.compile(r"\t(?P<source>\S+) -- (?P<target>\S+)\s*")
_KEYS = ("forward_compute_time", "backward_compute_time", "activation_size", "parameter_size")
_MILLISECOND = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One node: seconds per minibatch, sizes in bytes."""

    name: str
    layer: str
    forward_s: float
    backward_s: float
    activation_bytes: int
    parameter_bytes: int

    @property
    def op(self) -> str:
        """The layer's type: `Conv2d` of `Conv2d(3, 64, kernel_size=(7, 7))`."""
        return self.layer.split("(", 1)[0].strip() or "Unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerGraph:
    """The file: layers by name, in the order of the file, and what each of them reads."""

    layers: dict[str, Layer] = field(default_factory=dict)
    sources: dict[str, list[str]] = field(default_factory=dict)

    def readers(self) -> dict[str, list[str]]:
        """What reads each layer."""
        found: dict[str, list[str]] = {name: [] for name in self.layers}
        for target, sources in self.sources.items():
            for source in sources:
                found[source].append(target)
        return found


def parse_layer_graph(text: str, where: str) -> LayerGraph:
    """Read the text of a `graph.txt`.

    Raises:
        PlannerError: With every line that is none, and every edge to nowhere.
    """
    graph = LayerGraph()
    problems: list[PlannerError] = []
    edges: list[tuple[int, str, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        place = f"{where}:{number}"
        edge = _EDGE.fullmatch(line)
        if edge:
            edges.append((number, edge["source"], edge["target"]))
            continue
        node = _NODE.fullmatch(line)
        if node is None:
            message = f"`{shorten(line.strip(), 60)}` is neither a node nor an edge"
            hint = "nodes end with `parameter_size=…`; edges begin with a tab"
            problems.append(MeasuringError(message, code="PLN611", where=place, hint=hint))
        elif node["id"] in graph.layers:
            message = f"node `{node['id']}` is listed twice"
            problems.append(MeasuringError(message, code="PLN615", where=place))
        else:
            problems += _take(graph, node, place)
    problems += _connect(graph, edges, where)
    if not problems and not graph.layers:
        problems.append(MeasuringError("has no nodes", code="PLN615", where=where))
    raise_all(problems)
    return graph


def _take(graph: LayerGraph, node: re.Match[str], place: str) -> Iterator[PlannerError]:
    """Add one node, or say what is wrong with its numbers."""
    given = dict(part.partition("=")[::2] for part in node["numbers"].split(", "))
    values: dict[str, float] = {}
    for key in _KEYS:
        value = _number(given.get(key, "").strip())
        limit = MAX_SECONDS / _MILLISECOND if key.endswith("time") else MAX_BYTES
        if value is None or not 0 <= value <= limit:
            shown = f"`{shorten(given[key], 40)}`" if key in given else "missing"
            unit = "milliseconds" if key.endswith("time") else "bytes"
            text = f"`{key}` of `{node['id']}` is {shown}, expected {unit} ≥ 0"
            yield MeasuringError(text, code="PLN611", where=place)
        else:
            values[key] = value
    layer = Layer(
        name=node["id"],
        layer=node["layer"],
        forward_s=values.get(_KEYS[0], 0.0) * _MILLISECOND,
        backward_s=values.get(_KEYS[1], 0.0) * _MILLISECOND,
        activation_bytes=round(values.get(_KEYS[2], 0.0)),
        parameter_bytes=round(values.get(_KEYS[3], 0.0)),
    )
    graph.layers[layer.name] = layer
    graph.sources.setdefault(layer.name, [])


def _number(text: str) -> float | None:
    """A number, or the sum of a list `[a; b]`; None for what is neither, or not finite."""
    parts = text[1:-1].split(";") if text[:1] == "[" and text[-1:] == "]" else [text]
    try:
        value = sum(float(part) for part in parts)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _connect(
    graph: LayerGraph, edges: list[tuple[int, str, str]], where: str
) -> Iterator[PlannerError]:
    for number, source, target in edges:
        unknown = [name for name in (source, target) if name not in graph.layers]
        if unknown:
            text = f"the edge names `{shorten(unknown[0], 60)}`, which is no node"
            yield MeasuringError(text, code="PLN615", where=f"{where}:{number}")
        elif source not in graph.sources[target]:
            graph.sources[target].append(source)
