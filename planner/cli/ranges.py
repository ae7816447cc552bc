"""Ranges as people write them on the command line: `1Mbit/s..1Gbit/s`, `0.25..1`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from planner.errors import InputError, PlannerError, raise_all, shorten
from planner.tables.table_file import LIMITS
from planner.units import RATES, format_rate, parse_quantity

FLAGS = {"uplink_bps": "--uplink", "downlink_bps": "--downlink", "device_speed": "--device-speed"}
"""Flags by the names of a table's parameters."""

DOTS = ".."
_SPEEDS: dict[str, float] = {}  # a factor has no unit
_EXAMPLES = {"--uplink": "1Mbit/s..1Gbit/s", "--downlink": "1Mbit/s..1Gbit/s",
             "--device-speed": "0.25..1"}  # fmt: skip

Range = tuple[float, float]


def take_ranges(values: dict[str, Any]) -> dict[str, Range]:
    """The ranges among the flags, by the names of a table's parameters.

    They are taken out of `values`, where only what is planned as usual is left.

    Raises:
        PlannerError: With every range that is none, and if there is none at all.
    """
    problems: list[PlannerError] = []
    found: dict[str, Range] = {}
    single: list[tuple[str, str, str]] = []
    for parameter, flag in FLAGS.items():
        key = flag.removeprefix("--").replace("-", "_")
        given = values[key]
        texts: Sequence[str] = (given,) if isinstance(given, str) else given or ()
        other_marks = [error for text in texts for error in _other_marks(text, parameter, flag)]
        if other_marks:
            problems += other_marks
            continue
        if not any(DOTS in text for text in texts) and flag != "--device-speed":
            single += [(parameter, text, flag) for text in texts]
            continue
        try:
            for text in texts:
                found[parameter] = _range(text, texts, parameter, flag)
        except PlannerError as error:
            problems += error.problems
        values[key] = ()
    for text in values["latency"] or ():
        if DOTS in text:
            message = f"`{shorten(text, 60)}` is a range, and latency cannot vary in a table"
            hint = f"what can: {_listing(FLAGS.values())}"
            problems.append(InputError(message, code="PLN119", where="--latency", hint=hint))
    if not found and not problems:
        for value in single:
            parse_value(*value)  # a range written in another way is no value either
        problems.append(
            InputError(
                f"there is no range, expected one for any of {_listing(FLAGS.values())}",
                code="PLN412",
                where="planner table",
                hint="two dots between its ends: `--uplink 1Mbit/s..1Gbit/s`",
            )
        )
    raise_all(problems)
    return found


def format_value(parameter: str, value: float) -> str:
    """A value of a parameter, with its unit.

    >>> format_value("uplink_bps", 2e7), format_value("device_speed", 0.25)
    ('20 Mbit/s', '0.25x')
    """
    return f"{value:.4g}x" if parameter == "device_speed" else format_rate(value)


def parse_value(parameter: str, text: str, where: str, example: str | None = None) -> float:
    """The inverse of `format_value`: a rate with its unit, or a factor.

    Args:
        parameter: What it is a value of.
        text: As it was written.
        where: The flag.
        example: What a hint shows.

    Raises:
        InputError: If it is none, or out of range.
    """
    is_speed = parameter == "device_speed"
    units = _SPEEDS if is_speed else RATES
    example = example or ("0.5" if is_speed else "50Mbit/s")
    value = parse_quantity(text.removesuffix("x") if is_speed else text, units, where, example)
    low, high = LIMITS[parameter]
    if not low <= value <= high:
        unit = "" if is_speed else " bit/s"
        raise InputError(
            f"`{shorten(text, 60)}` is out of range, expected {low:g}{unit} to {high:g}{unit}",
            code="PLN119",
            where=where,
            hint=f"for example `{example}`",
        )
    return value


def _range(text: str, texts: Sequence[str], parameter: str, flag: str) -> Range:
    """One range; `texts` is all that the flag was given."""
    usage = f"{flag} {_EXAMPLES[flag]}"
    example = f"for example `{usage}`"
    shown = shorten(text, 60)
    if len(texts) > 1:
        raise InputError(
            f"`{flag}` is given {len(texts)} times, expected one range",
            code="PLN119",
            where=flag,
            hint=f"a range is for all links: {example}",
        )
    if DOTS not in text:
        message = f"`{shown}` is one value, expected a range"
        raise InputError(message, code="PLN119", where=flag, hint=example)
    if f"{DOTS}." in text:  # what follows two of them, `.1Gbit/s`, would be a number
        message = f"`{shown}` has more than two dots between its ends"
        raise InputError(message, code="PLN119", where=flag, hint=example)
    ends = [end.strip() for end in text.split(DOTS, 1)]
    if not all(ends):
        side = "upper" if ends[0] else "lower"
        message = f"`{shown}` has no {side} end, expected a range"
        raise InputError(message, code="PLN119", where=flag, hint=example)
    low, high = (parse_value(parameter, end, flag, usage) for end in ends)
    bare = [end for end in ends if not end[-1].isalpha()]
    if len(bare) == 1 and parameter != "device_speed":
        raise InputError(
            f"`{shown}` has a unit at one end only, and `{bare[0]}` alone is in bit/s",
            code="PLN119",
            where=flag,
            hint=f"write the unit twice: {example}",
        )
    if low == high:
        message = f"`{shown}` is a single value, expected a lower and a higher end"
        hint = example if parameter == "device_speed" else f"for one value `{flag} {ends[0]}`"
        raise InputError(message, code="PLN119", where=flag, hint=hint)
    if low > high:
        message = f"`{shown}` runs backwards, expected the lower end first"
        hint = f"did you mean `{flag} {ends[1]}{DOTS}{ends[0]}`?"
        raise InputError(message, code="PLN119", where=flag, hint=hint)
    return low, high


def _other_marks(text: str, parameter: str, flag: str) -> Iterator[InputError]:
    """A range with another mark than two dots between its ends."""
    for mark in re.finditer(r"\s*[-–—…]+\s*", text):  # noqa: RUF001 (the dashes that people type)
        ends = text[: mark.start()], text[mark.end() :]
        try:
            for end in ends:
                parse_value(parameter, end, flag)
        except InputError:
            continue
        yield InputError(
            f"`{shorten(text, 60)}` has no two dots between its ends",
            code="PLN119",
            where=flag,
            hint=f"did you mean `{flag} {DOTS.join(ends)}`?",
        )


def _listing(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)
