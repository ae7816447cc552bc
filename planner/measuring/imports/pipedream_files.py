"""A graph spec and a costs file out of a PipeDream profile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from planner.costs.cost_file import check_costs
from planner.errors import MeasuringError
from planner.measuring.imports.pipedream import LayerGraph, parse_layer_graph
from planner.measuring.imports.pipedream_sizes import complete_sizes
from planner.measuring.imports.recognition import Source
from planner.units import format_seconds

IMAGE_BYTES = 602_112
"""One picture of 3 x 224 x 224 in float32, what image classifiers of the time read."""

_INPUT = "Input"
_SHAPE = "Size"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a profile does not say.

    Attributes:
        server_speed: How many times faster than measured the server is; the device is as measured.
        uplink_bps: Bits per second, device to server.
        downlink_bps: Bits per second, server to device.
        latency_s: One way.
        batch: What the minibatch was; None leaves it unsaid.
    """

    server_speed: float
    uplink_bps: float
    downlink_bps: float
    latency_s: float = 0.0
    batch: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """Documents of kinds `graph` and `costs`, and notes for people."""

    graph: dict[str, Any]
    costs: dict[str, Any]
    notes: tuple[str, ...]

    def summary(self) -> str:
        """Counts and sums in one line."""
        rows = self.costs["hosts"][0]["nodes"]
        parameters = sum(node.get("parameter_bytes", 0) for node in self.graph["nodes"]) // 4
        forward, backward = (sum(row[k] for row in rows) for k in ("forward_s", "backward_s"))
        return (
            f"{len(rows)} layers, {parameters:,} parameters, {format_seconds(forward)} forward and "
            f"{format_seconds(backward)} backward on the device"
        )


def import_pipedream(source: Source, name: str, scenario: Scenario) -> Imported:
    """Make a graph spec and a costs file of a PipeDream profile.

    The layer `Input` becomes the input of the graph: its time is that of loading data. Layers
    `Size`, which compute shapes, are left out.

    Args:
        source: A recognised file.
        name: What the graph is called.
        scenario: Hosts and link.

    Raises:
        PlannerError: If the file is malformed, is no graph, or fits no such batch.
    """
    if source.format != "pipedream":
        raise MeasuringError(
            "holds times of another model's layers, but no graph",
            code="PLN616",
            where=source.where,
            hint="name the model with `--graph GRAPH`, and leave out `--graph-out`",
        )
    layers, notes = _without_shapes(parse_layer_graph(source.text, source.where))
    _check_cycles(layers, source.where)
    inputs = [n for n, layer in layers.layers.items() if layer.op == _INPUT]
    _check_inputs(layers, inputs, source.where)
    sizes, about_sizes = complete_sizes(layers, source.where)
    loading_s = sum(layers.layers[n].forward_s for n in inputs)
    if loading_s:
        notes.append(
            f"the time of `Input`, {loading_s * 1e3:.3f} ms, is that of loading data, and left out"
        )
    notes += about_sizes
    costs = _costs(layers, inputs, scenario)
    check_costs(costs, source.where)
    notes.append(
        f"device and server are one machine's numbers: those of the server are divided by "
        f"{scenario.server_speed:g}, as `--server-speed` says; they are no measurement of two"
    )
    return Imported(
        graph=_graph(layers, inputs, sizes, name, scenario.batch, source.where),
        costs=costs,
        notes=tuple(notes),
    )


def _without_shapes(graph: LayerGraph) -> tuple[LayerGraph, list[str]]:
    """Less the layers that compute shapes, which are known before anything runs."""
    dropped = {
        name
        for name, layer in graph.layers.items()
        if layer.op == _SHAPE and not layer.forward_s + layer.backward_s + layer.parameter_bytes
    }
    kept = {name: layer for name, layer in graph.layers.items() if name not in dropped}
    sources = {
        name: [source for source in graph.sources[name] if source not in dropped] for name in kept
    }
    what = "layers `Size`, which compute shapes, are left out"
    notes = [f"{what}: {', '.join(f'`{name}`' for name in sorted(dropped))}"] if dropped else []
    return LayerGraph(layers=kept, sources=sources), notes


