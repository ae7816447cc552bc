"""Options that several commands share: how a model is read, and what it is planned for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from planner.errors import InputError, PlannerError, raise_all
from planner.units import BYTES, RATES, TIMES, parse_quantity

if TYPE_CHECKING:
    from planner.cost_files import Costs
    from planner.graphs import Graph

Command = TypeVar("Command", bound=Callable[..., Any])

_MODEL_OPTIONS = (
    click.option("--batch", type=click.IntRange(min=1), help="Batch to plan at."),
    click.option("--dim", "dims", multiple=True, metavar="NAME=N", help="A symbolic dimension."),
    click.option("--input", "inputs", multiple=True, metavar="SPEC",
                 help="An input's type and shape: x:float32[32,3,224,224]."),
    click.option("--frozen", multiple=True, metavar="GLOB", help="Parameters not trained."),
    click.option("--tied", multiple=True, metavar="GLOB", help="Parameters truly shared."),
    click.option("--untied", multiple=True, metavar="GLOB", help="Parameters only merged."),
    click.option("--shapes", type=click.Choice(["onnx", "onnxruntime"]), default="onnx",
                 show_default=True, help="Who infers shapes."),
)  # fmt: skip

_SCENARIO_OPTIONS = (
    click.option("--costs", "costs_path", type=click.Path(path_type=Path), metavar="FILE",
                 help="Costs file (costs.v1)."),
    click.option("--device", metavar="PRESET", help="Hardware of the first host."),
    click.option("--server", metavar="PRESET", help="Hardware of the last host."),
    click.option("--uplink", multiple=True, metavar="RATE", help="Up, such as 50Mbit/s."),
    click.option("--downlink", multiple=True, metavar="RATE", help="Down, such as 100Mbit/s."),
    click.option("--latency", multiple=True, metavar="TIME", help="One way, such as 2ms."),
    click.option("--mode", type=click.Choice(["training", "inference"]),
                 help="Training or inference."),
    click.option("--iterations", type=click.IntRange(min=1), metavar="N",
                 help="Iterations per round."),
    click.option("--labels", metavar="BYTES", help="Size of the labels of one batch."),
    click.option("--return-outputs", is_flag=True, default=None,
                 help="Inference: send the outputs back."),
    click.option("--wire-dtype", metavar="DTYPE", help="What floats are sent as: float16, int8."),
    click.option("--pin", "pins", multiple=True, metavar="NODE=HOST", help="Fix an operator."),
    click.option("--together", multiple=True, metavar="NODE,NODE", help="Keep on one host."),
    click.option("--forbid", multiple=True, metavar="TENSOR", help="May not cross a link."),
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What the command line says about reading the model."""

    batch: int | None
    dims: tuple[str, ...]
    inputs: tuple[str, ...]
    frozen: tuple[str, ...]
    tied: tuple[str, ...]
    untied: tuple[str, ...]
    shapes: str


@dataclass(frozen=True, kw_only=True)
class ScenarioOptions:
    """What the command line says about hosts, links, work and rules."""

    costs_path: Path | None
    device: str | None
    server: str | None
    uplink: tuple[str, ...]
    downlink: tuple[str, ...]
    latency: tuple[str, ...]
    mode: str | None
    iterations: int | None
    labels: str | None
    return_outputs: bool | None
    wire_dtype: str | None
    pins: tuple[str, ...]
    together: tuple[str, ...]
    forbid: tuple[str, ...]


def model_options(command: Command) -> Command:
    """Add the options of `ModelOptions`."""
    for option in reversed(_MODEL_OPTIONS):
        command = option(command)
    return command


def scenario_options(command: Command) -> Command:
    """Add the options of `ScenarioOptions`."""
    for option in reversed(_SCENARIO_OPTIONS):
        command = option(command)
    return command


Options = TypeVar("Options", ModelOptions, ScenarioOptions)


def take(kind: type[Options], values: dict[str, Any]) -> Options:
    """The options of one kind out of what click passed."""
    return kind(**{field.name: values[field.name] for field in fields(kind)})


def load_graph(path: str, options: ModelOptions, batch: int | None = None) -> Graph:
    """Read a model as the command line says; `batch` is what the costs file asks for."""
    from planner.loading import load

    return load(
        path,
        inputs=options.inputs,
        batch=options.batch if options.batch is not None else batch,
        dims=_dims(options.dims),
        frozen=options.frozen,
        tied=options.tied,
        untied=options.untied,
        shapes=options.shapes,
    )


def _dims(pairs: Sequence[str]) -> dict[str, int]:
    result: dict[str, int] = {}
    problems: list[PlannerError] = []
    for pair in pairs:
        name, _, number = pair.rpartition("=")
        if not name or not number.isascii() or not number.isdigit() or int(number) < 1:
            text = f"`{pair}` is no dimension, expected `NAME=N` with N ≥ 1"
            problems.append(InputError(text, code="PLN119", where="--dim", hint="--dim seq=128"))
        else:
            result[name] = int(number)
    raise_all(problems)
    return result


