"""Everything a user can get wrong ends well: in words, with a place, and with nothing written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import planner.files.writing
import planner.plans.planning
from planner.cli import COMMANDS, run
from planner.errors import InputError
from planner.files.writing import write_text
from tests.support.cli import (
    COSTS,
    GRAPH,
    chain,
    flat_costs,
    refused,
    run_planner,
    write_json_file,
)

TYPOS = {
    "--cost": "--costs", "--devise": "--device", "--servr": "--server", "--uplnk": "--uplink",
    "--downlinks": "--downlink", "--latncy": "--latency", "--mod": "--mode",
    "--iteration": "--iterations", "--label": "--labels", "--return-output": "--return-outputs",
    "--wire-type": "--wire-dtype", "--pins": "--pin", "--togheter": "--together",
    "--forbit": "--forbid", "--bacth": "--batch", "--dims": "--dim", "--inputs": "--input",
    "--frozn": "--frozen", "--tie": "--tied", "--untie": "--untied", "--shape": "--shapes",
    "--solvr": "--solver", "--fromat": "--format", "--outptu": "--output", "--forced": "--force",
    "--al": "--all", "--hlep": "--help",
}  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    """`GRAPH --costs FILE`, both valid."""
    graph = write_json_file(tmp_path / "toy.json", GRAPH)
    return str(graph), "--costs", str(write_json_file(tmp_path / "costs.json", COSTS))


@pytest.mark.parametrize("typo", TYPOS)
def test_misspelt_option(files: tuple[str, ...], typo: str) -> None:
    outcome = refused("plan", *files, typo, "1")
    assert (outcome.codes(), outcome.places()) == (["PLN124"], ["planner plan"])
    assert outcome.hints() == [f"did you mean `{TYPOS[typo]}`?"]


def test_every_option_of_plan_has_a_typo_here() -> None:
    text = run_planner("plan", "--help").stdout
    options = {word.rstrip(",") for word in text.split() if word.startswith("--")}
    assert {option for option in options if option in TYPOS.values()} == set(TYPOS.values())


@pytest.mark.parametrize(
    ("arguments", "code", "place", "hint"),
    [
        (("plna",), "PLN124", "planner", "did you mean `plan`? commands: "),
        (("--versoin",), "PLN124", "planner", "did you mean `--version`?"),
        (("plan",), "PLN124", "planner plan", "planner plan GRAPH …; `planner plan --help`"),
        (("inspect",), "PLN124", "planner inspect", "planner inspect GRAPH …"),
        (("inspect", "a", "b"), "PLN124", "planner inspect", "see `planner inspect --help`"),
        (("plan", "a", "--costs"), "PLN124", "--costs", None),
        (("inspect", "a", "-x"), "PLN124", "planner inspect", "see `planner inspect --help`"),
        (("plugins", "x"), "PLN124", "planner plugins", "see `planner plugins --help`"),
        (("inspect", "a", "--format", "xml"), "PLN119", "--format", None),
        (("inspect", "a", "--batch", "0"), "PLN119", "--batch", None),
        (("inspect", "a", "--batch", "x"), "PLN119", "--batch", None),
        (("inspect", "a", "--batch", "1.5"), "PLN119", "--batch", None),
        (("inspect", "a", "--batch", "9" * 5000), "PLN119", "--batch", None),
    ],
)
def test_command_line_that_click_refuses(
    arguments: tuple[str, ...], code: str, place: str, hint: str | None
) -> None:
    outcome = refused(*arguments)
    assert (outcome.codes(), outcome.places()) == ([code], [place])
    assert outcome.hints()[:1] == [] if hint is None else outcome.hints()[0].startswith(hint)
    assert len(outcome.stderr) < 400


@pytest.mark.parametrize(
    ("flag", "value", "code", "hint"),
    [
        ("--uplink", "0", "PLN119", "for example `--uplink 50Mbit/s`"),
        ("--uplink", "-5Mbit/s", "PLN119", "for example `--uplink 50Mbit/s`"),
        ("--uplink", "50mb/s", "PLN119", "did you mean `50Mbit/s` (bits) or `50MB/s` (bytes)?"),
        ("--uplink", "nan", "PLN119", "for example `50Mbit/s`"),
        ("--uplink", "1e999", "PLN119", None),
        ("--uplink", "1e19", "PLN119", "for example `--uplink 50Mbit/s`"),
        ("--downlink", "1e-9", "PLN119", "for example `--downlink 100Mbit/s`"),
        ("--downlink", "", "PLN119", "for example `100Mbit/s`"),
        ("--latency", "-1ms", "PLN119", "for example `--latency 2ms`"),
        ("--latency", "2Ms", "PLN119", "did you mean `2ms`?"),
        ("--latency", "1e10", "PLN119", "for example `--latency 2ms`"),
        ("--labels", "-1", "PLN119", "for example `256B`"),
        ("--labels", "1.5", "PLN119", "for example `256B`"),
        ("--labels", "1e30", "PLN109", None),
        ("--iterations", "0", "PLN119", None),
        ("--iterations", "1000000000000", "PLN109", None),
        ("--mode", "train", "PLN119", None),
        ("--wire-dtype", "int4", "PLN109", "did you mean `int8`?"),
        ("--pin", "conv", "PLN119", "for example `--pin conv1=device`"),
        ("--pin", "=device", "PLN119", "for example `--pin conv1=device`"),
        ("--pin", "conv=devise", "PLN111", "did you mean `device`? hosts: `device`, `server`"),
        ("--pin", "convv=device", "PLN303", "did you mean `conv`? operators: "),
        ("--pin", "\udcff=device", "PLN109", None),
        ("--together", "conv", "PLN119", "for example `--together conv1,relu1`"),
        ("--together", "", "PLN119", "for example `--together conv1,relu1`"),
        ("--together", "conv,rleu", "PLN303", "did you mean `relu`? operators: "),
        ("--forbid", "imag", "PLN303", "did you mean `image`? tensors: "),
        ("--dim", "seq", "PLN119", "for example `--dim seq=128`"),
        ("--dim", "seq=0", "PLN119", "for example `--dim seq=128`"),
        ("--dim", "seq=\u0663", "PLN119", "for example `--dim seq=128`"),
        ("--dim", "seq=" + "9" * 5000, "PLN119", "for example `--dim seq=128`"),
        ("--dim", "seq=1", "PLN116", None),
        ("--input", "x:float32[1]", "PLN116", None),
        ("--batch", "99999999999", "PLN117", None),
        ("--frozen", "zz*", "PLN208", "parameters: `fc.parameters`, `w1`, `w2`"),
        ("--tied", "w1", "PLN116", None),
        ("--untied", "w1", "PLN116", None),
        ("--solver", "maxfow", "PLN301", "did you mean `maxflow`? installed solvers: "),
        ("--device", "jetson-tx3", "PLN305", "did you mean `jetson-tx2`? presets: "),
        ("--server", "", "PLN305", "presets: "),
    ],
)
def test_flag_with_a_wrong_value(
    files: tuple[str, ...], flag: str, value: str, code: str, hint: str | None
) -> None:
    outcome = refused("plan", *files, flag, value)
    assert (outcome.codes(), outcome.places()) == ([code], [flag])
    assert hint is None or outcome.hints()[0].startswith(hint), outcome.hints()
    assert len(outcome.stderr) < 600


@pytest.mark.parametrize("arguments", [(), ("-v",)])
def test_no_command_shows_the_help(arguments: tuple[str, ...]) -> None:
    outcome = run_planner(*arguments)
    assert (outcome.status, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("Usage: planner [OPTIONS] COMMAND")
    assert all(name in outcome.stderr for name in COMMANDS)


def test_flags_that_contradict_each_other(files: tuple[str, ...]) -> None:
    outcome = refused("plan", *files, "--dim", "a=1", "--dim", "a=2")
    assert (outcome.codes(), outcome.places()) == (["PLN119"], ["--dim"])
    outcome = refused("plan", *files, "--uplink", "1Mbit/s", "--uplink", "2Mbit/s")
    assert outcome.hints() == ["give it once, or once per link"]
    outcome = refused("plan", *files, "--pin", "fc=server", "--pin", "fc=device", status=3)
    assert (outcome.codes(), outcome.places()) == (["PLN401"], [files[2]])


def test_neither_costs_nor_all_flags(files: tuple[str, ...]) -> None:
    outcome = refused("plan", "a b.onnx", "--device", "jetson-tx2")
    assert (outcome.codes(), outcome.places()) == (["PLN122"], ["--costs"])
    assert outcome.hints() == [
        "planner plan 'a b.onnx' --device jetson-tx2 --server rtx-3090 --uplink 50Mbit/s "
        "--downlink 100Mbit/s"
    ]


def test_places_name_the_costs_file_or_the_flag(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "g.json", chain(2))
    document = flat_costs(
        pins=[{"node": "m0", "host": "device"}], together=[["n0", "m1"]], forbid_crossing=["t9"]
    )
    costs = write_json_file(tmp_path / "c.json", document)
    outcome = refused("plan", graph, "--costs", costs, "--pin", "m2=device", "--forbid", "t8")
    assert set(outcome.codes()) == {"PLN303"}
    assert outcome.places() == [
        f"{costs}: $.pins[0].node",
        "--pin",
        f"{costs}: $.together[0][1]",
        f"{costs}: $.forbid_crossing[0]",
        "--forbid",
    ]


def test_costs_that_are_missing_are_all_listed(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "g.json", chain(4))
    hosts = [{"name": name, "model": "table", "nodes": []} for name in ("device", "server")]
    hosts[0]["nodes"] = [{"name": "n1", "forward_s": 1, "backward_s": 1}]  # type: ignore[assignment]
    costs = write_json_file(tmp_path / "c.json", flat_costs(hosts=hosts))
    outcome = refused("plan", graph, "--costs", costs)
    assert outcome.codes() == ["PLN306", "PLN306"]
    assert outcome.places() == [f"{costs}: $.hosts[0].nodes", f"{costs}: $.hosts[1].nodes"]
    assert "no cost for `n0`, `n2`, `n3`" in outcome.stderr
    assert "no cost for `n0`, `n1`, `n2`, `n3`" in outcome.stderr


def test_many_problems_are_counted(tmp_path: Path) -> None:
    pins = [{"node": "n0", "host": f"h{i}"} for i in range(33)]
    graph = write_json_file(tmp_path / "g.json", chain(2))
    costs = write_json_file(tmp_path / "c.json", flat_costs(pins=pins))
    outcome = refused("plan", graph, "--costs", costs)
    assert outcome.codes() == ["PLN111"] * 20
    assert outcome.stderr.endswith("\nand 13 more\n")


def test_contradictory_pins_on_a_long_chain(tmp_path: Path) -> None:
    graph = write_json_file(tmp_path / "g.json", chain(3_000))
    pins = [{"node": f"n{i}", "host": "server" if i < 1500 else "device"} for i in range(3_000)]
    neighbours = "`n1499` is pinned to `server`, but its consumer `n1500` is pinned to `device`"
    for some, words in ((pins, neighbours), ([pins[0], pins[-1]], "\n  and because …\n")):
        costs = write_json_file(tmp_path / "c.json", flat_costs(pins=some))
        outcome = refused("plan", graph, "--costs", costs, status=3)
        assert (outcome.codes(), outcome.places()) == (["PLN401"], [str(costs)])
        assert words in outcome.stderr
        assert len(outcome.stderr.splitlines()) < 25


def test_files_of_another_kind(files: tuple[str, ...]) -> None:
    graph, _, costs = files
    outcome = refused("plan", costs, "--costs", costs)
    assert (outcome.codes(), outcome.places()) == (["PLN110"], [f"{costs}: $.kind"])
    outcome = refused("plan", graph, "--costs", graph)
    assert (outcome.codes(), outcome.places()) == (["PLN110"], [f"{graph}: $.kind"])
    run_planner("plan", *files, "-o", f"{graph}.plan")
    outcome = refused("plan", graph, "--costs", f"{graph}.plan")
    assert outcome.codes() == ["PLN110"]


def test_output_that_is_refused(files: tuple[str, ...], tmp_path: Path) -> None:
    graph, _, costs = files
    (tmp_path / "there").write_text("mine")
    os.mkfifo(tmp_path / "fifo")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    cases = {
        "-": "--output",
        str(tmp_path): str(tmp_path),
        str(tmp_path / "no" / "p.json"): str(tmp_path / "no" / "p.json"),
        str(tmp_path / "there" / "p"): str(tmp_path / "there" / "p"),
        str(tmp_path / "fifo"): str(tmp_path / "fifo"),
        str(tmp_path / ("x" * 300)): str(tmp_path / ("x" * 300)),
        "/dev/null": "/dev/null",
        graph: graph,
        costs: costs,
    }
    for output, place in cases.items():
        outcome = refused("plan", *files, "-o", output, "--force")
        assert (outcome.codes(), outcome.places()) == (["PLN121"], [place])
    for output in (tmp_path / "there", graph, costs):
        outcome = refused("plan", *files, "-o", output)
        assert (outcome.codes(), outcome.hints()) == (["PLN120"], ["add `--force`"])
    assert {p: p.read_bytes() for p in tmp_path.iterdir() if p.is_file()} == before
    assert run_planner("plan", *files, "-o", tmp_path / "there", "--force").status == 0
    assert run_planner("plan", *files, "-o", tmp_path / ("y" * 250)).status == 0


@pytest.mark.parametrize("step", ["mkstemp", "fdopen", "replace"])
def test_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    home = {"mkstemp": planner.files.writing.tempfile, "fdopen": os, "replace": Path}[step]
    target = tmp_path / "plan.json"
    target.write_text("old")
    monkeypatch.setattr(home, step, full)
    with pytest.raises(InputError, match="No space left on device") as caught:
        write_text(target, "new", force=True)
    assert caught.value.code == "PLN121"
    assert [p.read_text() for p in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (KeyboardInterrupt(), 130, "interrupted\n"),
        (MemoryError(), 70, "error: not enough memory for this input\n"),
        (BrokenPipeError(), 0, ""),
        (
            ZeroDivisionError("x"),
            70,
            "error: a defect of the planner: ZeroDivisionError: x\n\nhint:",
        ),
    ],
)
def test_what_is_no_error_of_ours(
    files: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    raised: BaseException,
    status: int,
    said: str,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(planner.plans.planning, "plan", fail)
    before = set(tmp_path.iterdir())
    outcome = run_planner("plan", *files, "-o", tmp_path / "plan.json")
    assert (outcome.status, outcome.stdout) == (status, "")
    assert outcome.stderr.startswith(said)
    assert "Traceback" not in outcome.stderr
    assert set(tmp_path.iterdir()) == before


def test_verbose_shows_causes_and_tracebacks(
    files: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    missing = run_planner("-v", "inspect", "nowhere.json")
    assert "\ncause: FileNotFoundError: " in missing.stderr

    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(planner.plans.planning, "plan", fail)
    with pytest.raises(ZeroDivisionError):
        run(["-v", "plan", *files])
