"""What a profile costs, and whether operators add up: `python -m benchmarks.fidelity.profiling`.

`planner profile` on ResNet-50 with its defaults, timed as a person would wait for it; and for every
convolutional network of the zoo and GPT-2, the operators' times, added up before they are
reconciled, against the whole model's, measured in the same session.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

from benchmarks.fidelity.run import machine_record
from benchmarks.records import Machine, Record, rounded
from planner import zoo
from planner.costs.profile_file import Measurement, read_profile

TIMED = "resnet50"
WANTED_S = 60.0
WANTED_GAP = 0.03
NOT_CONVOLUTIONAL = ("vit_b_16", "bert_base")


class Sum(Record):
    """One model: whole and sum in seconds, and what taking the profile took."""

    model: str
    whole_s: float
    sum_s: float
    n_groups: int
    seconds: float

    @property
    def gap(self) -> float:
        """How far the sum is from the whole, relative."""
        return self.sum_s / self.whole_s - 1


class Profiling(Record):
    """One run of the benchmark; `default_s` is what the default profile of ResNet-50 took."""

    kind: Literal["profiling"] = "profiling"
    version: Literal[1] = 1
    machine: Machine
    default_s: float | None
    models: tuple[Sum, ...]

    @property
    def misses(self) -> list[str]:
        """The figures that are not reached, in words."""
        found = [
            f"{model.model}: sum is {model.gap:+.1%} off the whole"
            for model in self.models
            if abs(model.gap) > WANTED_GAP
        ]
        if self.default_s is not None and self.default_s > WANTED_S:
            found.append(f"{TIMED}: {self.default_s:.0f} s > {WANTED_S:.0f} s")
        return found


def main() -> int:
    """Measure, print a table; exit status 1 if a figure is checked and missed."""
    names = [name for name in zoo.names() if name not in NOT_CONVOLUTIONAL]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=names, choices=zoo.names())
    parser.add_argument("--repeat", type=int, help="of the sums; default: the planner's")
    parser.add_argument("--threads", type=int, help="of the sums; default: the planner's")
    parser.add_argument("--sequence", type=int, default=32)
    parser.add_argument("--no-default", action="store_true", help="leave the timed run out")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="profiling-") as name:
        folder = Path(name)
        default_s = None if options.no_default else _default(folder)
        models = [_sum(model, folder, options) for model in options.models]
    found = Profiling(machine=machine_record(), default_s=default_s, models=tuple(models))
    print("\n".join(table(found)))
    if options.json:
        text = json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    for text in found.misses:
        print(f"missed: {text}", file=sys.stderr)
    return 1 if options.check and found.misses else 0


def table(found: Profiling) -> list[str]:
    """Markdown: a row for each model."""
    lines = ["| model | whole ms | sum ms | gap | groups | seconds |", "|---|--:|--:|--:|--:|--:|"]
    for m in found.models:
        cells = [m.model, f"{m.whole_s * 1e3:.2f}", f"{m.sum_s * 1e3:.2f}", f"{m.gap:+.2%}"]
        lines.append(f"| {' | '.join(cells)} | {m.n_groups} | {m.seconds:.1f} |")
    if found.default_s is not None:
        lines += ["", f"`planner profile` of {TIMED} with its defaults: {found.default_s:.1f} s."]
    return lines


def _profiled(model: Path, *arguments: str) -> tuple[float, Path]:
    """Seconds of the command, start to end, and the profile."""
    output = model.with_suffix(".json")
    planner = str(Path(sys.executable).parent / "planner")
    command = [planner, "profile", str(model), "-o", str(output), "--force", *arguments]
    begin = time.perf_counter()
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}:\n{done.stderr}")
    return time.perf_counter() - begin, output


def _default(folder: Path) -> float:
    model = zoo.write(TIMED, folder / "default.onnx").path
    return round(_profiled(model)[0], 1)


def _sum(name: str, folder: Path, options: argparse.Namespace) -> Sum:
    model = zoo.write(name, folder / f"{name}.onnx", sequence=options.sequence).path
    given = {"--repeat": options.repeat, "--threads": options.threads}
    words = [word for flag, n in given.items() if n is not None for word in (flag, str(n))]
    seconds, output = _profiled(model, "--mode", "inference", *words)
    measurement = _inference(output)
    if measurement.whole is None:
        sys.exit(f"the profile of {name} has no time of the whole model")
    return Sum(
        model=name,
        whole_s=rounded(measurement.whole.forward.typical_s),
        sum_s=rounded(measurement.whole.sum_forward_s),
        n_groups=len(measurement.groups),
        seconds=round(seconds, 1),
    )


def _inference(path: Path) -> Measurement:
    return next(m for m in read_profile(path).measurements if m.mode == "inference")


if __name__ == "__main__":
    sys.exit(main())
