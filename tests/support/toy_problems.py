"""Problems of small graphs, made in one call, and the codes of an error."""

from __future__ import annotations

from typing import Any

import planner
from planner.costs.cost_file import Costs, check_costs
from planner.errors import PlannerError
from planner.graphs.graph import Graph
from planner.problems.problem import Problem
from tests.support.toys import costs_document, diamond


def make(graph: Graph | None = None, n_hosts: int = 2, **changes: Any) -> tuple[Graph, Costs]:
    graph = graph or diamond()
    return graph, check_costs(costs_document(graph, n_hosts, **changes), "test")


def problem(graph: Graph | None = None, n_hosts: int = 2, **changes: Any) -> Problem:
    return planner.problem(*make(graph, n_hosts, **changes))


def codes(error: PlannerError) -> list[str]:
    return [item.code for item in error.problems]
