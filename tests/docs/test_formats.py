"""docs/formats.md is true: its files are read, its commands run, its tables name every key.

`UPDATE_DOCS=1 pytest tests/docs/test_formats.py` writes what the commands print into the page,
except where the page leaves something out with `[...]`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import BaseModel

import planner
from planner.cli import run
from planner.cli.schemas import schema_text
from planner.costs.cost_file import Costs, check_costs, read_costs
from planner.costs.profile_file import Profile, read_profile
from planner.drafts.spec_file import GraphFile
from planner.graphs.dtypes import BITS
from planner.plans.plan_file import PlanFile
from planner.tables.table_file import TableFile
from planner.units import BYTES, RATES, TIMES, parse_quantity

ROOT = Path(__file__).resolve().parents[2]
FORMATS = ROOT / "docs" / "formats.md"
UPDATE = bool(os.environ.get("UPDATE_DOCS"))
DOCUMENTS = sorted((ROOT / "docs").glob("*.md"))


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block: its language, the comment before it, its text without indentation."""

    language: str
    comment: str
    text: str
    indent: str
    span: tuple[int, int]


FENCED = re.compile(
    r"(?:^<!-- (?P<comment>[^\n]*) -->\n\n)?"
    r"^(?P<indent> *)```(?P<language>\w+)\n(?P<text>.*?)^ *```$",
    re.MULTILINE | re.DOTALL,
)


def blocks(page: str) -> list[Block]:
    return [
        Block(
            language=match["language"],
            comment=match["comment"] or "",
            text=re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE),
            indent=match["indent"],
            span=match.span("text"),
        )
        for match in FENCED.finditer(page)
    ]


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Every `$ command` of a console block, and the output that follows it."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, output = part.partition("\n")
        yield command, output


def fits(shown: str, real: str) -> bool:
    """Whether `real` is what the page shows; `[...]` stands for anything, on its own for lines."""
    pattern = []
    for line in shown.splitlines():
        if line == "[...]":
            pattern.append(r"(?:.*\n)*?")
        else:
            parts = (re.escape(part) for part in line.rstrip().split("[...]"))
            pattern.append(".*?".join(parts) + "\n")
    return re.fullmatch("".join(pattern), real) is not None


def schema_accepts(kind: str, document: Any) -> None:
    Draft202012Validator(json.loads(schema_text(kind))).validate(document)


def check_file(path: Path) -> None:
    """Check it by the reader and by the shipped schema."""
    document = json.loads(path.read_text(encoding="utf-8"))
    schema_accepts(document["kind"], document)
    readers = {
        "graph": planner.load,
        "costs": planner.read_costs,
        "profile": read_profile,
        "plan": planner.read_plan,
        "table": planner.read_table,
    }
    readers[document["kind"]](path)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest-xdist sets it
    return tmp_path


