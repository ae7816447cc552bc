"""Reading profiles, alone and out of costs files: every problem at its place, nothing guessed."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from planner.costs.cost_file import MeasuredHost, check_costs, parse_costs, read_costs
from planner.costs.profile_file import Profile, check_profile, read_profile
from planner.errors import PlannerError
from planner.plans.planning import plan
from tests.support.cli import changed, error_of, write_json_file
from tests.support.mutations import mutated
from tests.support.profiles import measurement_of, profile_document
from tests.support.toys import diamond

GRAPH = diamond()
PROFILE = profile_document(
    measurement_of(
        GRAPH,
        backward=lambda _: 0.25,
        groups=[("stem", "left"), ("mid", "join")],
        notes=["quiet"],
        unfinished={"samples": [1.0]},
    )
)
WIRED = copy.deepcopy(PROFILE)
for GROUP in PROFILE["measurements"][0]["groups"]:
    GROUP["edges"] = GROUP[
        "read_outside"
    ] = []  # Who disturbs the nodes of a group would disturb these, too.
FIRST = "measurements.0"
M0 = "$.measurements[0]"


def costs_with(profile: object, **host: object) -> dict[str, Any]:
    return {
        "kind": "costs",
        "version": 1,
        "hosts": [
            {"name": "device", "model": "measured", "profile": profile, **host},
            {"name": "server", "model": "table", "default": {"forward_s": 0, "backward_s": 0}},
        ],
        "links": [{"uplink_bps": 1e9, "downlink_bps": 1e9}],
    }


def problems_of(document: Any) -> list[tuple[str, str | None]]:
    with pytest.raises(PlannerError) as caught:
        check_profile(document, "p.json")
    return error_of(caught.value)


def profile_of(path: Path) -> Profile:
    entry = read_costs(path).hosts[0]
    assert isinstance(entry, MeasuredHost)
    assert isinstance(entry.profile, Profile)
    return entry.profile


@pytest.mark.parametrize(
    ("path", "value", "code", "place"),
    [
        ("version", 2, "PLN109", "$.version"),
        ("kind", "plan", "PLN110", "$.kind"),
        ("bogus", 1, "PLN107", "$.bogus"),
        ("measurements", [], "PLN109", "$.measurements"),
        (f"{FIRST}.batch", 0, "PLN109", f"{M0}.batch"),
        (f"{FIRST}.mode", "eval", "PLN109", f"{M0}.mode"),
        (f"{FIRST}.nodes.1.forward.typical_s", -1.0, "PLN109", f"{M0}.nodes[1].forward.typical_s"),
        (f"{FIRST}.nodes.1.forward.typical_s", "1", "PLN109", f"{M0}.nodes[1].forward.typical_s"),
        (f"{FIRST}.nodes.1.backward.origin", "guess", "PLN109", f"{M0}.nodes[1].backward.origin"),
        (f"{FIRST}.nodes.2.name", "stem", "PLN105", f"{M0}.nodes[2].name"),
        (f"{FIRST}.groups.0.nodes.1", "lost", "PLN111", f"{M0}.groups[0].nodes[1]"),
        (f"{FIRST}.groups.1.nodes.0", "left", "PLN105", f"{M0}.groups[1].nodes[0]"),
        (f"{FIRST}.groups.1.nodes.0", "join", "PLN105", f"{M0}.groups[1].nodes[1]"),
        (f"{FIRST}.groups.1.nodes", ["mid"], "PLN109", f"{M0}.groups[1].nodes"),
        (f"{FIRST}.groups.0.edges", [["stem", "mid"]], "PLN111", f"{M0}.groups[0].edges[0]"),
        (f"{FIRST}.groups.0.edges", [["stem"]], "PLN109", f"{M0}.groups[0].edges[0]"),
        (f"{FIRST}.groups.0.read_outside", ["mid"], "PLN111", f"{M0}.groups[0].read_outside[0]"),
    ],
)
def test_every_problem_has_its_place(path: str, value: object, code: str, place: str) -> None:
    assert problems_of(changed(PROFILE, path, value)) == [(code, f"p.json: {place}")]
    if path != "kind":
        with pytest.raises(PlannerError) as caught:
            check_costs(costs_with(changed(PROFILE, path, value)), "c.json")
        inner = place.removeprefix("$")
        assert error_of(caught.value) == [(code, f"c.json: $.hosts[0].profile{inner}")]


def test_all_problems_come_out_together() -> None:
    document = changed(PROFILE, f"{FIRST}.groups.0.nodes.1", "lost")
    document = changed(document, f"{FIRST}.nodes.4.name", "stem")
    assert [code for code, _ in problems_of(document)] == ["PLN105", "PLN111", "PLN111"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1", "1e10"])
def test_seconds_that_are_none(tmp_path: Path, number: str) -> None:
    text = json.dumps(changed(PROFILE, f"{FIRST}.nodes.2.forward.typical_s", 424242))
    (tmp_path / "p.json").write_text(text.replace("424242", number))
    path = write_json_file(tmp_path / "c.json", costs_with("p.json"))
    with pytest.raises(PlannerError) as caught:
        read_costs(path)
    ((code, where),) = error_of(caught.value)
    assert code in ("PLN106", "PLN109")
    assert where == f"{tmp_path / 'p.json'}: $.measurements[0].nodes[2].forward.typical_s"


def test_truncated_file(tmp_path: Path) -> None:
    text = json.dumps(PROFILE)
    for length in (0, 1, 100, len(text) - 1):
        (tmp_path / "p.json").write_text(text[:length])
        for read in (
            lambda: read_profile(tmp_path / "p.json"),
            lambda: read_costs(write_json_file(tmp_path / "c.json", costs_with("p.json"))),
        ):
            with pytest.raises(PlannerError) as caught:
                read()
            ((code, _),) = error_of(caught.value)
            assert code == "PLN104"
            assert "p.json" in str(caught.value)


def test_path_starts_in_the_folder_of_the_costs_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "devices").mkdir()
    (tmp_path / "elsewhere").mkdir()
    write_json_file(tmp_path / "devices" / "jetson.json", PROFILE)
    path = write_json_file(tmp_path / "costs.json", costs_with("devices/jetson.json"))
    monkeypatch.chdir(tmp_path / "elsewhere")
    relative = Path(os.pardir) / "costs.json"
    for costs_path in (path, relative):
        profile = profile_of(costs_path)
        assert profile.digest == check_profile(PROFILE, "p").digest
        assert profile.place == f"{costs_path.parent / 'devices' / 'jetson.json'}: $"
    absolute = write_json_file(
        tmp_path / "absolute.json", costs_with(str(tmp_path / "devices" / "jetson.json"))
    )
    inline = check_costs(costs_with(PROFILE), "inline")
    assert read_costs(path).digest == read_costs(absolute).digest == inline.digest
    # A document has no folder: its paths start in the current one.
    with pytest.raises(PlannerError) as caught:
        check_costs(costs_with("devices/jetson.json"), "c")
    assert error_of(caught.value) == [("PLN101", "c: $.hosts[0].profile")]
    monkeypatch.chdir(tmp_path)
    assert check_costs(costs_with("devices/jetson.json"), "c").digest == inline.digest


def test_digest_covers_what_the_profile_says(tmp_path: Path) -> None:
    path = write_json_file(tmp_path / "c.json", costs_with("p.json"))
    write_json_file(tmp_path / "p.json", PROFILE)
    before = read_costs(path).digest
    assert read_costs(path).digest == before
    slower = changed(PROFILE, f"{FIRST}.nodes.2.forward.typical_s", 9.0)
    write_json_file(tmp_path / "p.json", slower)
    assert read_costs(path).digest != before


def test_costs_survive_being_written_and_read(tmp_path: Path) -> None:
    path = write_json_file(tmp_path / "c.json", costs_with("p.json", by_signature=True))
    write_json_file(tmp_path / "p.json", WIRED)
    costs = read_costs(path)
    text = json.dumps(costs.model_dump(mode="json", by_alias=True))
    again = parse_costs(text.encode(), "again")
    assert again.digest == costs.digest
    assert plan(GRAPH, again).to_dict() == plan(GRAPH, costs).to_dict()


def test_files_that_are_no_profile(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    place = f"{path}: $.hosts[0].profile"
    (tmp_path / "folder.json").mkdir()
    cases = {
        "absent.json": ("PLN101", place),
        "folder.json": ("PLN102", place),
        "c.json": ("PLN110", f"{tmp_path / 'c.json'}: $.kind"),
        "a\0b": ("PLN103", place),
        "x" * 5000: ("PLN103", place),
    }
    for name, expected in cases.items():
        write_json_file(path, costs_with(name))
        with pytest.raises(PlannerError) as caught:
            read_costs(path)
        assert error_of(caught.value) == [expected]
    for value in (None, 5, [], "", True):
        with pytest.raises(PlannerError) as caught:
            check_costs(costs_with(value), "c")
        assert error_of(caught.value) == [("PLN109", "c: $.hosts[0].profile")]
    with pytest.raises(PlannerError) as caught:
        read_profile(path)
    assert error_of(caught.value) == [("PLN110", f"{path}: $.kind")]


def test_problems_of_profiles_and_of_costs_come_out_together(tmp_path: Path) -> None:
    document = costs_with("p.json")
    document["pins"] = [{"node": "stem", "host": "nobody"}]
    write_json_file(tmp_path / "p.json", changed(PROFILE, f"{FIRST}.nodes.1.name", "stem"))
    with pytest.raises(PlannerError) as caught:
        read_costs(write_json_file(tmp_path / "c.json", document))
    # The group that names `left` has lost it, too.
    assert [code for code, _ in error_of(caught.value)] == ["PLN105", "PLN111", "PLN111"]


def test_unknown_keys_get_the_hint_of_where_they_are() -> None:
    document = costs_with(PROFILE | {"machin": {}})
    with pytest.raises(PlannerError) as caught:
        check_costs(document, "c")
    assert str(caught.value.hint).startswith("did you mean `machine`? keys here: `kind`, ")


def test_profile_without_a_file_has_a_place(tmp_path: Path) -> None:
    assert Profile.model_validate(PROFILE).place == "profile: $"
    costs = check_costs(costs_with(Profile.model_validate(PROFILE)), "c")
    entry = costs.hosts[0]
    assert isinstance(entry, MeasuredHost)
    assert not isinstance(entry.profile, str)
    assert entry.profile.place == "c: $.hosts[0].profile"
    file = write_json_file(tmp_path / "p.json", PROFILE)
    unread = entry.model_copy(update={"profile": str(file)})
    late = costs.model_copy(update={"hosts": (unread, costs.hosts[1])})
    assert plan(GRAPH, late).placement == plan(GRAPH, costs).placement


@settings(max_examples=300, deadline=None)
@given(mutated(costs_with(PROFILE)))
def test_mutated_profile_is_read_or_refused(document: object) -> None:
    try:
        costs = parse_costs(json.dumps(document).encode(), "c.json")
        plan(GRAPH, costs, baselines=())
    except PlannerError as error:
        for problem in error.problems:
            assert problem.exit_code in (2, 3)
            str(problem).encode()
