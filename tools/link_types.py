"""Lay out `.typing/planner` as the installed package, by links, for mypy and pyright.

In an editable install the checkers do not see the mapped folders and report success without having
read them. `python tools/link_types.py` makes the links and prints how many modules there are.
"""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Link every package folder of pyproject.toml under `.typing`."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    folders: dict[str, str] = settings["tool"]["setuptools"]["package-dir"]
    target = ROOT / ".typing"
    shutil.rmtree(target, ignore_errors=True)
    package = target / "planner"
    package.mkdir(parents=True)
    for path in (ROOT / "planner").iterdir():
        if path.name != "__pycache__":
            (package / path.name).symlink_to(path, target_is_directory=path.is_dir())
    for name, folder in folders.items():
        if name != "planner":
            (package / name.removeprefix("planner.")).symlink_to(ROOT / folder)
    files = [f for folder in folders.values() for f in (ROOT / folder).rglob("*.py")]
    print(len(files))


if __name__ == "__main__":
    main()
