"""Whether a split model takes as long as the planner says: `python -m benchmarks.fidelity.run`.

Profiles are taken of a device and a server, which are two cores of this machine with different
settings. Models are cut at many places, and both halves run, each in a process on its core, with
the tensors between them going over loopback TCP through a token bucket at the link's rate. The
measured delay is compared with `planner.evaluate`, the cut that the planner chooses with the best.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from benchmarks import machine
from benchmarks.fidelity import forward, training
from benchmarks.fidelity.forward import Setting
from benchmarks.fidelity.report import Fidelity, ModelFidelity, details, summary, write
from benchmarks.fidelity.training import SLOWER
from benchmarks.fidelity.trial import Model, rates_for, trial
from benchmarks.records import Machine

LIBRARIES = ("numpy", "onnx", "onnxruntime", "torch")
Prepare = Callable[[str, Path, Setting], Model]


def main() -> int:
    """Run and report; exit status 1 if a figure that is checked is missed."""
    options = _parser().parse_args()
    cores = _cores(options.cores)
    setting = Setting(
        cores=cores,
        levels=(options.device_level, options.server_level),
        profile_repeat=options.profile_repeat,
        n_prefixes=2 if options.quick else 6,
        n_inside=2 if options.quick else 6,
    )
    models, notes = _all_models(options, setting)
    found = Fidelity(
        is_quick=options.quick,
        machine=machine_record(),
        settings={
            "device": f"1 thread at `{setting.levels[0]}`",
            "server": f"1 thread at `{setting.levels[1]}`",
            "training": f"torch, 1 thread, on the device with {_slower()}",
        },
        models=tuple(models),
        notes=tuple(notes),
    )
    print("\n".join(summary(found)))
    if options.json:
        write(found, options.json)
    misses = [text for model in models for text in model.misses]
    for text in misses:
        print(f"missed: {text}", file=sys.stderr)
    return 1 if options.check and misses else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", help="only these")
    parser.add_argument("--modes", nargs="*", default=["inference", "training"])
    parser.add_argument("--repeat", type=int, default=10, help="runs of each cut at each rate")
    parser.add_argument("--training-repeat", type=int, default=5)
    parser.add_argument("--profile-repeat", type=int, help="of the profiles, default: planner's")
    parser.add_argument("--device-level", default="basic")
    parser.add_argument("--server-level", default="all")
    parser.add_argument("--cores", type=int, nargs=2, metavar=("DEVICE", "SERVER"))
    parser.add_argument("--quick", action="store_true", help="fewer cuts")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--check", action="store_true", help="fail if a figure is missed")
    return parser


def _cores(given: list[int] | None) -> tuple[int, int]:
    allowed = sorted(os.sched_getaffinity(0))
    if given is None and len(allowed) < 2:
        sys.exit("fidelity needs two cores: one for the device, one for the server")
    first, second = given or allowed[:2]
    return first, second


def _all_models(
    options: argparse.Namespace, setting: Setting
) -> tuple[list[ModelFidelity], list[str]]:
    jobs: list[tuple[str, str, Prepare]] = []
    notes: list[str] = []
    if "inference" in options.modes:
        prepare: Prepare = forward.forward_model
        jobs += [(name, "inference", prepare) for name in forward.MODELS]
    if "training" in options.modes:
        if find_spec("torch") is None:
            notes.append("training was left out: torch is not installed")
        else:
            prepare = training.training_model
            jobs += [(name, "training", prepare) for name in training.MODELS]
    wanted = [job for job in jobs if options.models is None or job[0] in options.models]
    repeats = {"inference": options.repeat, "training": options.training_repeat}
    return [_one(*job, replace(setting, repeat=repeats[job[1]])) for job in wanted], notes


def _slower() -> str:
    return " ".join(f"{name}={value}" for name, value in SLOWER.items())


def _one(name: str, mode: str, prepare: Prepare, setting: Setting) -> ModelFidelity:
    begin = time.perf_counter()
    # A folder for each: the weights of all of them would be gigabytes.
    with tempfile.TemporaryDirectory(prefix="fidelity-") as folder:
        model = prepare(name, Path(folder), setting)
        rates = rates_for(model)
        cuts = trial(model, cores=setting.cores, rates=rates, repeat=setting.repeat)
    found = ModelFidelity(
        model=name,
        mode="training" if mode == "training" else "inference",
        batch=model.graph.batch or 1,
        n_operators=len(model.graph.operators),
        repeat=setting.repeat,
        cuts=cuts,
        seconds=round(time.perf_counter() - begin, 1),
    )
    print("\n".join(details(found)), f"  {found.seconds:.0f} s", sep="\n", file=sys.stderr)
    return found


def machine_record() -> Machine:
    """What it runs on, with the libraries that measure."""
    return Machine(
        processor=machine.processor(),
        cores=os.cpu_count() or 1,
        python=platform.python_version(),
        libraries={name: version(name) for name in LIBRARIES if find_spec(name)},
    )


if __name__ == "__main__":
    sys.exit(main())