def load_costs(options: ScenarioOptions, model: str) -> Costs:
    """The costs file with everything the command line overrides.

    Raises:
        PlannerError: If there is neither a file nor all of the flags that replace one.
    """
    from planner.cost_files import check_costs, read_costs

    if options.costs_path is not None:
        costs = read_costs(options.costs_path)
    else:
        _require_flags(options, model)
        costs = check_costs(
            {
                "kind": "costs",
                "version": 1,
                "hosts": [_preset("device", options.device), _preset("server", options.server)],
                "links": [{"uplink_bps": 1.0, "downlink_bps": 1.0}],
            },
            "command line",
        )
    return _overridden(costs, options)


def _require_flags(options: ScenarioOptions, model: str) -> None:
    flags = {
        "--device": (options.device, "jetson-tx2"),
        "--server": (options.server, "rtx-3090"),
        "--uplink": (" ".join(options.uplink), "50Mbit/s"),
        "--downlink": (" ".join(options.downlink), "100Mbit/s"),
    }
    missing = [flag for flag, (value, _) in flags.items() if not value]
    if missing:
        command = " ".join(f"{flag} {value or example}" for flag, (value, example) in flags.items())
        raise InputError(
            f"without `--costs`, {', '.join(f'`{flag}`' for flag in missing)} must be given",
            code="PLN122",
            where="--costs",
            hint=f"planner plan {model} {command}",
        )


def _preset(name: str, hardware: str | None) -> dict[str, Any]:
    return {"name": name, "model": "analytical", "hardware": hardware}


def _overridden(costs: Costs, options: ScenarioOptions) -> Costs:
    from planner.cost_files import (
        AnalyticalHost,
        LinkEntry,
        PinEntry,
        WorkloadEntry,
        cross_check,
    )
    from planner.documents import validate

    hosts = list(costs.hosts)
    presets = ((0, "--device", options.device), (-1, "--server", options.server))
    for position, flag, hardware in presets:
        if hardware is not None:
            document = _preset(hosts[position].name, hardware)
            hosts[position] = validate(AnalyticalHost, document, flag)
    links = [link.model_dump() for link in costs.links]
    _set_links(links, "uplink_bps", options.uplink, RATES, "--uplink", "50Mbit/s")
    _set_links(links, "downlink_bps", options.downlink, RATES, "--downlink", "100Mbit/s")
    _set_links(links, "latency_s", options.latency, TIMES, "--latency", "2ms")
    workload = costs.workload.model_dump() | _workload_overrides(options)
    pins = [pin.model_dump() for pin in costs.pins] + [_pin(pin) for pin in options.pins]
    result = costs.model_copy(
        update={
            "hosts": tuple(hosts),
            "links": tuple(validate(LinkEntry, link, "link flags") for link in links),
            "workload": validate(WorkloadEntry, workload, "workload flags"),
            "pins": tuple(validate(PinEntry, pin, "--pin") for pin in pins),
            "together": costs.together + tuple(_group(group) for group in options.together),
            "forbid_crossing": costs.forbid_crossing + options.forbid,
        }
    )
    cross_check(result, str(options.costs_path or "command line"))
    return result


def _set_links(
    links: list[dict[str, Any]],
    key: str,
    values: Sequence[str],
    units: dict[str, float],
    flag: str,
    example: str,
) -> None:
    """One value for all links, or one per link in route order."""
    if not values:
        return
    if len(values) not in (1, len(links)):
        text = f"`{flag}` is given {len(values)} times for {len(links)} links"
        raise InputError(text, code="PLN119", where=flag, hint="once, or once per link")
    numbers = [parse_quantity(value, units, flag, example) for value in values]
    for number, text in zip(numbers, values, strict=True):
        if number < 0 or (number == 0 and key != "latency_s"):
            expected = "≥ 0" if key == "latency_s" else "> 0"
            raise InputError(
                f"`{text}` is not {expected}", code="PLN119", where=flag, hint=f"{flag} {example}"
            )
    for position, link in enumerate(links):
        link[key] = numbers[position % len(numbers)]


def _workload_overrides(options: ScenarioOptions) -> dict[str, Any]:
    found: dict[str, Any] = {
        "mode": options.mode,
        "iterations_per_round": options.iterations,
        "return_outputs": options.return_outputs,
        "wire_dtype": options.wire_dtype,
    }
    if options.labels is not None:
        size = parse_quantity(options.labels, BYTES, "--labels", "256B")
        if size < 0 or size != int(size):
            text = f"`{options.labels}` is not a whole number of bytes ≥ 0"
            raise InputError(text, code="PLN119", where="--labels")
        found["label_bytes"] = int(size)
    return {key: value for key, value in found.items() if value is not None}


def _pin(text: str) -> dict[str, str]:
    node, _, host = text.rpartition("=")
    if not node or not host:
        message = f"`{text}` is no pin, expected `NODE=HOST`"
        raise InputError(message, code="PLN119", where="--pin", hint="--pin conv1=device")
    return {"node": node, "host": host}


def _group(text: str) -> tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    if len(names) < 2:
        message = f"`{text}` is no group, expected at least two operators between commas"
        raise InputError(message, code="PLN119", where="--together", hint="--together conv1,relu1")
    return names
