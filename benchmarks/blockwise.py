"""Block-wise against general, with the same engine on both sides: a re-plan in a new link state.

    python benchmarks/blockwise.py [--states 50] [MODEL.onnx …]

Both sides start from `problem.with_links(…)`, so that quantisation and the network count on both.
What depends on the graph alone is done before, on both sides. Runs alternate; figures are medians.
"""

from __future__ import annotations

import argparse
import statistics
import time
from pathlib import Path

import numpy as np

import planner
from planner import reference_cuts
from planner.cost_files import check_costs
from planner.graphs import Graph
from planner.registry import SOLVERS
from planner.solutions import Limits, Solver
from planner.solvers.blockwise import BlockWise

MODELS = Path(__file__).resolve().parent.parent.parent / "shared" / "models"
DEFAULT = [MODELS / name for name in ("densenet121.train.onnx", "gpt2.dyn.onnx")]
COSTS = {
    "kind": "costs",
    "version": 1,
    "workload": {"mode": "training", "iterations_per_round": 50},
    "hosts": [
        {"name": "device", "model": "analytical", "hardware": "jetson-tx2"},
        {"name": "server", "model": "analytical", "hardware": "rtx-3090"},
    ],
    "links": [{"uplink_bps": 5e7, "downlink_bps": 5e7}],
}


def contestants() -> dict[str, Solver]:
    """Two engines, each with the whole network and with blocks."""
    engine = reference_cuts.minimum_cut
    return {
        "networkx": SOLVERS.get("networkx", where="solver"),
        "networkx, blocks": BlockWise(engine, f"networkx {reference_cuts.VERSION}"),
        "ortools": SOLVERS.get("maxflow", where="solver"),
        "ortools, blocks": SOLVERS.get("blockwise", where="solver"),
    }


def seconds(graph: Graph, n_states: int, *, is_first_pinned: bool) -> dict[str, float]:
    """Median seconds of each contestant over random link states; all answers must be equal."""
    pins = [{"node": graph.operators[0].name, "host": "device"}] if is_first_pinned else []
    problem = planner.problem(graph, check_costs({**COSTS, "pins": pins}, "benchmark"))
    solvers = contestants()
    taken: dict[str, list[float]] = {name: [] for name in solvers}
    rates = 10 ** np.random.default_rng(0).uniform(6, 9, (n_states + 1, 2))
    for index, (up, down) in enumerate(rates.tolist()):
        answers = []
        for name, solver in solvers.items():
            start = time.perf_counter()
            state = problem.with_links(uplink_bps=up, downlink_bps=down)
            answers.append(solver.solve(state, limits=Limits()))
            if index:  # the first state makes what depends on the graph alone
                taken[name].append(time.perf_counter() - start)
        for answer in answers:
            assert (answer.value, answer.quantum_s) == (answers[0].value, answers[0].quantum_s)
            assert np.array_equal(answer.placement, answers[0].placement)
    return {name: statistics.median(values) for name, values in taken.items()}


def main() -> None:
    """Print one line per model: ratios, and microseconds."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", type=Path, default=DEFAULT)
    parser.add_argument("--states", type=int, default=50)
    arguments = parser.parse_args()
    for path in arguments.models:
        graph = planner.load(path)
        for is_first_pinned in (False, True):
            found = seconds(graph, arguments.states, is_first_pinned=is_first_pinned)
            ratios = {
                engine: found[engine] / found[f"{engine}, blocks"]
                for engine in ("networkx", "ortools")
            }
            where = "first operator on the device" if is_first_pinned else "no pins"
            print(f"{path.stem} ({len(graph.operators)} operators, {where})")
            print("  ratio  " + "  ".join(f"{name} {r:.2f}" for name, r in ratios.items()))
            print("  us     " + "  ".join(f"{name} {s * 1e6:.0f}" for name, s in found.items()))


if __name__ == "__main__":
    main()
