"""Several profiles of one machine as one, and those that are not of one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import planner
from planner.costs.profile_file import Profile, check_profile, read_profile
from planner.errors import PlannerError
from planner.graphs.graph import Graph
from planner.measuring.merging import merge_profiles
from tests.support.cli import chain, changed, error_of, refused, run_planner, write_json_file
from tests.support.profiles import ENGINE, MACHINE, measurement_of

CHAIN = planner.load(json.dumps(chain(3)).encode())


def document(graph: Graph = CHAIN, *, batch: int | None = 1, **changes: object) -> dict[str, Any]:
    row = measurement_of(graph, batch=batch, **changes)  # type: ignore[arg-type]
    return {"kind": "profile", "version": 1, "machine": MACHINE, "measurements": [row]}


def profile(name: str = "a.json", **changes: Any) -> Profile:
    return check_profile(document(**changes), name)


def codes(*profiles: Profile) -> list[tuple[str, str | None]]:
    with pytest.raises(PlannerError) as caught:
        merge_profiles(profiles)
    return error_of(caught.value)


def test_batches_modes_and_models_come_together() -> None:
    other = planner.load(json.dumps(chain(4)).encode())
    merged = merge_profiles(
        [
            profile(),
            profile(batch=8),
            profile(backward=lambda index: 0.1),
            profile(graph=other),
        ]
    )
    assert [(m.batch, m.mode, len(m.nodes)) for m in merged.measurements] == [
        (1, "inference", 3),
        (8, "inference", 3),
        (1, "training", 3),
        (1, "inference", 4),
    ]
    assert merged.machine.name == MACHINE["name"]


def test_merging_keeps_every_measurement_as_it_is() -> None:
    one, two = profile(groups=[["n0", "n1"]]), profile(batch=8)
    merged = merge_profiles([one, two])
    assert merged.measurements == one.measurements + two.measurements
    assert merge_profiles([merged]).digest == merged.digest


def test_the_same_measurement_twice() -> None:
    one, two = profile("one.json"), profile("two.json", forward=lambda index: 5.0)
    assert codes(one, two) == [("PLN618", "two.json: $.measurements[0]")]
    with pytest.raises(PlannerError, match=r"one\.json: \$\.measurements\[0\].*--replace"):
        merge_profiles([one, two])
    assert merge_profiles([one, two], replace=True).measurements == two.measurements
    assert merge_profiles([two, one], replace=True).measurements == one.measurements


def test_other_shapes_are_no_second_measurement() -> None:
    short, long = (
        profile(inputs=[{"name": "x", "dtype": "float32", "shape": [1, length]}])
        for length in (64, 128)
    )
    assert merge_profiles([short, long]).measurements == short.measurements + long.measurements


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("machine.name", "other"),
        ("machine.processor", "other"),
        ("machine.accelerator", "other"),
        ("machine.n_cores", 7),
        ("machine.power_mode", "MAXN"),
        ("measurements.0.engine.name", "torch"),
        ("measurements.0.engine.version", "1.16.0"),
        ("measurements.0.engine.provider", "cuda"),
        ("measurements.0.engine.threads", 4),
        ("measurements.0.engine.optimization", "basic"),
        ("measurements.0.engine.settings", {"precision": "float16"}),
    ],
)
def test_other_machines_and_settings(path: str, value: object) -> None:
    other = check_profile(changed(document(batch=8), path, value), "b.json")
    ((code, place),) = codes(profile(), other)
    assert code == "PLN617"
    assert place == f"b.json: $.{'machine' if 'machine' in path else 'measurements[0].engine'}"


def test_modes_may_have_engines_of_their_own() -> None:
    engine = {**ENGINE, "name": "torch", "version": "2.13.0"}
    training = profile(backward=lambda index: 0.1, engine=engine)
    assert len(merge_profiles([profile(), training]).measurements) == 2


def test_updates_of_the_system_do_not_matter() -> None:
    other = check_profile(changed(document(batch=8), "machine.python", "3.8.1"), "b.json")
    assert merge_profiles([profile(), other]).machine.python == ""


def test_machines_without_a_name() -> None:
    one, two = (
        check_profile(changed(document(batch=n), "machine.name", "unknown"), f"{n}.json")
        for n in (1, 8)
    )
    assert [code for code, _ in codes(one, two)] == ["PLN617"]
    with pytest.raises(PlannerError, match="import-profile --machine NAME"):
        merge_profiles([one, two])


def test_unfinished_measurements() -> None:
    assert codes(profile(), profile("b.json", batch=8, is_complete=False)) == [
        ("PLN619", "b.json: $.measurements[0]")
    ]


def test_nothing_to_merge() -> None:
    assert [code for code, _ in codes()] == ["PLN617"]


def test_the_command(tmp_path: Path) -> None:
    one = write_json_file(tmp_path / "one.json", document())
    two = write_json_file(tmp_path / "two.json", document(batch=8))
    out = tmp_path / "merged.json"
    outcome = run_planner("merge-profiles", one, two, "-o", out)
    assert outcome.status == 0, outcome
    assert outcome.stdout == "chain: inference, batch 1\nchain: inference, batch 8\n"
    assert outcome.stderr == f"wrote {out}\n"
    assert len(read_profile(out).measurements) == 2
    assert refused("merge-profiles", one, two, "-o", out).codes() == ["PLN120"]
    assert refused("merge-profiles", one, one, "-o", out, "--force").codes() == ["PLN618"]
    replaced = run_planner("merge-profiles", one, one, "-o", out, "--force", "--replace")
    assert replaced.status == 0
    assert len(read_profile(out).measurements) == 1
    assert refused("merge-profiles", one, two, "-o", one, "--force").codes() == ["PLN121"]


def test_damaged_files_are_all_named(tmp_path: Path) -> None:
    good = write_json_file(tmp_path / "good.json", document())
    cut = tmp_path / "cut.json"
    cut.write_text(good.read_text(encoding="utf-8")[:-50], encoding="utf-8")
    graph = write_json_file(tmp_path / "graph.json", chain(2))
    nan = tmp_path / "nan.json"
    text = good.read_text(encoding="utf-8").replace('"spread_s": 0.0', '"spread_s": NaN', 1)
    nan.write_text(text, encoding="utf-8")
    negative = write_json_file(
        tmp_path / "negative.json",
        changed(document(), "measurements.0.nodes.0.forward.typical_s", -1.0),
    )
    paths = [good, cut, graph, nan, negative, tmp_path, tmp_path / "none.json"]
    found = refused("merge-profiles", *paths, "-o", tmp_path / "out.json").codes()
    assert found == ["PLN104", "PLN110", "PLN106", "PLN109", "PLN102", "PLN101"]
    assert refused("merge-profiles", "-o", tmp_path / "out.json").codes() == ["PLN124"]
    assert not (tmp_path / "out.json").exists()