def test_every_example_and_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of the page, in one folder."""
    page = FORMATS.read_text(encoding="utf-8")
    found, status, n_commands = blocks(page), 0, 0
    new = {}
    for block in found:
        if block.language == "json":
            new[block] = check_json(block, folder)
            continue
        assert block.language == "console"
        lines = []
        for command, shown in commands(block.text):
            n_commands += 1
            if command == "echo $?":
                real = f"{status}\n"
            else:
                program, *arguments = shlex.split(command)
                assert program == "planner"
                status = run(arguments)
                out, err = capsys.readouterr()
                real = re.sub(r" +$", "", err + out, flags=re.MULTILINE).rstrip() + "\n"
            lines.append(f"$ {command}\n{shown if '[...]' in shown else real}")
            if not UPDATE:
                assert fits(shown, real), f"$ {command}\n{real}"
        new[block] = "".join(lines)
    assert n_commands >= 10
    assert sum(block.language == "json" for block in found) >= 5
    if UPDATE:
        for block in reversed(found):
            text = re.sub(r"^(?=.)", block.indent, new[block], flags=re.MULTILINE)
            page = page[: block.span[0]] + text + page[block.span[1] :]
        FORMATS.write_text(page, encoding="utf-8")


def check_json(block: Block, folder: Path) -> str:
    """Check an example by what the comment before it says; returns what the page should show."""
    document = json.loads(block.text)
    what, _, name = block.comment.partition(": ")
    match what:
        case "file":
            (folder / name).write_text(block.text, encoding="utf-8")
            check_file(folder / name)
        case "host":
            costs = json.loads((folder / "costs.json").read_text(encoding="utf-8"))
            costs["hosts"][1] = document
            schema_accepts("costs", costs)
            planner.plan(planner.load("toy.json"), check_costs(costs, "with this host"))
        case "made":
            check_made(folder / name, document)
            return (folder / name).read_text(encoding="utf-8")
        case _:
            raise AssertionError(f"it is not said what this example is: {block.text}")
    return block.text


def check_made(path: Path, shown: dict[str, Any]) -> None:
    """What a command wrote is what the page shows; the solver and digests may differ."""
    check_file(path)
    made = json.loads(path.read_text(encoding="utf-8"))
    schema_accepts(made["kind"], shown)
    for document in (shown, made):
        for key in ("tool", "graph_digest", "costs_digest"):
            assert isinstance(document.pop(key), str)
        solved = document["proof"] if document["kind"] == "table" else document
        for key in ("solver", "solver_version"):
            assert isinstance(solved.pop(key), str)
        if document["kind"] == "table":
            assert solved.pop("largest_relative_gap") < 1e-9
        else:
            assert document.pop("certificate")["holds"]
    if not UPDATE:
        one, other = flat(shown), flat(made)
        assert one.keys() == other.keys()
        for place, value in one.items():
            is_number = isinstance(value, float)
            assert value == (pytest.approx(other[place]) if is_number else other[place]), place


def flat(value: Any, place: str = "$") -> dict[str, Any]:
    match value:
        case dict():
            items = [flat(item, f"{place}.{key}") for key, item in value.items()]
        case list():
            items = [flat(item, f"{place}[{i}]") for i, item in enumerate(value)]
            items.append({f"{place} length": len(value)})
        case _:
            return {place: value}
    return {key: leaf for item in items for key, leaf in item.items()}


def models_in(model: type[BaseModel]) -> set[type[BaseModel]]:
    found: set[type[BaseModel]] = set()
    pending: list[Any] = [model]
    while pending:
        item = pending.pop()
        if isinstance(item, type) and issubclass(item, BaseModel):
            if item not in found:
                found.add(item)
                pending += [field.annotation for field in item.model_fields.values()]
        else:
            pending += getattr(item, "__args__", ())
    return found


@pytest.mark.parametrize("model", [GraphFile, Costs, Profile, PlanFile, TableFile])
def test_every_key_is_documented(model: type[BaseModel]) -> None:
    text = FORMATS.read_text(encoding="utf-8")
    keys = {
        field.alias or name
        for part in models_in(model)
        for name, field in part.model_fields.items()
    }
    assert len(keys) > 10
    missing = [key for key in keys if f"`{key}`" not in text and f'"{key}"' not in text]
    assert not missing


def test_every_element_type_is_documented() -> None:
    text = FORMATS.read_text(encoding="utf-8")
    assert not [dtype for dtype in BITS if f"`{dtype}`" not in text]


def test_documented_defaults() -> None:
    minimal = check_costs(
        {
            "kind": "costs",
            "version": 1,
            "hosts": [{"name": name, "model": "table"} for name in "ab"],
            "links": [{"uplink_bps": 1, "downlink_bps": 1}],
        },
        "minimal",
    )
    workload = minimal.workload
    assert (workload.mode, workload.iterations_per_round) == ("training", 1)
    assert (workload.label_bytes, workload.return_outputs) == (0, False)
    assert (workload.batch_size, workload.wire_dtype, workload.optimizer_states) == (None, None, 0)
    assert minimal.links[0].latency_s == 0


@pytest.mark.parametrize(
    ("text", "units", "value"),
    [
        ("1MB/s", RATES, 8e6),
        ("8Mbit/s", RATES, 8e6),
        ("1Mibit/s", RATES, 2.0**20),
        ("50e6", RATES, 50e6),
        ("2ms", TIMES, 0.002),
        ("2us", TIMES, 2e-6),
        ("1kB", BYTES, 1000.0),
        ("1KiB", BYTES, 1024.0),
    ],
)
def test_documented_quantities(text: str, units: dict[str, float], value: float) -> None:
    assert parse_quantity(text, units, "--flag", text) == pytest.approx(value, rel=1e-15)


def test_every_code_exists() -> None:
    source = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("planner", "frontends", "costmodels", "solvers")
        for path in (ROOT / folder).rglob("*.py")
    )
    for path in DOCUMENTS:
        codes = set(re.findall(r"PLN\d{3}", path.read_text(encoding="utf-8")))
        assert not [code for code in codes if code not in source], path.name


def test_links_between_documents() -> None:
    """Every relative link leads to a file, and to a heading in it."""
    for path in [*DOCUMENTS, ROOT / "CONTRIBUTING.md"]:
        for target in re.findall(r"\]\(([^)\s]+)\)", path.read_text(encoding="utf-8")):
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = target.partition("#")
            other = (path.parent / name).resolve() if name else path
            assert other.exists(), f"{path.name}: {target}"
            if anchor:
                assert anchor in anchors(other), f"{path.name}: {target}"


def anchors(path: Path) -> set[str]:
    """As GitHub makes them from headings."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_reading_the_shipped_example() -> None:
    assert read_costs(ROOT / "examples" / "jetson.json").hosts[0].name == "device"
