"""What a plan says against what is found: every difference with its place and its size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from math import inf, isfinite

from planner.files.values import JsonValue
from planner.units import format_bytes, format_memory, format_seconds

RELATIVE_TOLERANCE = 1e-9
"""Two sums of the same seconds may differ by so much; bytes and counts may not differ at all."""

_IDENTITY = ("kind", "tensor", "link", "host", "next_host", "policy")
"""Keys that tell the entries of one list apart, where it has other entries than expected."""


class Finding(Enum):
    """What became of a check."""

    AGREES = "agrees"
    DIFFERS = "differs"
    NOT_MADE = "not made"
    """It could not be made, so the plan is neither confirmed nor refuted by it."""
    NOT_APPLICABLE = "does not apply"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing that is not as the plan says.

    Attributes:
        check: Name of the check that found it.
        where: JSON pointer into the plan file.
        stated: What the plan says.
        found: What was found.
        text: Both in words, and by how much they differ.
    """

    check: str
    where: str
    stated: JsonValue
    found: JsonValue
    text: str

    def to_dict(self) -> dict[str, JsonValue]:
        """The difference as JSON values."""
        return {
            "check": self.check,
            "where": self.where,
            "stated": self.stated,
            "found": self.found,
            "text": self.text,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What was checked, what became of it, and that in words."""

    name: str
    finding: Finding
    text: str

    def to_dict(self) -> dict[str, JsonValue]:
        """The check as JSON values."""
        return {"name": self.name, "finding": self.finding.value, "text": self.text}


@dataclass(slots=True)
class Ledger:
    """Collects what checks find."""

    checks: list[Check] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)

    def close(self, name: str, agreement: str) -> None:
        """End a check: in these words if it found no difference, else with how many."""
        n = sum(difference.check == name for difference in self.differences)
        if n:
            self.add(name, Finding.DIFFERS, f"{n} difference{'s' if n > 1 else ''}")
        else:
            self.add(name, Finding.AGREES, agreement)

    def add(self, name: str, finding: Finding, text: str) -> None:
        """A check with its finding."""
        self.checks.append(Check(name=name, finding=finding, text=text))

    def differ(
        self, check: str, where: str, stated: JsonValue, found: JsonValue, text: str = ""
    ) -> None:
        """Note a difference; without a text the two values are told."""
        words = text or told(where, stated, found)
        self.differences.append(
            Difference(check=check, where=where, stated=stated, found=found, text=words)
        )

    def compare(self, check: str, where: str, stated: JsonValue, found: JsonValue) -> None:
        """Note every leaf in which two JSON values differ."""
        for place, one, other in _differing(where, stated, found):
            self.differ(check, place, one, other)


def _differing(
    where: str, stated: JsonValue, found: JsonValue
) -> Iterator[tuple[str, JsonValue, JsonValue]]:
    match stated, found:
        case dict(), dict():
            for key in {**stated, **found}:
                yield from _differing(f"{where}.{key}", stated.get(key), found.get(key))
        case list(), list() if len(stated) == len(found):
            for position, (one, other) in enumerate(zip(stated, found, strict=True)):
                yield from _differing(f"{where}[{position}]", one, other)
        case list(), list():
            yield from _missing(where, stated, found)
        case _:
            if not are_equal(stated, found):
                yield where, stated, found


def _missing(
    where: str, stated: list[JsonValue], found: list[JsonValue]
) -> Iterator[tuple[str, JsonValue, JsonValue]]:
    """Entries that only one of two lists has; those that both have are compared."""
    by_key = {_key(item): item for item in found}
    for position, item in enumerate(stated):
        other = by_key.pop(_key(item), None)
        yield from _differing(f"{where}[{position}]", item, other)
    for item in by_key.values():
        yield where, None, item


def _key(item: JsonValue) -> str:
    if isinstance(item, Mapping):
        item = [item.get(key) for key in _IDENTITY]
    return repr(item)


def are_equal(stated: JsonValue, found: JsonValue) -> bool:
    """Equal, or two numbers of which one is no integer, equal within float64 sums."""
    numbers = _numbers(stated, found)
    if numbers is None or all(isinstance(number, int) for number in numbers):
        return stated == found and type(stated) is type(found)
    one, other = numbers
    return abs(one - other) <= RELATIVE_TOLERANCE * max(abs(one), abs(other))


def _numbers(*values: JsonValue) -> tuple[float, ...] | None:
    found = tuple(v for v in values if isinstance(v, int | float) and not isinstance(v, bool))
    return found if len(found) == len(values) else None


def told(where: str, stated: JsonValue, found: JsonValue) -> str:
    """A difference in words, numbers with how far they are apart.

    >>> told("$.delay.uplink_s", 0.52, 0.26)
    '`delay.uplink_s` is 520.00 ms in the plan and 260.00 ms here: 260.00 ms (100%) more'
    """
    name = where.removeprefix("$.")
    if found is None:
        return f"`{name}` is {_shown(name, stated)} in the plan, and nothing here"
    if stated is None:
        return f"`{name}` is nothing in the plan, and {_shown(name, found)} here"
    one, other = _shown(name, stated), _shown(name, found)
    if one == other:  # by rounding
        one, other = repr(stated), repr(found)
    text = f"`{name}` is {one} in the plan and {other} here"
    numbers = _numbers(stated, found)
    return text if numbers is None else f"{text}: {apart(name, *numbers)}"


def apart(name: str, stated: float, found: float) -> str:
    """By how much a stated number is above or below what is found.

    >>> apart("total_s", 1.0, 1.0 + 1e-6)
    '1.00 µs (0.0001%) less'
    """
    gap = abs(stated - found)
    if not isfinite(gap):
        return "more" if stated > found else "less"
    ratio = gap / abs(found) if found else inf
    relative = f" ({_percent(ratio)})" if ratio < inf else ""
    return f"{_shown(name, gap)}{relative} {'more' if stated > found else 'less'}"


def _percent(ratio: float) -> str:
    return f"{100 * ratio:.3g}%" if ratio < 1e4 else f"{ratio:.3g} times"


def _shown(name: str, value: JsonValue) -> str:
    """A value in the unit that its name says."""
    match value:
        case bool() | None:
            return str(value).lower()
        case int() | float() if name.endswith(("_s", ".seconds")) and "per_s" not in name:
            return format_seconds(value)
        case int() if name.endswith("_bytes") and name.startswith("memory"):
            return format_memory(value) if value >= 2**20 else f"{value} B"
        case int() if name.endswith("_bytes"):
            return format_bytes(value) if value >= 10**6 else f"{value} B"
        case int() if name == "ticks":
            return f"{value} tick{'s' if value != 1 else ''}"
        case int():
            return f"{value}"
        case float():
            return f"{value:.6g}"
        case str():
            return f"`{value}`"
        case dict():
            words = [f"`{value[key]}`" for key in ("tensor", "host", "policy") if value.get(key)]
            return f"an entry for {words[0]}" if words else "an entry"
        case list():
            return f"{len(value)} entries"
