"""docs/torch.md is true: its Python runs, in order, and prints what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch is not installed")

from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "torch.md").read_text(encoding="utf-8")


def test_python_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    names: dict[str, object] = {}
    shown = []
    for block in blocks:
        exec(compile(block, "docs/torch.md", "exec"), names)
        shown += re.findall(r"^# (.*)$", block, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == shown
    assert float(str(names["loss"].item())) > 0  # type: ignore[attr-defined]
