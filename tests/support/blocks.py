"""Networks of the zoo under costs by rooflines, and what `blockwise` has to say of any problem."""

from __future__ import annotations

from typing import Any

import numpy as np

import planner
from planner import zoo
from planner.costs.cost_file import Costs, check_costs
from planner.graphs.graph import Graph
from planner.problems.problem import Problem
from planner.problems.solution import Solution
from planner.solvers.blockwise.abstraction import abstracted
from planner.solvers.flow.cuts import minimum_cut


def assert_same(problem: Problem, solution: Solution, reference: Solution) -> None:
    assert solution.is_proved
    assert (solution.value, solution.quantum_s) == (reference.value, reference.quantum_s)
    assert np.array_equal(solution.placement, reference.placement)


def n_blocks(problem: Problem) -> int:
    """Regions that are one vertex in the current state."""
    return abstracted(problem, minimum_cut).n_regions if problem.n_hosts == 2 else 0


def analytical_costs(**changes: Any) -> Costs:
    device = {"name": "device", "model": "analytical", "hardware": "jetson-tx2"}
    server = {"name": "server", "model": "analytical", "hardware": "rtx-3090"}
    document = {
        "kind": "costs",
        "version": 1,
        "workload": {"iterations_per_round": 50, "label_bytes": 4_000},
        "hosts": [device | changes.pop("device", {}), server],
        "links": [{"uplink_bps": 1e7, "downlink_bps": 4e7, "latency_s": 0.002}],
        **changes,
    }
    return check_costs(document, "blocks")


def zoo_graph(name: str, batch: int = 1) -> Graph:
    return planner.load(zoo.build(name, batch=batch, training=True).SerializeToString())


def first_on_device(graph: Graph) -> dict[str, Any]:
    """The raw data do not leave the device."""
    return {"pins": [{"node": graph.operators[0].name, "host": "device"}]}
