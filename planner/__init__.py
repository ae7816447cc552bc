"""Where to cut a neural network between a device and a server, provably optimally.

    import planner

    graph = planner.load("resnet50.onnx", batch=32)
    costs = planner.read_costs("jetson.json")
    plan = planner.plan(graph, costs)
    plan.total_s, plan.placement["conv1"], plan.certificate.holds

Everything is imported on first use, so that `import planner` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from planner.costs.cost_file import Costs, read_costs
    from planner.costs.profile_file import Profile, read_profile
    from planner.drafts.loading import load
    from planner.errors import PlannerError
    from planner.evaluation.delay import Delay, evaluate
    from planner.graphs.graph import Graph
    from planner.plans.module_parts import split_module
    from planner.plans.plan_file import Plan, read_plan
    from planner.plans.planning import plan
    from planner.plans.solving import solve
    from planner.problems.formulation import build_problem as problem
    from planner.problems.problem import Problem
    from planner.problems.solution import Solution
    from planner.tables.making import table
    from planner.tables.table import Table, read_table
    from planner.verification.verifying import Verification, verify

__all__ = [
    "Costs",
    "Delay",
    "Graph",
    "Plan",
    "PlannerError",
    "Problem",
    "Profile",
    "Solution",
    "Table",
    "Verification",
    "evaluate",
    "load",
    "plan",
    "problem",
    "read_costs",
    "read_plan",
    "read_profile",
    "read_table",
    "solve",
    "split_module",
    "table",
    "verify",
]

_HOMES = {
    "Costs": "costs.cost_file",
    "Delay": "evaluation.delay",
    "Graph": "graphs.graph",
    "Plan": "plans.plan_file",
    "PlannerError": "errors",
    "Problem": "problems.problem",
    "Profile": "costs.profile_file",
    "Solution": "problems.solution",
    "Table": "tables.table",
    "Verification": "verification.verifying",
    "evaluate": "evaluation.delay",
    "load": "drafts.loading",
    "plan": "plans.planning",
    "read_costs": "costs.cost_file",
    "read_plan": "plans.plan_file",
    "read_profile": "costs.profile_file",
    "read_table": "tables.table",
    "solve": "plans.solving",
    "split_module": "plans.module_parts",
    "table": "tables.making",
    "verify": "verification.verifying",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for (PEP 562)."""
    if name == "problem":
        value: object = import_module("planner.problems.formulation").build_problem
    elif name in _HOMES:
        value = getattr(import_module(f"planner.{_HOMES[name]}"), name)
    else:
        raise AttributeError(f"module 'planner' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
