"""Quantities as people write them (`50Mbit/s`, `2ms`, `4GiB`) and as they like to read them."""

from __future__ import annotations

import math
import re

from planner.errors import InputError, nearest, shorten

_DECIMAL = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}
_PREFIXES = _DECIMAL | _BINARY

RATES: dict[str, float] = {
    **{f"{p}bit/s": f for p, f in _PREFIXES.items()},
    **{f"{p}bps": f for p, f in _DECIMAL.items()},
    **{f"{p}b/s": f for p, f in _DECIMAL.items()},
    **{f"{p}B/s": 8 * f for p, f in _PREFIXES.items()},
}
TIMES: dict[str, float] = {
    "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "min": 60.0, "h": 3600.0
}  # fmt: skip
BYTES: dict[str, float] = {f"{p}B": f for p, f in _PREFIXES.items()}

_QUANTITY = r"\s*([+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?)\s*([^\s0-9.]\S*)?\s*"


def parse_quantity(text: str, units: dict[str, float], where: str, example: str) -> float:
    """A number with one of `units`, in the SI unit; a bare number is in it already.

    Raises:
        InputError: If it is no number, the unit is unknown, or the result is not finite.

    >>> parse_quantity("50Mbit/s", RATES, "--uplink", "50Mbit/s")
    50000000.0
    >>> parse_quantity("1MB/s", RATES, "--uplink", "50Mbit/s")
    8000000.0
    """
    match = re.fullmatch(_QUANTITY, text)
    if match is None:
        raise InputError(
            f"`{shorten(text, 60)}` is no quantity, expected a number with a unit",
            code="PLN119",
            where=where,
            hint=f"for example `{example}`",
        )
    number, unit = float(match[1]), match[2]
    if unit and unit not in units:
        hint = _unit_hint(match[1], unit, units, example)
        raise InputError(
            f"`{shorten(unit, 60)}` in `{shorten(text, 60)}` is no unit",
            code="PLN119",
            where=where,
            hint=hint,
        )
    value = number * (units[unit] if unit else 1.0)
    if not math.isfinite(value):
        raise InputError(f"`{text}` is not finite", code="PLN119", where=where)
    return value


def _unit_hint(number: str, unit: str, units: dict[str, float], example: str) -> str:
    """Case decides between bits and bytes, milli and mega: name all that may be meant."""
    if unit.startswith(","):
        return "write a decimal point, not a comma"
    spelling = _letters(unit)
    meant = [known for known in units if _letters(known) == spelling]
    meant = meant or [known for known in units if _letters(known) == f"{spelling}/s"]
    if not meant and len(unit) == 1:
        meant = [k for k in units if k.startswith(unit) and "i" not in _letters(k)]
    if "bit" in unit.lower() or "byte" in unit.lower():
        meant = [known for known in meant if ("B" in known) is ("byte" in unit.lower())]
    by_size = {units[known]: known for known in reversed(meant)}
    words = [f"`{number}{known}`{_bits_or_bytes(known)}" for known in reversed(by_size.values())]
    if words:
        return f"did you mean {' or '.join(words)}?"
    close = nearest(unit, units)
    if close is not None:
        return f"did you mean `{number}{close}`?"
    return f"for example `{example}`"


def _letters(unit: str) -> str:
    """A unit without what people get wrong: case, plurals, `bit` for `b`, `ps` for `/s`."""
    short = unit.lower().replace("bit", "b").replace("byte", "b").replace("bs", "b")
    if short.endswith("ps"):
        short = short.removesuffix("ps") + "/s"
    return short


def _bits_or_bytes(unit: str) -> str:
    if unit not in RATES:
        return ""
    return " (bytes)" if "B" in unit else " (bits)"


def format_seconds(seconds: float) -> str:
    """Three or four significant digits and a unit that fits.

    >>> format_seconds(0.01234), format_seconds(75.3), format_seconds(0)
    ('12.34 ms', '75.30 s', '0 s')
    """
    if seconds == 0:
        return "0 s"
    for unit, factor in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if abs(seconds) >= 0.9995 * factor:
            value = seconds / factor
            return f"{value:,.2f} {unit}" if value < 1e6 else f"{value:.3e} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def format_bytes(size: float) -> str:
    """Bytes with a decimal prefix, as links count.

    >>> format_bytes(602112), format_bytes(12)
    ('602.1 kB', '12 B')
    """
    return _prefixed(size, 1000, ("k", "M", "G", "T"))


def format_memory(size: float, digits: int = 1) -> str:
    """Bytes with a binary prefix, as memory is sold.

    >>> format_memory(4 * 2**30), format_memory(12)
    ('4.0 GiB', '12 B')
    """
    return _prefixed(size, 1024, ("Ki", "Mi", "Gi", "Ti"), digits)


def _prefixed(size: float, base: int, prefixes: tuple[str, ...], digits: int = 1) -> str:
    if size < base:
        return f"{size:.0f} B"
    for prefix in prefixes:
        size /= base
        if size < base - 0.05 or prefix == prefixes[-1]:
            return f"{size:,.{digits}f} {prefix}B"
    raise AssertionError("the loop always returns")


def format_rate(bits_per_second: float) -> str:
    """Bits per second with a decimal prefix.

    >>> format_rate(5e7)
    '50 Mbit/s'
    """
    for prefix, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if bits_per_second >= factor:
            return f"{bits_per_second / factor:.4g} {prefix}bit/s"
    return f"{bits_per_second:.4g} bit/s"


def format_count(number: float) -> str:
    """A count with a prefix: 25.56 M, 4.09 G.

    >>> format_count(25557032), format_count(161)
    ('25.56 M', '161')
    """
    for prefix, factor in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= factor:
            return f"{number / factor:.2f} {prefix}"
    return f"{number:.0f}"
