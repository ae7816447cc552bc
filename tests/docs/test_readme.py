"""The README's commands and code run, and print what it shows."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMAND = Path(sys.executable).parent / "planner"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def normal(text: str, *, is_exact: bool = False) -> str:
    """Without what differs between machines: versions, and spaces at the ends of lines."""
    if not is_exact:
        text = re.sub(r"(ortools|numpy|PuLP|Pyomo|CBC) [\d.]+\d", r"\1 X", text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    arguments = command.split()
    assert arguments[0] == "planner"
    done = subprocess.run(
        [COMMAND, *arguments[1:]], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def test_transcripts_are_what_the_commands_print(folder: Path) -> None:
    """With `UPDATE_DOCS=1` the page is brought up to date instead."""
    for block in blocks("console"):
        transcript = ""
        for part in block.split("$ ")[1:]:
            command, _, shown = part.partition("\n")
            done = run(command, folder)
            printed = normal(done.stderr + done.stdout, is_exact="UPDATE_DOCS" in os.environ)
            transcript += f"$ {command}\n{printed}\n"
            if "UPDATE_DOCS" not in os.environ:
                assert printed == normal(shown)
        if "UPDATE_DOCS" in os.environ:
            text = (ROOT / "README.md").read_text(encoding="utf-8")
            (ROOT / "README.md").write_text(text.replace(block, transcript), encoding="utf-8")


def test_python_runs(folder: Path) -> None:
    run("planner zoo resnet50 --training --batch 32 -o resnet50.onnx", folder)
    for block in blocks("python"):
        if "import torch" in block and find_spec("torch") is None:
            continue
        done = subprocess.run(
            [sys.executable, "-c", block], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert "True" in done.stdout


def test_costs_file_is_the_example() -> None:
    (shown,) = blocks("json")
    assert shown == (ROOT / "examples" / "jetson.json").read_text(encoding="utf-8")


def test_make_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    wanted = set(re.findall(r"(?:^|`)make ([a-z]+)", README, re.MULTILINE))
    assert {"demo", "test", "bench"} <= wanted <= targets


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target


def test_example_of_link_states_gets_no_slower_with_a_faster_uplink(folder: Path) -> None:
    run("planner zoo resnet50 --training --batch 32 -o resnet50.onnx", folder)
    script = ["examples/link_states.py", "resnet50.onnx", "examples/jetson.json"]
    done = subprocess.run(
        [sys.executable, *script], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()[1:]]
    seconds = [float(row[-1]) for row in rows]
    assert len(seconds) == 15
    assert seconds == sorted(seconds, reverse=True)
