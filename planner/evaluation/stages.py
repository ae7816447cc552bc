"""The stages of a placement as a pipeline, straight from the graph.

Like `planner.evaluation.delay`, which this extends, it shares the priced inputs with the problem
but nothing of its terms: solvers are checked against it.
"""

from __future__ import annotations

import math
from itertools import pairwise

from planner.arrays import IntArray
from planner.costs.cost_table import CostTable
from planner.costs.scenario import Scenario
from planner.evaluation.delay import holders, straddles, traffic
from planner.evaluation.entries import StageEntry
from planner.graphs.graph import Graph


def stages_of(
    graph: Graph, table: CostTable, scenario: Scenario, hosts: IntArray
) -> tuple[StageEntry, ...]:
    """Every stage of a placement that keeps the rules: hosts, links up, links down.

    Keeping tied parameters equal is traffic of every mini-batch, and counted. Latency and the
    exchange of parameters are not.
    """
    links = scenario.route.links
    up, down = traffic(graph, table, scenario, hosts)
    if scenario.workload.is_training:
        holds = holders(graph, hosts, len(scenario.route.hosts))
        for k, link in enumerate(links):
            bits = (8.0 * table.parameter_bytes[straddles(holds, k)]).tolist()
            up[k] += [b / link.uplink_bps for b in bits]
            down[k] += [b / link.downlink_bps for b in bits]
    compute = table.forward_s + table.backward_s
    names = scenario.route.hosts
    at_hosts = [
        StageEntry(kind="host", host=name, next_host=None, seconds=math.fsum(row[hosts == h]))
        for h, (name, row) in enumerate(zip(names, compute, strict=True))
    ]
    ends = [*pairwise(names)]
    upwards = [
        StageEntry(kind="uplink", host=here, next_host=there, seconds=math.fsum(seconds))
        for (here, there), seconds in zip(ends, up, strict=True)
    ]
    downwards = [
        StageEntry(kind="downlink", host=here, next_host=there, seconds=math.fsum(seconds))
        for (here, there), seconds in zip(ends, down, strict=True)
    ]
    return (*at_hosts, *upwards, *downwards)
