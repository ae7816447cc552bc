"""Run mypy on the package and on what goes with it, and fail unless it read every module."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BESIDE = ("benchmarks", "tools", "examples")
"""Folders that use the package and are no part of it."""


def main() -> int:
    """mypy's exit status, or 1 if it did not see all files."""
    linked = subprocess.run(
        [sys.executable, "tools/link_types.py"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    beside = [path for folder in BESIDE for path in (ROOT / folder).rglob("*.py")]
    # Apart: mypy takes either packages, as settings name them, or folders.
    statuses = (check(int(linked.stdout)), check(len(beside), *BESIDE))
    return max(statuses)


def check(expected: int, *folders: str) -> int:
    """mypy's exit status for folders, or for the package; 1 if it did not read so many files."""
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *folders],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )
    print(checked.stdout, checked.stderr, sep="", end="")
    match = re.search(r"in (\d+) source files|checked (\d+) source files", checked.stdout)
    seen = int(next(filter(None, match.groups()))) if match else 0
    if checked.returncode == 0 and seen != expected:
        where = "a folder is not linked" if not folders else f"in {', '.join(folders)}"
        print(f"mypy read {seen} files, expected {expected}: {where}")
        return 1
    return checked.returncode


if __name__ == "__main__":
    sys.exit(main())
