"""Quantities with units: what is read, what is refused, and what a slip of the pen is told."""

from __future__ import annotations

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.errors import InputError
from planner.units import (
    BYTES,
    RATES,
    TIMES,
    format_bytes,
    format_count,
    format_rate,
    format_seconds,
    parse_quantity,
)


@pytest.mark.parametrize(
    ("text", "units", "value"),
    [
        ("50Mbit/s", RATES, 50e6),
        (" 50 Mbit/s ", RATES, 50e6),
        ("50Mbps", RATES, 50e6),
        ("50Mb/s", RATES, 50e6),
        ("50MB/s", RATES, 400e6),
        ("1Mibit/s", RATES, 2**20),
        ("1MiB/s", RATES, 8 * 2**20),
        ("1kbit/s", RATES, 1000),
        ("1Kibit/s", RATES, 1024),
        ("2.5e3bit/s", RATES, 2500),
        (".5Gbit/s", RATES, 5e8),
        ("7", RATES, 7),
        ("-1.", TIMES, -1),
        ("2ms", TIMES, 0.002),
        ("3us", TIMES, 3e-6),
        ("3µs", TIMES, 3e-6),
        ("2min", TIMES, 120),
        ("4kB", BYTES, 4000),
        ("4KiB", BYTES, 4096),
        ("4GiB", BYTES, 2**32),
        ("256B", BYTES, 256),
    ],
)
def test_quantity(text: str, units: dict[str, float], value: float) -> None:
    assert parse_quantity(text, units, "--x", "1") == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    ("text", "units", "hint"),
    [
        ("50mbit/s", RATES, "did you mean `50Mbit/s` (bits)?"),
        ("50Mbits/s", RATES, "did you mean `50Mbit/s` (bits)?"),
        ("50MBit/s", RATES, "did you mean `50Mbit/s` (bits)?"),
        ("50Mbit", RATES, "did you mean `50Mbit/s` (bits)?"),
        ("50mb/s", RATES, "did you mean `50Mbit/s` (bits) or `50MB/s` (bytes)?"),
        ("50MBps", RATES, "did you mean `50Mbit/s` (bits) or `50MB/s` (bytes)?"),
        ("50M", RATES, "did you mean `50Mbit/s` (bits) or `50MB/s` (bytes)?"),
        ("50kb", RATES, "did you mean `50kbit/s` (bits) or `50kB/s` (bytes)?"),
        ("50Kbit/s", RATES, "did you mean `50kbit/s` (bits)?"),
        ("50kibit/s", RATES, "did you mean `50Kibit/s` (bits)?"),
        ("50Kib/s", RATES, "did you mean `50Kibit/s` (bits) or `50KiB/s` (bytes)?"),
        ("50MByte/s", RATES, "did you mean `50MB/s` (bytes)?"),
        ("1,5Mbit/s", RATES, "write a decimal point, not a comma"),
        ("50parsec", RATES, "for example `5X`"),
        ("2Ms", TIMES, "did you mean `2ms`?"),
        ("2msec", TIMES, "did you mean `2ms`?"),
        ("2m", TIMES, "did you mean `2ms`?"),
        ("5KB", BYTES, "did you mean `5kB`?"),
        ("5kb", BYTES, "did you mean `5kB`?"),
        ("5GIB", BYTES, "did you mean `5GiB`?"),
        ("5bytes", BYTES, "did you mean `5B`?"),
    ],
)
def test_unit_that_is_none(text: str, units: dict[str, float], hint: str) -> None:
    with pytest.raises(InputError, match="is no unit") as caught:
        parse_quantity(text, units, "--x", "5X")
    error = caught.value
    assert (error.code, error.where, error.hint) == ("PLN119", "--x", hint)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "x",
        "Mbit/s",
        "nan",
        "inf",
        "-inf",
        "1e999",
        "5.5.5",
        "5 5",
        "\u0665Mbit/s",
        "5\nms x",
    ],
)
def test_text_that_is_no_quantity(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_quantity(text, RATES, "--x", "50Mbit/s")
    assert caught.value.code == "PLN119"


@given(st.text(max_size=30))
def test_any_text_is_a_finite_number_or_an_error(text: str) -> None:
    for units in (RATES, TIMES, BYTES):
        with suppress(InputError):
            assert math.isfinite(parse_quantity(text, units, "--x", "1"))


@given(st.sampled_from(sorted(RATES)), st.integers(1, 999))
def test_no_known_unit_is_misread(unit: str, number: int) -> None:
    factor = 8 if "B" in unit else 1
    prefix = next((p for p in ("Ki", "Mi", "Gi", "Ti", "k", "M", "G", "T") if unit[0:2] == p), None)
    prefix = prefix or (unit[0] if unit[0] in "kMGT" else "")
    base = 1024 if prefix.endswith("i") else 1000
    power = " kMGT".index(prefix[:1].replace("K", "k") or " ")
    expected = number * factor * base**power
    assert parse_quantity(f"{number}{unit}", RATES, "--x", "1") == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (format_seconds(0), "0 s"),
        (format_seconds(1.5), "1.50 s"),
        (format_seconds(0.99996), "1.00 s"),
        (format_seconds(12345.678), "12,345.68 s"),
        (format_seconds(1e9), "1.000e+09 s"),
        (format_seconds(0.0123), "12.30 ms"),
        (format_seconds(4.5e-6), "4.50 µs"),
        (format_seconds(5e-10), "0.5 ns"),
        (format_bytes(0), "0 B"),
        (format_bytes(999), "999 B"),
        (format_bytes(1000), "1.0 kB"),
        (format_bytes(999_960), "1.0 MB"),
        (format_bytes(2**53), "9,007.2 TB"),
        (format_rate(1), "1 bit/s"),
        (format_rate(1e18), "1e+06 Tbit/s"),
        (format_count(999), "999"),
        (format_count(4_089_184_256), "4.09 G"),
    ],
)
def test_how_numbers_are_shown(text: str, expected: str) -> None:
    assert text == expected
