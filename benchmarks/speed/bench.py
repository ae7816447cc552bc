"""Every solver on every graph, in one run: tables, targets and plots of docs/benchmarks.md.

python -m benchmarks.speed.bench               the whole benchmark, about ten minutes
python -m benchmarks.speed.bench --quick       small graphs, few states: does everything still run?
python -m benchmarks.speed.bench --only gpt2   some of the graphs; may be repeated

Workloads are training (50 iterations per round), and training and inference with inputs that do not
leave the device; float32, batch 1 (image networks at 1 and 32), on analytical costs of a Jetson TX2
and an RTX 3090. States are random: both rates log-uniform from 10 kbit/s to 32 Gbit/s, the device
0.3 to 32 times as fast as it is, in half of them the server 0.1 to 316 times, latency up to 50 ms.

Each graph has a process of its own. In every state all competitors answer one after another, in
rotating order, from a problem in which that state was never seen; collection of garbage is off.
Ratios are taken state by state, and their median and quartiles are stored.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from benchmarks import ROOT
from benchmarks.machine import libraries, processor
from benchmarks.records import Machine
from benchmarks.speed import report
from benchmarks.speed.cases import Case, all_cases, missing_files, quick_cases
from benchmarks.speed.measure import FULL, QUICK, measure
from benchmarks.speed.results import LATEST, GraphResult, Results, write


def main() -> int:
    """Measure, store, draw and print; status 1 if solvers disagree or a graph failed."""
    options = _options()
    cases = quick_cases() if options.quick else all_cases()
    if options.worker:
        found = measure(cases[options.worker], QUICK if options.quick else FULL)
        print(found.model_dump_json())
        return 0
    unknown = sorted(set(options.only) - set(cases))
    if unknown:
        print(f"no graph `{unknown[0]}`; there are: {', '.join(cases)}", file=sys.stderr)
        return 2
    if not options.quick and find_spec("matplotlib") is None:
        print("matplotlib is absent: pip install 'dnn-partition-planner[plot]'", file=sys.stderr)
        return 4
    chosen = [cases[name] for name in options.only] or list(cases.values())
    measured = [(case, _in_fresh_process(case, options.quick)) for case in chosen]
    failed = [case.name for case, result in measured if result is None]
    results = Results(
        is_quick=options.quick,
        machine=Machine(
            processor=processor(),
            cores=os.cpu_count() or 1,
            python=platform.python_version(),
            libraries=libraries(),
        ),
        graphs=tuple(result for _, result in measured if result is not None),
        notes=_notes(failed, is_quick=options.quick),
    )
    write(results, options.output)
    if not options.quick:
        from benchmarks.speed import plots  # matplotlib, which nothing else needs

        plots.draw(results, options.output.parent)
    print(report.render(results))
    print(f"\nstored in {options.output}")
    return 0 if report.is_exact(results) and not failed else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="small graphs, few states, no plots")
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("-o", "--output", type=Path, help="default: results/latest.json")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    is_whole = not (options.quick or options.only)
    if options.output is None:
        # A part of the benchmark must not replace the stored whole, which the page shows.
        options.output = LATEST if is_whole else LATEST.with_name("partial.json")
    return options


def _notes(failed: list[str], *, is_quick: bool) -> tuple[str, ...]:
    absent = [] if is_quick else missing_files()
    lists = (("real files that are absent", absent), ("stopped with an error", failed))
    return tuple(f"{what}: {', '.join(names)}" for what, names in lists if names)


def _in_fresh_process(case: Case, is_quick: bool) -> GraphResult | None:
    """Memory is measured in it, and no graph inherits what another one left behind.

    Returns None if it stops with an error, which is then on stderr: the other graphs still count.
    """
    print(f"{case.name} …", end=" ", file=sys.stderr, flush=True)
    start = time.perf_counter()
    command = (sys.executable, "-m", "benchmarks.speed.bench", "--worker", case.name)
    done = subprocess.run(
        [*command, *(["--quick"] if is_quick else [])],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=False,
    )
    if done.returncode:
        return None
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    return GraphResult.model_validate_json(done.stdout)


if __name__ == "__main__":
    sys.exit(main())
