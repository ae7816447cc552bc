"""What becomes of plug-ins that lack something."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.errors import PluginError
from planner.problems.solution import SOLVERS, Solver
from planner.registry import Registry


def registry(folder: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> Registry[Solver]:
    (folder / "broken_plugin.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    return Registry("planner.none", "solver", {"broken": "broken_plugin:SOLVER"}, "PLN301")


def test_a_library_that_a_plug_in_imports_at_once_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = registry(tmp_path, monkeypatch, "import no_such_library.part\n")
    with pytest.raises(PluginError, match="needs `no_such_library`") as caught:
        found.get("broken", where="solver")
    assert (caught.value.code, caught.value.exit_code) == ("PLN302", 4)
    assert caught.value.hint == "pip install no_such_library"


def test_a_plug_in_whose_own_module_is_absent_does_not_load() -> None:
    found: Registry[Solver] = Registry("planner.none", "solver", {"x": "nowhere.y:Z"}, "PLN301")
    with pytest.raises(PluginError) as caught:
        found.get("x")
    assert caught.value.code == "PLN312"


def test_built_in_solvers_load() -> None:
    assert {name for name, _ in SOLVERS} >= {"budget", "maxflow", "pulp", "pyomo"}
