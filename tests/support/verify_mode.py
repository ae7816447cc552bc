"""Verify mode: every plan that the tests make, by the library or the command line, is verified.

`planner.plans.planning.plan` is replaced before any test imports it, so that whoever makes a plan
in this process makes it here. A test that plants errors is marked `plants_errors`, one in whose
plans not every check can be made `partly_verified`.
"""

from __future__ import annotations

import json
import time
from functools import wraps
from typing import Any

import planner
from planner.costs.cost_file import Costs
from planner.graphs.graph import Graph
from planner.plans import planning
from planner.plans.plan_file import Plan
from planner.verification.ledger import Finding
from planner.verification.verifying import verify

MAX_OPERATORS = 60
"""A second solver takes too long for larger graphs."""


class VerifyMode:
    """The switch, and what was verified so far."""

    def __init__(self) -> None:
        self.is_on = True
        self.is_lenient = False
        self.n_plans = 0
        self.n_verified = 0
        self.n_incomplete = 0
        self.seconds = 0.0
        self._known: set[str] = set()

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
        if "plan" in vars(planner):  # it was asked for before, and is kept
            planner.plan = plan

    def check(self, plan: Plan, graph: Graph, costs: Costs) -> None:
        """Verify a plan, unless one that says the same was.

        Raises:
            AssertionError: If anything disagrees with it, or a check could not be made.
        """
        key = said_by(plan)
        if graph.digest and key in self._known:
            return
        started = time.perf_counter()
        found = verify(plan, graph, costs)
        self.seconds += time.perf_counter() - started
        self.n_verified += 1
        assert found.ok, "verify: " + "; ".join(d.text for d in found.differences)
        if not found.is_complete:
            self.n_incomplete += 1
            open_checks = [c.text for c in found.checks if c.finding is Finding.NOT_MADE]
            assert self.is_lenient, "verify is not complete: " + "; ".join(open_checks)
        self._known.add(key)


def said_by(plan: Plan) -> str:
    """Everything that a plan says but for versions and words: digests of its inputs included."""
    document: dict[str, Any] = {**plan.to_dict()}
    for name in ("tool", "solver_version"):
        del document[name]
    document["certificate"] = {**document["certificate"], "message": None}
    return json.dumps(document, sort_keys=True)


MODE = VerifyMode()
