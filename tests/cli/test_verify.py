"""`planner verify`: what it prints, its exit status, and what it says to what it cannot take."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from planner.errors import SolverError
from tests.support.cli import (
    COSTS,
    FLAGS,
    GRAPH,
    chain,
    changed,
    error_of,
    flat_costs,
    refused,
    run_planner,
    write_json_file,
)

CHECKS = [
    "inputs", "placement", "rules", "figures", "certificate", "terms", "flow", "second solver",
    "baselines",
]  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A plan, the graph and the costs."""
    graph = write_json_file(tmp_path / "toy.json", GRAPH)
    costs = write_json_file(tmp_path / "costs.json", COSTS)
    plan = tmp_path / "plan.json"
    assert run_planner("plan", graph, "--costs", costs, "-o", plan).status == 0
    return plan, graph, costs


def arguments(files: tuple[Path, Path, Path]) -> tuple[str | Path, ...]:
    plan, graph, costs = files
    return "verify", plan, "--graph", graph, "--costs", costs


def edit(plan: Path, path: str, value: object) -> None:
    write_json_file(plan, changed(json.loads(plan.read_text()), path, value))


def test_a_plan_that_holds(files: tuple[Path, Path, Path]) -> None:
    outcome = run_planner(*arguments(files))
    assert (outcome.status, outcome.stderr) == (0, "")
    lines = outcome.stdout.splitlines()
    assert lines[0] == "Verification of plan.json"
    rows = lines[2 : lines.index("", 2)]
    assert [row.split("  ")[0] for row in rows] == CHECKS
    assert all(row.split("  ", 1)[1].lstrip().startswith("agrees  ") for row in rows)
    assert lines[-1] == "plan.json holds."
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize("solver", ["pulp", "networkx", "brute-force", "maxflow"])
def test_the_second_solver_is_named(files: tuple[Path, Path, Path], solver: str) -> None:
    outcome = run_planner(*arguments(files), "--solver", solver, "--format", "json")
    assert (outcome.status, outcome.stderr) == (0, "")
    found = json.loads(outcome.stdout)
    assert (found["ok"], found["is_complete"]) == (True, True)
    assert found["second_solver"]["solver"] == solver
    assert [check["name"] for check in found["checks"]] == CHECKS


def test_flags_that_the_plan_was_made_with(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "toy.json", GRAPH)
    plan = tmp_path / "plan.json"
    assert run_planner("plan", graph, *FLAGS, "--batch", "8", "-o", plan).status == 0
    outcome = run_planner("verify", plan, "--graph", graph, *FLAGS, "--batch", "8")
    assert (outcome.status, outcome.stderr) == (0, "")


def test_a_plan_that_does_not_hold(files: tuple[Path, Path, Path]) -> None:
    edit(files[0], "delay.uplink_s", 1.0)
    outcome = run_planner(*arguments(files), columns=80)
    assert (outcome.status, outcome.stderr) == (1, "")
    lines = outcome.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    text = " ".join(" ".join(lines).split())
    assert "figures differs 1 difference" in text
    assert "`delay.uplink_s` is 1.00 s in the plan and 369.28 µs here:" in text
    assert text.endswith("does not hold: 1 difference.")
    found = json.loads(run_planner(*arguments(files), "--format", "json").stdout)
    assert found["ok"] is False
    [difference] = found["differences"]
    assert (difference["check"], difference["where"]) == ("figures", "$.delay.uplink_s")
    assert difference["stated"] == 1.0
    assert difference["found"] == pytest.approx(369.28e-6)


def test_many_differences_are_counted(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "g.json", chain(30))
    costs = write_json_file(tmp_path / "c.json", flat_costs())
    plan = tmp_path / "plan.json"
    assert run_planner("plan", graph, "--costs", costs, "-o", plan).status == 0
    document = json.loads(plan.read_text())
    for position, entry in enumerate(document["placement"]):
        entry["host"] = ("device", "server")[position % 2]
    write_json_file(plan, document)
    outcome = run_planner("verify", plan, "--graph", graph, "--costs", costs)
    assert outcome.status == 1
    assert "more; `--format json` lists them" in outcome.stdout
    assert "flows back from `server` to `n2` on `device`" in outcome.stdout


