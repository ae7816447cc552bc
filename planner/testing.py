"""The suites that built-in plug-ins are held against, for plug-ins of others.

Each raises an AssertionError that says what does not hold. A solver is asked about small problems
with every kind of rule and compared with exhaustive search; a frontend reads one sample in every
way; a cost model prices one graph.

    from planner.testing import check_solver

    def test_contract() -> None:
        check_solver(SOLVER)
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from planner.costs.cost_file import check_costs
from planner.costs.cost_table import CostContext, CostModel, HostCosts
from planner.costs.pricing import scenario_of
from planner.drafts.assembly import assemble
from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.drafts.frontend import Frontend, LoadOptions
from planner.errors import PlanError, PlannerError
from planner.evaluation.delay import violations
from planner.files.documents import validate
from planner.files.values import JsonValue
from planner.graphs.gradients import needs_gradient
from planner.graphs.graph import Graph
from planner.plans.solving import OPTIMUM, run, solve
from planner.problems.formulation import build_problem
from planner.problems.problem import Problem
from planner.problems.solution import Solution, Solver, Status

TRUNCATED = (0.0, 0.3, 0.6, 0.99)
"""Shares of a sample that a frontend must read, or refuse in words."""


def _operator(name: str, reads: str, size: int, *parameters: str) -> DraftOperator:
    """An operator that makes one tensor, `<name>_out`, of `size` bytes."""
    operands = [Operand(OperandKind.TENSOR, tensor) for tensor in reads.split()]
    operands += [Operand(OperandKind.PARAMETER, parameter) for parameter in parameters]
    output = DraftTensor(name=f"{name}_out", size_bytes=size, dtype="float32")
    return DraftOperator(name=name, op="Custom", operands=tuple(operands), outputs=(output,))


def _graph(operators: Sequence[DraftOperator], parameters: Mapping[str, int]) -> Graph:
    draft = Draft(
        name="sample",
        inputs=[DraftTensor(name="x", size_bytes=600_000, dtype="float32")],
        outputs=[operators[-1].outputs[0].name],
        parameters=[DraftParameter(name=n, size_bytes=size) for n, size in parameters.items()],
        operators=list(operators),
    )
    return assemble(draft)


def branches() -> Graph:
    """A stem, two branches of different weight, and a join."""
    operators = [
        _operator("stem", "x", 800_000, "stem.weight"),
        _operator("left", "stem_out", 100_000, "left.weight"),
        _operator("right", "stem_out", 400_000),
        _operator("mid", "right_out", 50_000, "mid.weight"),
        _operator("join", "left_out mid_out", 4_000, "join.weight"),
    ]
    sizes = {"stem": 40_000, "left": 200_000, "mid": 10_000, "join": 900_000}
    return _graph(operators, {f"{name}.weight": size for name, size in sizes.items()})


def tied() -> Graph:
    """An embedding and a head that read one parameter, with a layer between them."""
    operators = [
        _operator("embed", "x", 90_000, "shared"),
        _operator("layer", "embed_out", 90_000, "layer.weight"),
        _operator("head", "layer_out", 500_000, "shared"),
    ]
    return _graph(operators, {"shared": 700_000, "layer.weight": 50_000})


@dataclass(frozen=True, slots=True)
class SolverCase:
    """A small problem: a graph, hosts with their memory, and what else a costs file says."""

    graph: Graph
    n_hosts: int = 2
    changes: Mapping[str, JsonValue] = field(default_factory=dict)
    memory: tuple[int | None, ...] = ()

    def problem(self) -> Problem:
        """The planning problem."""
        return build_problem(self.graph, check_costs(self.document(), "case"))

    def document(self) -> dict[str, JsonValue]:
        """A costs file: hosts h0, h1, … of growing speed, links of 8 Mbit/s."""
        hosts: list[JsonValue] = []
        for host in range(self.n_hosts):
            speed = 4.0**host
            rows: list[JsonValue] = [
                {
                    "name": op.name,
                    "forward_s": (i + 1) / (8 * speed),
                    "backward_s": (i + 2) / (5 * speed),
                }
                for i, op in enumerate(self.graph.operators)
            ]
            limit = self.memory[host] if self.memory else None
            hosts.append(
                {"name": f"h{host}", "model": "table", "nodes": rows, "memory_bytes": limit}
            )
        link: JsonValue = {"uplink_bps": 8e6, "downlink_bps": 16e6, "latency_s": 0.01}
        links = [link] * (self.n_hosts - 1)
        return {"kind": "costs", "version": 1, "hosts": hosts, "links": links, **self.changes}


def solver_cases() -> dict[str, SolverCase]:
    """Problems with every kind of rule and work that a plan may have, by name."""
    inference: JsonValue = {"mode": "inference"}
    returned: JsonValue = {"mode": "inference", "return_outputs": True}
    at_h1: JsonValue = [{"name": "x", "host": "h1"}]
    net, pair = branches(), tied()
    return {
        "plain": SolverCase(net),
        "three hosts": SolverCase(net, 3),
        "inference": SolverCase(net, 2, {"workload": inference}),
        "returned outputs": SolverCase(net, 3, {"workload": returned}),
        "labels": SolverCase(net, 2, {"workload": {"label_bytes": 10_000}}),
        "rounds": SolverCase(net, 2, {"workload": {"iterations_per_round": 20}}),
        "wire dtype": SolverCase(net, 2, {"workload": {"wire_dtype": "int8"}}),
        "pin early": SolverCase(net, 2, {"pins": [{"node": "join", "host": "h0"}]}),
        "pin late": SolverCase(net, 2, {"pins": [{"node": "left", "host": "h1"}]}),
        "pin middle": SolverCase(net, 3, {"pins": [{"node": "left", "host": "h1"}]}),
        "together": SolverCase(net, 2, {"together": [["stem", "join"]]}),
        "forbidden tensor": SolverCase(net, 2, {"forbid_crossing": ["left_out"]}),
        "forbidden input": SolverCase(net, 2, {"forbid_crossing": ["x"]}),
        "input at the server": SolverCase(net, 2, {"inputs": at_h1}),
        "input in the middle": SolverCase(net, 3, {"inputs": at_h1}),
        "memory": SolverCase(net, 2, memory=(None, 4_000_000)),
        "memory, three hosts": SolverCase(net, 3, memory=(None, 3_500_000, 3_500_000)),
        "throughput": SolverCase(net, 2, {"workload": {"objective": "throughput"}}),
        "tied": SolverCase(pair),
        "tied, three hosts": SolverCase(pair, 3),
        "tied, inference": SolverCase(pair, 3, {"workload": inference}),
    }


def check_solver(solver: Solver, cases: Iterable[str] | None = None) -> None:
    """Hold a solver or a policy against exhaustive search, the evaluator and its own claims.

    Args:
        solver: Registered or not.
        cases: Names of `solver_cases`; all of them, and contradictory rules, if not given.

    Raises:
        AssertionError: With the name of the case, and what does not hold.
    """
    known = solver_cases()
    for name in known if cases is None else cases:
        _check_case(solver, name, known[name])
    if cases is None:
        _check_contradiction(solver)


def _check_case(solver: Solver, name: str, case: SolverCase) -> None:
    problem, able = case.problem(), solver.capabilities
    is_able = (
        (able.max_hosts is None or problem.n_hosts <= able.max_hosts)
        and problem.workload.objective in able.objectives
        and (not able.is_exact or problem.memory is None or able.honours_memory)
    )
    if not is_able:
        assert _refusal(solver, problem) == "PLN405", f"{name}: should be refused"
        return
    reference, solution = solve(problem, "brute-force"), run(solver, problem, OPTIMUM)
    assert solution.solver == solver.name, f"{name}: calls itself `{solution.solver}`"
    assert solution.solver_version, f"{name}: says no version"
    scenario = scenario_of(case.graph, check_costs(case.document(), name))
    broken = [error.message for error in violations(case.graph, scenario, solution.placement)]
    if problem.memory is not None and not problem.memory.fits(solution.placement):
        broken.append("a host needs more memory than it has")
    if able.is_exact:
        assert not broken, f"{name}: {broken[0]}"
        _check_optimum(name, problem, solution, reference, able.tolerance)
        return
    assert bool(broken) == (solution.status is Status.INFEASIBLE), f"{name}: {solution.status}"
    assert not solution.is_proved, f"{name}: a policy proves nothing"
    value_s, best_s = solution.value * solution.quantum_s, reference.value * reference.quantum_s
    assert broken or value_s >= best_s * (1 - 1e-9), f"{name}: {value_s} s is below the optimum"


def _check_optimum(
    name: str, problem: Problem, solution: Solution, best: Solution, tolerance: float
) -> None:
    assert solution.is_proved, f"{name}: no proof: {solution.message}"
    off = abs(solution.value - best.value)
    low = abs(solution.lower_bound - best.value)
    figures = f"{name}: {solution.lower_bound} ≤ {solution.value}, the optimum is {best.value}"
    assert solution.quantum_s == best.quantum_s, f"{name}: ticks of {solution.quantum_s} s"
    assert off <= tolerance * best.value, figures
    assert low <= 2 * tolerance * best.value, figures
    # Without limits the optima of a delay form a lattice.
    if not tolerance and problem.memory is None and len(problem.goal.parts) == 1:
        same = np.array_equal(solution.placement, best.placement)
        assert same, f"{name}: of several optima the componentwise latest is wanted"


def _check_contradiction(solver: Solver) -> None:
    """Rules that contradict each other are told as a chain, whoever is asked."""
    pins: JsonValue = [{"node": "stem", "host": "h1"}, {"node": "join", "host": "h0"}]
    problem = SolverCase(branches(), 2, {"pins": pins}).problem()
    assert _refusal(solver, problem) == "PLN401", "contradictory rules have no answer"


def _refusal(solver: Solver, problem: Problem) -> str | None:
    """The code of the error that a problem is refused with."""
    try:
        run(solver, problem)
    except PlanError as error:
        return error.code
    return None


def check_frontend(frontend: Frontend, sample: bytes, *, inputs: Sequence[str] = ()) -> None:
    """Read one sample in every way.

    Args:
        frontend: Registered or not.
        sample: The content of a small model file.
        inputs: Types and shapes that the sample does not say itself.

    Raises:
        AssertionError: If equal bytes give different graphs, options leave no trace, something is
            written, or a truncated file is an error that is not in words.
    """
    options = LoadOptions(inputs=tuple(inputs))
    assert frontend.recognizes(sample[:256]), "the sample is not recognised by its first bytes"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"sample{frontend.suffixes[0]}"
        path.write_bytes(sample)
        first = frontend.load(sample, where="sample", options=options)
        again = frontend.load(path, where=str(path), options=options)
        left = [item.name for item in Path(folder).iterdir()]
        assert left == [path.name], f"`load` leaves {left} behind"
    for part in ("operators", "tensors", "parameters", "digest"):
        same = getattr(first, part) == getattr(again, part)
        assert same, f"{part} of equal bytes differ between the content and its file"
    assert len(first.digest) == 64, f"the digest is `{first.digest}`, expected 64 digits"
    with suppress(PlannerError):  # or it refuses what it has no use for
        frozen = frontend.load(
            sample, where="sample", options=LoadOptions(inputs=options.inputs, frozen=("*",))
        )
        assert frozen.digest != first.digest, "`frozen` shapes the graph, and not its digest"
        assert not any(p.trainable for p in frozen.parameters), "`frozen` freezes nothing"
    for share in TRUNCATED:
        with suppress(PlannerError):
            frontend.load(sample[: int(share * len(sample))], where="cut", options=options)


def check_cost_model(model: CostModel, host: Mapping[str, JsonValue], graph: Graph) -> None:
    """Price one graph, for training and for inference.

    Args:
        model: Registered or not.
        host: What a costs file says of a host that uses it.
        graph: A model that all of whose operators it can price.

    Raises:
        AssertionError: If the prices are no finite seconds ≥ 0 of every operator, differ from one
            call to the next, or a backward pass is paid for where there is none.
    """
    own = {*model.options.model_fields} - {"memory_bytes"}
    keys = {k: v for k, v in host.items() if k in own or k not in ("name", "model", "memory_bytes")}
    options = validate(model.options, keys, "host")
    with suppress(PlannerError):
        validate(model.options, {**keys, "no such key": 1}, "host")
        raise AssertionError("unknown keys are accepted: derive the options from StrictModel")
    for is_training in (True, False):
        context = CostContext(
            host="h",
            where="host",
            is_training=is_training,
            needs_gradient=needs_gradient(graph) & is_training,
        )
        first, again = (model.cost(graph, options, context) for _ in range(2))
        _check_prices(first, again, graph, context)


def _check_prices(first: HostCosts, again: HostCosts, graph: Graph, context: CostContext) -> None:
    for what in ("forward_s", "backward_s"):
        seconds = getattr(first, what)
        assert seconds.shape == (len(graph.operators),), f"{what} has shape {seconds.shape}"
        assert np.all(np.isfinite(seconds) & (seconds >= 0)), f"{what} are no seconds"
        assert np.array_equal(seconds, getattr(again, what)), f"{what} differ from call to call"
    idle = first.backward_s[~context.has_backward(graph)]
    assert not idle.any(), "a backward pass is paid for where there is none"
    members = {operator for group in first.together for operator in group}
    assert members <= set(range(len(graph.operators))), "a group names what is no operator"
