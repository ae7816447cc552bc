"""Profiles on the command line: in place of the costs file, and as a host."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planner.drafts.loading import load
from planner.graphs.graph import Graph
from tests.support.cli import COSTS, GRAPH, Outcome, refused, run_planner, write_json_file
from tests.support.profiles import measurement_of, profile_document

RATES = ("--uplink", "9Mbit/s", "--downlink", "9MB/s")
TO_SERVER = ("--server", "a100", *RATES)
COMMANDS = ("plan", "compare", "table")


def toy() -> Graph:
    return load(json.dumps(GRAPH).encode())


def inference(**changes: Any) -> dict[str, Any]:
    return measurement_of(toy(), [0.1, 0.2, 0.3], **changes)


def training(**changes: Any) -> dict[str, Any]:
    return measurement_of(toy(), [0.1, 0.2, 0.3], [0.2, 0.4, 0.6], **changes)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_json_file(tmp_path / "toy.json", GRAPH)
    write_json_file(tmp_path / "costs.json", COSTS)
    write_json_file(tmp_path / "jetson.json", profile_document(inference()))
    write_json_file(tmp_path / "both.json", profile_document(inference(), training()))
    return tmp_path


def succeeded(*arguments: str) -> Outcome:
    outcome = run_planner(*arguments)
    assert outcome.status == 0, outcome
    return outcome


def planned(*arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        succeeded("plan", "toy.json", *arguments, "--format", "json").stdout
    )
    return found


@pytest.mark.usefixtures("folder")
def test_a_profile_takes_the_place_of_the_costs_file() -> None:
    replaced = planned("--costs", "jetson.json", *TO_SERVER)
    assert replaced == planned("--device", "jetson.json", *TO_SERVER)
    assert replaced["hosts"] == ["device", "server"]
    assert replaced["mode"] == "inference"
    pinned = planned("--costs", "jetson.json", *TO_SERVER, "--pin", "fc=device")
    assert pinned["delay"]["forward_s"][0]["seconds"] == pytest.approx(0.6)


@pytest.mark.usefixtures("folder")
def test_the_only_mode_that_was_measured_is_taken() -> None:
    outcome = succeeded("plan", "toy.json", "--costs", "jetson.json", *TO_SERVER)
    assert "note: mode: inference, the only one that was measured\n" in outcome.stderr
    both = succeeded("plan", "toy.json", "--costs", "both.json", *TO_SERVER)
    assert "the only one" not in both.stderr
    assert both.stdout.startswith("toy: training")
    # What both hosts were measured in.
    either = ("--device", "both.json", "--server", "jetson.json", *RATES)
    assert succeeded("plan", "toy.json", *either).stdout.startswith("toy: inference")
    asked = refused("plan", "toy.json", "--costs", "jetson.json", *TO_SERVER, "--mode", "training")
    assert asked.codes() == ["PLN320"]
    assert asked.places() == ["jetson.json: $.measurements[0]"]
    # A costs file says itself what it is for.
    given = refused("plan", "toy.json", "--costs", "costs.json", "--device", "jetson.json")
    assert given.codes() == ["PLN320"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.usefixtures("folder")
def test_what_a_profile_does_not_say_must_be_given(command: str) -> None:
    rate = "1Mbit/s..9Mbit/s" if command == "table" else "9Mbit/s"
    outcome = refused(command, "toy.json", "--costs", "jetson.json", "--uplink", rate)
    assert (outcome.codes(), outcome.places()) == (["PLN122"], ["--costs"])
    assert outcome.stderr.startswith(
        "error[PLN122]: `jetson.json` is a profile, not a costs file: with it, `--server`, "
        "`--downlink` must be given\n"
    )
    assert outcome.hints() == [
        f"planner {command} toy.json --costs jetson.json --server rtx-3090 "
        f"--uplink {rate} --downlink 100Mbit/s"
    ]


def test_the_full_command_is_quoted(folder: Path) -> None:
    write_json_file(folder / "my jetson.json", profile_document(inference()))
    outcome = refused("plan", "toy.json", "--costs", "my jetson.json")
    assert "--costs 'my jetson.json' --server" in outcome.hints()[0]
    outcome = refused("plan", "toy.json", "--device", "my jetson.json")
    assert "--device 'my jetson.json' --server" in outcome.hints()[0]


@pytest.mark.usefixtures("folder")
def test_the_device_is_given_once() -> None:
    both = ("--costs", "jetson.json", "--device", "jetson-tx2")
    outcome = refused("plan", "toy.json", *both, *TO_SERVER)
    assert (outcome.codes(), outcome.places()) == (["PLN119"], ["--device"])


@pytest.mark.usefixtures("folder")
def test_hosts_of_a_costs_file_are_replaced_by_profiles() -> None:
    made = planned("--costs", "costs.json", "--device", "both.json", "--server", "both.json")
    assert made["delay"]["forward_s"][0]["seconds"] + made["delay"]["forward_s"][1][
        "seconds"
    ] == pytest.approx(0.6)


@pytest.mark.usefixtures("folder")
def test_plans_from_profiles_are_verified_compared_and_tabulated() -> None:
    source = ("--costs", "jetson.json", *TO_SERVER)
    succeeded("plan", "toy.json", *source, "-o", "plan.json")
    verified = succeeded("verify", "plan.json", "--graph", "toy.json", *source)
    assert "the only one that was measured" in verified.stderr
    other = succeeded(
        "verify", "plan.json", "--graph", "toy.json", "--device", "jetson.json", *TO_SERVER
    )
    assert other.stdout == verified.stdout
    succeeded("compare", "toy.json", *source)
    ranged = ("--server", "a100", "--uplink", "1Mbit/s..1Gbit/s", "--downlink", "9MB/s")
    succeeded("table", "toy.json", "--costs", "jetson.json", *ranged)
    lacking = refused("verify", "plan.json", "--graph", "toy.json", "--costs", "jetson.json")
    assert lacking.hints() == [
        "planner verify plan.json --costs jetson.json --server rtx-3090 --uplink 50Mbit/s "
        "--downlink 100Mbit/s --graph toy.json"
    ]


def test_a_plan_from_another_profile_is_not_verified(folder: Path) -> None:
    source = ("--costs", "jetson.json", *TO_SERVER)
    succeeded("plan", "toy.json", *source, "-o", "plan.json")
    slower = profile_document(measurement_of(toy(), [1.0, 2.0, 3.0]))
    write_json_file(folder / "jetson.json", slower)
    outcome = run_planner("verify", "plan.json", "--graph", "toy.json", *source)
    assert (outcome.status, outcome.codes()) == (2, ["PLN420"])


def test_by_signature(folder: Path) -> None:
    renamed = json.loads(json.dumps(GRAPH).replace('"conv"', '"first"'))
    write_json_file(folder / "other.json", renamed)
    source = ("--costs", "both.json", *TO_SERVER)
    outcome = refused("plan", "other.json", *source)
    assert outcome.codes() == ["PLN317"]
    assert "--by-signature" in outcome.hints()[0]
    for command in COMMANDS:
        more = ("--device-speed", "0.5..2") if command == "table" else ()
        succeeded(command, "other.json", *source, "--by-signature", *more)
    named = succeeded("plan", "toy.json", *source, "--format", "json").stdout
    alike = succeeded("plan", "toy.json", *source, "--by-signature", "--format", "json").stdout
    assert json.loads(named)["placement"] == json.loads(alike)["placement"]
    useless = succeeded("plan", "toy.json", "--costs", "costs.json", "--by-signature")
    assert "warning: `--by-signature` has no effect: no host has a profile\n" in useless.stderr


@pytest.mark.parametrize("flag", ["--costs", "--device", "--server"])
def test_files_that_are_no_profile(folder: Path, flag: str) -> None:
    text = json.dumps(profile_document(inference()))
    (folder / "cut.json").write_text(text[:-50])
    (folder / "nan.json").write_text(text.replace("0.2", "NaN"))
    (folder / "folder.json").mkdir()
    write_json_file(folder / "table.json", profile_document(inference()) | {"kind": "table"})
    rest = {"--device": TO_SERVER, "--costs": TO_SERVER, "--server": ("--device", "tx2", *RATES)}
    cases = {
        "cut.json": ("PLN104", "cut.json:1:"),
        "nan.json": ("PLN106", "nan.json: $.measurements[0].nodes[1].forward.typical_s"),
        "folder.json": ("PLN102", "folder.json"),
        "absent.json": ("PLN101", "absent.json"),
        "table.json": ("PLN110", "table.json: $.kind"),
        "toy.json": ("PLN110", "toy.json: $.kind"),
        **({} if flag == "--costs" else {"costs.json": ("PLN110", "costs.json: $.kind")}),
    }
    for name, (code, place) in cases.items():
        outcome = refused("plan", "toy.json", flag, name, *rest[flag])
        assert outcome.codes() == [code], outcome
        assert outcome.places()[0].startswith(place)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (("--costs", "jetson.json", *TO_SERVER), "jetson.json"),
        (("--device", "jetson.json", *TO_SERVER), "jetson.json"),
        (("--device", "jetson.json", "--server", "both.json", *RATES), "both.json"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_profiles_are_not_replaced_by_the_plan(arguments: tuple[str, ...], name: str) -> None:
    outcome = refused("plan", "toy.json", *arguments, "-o", name, "--force")
    assert (outcome.codes(), outcome.places()) == (["PLN121"], [name])


@pytest.mark.usefixtures("folder")
def test_problems_of_hosts_and_rules_say_which_flag() -> None:
    source = ("--device", "jetson.json", "--uplink", "9Mbit/s", "--downlink", "9MB/s")
    wrong = ("--server", "a10", "--pin", "fic=device", "--mode", "inference")
    outcome = refused("plan", "toy.json", *source, *wrong)
    assert outcome.codes() == ["PLN303", "PLN305"]
    assert outcome.places() == ["--pin", "--server"]
