"""Hold the imports against the contracts of `.importlinter`; fail unless every file was read."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CONTRACTS = ROOT / ".importlinter"
COMMAND = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def check(package: Path, expected: int) -> tuple[bool, str]:
    """Whether the contracts hold, and what import-linter says.

    Args:
        package: The folder that holds `planner`, laid out as it is installed.
        expected: Number of modules that must have been read.
    """
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, CONTRACTS, "--no-cache", "--no-logo"],
        cwd=package,  # which comes before everything else that is installed
        env={**os.environ, "PYTHONPATH": str(package)},
        check=False,
        capture_output=True,
        text=True,
    )
    words = done.stdout + done.stderr
    match = re.search(r"Analyzed (\d+) files", words)
    seen = int(match[1]) if match else 0
    if done.returncode == 0 and seen != expected:
        return False, f"{words}import-linter read {seen} files, expected {expected}\n"
    return done.returncode == 0, words


def main() -> int:
    """1 if a contract is broken, or a file was not seen."""
    linked = subprocess.run(
        [sys.executable, "tools/link_types.py"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    holds, words = check(ROOT / ".typing", int(linked.stdout))
    print(words, end="")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
