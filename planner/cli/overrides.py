"""The costs file with everything that the command line says instead."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import BaseModel

from planner.cli.console import say
from planner.cli.options import ScenarioOptions
from planner.cli.places import placed_in
from planner.costs.cost_file import (
    MAX_RATE,
    MAX_SECONDS,
    MIN_RATE,
    AnalyticalHost,
    Costs,
    HostEntry,
    LinkEntry,
    MeasuredHost,
    PinEntry,
    WorkloadEntry,
    check_costs,
    cross_check,
    read_costs,
)
from planner.errors import InputError, PlannerError, shorten
from planner.files.documents import parse_json, read_bytes, validate
from planner.graphs.graph import Graph
from planner.graphs.operators import MAX_BYTES
from planner.units import BYTES, RATES, TIMES, parse_quantity

Entry = TypeVar("Entry", bound=BaseModel)


def load_costs(options: ScenarioOptions, model: str) -> Costs:
    """The costs file with everything the command line overrides.

    Raises:
        PlannerError: If there is neither a file nor all of the flags that replace one.
    """
    if needs_flags(options):
        require_flags(options, model)
        result = _overridden(_without_file(options), options)
        result = _in_measured_mode(result, options)
    else:
        assert options.costs_path is not None
        result = _overridden(read_costs(options.costs_path), options)
    with placed_in(options, result):
        cross_check(result, str(options.costs_path or "command line"))
    is_training = result.workload.mode == "training"
    if is_training and options.return_outputs:
        say("warning: `--return-outputs` has no effect in training; add `--mode inference`")
    if not is_training and options.labels is not None:
        say("warning: `--labels` has no effect in inference")
    if options.by_signature and not any(isinstance(h, MeasuredHost) for h in result.hosts):
        say("warning: `--by-signature` has no effect: no host has a profile")
    return result


def needs_flags(options: ScenarioOptions) -> bool:
    """Whether flags must say what no costs file does: there is none, or a profile in its place."""
    return options.costs_path is None or _is_profile(options.costs_path)


def _is_profile(path: Path) -> bool:
    """Whether a file says that it is a profile; what is wrong with it is found where it is read."""
    try:
        data = read_bytes(path)
        document = parse_json(data, str(path)) if b'"profile"' in data else None
    except PlannerError:
        return False
    return isinstance(document, dict) and document.get("kind") == "profile"


def _without_file(options: ScenarioOptions) -> Costs:
    """What is overridden where no costs file is: two hosts, the first by its profile if given."""
    costs = check_costs(
        {
            "kind": "costs",
            "version": 1,
            "hosts": [{"name": name, "model": "table"} for name in ("device", "server")],
            "links": [{"uplink_bps": 1.0, "downlink_bps": 1.0}],
        },
        "command line",
    )
    if options.costs_path is None:
        return costs
    device = _host("device", str(options.costs_path), "--costs", is_profile=True)
    return costs.model_copy(update={"hosts": (device, costs.hosts[1])})


def _in_measured_mode(costs: Costs, options: ScenarioOptions) -> Costs:
    """The mode that all profiles are of, if there is only one and none is asked for."""
    profiles = [h.profile for h in costs.hosts if isinstance(h, MeasuredHost)]
    if options.mode is not None or not profiles:
        return costs
    modes: set[str] = {"training", "inference"}
    for profile in profiles:
        assert not isinstance(profile, str)
        modes &= {m.mode for m in profile.measurements if m.is_complete}
    if len(modes) != 1:
        return costs
    (mode,) = modes
    if mode == costs.workload.mode:
        return costs
    say(f"note: mode: {mode}, the only one that was measured")
    return costs.model_copy(update={"workload": costs.workload.model_copy(update={"mode": mode})})


def require_flags(options: ScenarioOptions, model: str, others: Sequence[str] = ()) -> None:
    """Check that flags say all that a costs file would.

    Args:
        options: Where they are; there is no costs file, or a profile of the device in its place.
        model: The first argument of the command.
        others: More of its arguments, which the hint repeats.

    Raises:
        InputError: If one is missing, or the device is given twice; the hint is the full command.
    """
    flags: dict[str, tuple[Sequence[str], str]] = {
        "--device": ([options.device] if options.device else [], "jetson-tx2"),
        "--server": ([options.server] if options.server else [], "rtx-3090"),
        "--uplink": (options.uplink, "50Mbit/s"),
        "--downlink": (options.downlink, "100Mbit/s"),
    }
    command = [_command(), shlex.quote(model)]
    without = "without `--costs`"
    if options.costs_path is not None:
        path = str(options.costs_path)
        if flags.pop("--device")[0]:
            text = f"the device is given twice: `{path}` is a profile, too"
            hint = "leave out `--device`, or give a costs file to `--costs`"
            raise InputError(text, code="PLN119", where="--device", hint=hint)
        command += ["--costs", shlex.quote(path)]
        without = f"`{path}` is a profile, not a costs file: with it"
    missing = [flag for flag, (values, _) in flags.items() if not values]
    if missing:
        for flag, (values, example) in flags.items():
            for value in values or [example]:
                command += [flag, shlex.quote(value)]
        all_of_them = "" if len(missing) < 4 else " (all four)"
        raise InputError(
            f"{without}, {', '.join(f'`{flag}`' for flag in missing)} must be given{all_of_them}",
            code="PLN122",
            where="--costs",
            hint=" ".join([*command, *map(shlex.quote, others)]),
        )


def _command() -> str:
    context = click.get_current_context(silent=True)
    return context.command_path if context is not None else "planner plan"


def _host(name: str, value: str, flag: str, *, is_profile: bool = False) -> HostEntry:
    """A host by its hardware, or by the file of its profile."""
    if is_profile or value.endswith(".json"):
        from planner.costs.profile_file import read_profile

        return MeasuredHost(name=name, model="measured", profile=read_profile(value))
    document = {"name": name, "model": "analytical", "hardware": value}
    return _checked(AnalyticalHost, document, flag)


def _overridden(costs: Costs, options: ScenarioOptions) -> Costs:
    hosts = list(costs.hosts)
    given = ((0, "--device", options.device), (-1, "--server", options.server))
    for position, flag, value in given:
        if value is not None:
            hosts[position] = _host(hosts[position].name, value, flag)
    if options.by_signature:
        hosts = [
            host.model_copy(update={"by_signature": True})
            if isinstance(host, MeasuredHost)
            else host
            for host in hosts
        ]
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
    if not names:
        raise _no_group(text)
    return names


def check_groups(texts: Sequence[str], graph: Graph) -> None:
    """Refuse groups of one operator; a single module is one of several.

    Raises:
        InputError: For the first of them.
    """
    for text in texts:
        if len(set(group := _group(text))) == 1 and group[0] in graph.operator_index:
            raise _no_group(text)


def _no_group(text: str) -> InputError:
    message = f"`{text}` is no group, expected a module, or operators between commas"
    hint = "for example `--together conv1,relu1`"
    return InputError(message, code="PLN119", where="--together", hint=hint)
