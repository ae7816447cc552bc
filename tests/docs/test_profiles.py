"""docs/profiles.md is true: its files are written, and its commands print what it shows.

`UPDATE_DOCS=1 pytest tests/docs/test_profiles.py` writes what the commands print into the page.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from planner.cli import run
from tests.conftest import ROOT
from tests.docs.test_formats import UPDATE, blocks, commands, fits, folder

PAGE = ROOT / "docs" / "profiles.md"

__all__ = ["folder"]


def test_files_and_commands_of_the_page(
    folder: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    page = PAGE.read_text(encoding="utf-8")
    new = {}
    for block in blocks(page):
        if block.language == "sh":
            continue  # measures this machine, or runs on another one
        if block.language != "console":
            kind, _, name = block.comment.partition(": ")
            assert kind == "file", block.text
            (folder / name).write_text(block.text, encoding="utf-8")
            continue
        lines = []
        for command, shown in commands(block.text):
            program, *arguments = shlex.split(command)
            assert program == "planner"
            assert run(arguments) == 0, command
            out, err = capsys.readouterr()
            real = re.sub(r" +$", "", err + out, flags=re.MULTILINE).rstrip() + "\n"
            lines.append(f"$ {command}\n{shown if '[...]' in shown else real}")
            if not UPDATE:
                assert fits(shown, real), f"$ {command}\n{real}"
        new[block] = "".join(lines)
    assert len(new) >= 3
    if UPDATE:
        for block in reversed(list(new)):
            page = page[: block.span[0]] + new[block] + page[block.span[1] :]
        PAGE.write_text(page, encoding="utf-8")
