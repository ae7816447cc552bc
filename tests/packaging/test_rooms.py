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
    "the judge asks a solver": ("evaluation/planted.py", "import planner.problems.terms"),
    "a frontend asks a cost model": ("frontends/planted.py", "import planner.costmodels.table"),
    "one solver asks another": ("solvers/segments/planted.py", "import planner.solvers.budget"),
    "a room asks one above it": ("graphs/planted.py", "import planner.plans.planning"),
    "the probe asks ours": ("probe/planted.py", "import planner.errors"),
    "a room without a place": ("planted/__init__.py", ""),
}


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_import_is_found(case: str, package: Path) -> None:
    name, text = PLANTED[case]
    path = package / "planner" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{text}\n", encoding="utf-8")
    holds, words = check(package, count(package))
    assert not holds
    assert "planted" in words


def test_a_planted_circle_is_found(package: Path) -> None:
    for one, other in (("a", "b"), ("b", "a")):
        text = f"import planner.files.planted_{other}\n"
        (package / f"planner/files/planted_{one}.py").write_text(text, encoding="utf-8")
    holds, words = check(package, count(package))
    assert not holds
    assert "No circles between files or folders BROKEN" in words


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
