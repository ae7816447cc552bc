"""Verify mode: every plan that the tests make, by the library or the command line, is verified.

`planner.planning.plan` is replaced before any test imports it, so that whoever makes a plan in this
process makes it here. A test that plants errors is marked `plants_errors`.
"""

from __future__ import annotations

import time
from functools import wraps
from typing import Any

from planner import planning
from planner.cost_files import Costs
from planner.graphs import Graph
from planner.plans import Plan
from planner.verification import verify

MAX_OPERATORS = 60
"""A second solver takes too long for larger graphs."""


class VerifyMode:
    """The switch, and what was verified so far."""

    def __init__(self) -> None:
        self.is_on = True
        self.n_plans = 0
        self.n_verified = 0
        self.seconds = 0.0
        self._known: set[tuple[object, ...]] = set()

    def install(self) -> None:
        """Replace the function that makes plans."""
        made = planning.plan

        @wraps(made)
        def plan(graph: Graph, costs: Costs, *args: Any, **options: Any) -> Plan:
            found = made(graph, costs, *args, **options)
            self.n_plans += 1
            if self.is_on and len(graph.operators) <= MAX_OPERATORS:
                self.check(found, graph, costs)
            return found

        planning.plan = plan

    def check(self, plan: Plan, graph: Graph, costs: Costs) -> None:
        """Verify a plan, unless one that says the same was.

        Raises:
            AssertionError: If anything disagrees with it.
        """
        key = (graph.digest, costs.digest, *plan.placement.values(), plan.certificate, plan.delay)
        if graph.digest and key in self._known:
            return
        started = time.perf_counter()
        found = verify(plan, graph, costs)
        self.seconds += time.perf_counter() - started
        self.n_verified += 1
        self._known.add(key)
        assert found.ok, "verify: " + "; ".join(d.text for d in found.differences)


MODE = VerifyMode()
