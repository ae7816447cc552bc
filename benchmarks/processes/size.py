"""From a 50,000-operator ONNX file to a plan, against `onnx.load` + `infer_shapes` on it.

Each figure is the minimum over interleaved runs, each in a process of its own, timed inside it
after its imports; memory is the peak resident size of the process.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import describe
from benchmarks.processes.onnx_graphs import chain, transformer

BASELINE = """
import json, resource, sys, time
import onnx, onnx.shape_inference
start = time.perf_counter()
model = onnx.load(sys.argv[1], load_external_data=False)
onnx.shape_inference.infer_shapes(model)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "peak_kib": peak}))
"""

PLANNER = """
import json, resource, sys, time
import planner, planner.costs.cost_file, planner.plans.planning, planner.solvers.flow.cuts
import planner.frontends.onnx_model, planner.costmodels.analytical, onnx.shape_inference
costs = planner.costs.cost_file.check_costs(json.loads(sys.argv[2]), "benchmark")
start = time.perf_counter()
graph = planner.load(sys.argv[1])
loaded = time.perf_counter() - start
plan = planner.plan(graph, costs)
seconds = time.perf_counter() - start
assert plan.certificate.holds
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "load_s": loaded, "peak_kib": peak,
                  "operators": len(graph.operators)}))
"""

COSTS = {
    "kind": "costs",
    "version": 1,
    "hosts": [
        {"name": "device", "model": "analytical", "hardware": "jetson-tx2"},
        {"name": "server", "model": "analytical", "hardware": "rtx-3090"},
    ],
    "links": [{"uplink_bps": 5e7, "downlink_bps": 1e8, "latency_s": 0.002}],
}


def measure(program: str, *arguments: str) -> dict[str, float]:
    """Run a program in a fresh interpreter and read what it printed."""
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def report(name: str, path: Path, repeat: int) -> None:
    """Measure one file in interleaved runs and print a line per figure."""
    bare, ours = [], []
    for _ in range(repeat):
        bare.append(measure(BASELINE, str(path)))
        ours.append(measure(PLANNER, str(path), json.dumps(COSTS)))
    base = min(run["seconds"] for run in bare)
    best = min(ours, key=lambda run: run["seconds"])
    peak = max(run["peak_kib"] for run in ours) / 1024
    print(f"{name}: {best['operators']:.0f} operators")
    print(f"  onnx.load + infer_shapes      {base:.2f} s")
    print(f"  planner.load                  {best['load_s']:.2f} s")
    print(f"  planner.load + planner.plan   {best['seconds']:.2f} s")
    print(f"  ratio                         {best['seconds'] / base:.2f} (wanted: at most 6)")
    print(f"  peak memory                   {peak:.0f} MiB (wanted: at most 1024)")


def main() -> None:
    """Measure a transformer, and a chain, where ONNX's inference has least to do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--operators", type=int, default=50_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    print(describe())
    with tempfile.TemporaryDirectory() as folder:
        for name, write in (("transformer", transformer), ("chain of Relus", chain)):
            path = Path(folder) / "model.onnx"
            write(path, options.operators)
            report(name, path, options.repeat)


if __name__ == "__main__":
    main()
