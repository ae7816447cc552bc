"""`planner table`: how it refuses what it cannot do."""

from __future__ import annotations

import pytest

from tests.cli.table.conftest import DOWN, SPEED, UP
from tests.support.cli import refused


@pytest.mark.parametrize(
    ("arguments", "code", "place", "words"),
    [
        ((), "PLN412", "planner table", "there is no range"),
        (("--uplink", "20Mbit/s"), "PLN412", "planner table", "there is no range"),
        (("--uplink", "1Mbit/s-1Gbit/s"), "PLN119", "--uplink", "`--uplink 1Mbit/s..1Gbit/s`"),
        (("--uplink", "1Mbit/s…1Gbit/s"), "PLN119", "--uplink", "`--uplink 1Mbit/s..1Gbit/s`"),
        ((*DOWN, "--uplink", "1e-2 \u2013 1e9"), "PLN119", "--uplink", "`--uplink 1e-2..1e9`"),
        (("--device-speed", "0.5-1"), "PLN119", "--device-speed", "`--device-speed 0.5..1`"),
        (("--uplink", "1e-2Mbit"), "PLN119", "--uplink", "is no unit"),
        (("--uplink", "x..1Gbit/s"), "PLN119", "--uplink", "example `--uplink 1Mbit/s..1Gbit/s`"),
        (("--uplink", "0..1Gbit/s"), "PLN119", "--uplink", "example `--uplink 1Mbit/s..1Gbit/s`"),
        (("--device-speed", "x..1"), "PLN119", "--device-speed", "`--device-speed 0.25..1`"),
        (("--latency", "1ms..2ms"), "PLN119", "--latency", "latency cannot vary in a table"),
        ((*UP, "--latency", "1ms..2ms"), "PLN119", "--latency", "latency cannot vary in a table"),
        (
            ("--uplink", "1000000..1000000.0000000001"),
            "PLN412",
            "--uplink",
            "too close: 1 / low is 1 / high",
        ),
        (("--uplink", "1Mbit/s.."), "PLN119", "--uplink", "has no upper end"),
        (("--uplink", "..1Mbit/s"), "PLN119", "--uplink", "has no lower end"),
        (("--uplink", ".."), "PLN119", "--uplink", "has no lower end"),
        (("--uplink", "1Gbit/s..1Mbit/s"), "PLN119", "--uplink", "runs backwards"),
        (("--uplink", "1Mbit/s..1000kbit/s"), "PLN119", "--uplink", "is a single value"),
        (("--uplink", "0..1Mbit/s"), "PLN119", "--uplink", "is out of range"),
        (("--uplink", "-1Mbit/s..1Mbit/s"), "PLN119", "--uplink", "is out of range"),
        (("--uplink", "1Mbit/s..1e20"), "PLN119", "--uplink", "is out of range"),
        (("--uplink", "1..10Mbit/s"), "PLN119", "--uplink", "unit at one end only"),
        (("--uplink", "1Mbit/s..1e9"), "PLN119", "--uplink", "unit at one end only"),
        (("--uplink", "1Mbit/s..1Gbits"), "PLN119", "--uplink", "is no unit"),
        (("--uplink", "a..b"), "PLN119", "--uplink", "is no quantity"),
        (("--uplink", "1Mbit/s...1Gbit/s"), "PLN119", "--uplink", "more than two dots"),
        (("--uplink", "nan..1Gbit/s"), "PLN119", "--uplink", "is no quantity"),
        ((*UP, "--uplink", "1Mbit/s"), "PLN119", "--uplink", "given 2 times"),
        (("--device-speed", "0.5"), "PLN119", "--device-speed", "is one value"),
        (("--device-speed", "1..0.25"), "PLN119", "--device-speed", "runs backwards"),
        (("--device-speed", "1..1"), "PLN119", "--device-speed", "is a single value"),
        (("--device-speed", "0..1"), "PLN119", "--device-speed", "is out of range"),
        (("--device-speed", "1..2GHz"), "PLN119", "--device-speed", "is no unit"),
        ((*UP, "--at", "uplink=1Mbit/s"), "PLN415", "--at", "there is no `--map`"),
        ((*UP, "--map", "m.svg"), "PLN415", "--map", "needs two ranges"),
        (
            (*UP, "--downlink", "7e6..7000000.000000002", "--map", "m.svg"),
            "PLN415",
            "--map",
            "too narrow to be drawn",
        ),
        ((*UP, *DOWN, "--map", "m.jpg"), "PLN415", "--map", "neither an SVG nor a PNG"),
        ((*UP, *DOWN, "--map", "-"), "PLN415", "--map", "neither an SVG nor a PNG"),
        ((*UP, *DOWN, *SPEED, "--map", "m.svg"), "PLN415", "--map", "there are three"),
        (
            (*UP, *DOWN, *SPEED, "--map", "m.svg", "--at", "latency=1ms"),
            "PLN415",
            "--at",
            "is no place for a map",
        ),
        ((*UP, *DOWN, "--map", "no/m.svg"), "PLN121", "no/m.svg", "no folder"),
        ((*UP, "--solver", "best-prefix"), "PLN501", "--solver", "has no proof"),
        ((*UP, "--solver", "maxfow"), "PLN301", "--solver", "is not registered"),
    ],
)
def test_what_is_refused(
    files: tuple[str, ...], arguments: tuple[str, ...], code: str, place: str, words: str
) -> None:
    status = 5 if code == "PLN501" else 2
    outcome = refused("table", *files, *arguments, status=status)
    assert (outcome.codes(), outcome.places()) == ([code], [place])
    assert words in outcome.stderr


def test_all_bad_ranges_at_once(files: tuple[str, ...]) -> None:
    arguments = ("--uplink", "1Mbit/s..", "--downlink", "2..1", "--device-speed", "x..1")
    outcome = refused("table", *files, *arguments)
    assert outcome.places() == ["--uplink", "--downlink", "--device-speed"]


def test_a_range_is_no_value_for_other_commands(files: tuple[str, ...]) -> None:
    outcome = refused("plan", *files, *UP)
    assert (outcome.codes(), outcome.places()) == (["PLN119"], ["--uplink"])
    assert outcome.hints() == ["`planner table` takes ranges of rates"]
