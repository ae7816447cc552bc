"""How long the command line takes to start, against the bare imports it cannot do without.

`planner --help` against `python -c "import click"`, and `planner plan` on ResNet-50 against a
script that only loads the model, infers its shapes and imports OR-tools' max-flow. Medians of the
ratios of interleaved runs, each a process of its own.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import ROOT
from benchmarks.machine import describe

# As installed packages are, with byte code beside them; the first run of each does not count.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
BARE = """
import sys, onnx, onnx.shape_inference
model = onnx.load(sys.argv[1], load_external_data=False)
onnx.shape_inference.infer_shapes(model)
from ortools.graph.python import max_flow
"""


def seconds(command: list[str]) -> float:
    """Wall-clock seconds of one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
    return time.perf_counter() - start


def ratio(ours: list[str], base: list[str], repeat: int) -> tuple[float, float, float]:
    """(median ratio, minimum of ours, minimum of the base) over interleaved runs."""
    pairs = [(seconds(ours), seconds(base)) for _ in range(repeat + 1)][1:]
    median = statistics.median(a / b for a, b in pairs)
    return median, min(a for a, _ in pairs), min(b for _, b in pairs)


def main() -> None:
    """Measure and print one line per figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=11)
    repeat = parser.parse_args().repeat
    planner = str(Path(sys.executable).parent / "planner")
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        model = str(Path(folder) / "resnet50.onnx")
        subprocess.run(
            [planner, "zoo", "resnet50", "--training", "-o", model], check=True, capture_output=True
        )
        cases = {
            "planner --help / import click": (
                [planner, "--help"],
                [sys.executable, "-c", "import click"],
            ),
            "planner plan / onnx + ortools": (
                [planner, "plan", model, "--costs", str(ROOT / "examples" / "jetson.json")],
                [sys.executable, "-c", BARE, model],
            ),
        }
        for name, (ours, base) in cases.items():
            median, best, floor = ratio(ours, base, repeat)
            print(f"{name:32} {median:.2f} (at most 2; {best * 1e3:.0f} / {floor * 1e3:.0f} ms)")


if __name__ == "__main__":
    main()
