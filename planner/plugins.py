"""What authors of plug-ins use, under one name that stays; docs/plugins.md uses nothing else.

Where these things live may change from version to version; that they are here does not.
"""

from __future__ import annotations

from planner.costs.cost_table import CostContext, CostModel, HostCosts
from planner.costs.scenario import Objective, Workload
from planner.drafts.assembly import assemble
from planner.drafts.batches import at_batch
from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.drafts.frontend import (
    ExampleInputs,
    Frontend,
    InputSpec,
    LiveFrontend,
    LoadOptions,
    SplitPlan,
    SplittingFrontend,
    parse_input_spec,
)
from planner.drafts.runnable import RunnableFrontend, RunnableModel
from planner.errors import (
    GraphError,
    InputError,
    PlanError,
    PlannerError,
    PluginError,
    SolverError,
    name_hint,
    raise_all,
)
from planner.files.documents import StrictModel, parse_json, read_bytes, validate
from planner.graphs.graph import Graph
from planner.graphs.operators import GRAPH_INPUT, Operator, Parameter, Tensor
from planner.problems.feasibility import Constraints
from planner.problems.memory import MemoryDemand
from planner.problems.problem import Problem
from planner.problems.solution import (
    Capabilities,
    Certificate,
    DeferredCertificate,
    Limits,
    Solution,
    Solver,
    Status,
    bounded_solution,
)
from planner.problems.terms import Terms, Ticks

__all__ = [
    # Frontends: the contract, a model by name, and the graph that it becomes.
    "Frontend",
    "LiveFrontend",
    "SplittingFrontend",
    "RunnableFrontend",
    "RunnableModel",
    "LoadOptions",
    "ExampleInputs",
    "InputSpec",
    "SplitPlan",
    "parse_input_spec",
    "Draft",
    "DraftOperator",
    "DraftParameter",
    "DraftTensor",
    "Operand",
    "OperandKind",
    "assemble",
    "at_batch",
    "Graph",
    "Operator",
    "Parameter",
    "Tensor",
    "GRAPH_INPUT",
    # Cost models.
    "CostModel",
    "CostContext",
    "HostCosts",
    # Solvers and policies: the contract, what they get, and what they give.
    "Solver",
    "Capabilities",
    "Limits",
    "Problem",
    "Constraints",
    "MemoryDemand",
    "Objective",
    "Workload",
    "Terms",
    "Ticks",
    "Solution",
    "Certificate",
    "DeferredCertificate",
    "Status",
    "bounded_solution",
    # Files and errors.
    "StrictModel",
    "parse_json",
    "read_bytes",
    "validate",
    "PlannerError",
    "InputError",
    "GraphError",
    "PluginError",
    "PlanError",
    "SolverError",
    "name_hint",
    "raise_all",
]
