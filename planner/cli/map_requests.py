"""What `--map` and `--at` ask for, and whether it can be drawn."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from planner.cli.ranges import FLAGS, Range, parse_value
from planner.errors import InputError, PlanError, PluginError, name_hint
from planner.registry import OWN_DISTRIBUTION

SUFFIXES = (".svg", ".png")
NARROWEST = 1e-6
"""How wide an axis is at least, relatively, for matplotlib to tell its ends apart."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRequest:
    """A map to be drawn.

    Attributes:
        path: Where to, with one of `SUFFIXES`.
        axes: The two parameters that span it.
        fixed: Values of the others.
    """

    path: Path
    axes: tuple[str, str]
    fixed: dict[str, float]


def map_request(path: Path | None, at: str | None, ranges: dict[str, Range]) -> MapRequest | None:
    """The map that the flags ask for, if any.

    Raises:
        PlannerError: If the ranges span no map, the kind of file is unknown, or matplotlib is not
            installed or does not load (exit status 4).
    """
    if path is None:
        if at is not None:
            text = "`--at` is for a map, and there is no `--map`"
            raise PlanError(text, code="PLN415", where="--at", hint="add `--map regions.svg`")
        return None
    if path.suffix.lower() not in SUFFIXES:
        text = f"`{path.name}` is neither an SVG nor a PNG file"
        raise InputError(text, code="PLN415", where="--map", hint="for example `--map regions.svg`")
    fixed = _fixed(at, list(ranges))
    axes = [name for name in ranges if name not in fixed]
    if len(axes) == 1:
        raise PlanError(
            "a map needs two ranges, and there is one",
            code="PLN415",
            where="--map",
            hint="add a range, such as `--downlink 1Mbit/s..1Gbit/s`; the terminal shows one",
        )
    if len(axes) == 3:
        raise PlanError(
            "a map shows two ranges, and there are three",
            code="PLN415",
            where="--map",
            hint="add `--at device-speed=0.5` to draw it there; the table itself is over all three",
        )
    for name in axes:
        low, high = ranges[name]
        if high - low < NARROWEST * low:
            text = f"`{FLAGS[name]}` from {low!r} to {high!r} is too narrow to be drawn"
            raise PlanError(text, code="PLN415", where="--map")
    if find_spec("matplotlib") is None:
        raise PluginError(
            "`--map` needs `matplotlib`, which is not installed",
            code="PLN302",
            where="--map",
            hint=f"pip install '{OWN_DISTRIBUTION}[plot]'",
            exit_code=4,
        )
    try:
        import_module("matplotlib.figure")
    except ImportError as error:
        raise PluginError(
            f"`--map` needs `matplotlib`, which does not load: {error}",
            code="PLN302",
            where="--map",
            hint=f"pip install --force-reinstall '{OWN_DISTRIBUTION}[plot]'",
            exit_code=4,
        ) from error
    return MapRequest(path=path, axes=(axes[0], axes[1]), fixed=fixed)


def _fixed(at: str | None, parameters: list[str]) -> dict[str, float]:
    if at is None:
        return {}
    name, equals, text = at.partition("=")
    names = {FLAGS[p].removeprefix("--"): p for p in parameters}
    if not equals or name not in names:
        raise PlanError(
            f"`{at}` is no place for a map, expected `NAME=VALUE` with NAME of a range",
            code="PLN415",
            where="--at",
            hint=name_hint(name, names, "ranges"),
        )
    return {names[name]: parse_value(names[name], text, "--at")}