def test_a_plan_made_for_other_costs(files: tuple[Path, Path, Path]) -> None:
    outcome = refused(*arguments(files), "--uplink", "1Mbit/s")
    assert (outcome.codes(), outcome.places()) == (["PLN420"], [str(files[0])])
    assert "the plan was made for other costs than these" in outcome.stderr
    assert "`delay.uplink_s` is 369.28 µs in the plan and 18.46 ms here" in outcome.stderr


@pytest.mark.parametrize(
    ("flags", "hint"),
    [
        (("--batch", "8"), "the plan is for `batch` 4: add `--batch 4`"),
        (("--mode", "inference"), "the plan is for `mode` training: add `--mode training`"),
        (("--iterations", "6"), "the plan is for `iterations_per_round` 5: add `--iterations 5`"),
    ],
)
def test_the_flag_that_is_missing(
    files: tuple[Path, Path, Path], flags: tuple[str, ...], hint: str
) -> None:
    outcome = refused(*arguments(files), *flags)
    assert (outcome.codes(), outcome.hints()) == (["PLN420"], [hint])


@pytest.mark.parametrize(
    ("flags", "code", "place"),
    [
        (("--solver", "maxfow"), "PLN301", "--solver"),
        (("--solver", "dads"), "PLN405", "--solver"),
        (("--time-limit", "0s"), "PLN119", "--time-limit"),
        (("--time-limit", "fast"), "PLN119", "--time-limit"),
        (("--format", "yaml"), "PLN119", "--format"),
        (("--pin", "nothing=device"), "PLN303", "--pin"),
    ],
)
def test_a_flag_that_is_wrong(
    files: tuple[Path, Path, Path], flags: tuple[str, ...], code: str, place: str
) -> None:
    outcome = refused(*arguments(files), *flags)
    assert (outcome.codes(), outcome.places()) == ([code], [place])


def test_what_is_missing(files: tuple[Path, Path, Path]) -> None:
    plan, graph, costs = map(str, files)
    without_graph = refused("verify", plan, "--costs", costs)
    assert (without_graph.codes(), "`--graph`" in without_graph.stderr) == (["PLN124"], True)
    assert refused("verify", "--graph", graph, "--costs", costs).codes() == ["PLN124"]
    without_costs = refused("verify", plan, "--graph", graph)
    assert (without_costs.codes(), without_costs.places()) == (["PLN122"], ["--costs"])
    [hint] = without_costs.hints()
    assert hint.startswith(f"planner verify {plan} --device ")
    assert hint.endswith(f" --graph {graph}")


