"""The costs file with everything that the command line says instead."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import Any, TypeVar

import click
from pydantic import BaseModel

from planner.cli.console import say
from planner.cli.options import ScenarioOptions
from planner.cli.places import placed_in
from planner.cost_files import (
    MAX_RATE,
    MAX_SECONDS,
    MIN_RATE,
    AnalyticalHost,
    Costs,
    LinkEntry,
    PinEntry,
    WorkloadEntry,
    check_costs,
    cross_check,
    read_costs,
)
from planner.documents import JsonValue, validate
from planner.errors import InputError, PlannerError, shorten
from planner.graphs import MAX_BYTES
from planner.units import BYTES, RATES, TIMES, parse_quantity

Entry = TypeVar("Entry", bound=BaseModel)


def load_costs(options: ScenarioOptions, model: str) -> Costs:
    """The costs file with everything the command line overrides.

    Raises:
        PlannerError: If there is neither a file nor all of the flags that replace one.
    """
    if options.costs_path is not None:
        costs = read_costs(options.costs_path)
    else:
        require_flags(options, model)
        costs = check_costs(
            {
                "kind": "costs",
                "version": 1,
                "hosts": [_preset("device", options.device), _preset("server", options.server)],
                "links": [{"uplink_bps": 1.0, "downlink_bps": 1.0}],
            },
            "command line",
        )
    result = _overridden(costs, options)
    with placed_in(options, result):
        cross_check(result, str(options.costs_path or "command line"))
    is_training = result.workload.mode == "training"
    if is_training and options.return_outputs:
        say("warning: `--return-outputs` has no effect in training; add `--mode inference`")
    if not is_training and options.labels is not None:
        say("warning: `--labels` has no effect in inference")
    return result


def require_flags(options: ScenarioOptions, model: str, others: Sequence[str] = ()) -> None:
    """Check that flags say all that a costs file would.

    Args:
        options: Where they are.
        model: The first argument of the command.
        others: More of its arguments, which the hint repeats.

    Raises:
        InputError: If one is missing; the hint is the full command.
    """
    flags = {
        "--device": (options.device, "jetson-tx2"),
        "--server": (options.server, "rtx-3090"),
        "--uplink": (" ".join(options.uplink), "50Mbit/s"),
        "--downlink": (" ".join(options.downlink), "100Mbit/s"),
    }
    missing = [flag for flag, (value, _) in flags.items() if not value]
    if missing:
        command = " ".join(f"{flag} {value or example}" for flag, (value, example) in flags.items())
        all_of_them = "" if len(missing) < len(flags) else " (all four)"
        raise InputError(
            f"without `--costs`, {', '.join(f'`{flag}`' for flag in missing)} must be given"
            f"{all_of_them}",
            code="PLN122",
            where="--costs",
            hint=" ".join([_command(), shlex.quote(model), command, *map(shlex.quote, others)]),
        )


def _command() -> str:
    context = click.get_current_context(silent=True)
    return context.command_path if context is not None else "planner plan"


def _preset(name: str, hardware: str | None) -> dict[str, JsonValue]:
    return {"name": name, "model": "analytical", "hardware": hardware}


def _overridden(costs: Costs, options: ScenarioOptions) -> Costs:
    hosts = list(costs.hosts)
    presets = ((0, "--device", options.device), (-1, "--server", options.server))
    for position, flag, hardware in presets:
        if hardware is not None:
            document = _preset(hosts[position].name, hardware)
            hosts[position] = _checked(AnalyticalHost, document, flag)
    memory = (
        (0, "--device-memory", options.device_memory),
        (-1, "--server-memory", options.server_memory),
    )
    for position, flag, size in memory:
        if size is not None:
            update = {"memory_bytes": _memory_bytes(size, flag)}
            hosts[position] = hosts[position].model_copy(update=update)
    links = [link.model_dump() for link in costs.links]
    _set_links(links, "uplink_bps", options.uplink, "--uplink")
    _set_links(links, "downlink_bps", options.downlink, "--downlink")
    _set_links(links, "latency_s", options.latency, "--latency")
    workload = costs.workload.model_copy(update=_workload_overrides(options))
    pins = tuple(_checked(PinEntry, _pin(pin), "--pin") for pin in options.pins)
    return costs.model_copy(
        update={
            "hosts": tuple(hosts),
            "links": tuple(LinkEntry.model_validate(link) for link in links),
            "workload": workload,
            "pins": costs.pins + pins,
            "together": costs.together + tuple(_group(group) for group in options.together),
            "forbid_crossing": costs.forbid_crossing + options.forbid,
        }
    )


def _checked(model: type[Entry], document: dict[str, Any], flag: str) -> Entry:
    """`validate`, with the flag as the place."""
    try:
        return validate(model, document, flag)
    except PlannerError as error:
        for problem in error.problems:
            problem.where = flag
        raise


_LINK_FLAGS = {
    "--uplink": (RATES, "50Mbit/s", MIN_RATE, MAX_RATE, "0.001 bit/s to 1e18 bit/s"),
    "--downlink": (RATES, "100Mbit/s", MIN_RATE, MAX_RATE, "0.001 bit/s to 1e18 bit/s"),
    "--latency": (TIMES, "2ms", 0.0, MAX_SECONDS, "0 s to 1e9 s"),
}


def _set_links(links: list[dict[str, Any]], key: str, values: Sequence[str], flag: str) -> None:
    """One value for all links, or one per link in route order."""
    if not values:
        return
    units, example, low, high, expected = _LINK_FLAGS[flag]
    if len(values) not in (1, len(links)):
        count = f"{len(links)} link{'s' if len(links) > 1 else ''}"
        text = f"`{flag}` is given {len(values)} times for {count}"
        raise InputError(text, code="PLN119", where=flag, hint="give it once, or once per link")
    for value in values:
        if ".." in value:
            text = f"`{shorten(value, 60)}` is a range, expected one value"
            hint = "`planner table` takes ranges of rates"
            raise InputError(text, code="PLN119", where=flag, hint=hint)
    numbers = [parse_quantity(value, units, flag, example) for value in values]
    for number, text in zip(numbers, values, strict=True):
        if not low <= number <= high:
            raise InputError(
                f"`{text}` is out of range, expected {expected}",
                code="PLN119",
                where=flag,
                hint=f"for example `{flag} {example}`",
            )
    for position, link in enumerate(links):
        link[key] = numbers[position % len(numbers)]


def _memory_bytes(text: str, flag: str) -> int:
    size = parse_quantity(text, BYTES, flag, "4GiB")
    if not (1 <= size <= MAX_BYTES and size == int(size)):
        message = f"`{text}` is not a whole number of bytes from 1 to 2^53"
        raise InputError(message, code="PLN119", where=flag, hint=f"for example `{flag} 4GiB`")
    return int(size)


def _workload_overrides(options: ScenarioOptions) -> dict[str, Any]:
    found: dict[str, Any] = {}
    flags = {
        "--mode": ("mode", options.mode),
        "--objective": ("objective", options.objective),
        "--optimizer-states": ("optimizer_states", options.optimizer_states),
        "--iterations": ("iterations_per_round", options.iterations),
        "--return-outputs": ("return_outputs", options.return_outputs),
        "--wire-dtype": ("wire_dtype", options.wire_dtype),
        "--labels": ("label_bytes", _label_bytes(options.labels)),
    }
    for flag, (key, value) in flags.items():
        if value is not None:
            found[key] = getattr(_checked(WorkloadEntry, {key: value}, flag), key)
    return found


def _label_bytes(text: str | None) -> int | None:
    if text is None:
        return None
    size = parse_quantity(text, BYTES, "--labels", "256B")
    if size < 0 or size != int(size):
        message = f"`{text}` is not a whole number of bytes ≥ 0"
        raise InputError(message, code="PLN119", where="--labels", hint="for example `256B`")
    return int(size)


def _pin(text: str) -> dict[str, str]:
    node, _, host = text.rpartition("=")
    if not node or not host:
        message = f"`{text}` is no pin, expected `NODE=HOST`"
        raise InputError(
            message, code="PLN119", where="--pin", hint="for example `--pin conv1=device`"
        )
    return {"node": node, "host": host}


def _group(text: str) -> tuple[str, ...]:
    names = tuple(name for name in text.split(",") if name)
    if len(names) < 2:
        message = f"`{text}` is no group, expected at least two operators between commas"
        hint = "for example `--together conv1,relu1`"
        raise InputError(message, code="PLN119", where="--together", hint=hint)
    return names
