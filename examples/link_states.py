"""How the best cut of a model moves with the uplink: one problem, many link states.

python examples/link_states.py resnet50.onnx examples/jetson.json
"""

from __future__ import annotations

import sys

import planner


def main(model: str, costs_file: str) -> None:
    """Print the uplink, the operators on each host, and the seconds of a round."""
    costs = planner.read_costs(costs_file)
    graph = planner.load(model, batch=costs.workload.batch_size)
    problem = planner.problem(graph, costs)
    print("uplink_bps", *problem.hosts, "round_s", sep="\t")
    for exponent in range(5, 10):
        for factor in (1, 2, 5):
            uplink = factor * 10.0**exponent
            solution = planner.solve(problem.with_links(uplink_bps=uplink))
            counts = [int((solution.placement == host).sum()) for host in range(problem.n_hosts)]
            seconds = solution.value * solution.quantum_s
            print(f"{uplink:.0e}", *counts, f"{seconds:.4g}", sep="\t")


if __name__ == "__main__":
    main(*sys.argv[1:])
