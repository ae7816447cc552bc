"""The whole network through OR-tools' push-relabel maximum flow."""

from __future__ import annotations

from planner.solvers.flow.cuts import ORTOOLS
from planner.solvers.flow.whole import WholeNetwork

SOLVER = WholeNetwork(
    "maxflow",
    ORTOOLS,
    requires=("ortools",),
    summary="minimum cut of the whole network (OR-tools); any hosts, any rule",
)