def test_what_is_no_plan(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    plan, graph, costs = files
    swapped = refused("verify", graph, "--graph", plan, "--costs", costs)
    assert (swapped.codes(), swapped.places()) == (["PLN110"], [f"{graph}: $.kind"])
    absent = refused("verify", tmp_path / "pla.json", "--graph", graph, "--costs", costs)
    assert (absent.codes(), absent.hints()) == (["PLN101"], [f"did you mean `{plan}`?"])
    plan.write_text("{}")
    assert set(refused(*arguments(files)).codes()) == {"PLN108"}


def test_a_second_solver_that_runs_out_of_time(
    files: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def late(*_: Any, **__: Any) -> Any:
        raise SolverError("no placement within 1 s", code="PLN501")

    monkeypatch.setattr("planner.verification.second_solver.solve", late)
    outcome = run_planner(*arguments(files), "--time-limit", "1s")
    assert (outcome.status, outcome.stderr) == (5, "")
    assert "not made  `pulp` gave no answer: no placement within 1 s" in outcome.stdout
    assert outcome.stdout.endswith(
        "Nothing disagrees with plan.json, but not every check could be made.\n"
    )


def test_the_time_limit_reaches_the_solver(
    files: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from planner.plans.solving import solve

    seen = []

    def spy(*given: Any, **options: Any) -> Any:
        seen.append(options["limits"])
        return solve(*given, **options)

    monkeypatch.setattr("planner.verification.second_solver.solve", spy)
    assert run_planner(*arguments(files), "--time-limit", "2min").status == 0
    assert run_planner(*arguments(files), "--gap", "0").status == 0
    assert [limits.seconds for limits in seen] == [120.0, 60.0]


@pytest.mark.partly_verified
@pytest.mark.parametrize(("n", "words"), [(1999, ""), (2001, "2001 operators, for 60.00 s")])
def test_a_large_graph_is_announced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n: int, words: str
) -> None:
    graph = write_json_file(tmp_path / "g.json", chain(n))
    costs = write_json_file(tmp_path / "c.json", flat_costs())
    plan = tmp_path / "plan.json"
    assert run_planner("plan", graph, "--costs", costs, "-o", plan).status == 0

    def late(*_: Any, **__: Any) -> Any:
        raise SolverError("no placement within 60 s", code="PLN501")

    monkeypatch.setattr("planner.verification.second_solver.solve", late)
    outcome = run_planner("verify", plan, "--graph", graph, "--costs", costs)
    assert outcome.status == 5
    assert ("note: a second solver is asked about" in outcome.stderr) == bool(words)
    assert words in outcome.stderr


def test_a_refusal_comes_before_anything_takes_time(
    files: tuple[Path, Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    costs = write_json_file(
        files[0].parent / "t.json", flat_costs(workload={"objective": "throughput"})
    )
    graph = write_json_file(files[0].parent / "g.json", chain(3))
    plan = files[0].parent / "t.plan.json"
    made = run_planner("plan", graph, "--costs", costs, "--solver", "best-prefix", "-o", plan)
    assert made.status == 0, made.stderr
    monkeypatch.setattr("planner.verification.verifying.check_flow", None)
    outcome = refused("verify", plan, "--graph", graph, "--costs", costs, "--solver", "networkx")
    assert (outcome.codes(), outcome.places()) == (["PLN405"], ["--solver"])


def test_the_wrong_graph(files: tuple[Path, Path, Path], tmp_path: Path) -> None:
    """The costs name operators that it lacks, but it is the graph that is wrong."""
    plan, _, costs = files
    outcome = refused(
        "verify", plan, "--graph", write_json_file(tmp_path / "g.json", chain(3)), "--costs", costs
    )
    assert (outcome.codes(), outcome.places()) == (["PLN420"], [str(plan)])
    assert "the plan was made from another graph than this one" in outcome.stderr


def test_three_hosts(tmp_path: Path) -> None:
    document = flat_costs(workload={"mode": "inference", "return_outputs": True})
    document["hosts"].insert(1, {**document["hosts"][0], "name": "edge"})
    document["links"] *= 2
    document["pins"] = [{"node": "n0", "host": "edge"}, {"node": "n1", "host": "server"}]
    costs = write_json_file(tmp_path / "c.json", document)
    graph = write_json_file(tmp_path / "g.json", chain(2))
    plan = tmp_path / "plan.json"
    assert run_planner("plan", graph, "--costs", costs, "-o", plan).status == 0
    outcome = run_planner("verify", plan, "--graph", graph, "--costs", costs)
    assert (outcome.status, outcome.stderr) == (0, "")


def test_contradictory_pins_are_told_as_a_chain(files: tuple[Path, Path, Path]) -> None:
    plan, graph, _ = files
    costs = write_json_file(plan.parent / "pins.json", flat_costs())
    outcome = refused(
        "plan", graph, "--costs", costs, "--pin", "conv=server", "--pin", "relu=device", status=3
    )
    assert outcome.stderr.startswith(
        "error[PLN401]: no placement satisfies the rules\n"
        "  because `conv` is pinned to `server`, but its consumer `relu` is pinned to `device`\n"
    )


def test_errors_keep_their_place_in_the_library(files: tuple[Path, Path, Path]) -> None:
    import planner

    plan, graph, costs = files
    other = planner.read_costs(costs).model_copy(update={"forbid_crossing": ()})
    with pytest.raises(planner.PlannerError) as caught:
        planner.verify(planner.read_plan(plan), planner.load(graph), other)
    assert error_of(caught.value) == [("PLN420", "plan")]
