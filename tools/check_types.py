"""Run mypy on the package and fail unless it read every module."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    """mypy's exit status, or 1 if it did not see all files."""
    linked = subprocess.run(
        [sys.executable, "tools/link_types.py"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    expected = int(linked.stdout)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy"], cwd=ROOT, check=False, capture_output=True, text=True
    )
    print(checked.stdout, checked.stderr, sep="", end="")
    match = re.search(r"in (\d+) source files|checked (\d+) source files", checked.stdout)
    seen = int(next(filter(None, match.groups()))) if match else 0
    if checked.returncode == 0 and seen != expected:
        print(f"mypy read {seen} files, expected {expected}: a folder is not linked")
        return 1
    return checked.returncode


if __name__ == "__main__":
    sys.exit(main())
