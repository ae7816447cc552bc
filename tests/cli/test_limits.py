"""Memory limits, objectives and when to stop, on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planner.plans.plan_file import read_plan
from tests.support.cli import COSTS, GRAPH, changed, refused, run_planner, write_json_file


@pytest.fixture
def files(tmp_path: Path) -> tuple[str | Path, ...]:
    graph = write_json_file(tmp_path / "toy.json", GRAPH)
    return graph, "--costs", write_json_file(tmp_path / "costs.json", COSTS)


def planned(*arguments: str | Path) -> dict[str, Any]:
    outcome = run_planner("plan", *arguments, "--format", "json")
    assert outcome.status == 0, outcome.stderr
    found = json.loads(outcome.stdout)
    assert isinstance(found, dict)
    return found


def test_flags_limit_the_first_and_the_last_host(files: tuple[str | Path, ...]) -> None:
    found = planned(*files, "--device-memory", "1.5GiB", "--server-memory", "8GB")
    limits = [entry["limit_bytes"] for entry in found["memory"]]
    assert limits == [3 * 2**29, 8 * 10**9]
    assert found["solver"] == "budget"
    assert found["certificate"]["holds"]


def test_a_flag_replaces_the_limit_of_the_file(
    files: tuple[str | Path, ...], tmp_path: Path
) -> None:
    document = changed(COSTS, "hosts.0.memory_bytes", 1)
    path = write_json_file(tmp_path / "limited.json", document)
    refused("plan", files[0], "--costs", path, "--pin", "conv=device", status=3)
    found = planned(files[0], "--costs", path, "--device-memory", "1GiB")
    assert found["memory"][0]["limit_bytes"] == 2**30


def test_memory_is_shown_where_it_is_limited(files: tuple[str | Path, ...]) -> None:
    assert "\nMemory\n" not in run_planner("plan", *files).stdout
    assert "\nMemory\n" in run_planner("plan", *files, "--all").stdout
    limited = run_planner("plan", *files, "--device-memory", "1GiB").stdout
    assert "optimizer" in limited
    assert "1.0 GiB" in limited
    inference = run_planner("plan", *files, "--device-memory", "1GiB", "--mode", "inference")
    assert "working set" in inference.stdout
    assert "gradients" not in inference.stdout


def test_optimizer_states_are_held_on_the_device(files: tuple[str | Path, ...]) -> None:
    sgd, adam = (planned(*files, "--optimizer-states", states)["memory"] for states in ("0", "2"))
    for entry in sgd:
        assert entry["optimizer_bytes"] == 0
    assert sum(entry["optimizer_bytes"] for entry in adam) == 2 * sum(
        entry["gradient_bytes"] for entry in adam
    )


def test_throughput_shows_stages_and_is_kept_in_the_file(
    files: tuple[str | Path, ...], tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    outcome = run_planner("plan", *files, "--objective", "throughput", "-o", path)
    assert outcome.status == 0
    assert "Pipeline: " in outcome.stdout
    assert "has a slowest stage below" in outcome.stdout
    plan = read_plan(path)
    assert plan.head.objective == "throughput"
    assert plan.pipeline is not None
    assert len(plan.pipeline.stages) == 4


@pytest.mark.parametrize("flag", ["--device-memory", "--server-memory"])
@pytest.mark.parametrize("value", ["0", "-4GiB", "0.3B", "nan", "inf", "1e30", "4 GIB", "", "4Gi"])
def test_limits_that_are_none(files: tuple[str | Path, ...], flag: str, value: str) -> None:
    outcome = refused("plan", *files, flag, value)
    assert outcome.codes() == ["PLN119"]
    assert outcome.places() == [flag]


@pytest.mark.parametrize("value", [0, -1, 1.5, "4GiB", None, 2**53 + 1])
def test_limits_in_a_file_that_are_none(
    files: tuple[str | Path, ...], tmp_path: Path, value: object
) -> None:
    document = changed(COSTS, "hosts.0.memory_bytes", value)
    path = write_json_file(tmp_path / "c.json", document)
    if value is None:
        assert planned(files[0], "--costs", path)["memory"][0]["limit_bytes"] is None
        return
    outcome = refused("plan", files[0], "--costs", path)
    assert outcome.codes() == ["PLN109"]
    assert "$.hosts[0].memory_bytes" in outcome.places()[0]


@pytest.mark.parametrize("value", ["1", "-0.1", "100%", "nan", "x", "1s"])
def test_gaps_that_are_none(files: tuple[str | Path, ...], value: str) -> None:
    outcome = refused("plan", *files, "--gap", value)
    assert (outcome.codes(), outcome.places()) == (["PLN119"], ["--gap"])


@pytest.mark.parametrize("value", ["0", "-1s", "nan", "1e12", "5m", "1GiB"])
def test_times_that_are_none(files: tuple[str | Path, ...], value: str) -> None:
    outcome = refused("plan", *files, "--time-limit", value)
    assert (outcome.codes(), outcome.places()) == (["PLN119"], ["--time-limit"])


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--device-memory", "1GiB", "--solver", "maxflow"), "`budget` or `pyomo`"),
        (("--device-memory", "1GiB", "--solver", "pulp"), "`budget` or `pyomo`"),
        (("--objective", "throughput", "--solver", "segments"), "`pyomo`"),
        (("--objective", "throughput", "--solver", "budget"), "`pyomo`"),
    ],
)
def test_solvers_that_cannot_are_refused_naming_one_that_can(
    files: tuple[str | Path, ...], flags: tuple[str, ...], named: str
) -> None:
    outcome = refused("plan", *files, *flags)
    assert (outcome.codes(), outcome.places()) == (["PLN405"], ["--solver"])
    assert named in outcome.hints()[0]


def test_an_engine_that_is_not_there(files: tuple[str | Path, ...]) -> None:
    outcome = refused("plan", *files, "--solver", "pulp", "--engine", "nothing", status=4)
    assert (outcome.codes(), outcome.places()) == (["PLN302"], ["--engine"])


def test_a_limit_that_nothing_fits(files: tuple[str | Path, ...]) -> None:
    flags = ("--device-memory", "1kB", "--pin", "conv=device")
    outcome = refused("plan", *files, *flags, status=3)
    assert outcome.codes() == ["PLN406"]
    assert "`conv` is pinned to `device`" in outcome.stderr
    assert "the limit is 1000 B" in outcome.stderr
    again = refused("compare", *files, *flags, status=3)
    assert again.stderr == outcome.stderr


def test_compare_shows_who_keeps_a_limit(files: tuple[str | Path, ...]) -> None:
    outcome = run_planner("compare", *files, "--device-memory", "12kB")
    assert outcome.status == 0
    rows = {line.split()[0]: line for line in outcome.stdout.splitlines() if line}
    assert "optimal" in rows["budget"]
    assert "optimal" in rows["pyomo"]
    assert "refused" in rows["maxflow"]
    assert "not feasible" in rows["device-only"]


def test_tables_refuse_what_they_cannot_hold(files: tuple[str | Path, ...]) -> None:
    ranges = ("--uplink", "1Mbit/s..1Gbit/s")
    assert run_planner("table", *files, *ranges, "--device-memory", "1GiB").status == 0
    outcome = refused("table", *files, *ranges, "--objective", "throughput")
    assert outcome.codes() == ["PLN405"]
    slow = ("--uplink", "1kbit/s..2kbit/s", "--device-memory", "12kB")
    outcome = refused("table", *files, *slow)
    assert outcome.codes() == ["PLN405"]
    assert "`device` memory" in outcome.stderr
