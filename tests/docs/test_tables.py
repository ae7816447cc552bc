"""docs/tables.md is true: its commands run, its Python runs, its C compiles, and all agree.

`UPDATE_DOCS=1 pytest tests/docs/test_tables.py` writes what the commands print into the page.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

import planner
from tests.conftest import ROOT
from tests.docs.test_formats import UPDATE, Block, blocks, commands

PAGE = ROOT / "docs" / "tables.md"
BIN = Path(sys.executable).parent


def normal(text: str) -> str:
    """Without the solver's name and version, and sizes that its version decides."""
    text = re.sub(r"exact solves \([^()]*\)", "exact solves (solver)", text)
    text = re.sub(r"\(\de-\d\d of the delay\)", "(rounding)", text)
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def run(command: str, folder: Path) -> str:
    """What a command of the page prints; `python` is this one."""
    command = re.sub(r"^(python|planner)\b", lambda match: str(BIN / match[1]), command)
    env = {**os.environ, "COLUMNS": "80"}  # as wide as the page, whatever ran before
    done = subprocess.run(
        command, shell=True, cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return done.stderr + done.stdout


def test_commands_and_programs_of_the_page(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    if shutil.which("cc") is None:
        pytest.skip("there is no C compiler `cc`")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    page = PAGE.read_text(encoding="utf-8")
    found, new = blocks(page), {}
    for block in found:
        match block.language:
            case "console":
                new[block] = check_console(block, tmp_path)
            case "python" | "c" if block.comment.startswith("program: "):
                (tmp_path / block.comment.removeprefix("program: ")).write_text(block.text)
            case "python":
                run_python(block, tmp_path)
            case _:
                raise AssertionError(f"nobody runs this: {block.text}")
    assert sum(block.language == "c" for block in found) == 1
    check_programs(tmp_path)
    drawn = (tmp_path / "regions.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(drawn)
    if UPDATE:
        for block in reversed(list(new)):
            page = page[: block.span[0]] + new[block] + page[block.span[1] :]
        PAGE.write_text(page, encoding="utf-8")
        (ROOT / "docs" / "regions.svg").write_text(drawn, encoding="utf-8")


def check_console(block: Block, folder: Path) -> str:
    lines = []
    for command, shown in commands(block.text):
        printed = run(command, folder)
        lines.append(f"$ {command}\n" + (f"{printed.rstrip()}\n" if printed.strip() else ""))
        if not UPDATE:
            assert normal(printed) == normal(shown), command
    return "".join(lines)


def run_python(block: Block, folder: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", block.text],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    first, placement, _ = done.stdout.splitlines()
    assert placement == "device server"
    assert first.startswith("1 ")


def check_programs(folder: Path) -> None:
    """Python, C and the planner find the same plan and delay; outside of the table none does."""
    table = planner.read_table(folder / "table.json")
    (parameter,) = table.parameters
    rng = np.random.default_rng(3)
    rates = np.exp(rng.uniform(*np.log((parameter.low, parameter.high)), 20)).tolist()
    for rate in (parameter.low, *rates, parameter.high):
        choice = table.best(uplink_bps=rate)
        for program in ("python best_plan.py", "./best_plan"):
            index, total = run(f"{program} {rate!r}", folder).split()[:2]
            assert int(index) == choice.index
            assert float(total) == pytest.approx(choice.total_s, rel=1e-14)
    assert run("./best_plan 2e9", folder).split()[0] == "-1"
    assert run("./best_plan nan", folder).split()[0] == "-1"
    with pytest.raises(AssertionError, match="uplink_bps is outside of the table"):
        run("python best_plan.py 2e9", folder)


def test_the_map_of_the_page_is_there() -> None:
    drawn = (ROOT / "docs" / "regions.svg").read_text(encoding="utf-8")
    assert "mobilenet_v2: the best plan" in "".join(ElementTree.fromstring(drawn).itertext())
