"""Where an error is, in terms of the command line: its flags, and the file that it names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from planner.errors import PlannerError

if TYPE_CHECKING:
    from planner.cli.options import ScenarioOptions
    from planner.costs.cost_file import Costs

_ARGUMENTS = {
    "batch": "--batch",
    "device_speed": "--device-speed",
    "dims": "--dim",
    "downlink_bps": "--downlink",
    "engine": "--engine",
    "frozen": "--frozen",
    "inputs": "--input",
    "shapes": "--shapes",
    "seed": "--seed",
    "sequence": "--sequence",
    "solver": "--solver",
    "tied": "--tied",
    "untied": "--untied",
    "uplink_bps": "--uplink",
    "weights": "--weights",
}
"""Flags by the names of the library's arguments."""


@contextmanager
def named_as_flags() -> Iterator[None]:
    """Errors about an argument of the library are about the flag of that name."""
    try:
        yield
    except PlannerError as error:
        for problem in error.problems:
            argument = (problem.where or "").partition("[")[0]
            problem.where = _ARGUMENTS.get(argument, problem.where)
        raise


@contextmanager
def placed_in(options: ScenarioOptions, costs: Costs) -> Iterator[None]:
    """Errors at `$.pins[3]` of the costs say which file that is in, or which flag added it."""
    with named_as_flags():
        try:
            yield
        except PlannerError as error:
            for problem in error.problems:
                problem.where = _place(problem.where, options, costs)
            raise


def _place(where: str | None, options: ScenarioOptions, costs: Costs) -> str | None:
    file = str(options.costs_path or "command line")
    if where is None:
        return file
    pointer = where.removeprefix(f"{file}: ")
    match = re.match(r"\$\.(\w+)\[(\d+)\]", pointer)
    if match is not None:
        section, position = match[1], int(match[2])
        given = {
            "pins": ("--pin", len(costs.pins) - len(options.pins)),
            "together": ("--together", len(costs.together) - len(options.together)),
            "forbid_crossing": ("--forbid", len(costs.forbid_crossing) - len(options.forbid)),
        }
        flag, in_file = given.get(section, ("", position + 1))
        if position >= in_file:
            return flag
        if section == "hosts":
            is_device = position == 0 and options.device is not None
            is_server = position == len(costs.hosts) - 1 and options.server is not None
            if is_device or is_server:
                return "--device" if is_device else "--server"
    return f"{file}: {pointer}" if pointer.startswith("$") else where