def _check_cycles(graph: LayerGraph, where: str) -> None:
    waiting = {name: len(sources) for name, sources in graph.sources.items()}
    readers = graph.readers()
    ready = [name for name, count in waiting.items() if not count]
    n_done = 0
    while ready:
        n_done += 1
        for reader in readers[ready.pop()]:
            waiting[reader] -= 1
            if not waiting[reader]:
                ready.append(reader)
    if n_done < len(waiting):
        stuck = [name for name, count in waiting.items() if count][:5]
        text = f"edges lead in a circle, through some of {', '.join(f'`{n}`' for n in stuck)}"
        raise MeasuringError(text, code="PLN615", where=where)


def _check_inputs(graph: LayerGraph, inputs: list[str], where: str) -> None:
    if not inputs:
        text = f"has no layer `{_INPUT}`, at which the data enters"
        raise MeasuringError(text, code="PLN615", where=where)
    for name in inputs:
        if graph.sources[name] or graph.layers[name].parameter_bytes:
            text = f"`{name}` is called `{_INPUT}`, but reads other layers or has parameters"
            raise MeasuringError(text, code="PLN615", where=where)
    if len(inputs) == len(graph.layers):
        text = f"has no layer beside `{_INPUT}`"
        raise MeasuringError(text, code="PLN615", where=where)


def _graph(
    graph: LayerGraph,
    inputs: list[str],
    sizes: dict[str, int],
    name: str,
    batch: int | None,
    where: str,
) -> dict[str, Any]:
    readers = graph.readers()
    nodes = [
        {
            "name": layer.name,
            "op": layer.op,
            # Two layers that are written alike are still two: the name keeps them apart.
            "attributes": {"layer": layer.layer, "node": layer.name},
            "inputs": [_tensor(source) for source in graph.sources[layer.name]],
            **({"parameter_bytes": layer.parameter_bytes} if layer.parameter_bytes else {}),
            "outputs": [{"name": _tensor(layer.name), "bytes": sizes[layer.name]}],
        }
        for layer in graph.layers.values()
        if layer.name not in inputs
    ]
    return {
        "kind": "graph",
        "version": 1,
        "name": name,
        "inputs": [
            {"name": _tensor(n), **_input_size(sizes[n], batch, where)}
            for n in inputs
            if readers[n]
        ],
        "outputs": [_tensor(n) for n in graph.layers if n not in inputs and not readers[n]],
        "nodes": nodes,
    }


def _tensor(name: str) -> str:
    return f"{name}.output"


def _input_size(size: int, batch: int | None, where: str) -> dict[str, Any]:
    """Bytes; with a batch, the shape that starts with it."""
    if batch is None:
        return {"bytes": size}
    if size == batch * IMAGE_BYTES:
        return {"dtype": "float32", "shape": [batch, 3, 224, 224]}
    if size % (4 * batch) or not size:
        is_images = size and size % IMAGE_BYTES == 0
        hint = f"it would hold {size // IMAGE_BYTES} pictures of 3x224x224" if is_images else None
        text = f"`{_INPUT}` has {size} bytes, which are no {batch} samples of float32"
        raise MeasuringError(text, code="PLN616", where=where, hint=hint)
    return {"dtype": "float32", "shape": [batch, size // (4 * batch)]}


def _costs(graph: LayerGraph, inputs: list[str], scenario: Scenario) -> dict[str, Any]:
    layers = [layer for layer in graph.layers.values() if layer.name not in inputs]
    hosts = [
        {
            "name": host,
            "model": "table",
            "nodes": [
                {
                    "name": layer.name,
                    "forward_s": layer.forward_s / speed,
                    "backward_s": layer.backward_s / speed,
                }
                for layer in layers
            ],
        }
        for host, speed in (("device", 1.0), ("server", scenario.server_speed))
    ]
    link = {
        "uplink_bps": scenario.uplink_bps,
        "downlink_bps": scenario.downlink_bps,
        "latency_s": scenario.latency_s,
    }
    workload = {"mode": "training"}
    batch = {} if scenario.batch is None else {"batch_size": scenario.batch}
    return {
        "kind": "costs",
        "version": 1,
        "workload": {**workload, **batch},
        "hosts": hosts,
        "links": [link],
    }
