"""The layout: who may know whom is checked, by a check that sees all files; folders stay small."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.packaging.test_package import FOLDERS
from tools.check_imports import check
from tools.draw_rooms import floors, updated

MOST_FILES = 16
MOST_LINES = 400


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with a copy of the package, laid out as it is installed."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name, folder in FOLDERS.items():
        target = tmp_path / name.replace(".", "/")
        shutil.copytree(ROOT / folder, target, ignore=ignored, dirs_exist_ok=True)
    return tmp_path


def count(package: Path) -> int:
    return sum(1 for _ in package.rglob("*.py"))


def test_the_contracts_hold_and_every_file_is_read(package: Path) -> None:
    holds, words = check(package, count(package))
    assert holds, words
    (package / "planner/unseen").mkdir()
    (package / "planner/unseen/file.py").write_text("", encoding="utf-8")  # in no package
    holds, words = check(package, count(package))
    assert not holds
    assert "expected" in words.splitlines()[-1]


PLANTED = {
    "planner.evaluation.planted": "planner.problems.terms",
    "planner.frontends.planted": "planner.costmodels.table",
    "planner.solvers.segments.planted": "planner.solvers.budget",
    "planner.graphs.planted": "planner.plans.planning",
    "planner.probe.planted": "planner.errors",
}
"""The judge asks a problem, a frontend a cost model, a solver another one, a room one above it, the
probe ours."""


def test_planted_imports_and_a_planted_circle_are_found(package: Path) -> None:
    circle = {
        "planner.files.planted": "planner.files.planted_too",
        "planner.files.planted_too": "planner.files.planted",
    }
    for name, imported in (PLANTED | circle).items():
        path = package / f"{name.replace('.', '/')}.py"
        path.write_text(f"import {imported}\n", encoding="utf-8")
    holds, words = check(package, count(package))
    assert not holds
    assert words.count("BROKEN") == 6  # all but the one about frontends among themselves
    assert "No cycles are allowed in planner.files." in words
    for name, imported in PLANTED.items():
        assert f"{name} -> {imported}" in words


def test_a_room_without_a_place_is_found(package: Path) -> None:
    (package / "planner/planted").mkdir()
    (package / "planner/planted/__init__.py").write_text("", encoding="utf-8")
    holds, words = check(package, count(package))
    assert not holds
    assert "planted" in words


def test_the_picture_is_that_of_the_contracts() -> None:
    page = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert page == updated(page), "python tools/draw_rooms.py docs/architecture.md"
    assert len(page.splitlines()) <= 150


def test_rooms_are_on_few_floors() -> None:
    rooms = [
        floor for floor in floors() if any((ROOT / "planner" / room).is_dir() for room in floor)
    ]
    assert len(rooms) <= 8


def sources() -> list[Path]:
    folders = {*FOLDERS.values(), "tests", "benchmarks", "tools"}
    return [path for folder in sorted(folders) for path in (ROOT / folder).rglob("*.py")]


def test_no_folder_has_more_files_than_a_room() -> None:
    sizes = Counter(str(path.parent.relative_to(ROOT)) for path in sources())
    assert {folder: n for folder, n in sizes.items() if n > MOST_FILES} == {}


def test_files_are_read_in_one_sitting() -> None:
    lines = {str(p.relative_to(ROOT)): len(p.read_text("utf-8").splitlines()) for p in sources()}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}


def test_every_room_says_what_it_is_for() -> None:
    for path in sources():
        if path.name == "__init__.py":
            assert path.read_text(encoding="utf-8").startswith('"""'), path
