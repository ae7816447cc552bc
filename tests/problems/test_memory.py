"""Memory: what a placement needs, by hand and by two programs that share nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.costs.cost_file import Costs, check_costs
from planner.costs.pricing import priced
from planner.errors import PlanError
from planner.evaluation.entries import MemoryEntry
from planner.evaluation.memory import memory_of
from planner.graphs.graph import Graph
from planner.problems.enumeration import enumerate_placements
from planner.problems.formulation import build_problem
from planner.problems.memory import MemoryDemand
from planner.problems.problem import Problem
from planner.problems.quotient import quotient
from planner.solvers.budget import fixings as memory_fixings
from planner.solvers.budget.fixings import tightened
from tests.support.strategies import limited_problems
from tests.support.toys import costs_document, diamond, graph_of, operator, tied_pair

relaxed = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))


def use_of(
    graph: Graph, placement: dict[str, int], n_hosts: int = 2, **workload: object
) -> tuple[MemoryEntry, ...]:
    """What the evaluator says of a placement by name."""
    costs = check_costs(costs_document(graph, n_hosts, workload=workload), "toy")
    scenario, table = priced(graph, costs)
    hosts = np.array([placement[operator.name] for operator in graph.operators])
    return memory_of(graph, table, scenario, hosts)


PLACEMENT = {"stem": 0, "left": 0, "right": 0, "mid": 1, "join": 1}


def test_training_holds_weights_gradients_states_and_what_backward_passes_read() -> None:
    device, server = use_of(diamond(), PLACEMENT, optimizer_states=2)
    # stem and left are on the device. The stem reads x, left and right both read stem_out: once.
    assert device.parameter_bytes == 40_000 + 200_000
    assert device.gradient_bytes == 240_000
    assert device.optimizer_bytes == 480_000
    assert device.tensor_bytes == 600_000 + 800_000
    # mid reads right_out, join reads left_out and mid_out.
    assert server.parameter_bytes == 10_000 + 900_000
    assert server.tensor_bytes == 400_000 + 100_000 + 50_000
    assert server.total_bytes == 910_000 * 4 + 550_000


def test_inference_holds_weights_and_the_largest_working_set() -> None:
    device, server = use_of(diamond(), PLACEMENT, mode="inference", optimizer_states=2)
    assert (device.gradient_bytes, device.optimizer_bytes) == (0, 0)
    assert device.tensor_bytes == 600_000 + 800_000  # the stem; left has 900 kB, right 1.2 MB
    assert server.tensor_bytes == 400_000 + 50_000  # mid; join has 154 kB
    assert server.total_bytes == 910_000 + 450_000


def test_frozen_parameters_are_weights_only_and_have_no_backward_pass() -> None:
    graph = diamond()
    frozen = [replace_trainable(p, trainable=False) for p in graph.parameters]
    graph = replace(graph, parameters=tuple(frozen))
    device, _ = use_of(graph, PLACEMENT, optimizer_states=2)
    assert (device.parameter_bytes, device.gradient_bytes) == (240_000, 0)
    assert (device.optimizer_bytes, device.tensor_bytes) == (0, 0)


def replace_trainable(parameter: object, *, trainable: bool) -> object:
    return parameter._replace(trainable=trainable)  # type: ignore[attr-defined]


def test_a_tied_parameter_is_held_on_every_host_that_reads_it() -> None:
    device, server = use_of(tied_pair(), {"embed": 0, "layer": 1, "head": 1})
    assert device.parameter_bytes == 700_000
    assert server.parameter_bytes == 700_000 + 50_000


@relaxed
@given(limited_problems(), st.data())
def test_solvers_and_the_evaluator_count_the_same(
    case: tuple[Graph, Costs], data: st.DataObject
) -> None:
    graph, costs = case
    problem, placements = feasible(graph, costs)
    if not len(placements):
        return
    row = placements[data.draw(st.integers(0, len(placements) - 1))].astype(np.int64)
    scenario, table = priced(graph, costs)
    by_evaluator = [use.total_bytes for use in memory_of(graph, table, scenario, row)]
    memory = demand(problem)
    assert memory.use(row).tolist() == by_evaluator
    is_kept = all(
        host.memory_bytes is None or used <= host.memory_bytes
        for host, used in zip(costs.hosts, by_evaluator, strict=True)
    )
    assert bool(memory.fits(row)) == is_kept


@relaxed
@given(limited_problems(), st.data())
def test_groups_need_what_their_operators_need(
    case: tuple[Graph, Costs], data: st.DataObject
) -> None:
    problem = build_problem(*case)
    n = problem.n_operators
    labels = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    _, group_of = np.unique(labels, return_inverse=True)
    merged = quotient(problem, group_of.astype(np.int64))
    hosts = data.draw(st.lists(st.integers(0, problem.n_hosts - 1), min_size=4, max_size=4))
    placed = np.array(hosts[: merged.problem.n_operators])
    whole = demand(problem).use(merged.expand(placed))
    assert np.array_equal(demand(merged.problem).use(placed), whole)


@relaxed
@given(limited_problems())
def test_prefixes_are_priced_all_at_once(case: tuple[Graph, Costs]) -> None:
    problem = build_problem(*case)
    if problem.n_hosts != 2:
        return
    n = problem.n_operators
    prefixes = (np.arange(n) >= np.arange(n + 1)[:, None]).astype(np.int64)
    memory = demand(problem)
    assert np.array_equal(memory.prefix_use(), memory.use(prefixes))
    assert np.array_equal(memory.prefix_fits(), memory.fits(prefixes))


@pytest.mark.parametrize("max_exact", [4096, 0])
def test_what_limits_decide_excludes_nothing_that_fits(
    max_exact: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all ancestors, and with those alone that pivots show."""
    monkeypatch.setattr(memory_fixings, "MAX_EXACT", max_exact)
    tightest = 0

    @relaxed
    @given(limited_problems())
    def check(case: tuple[Graph, Costs]) -> None:
        nonlocal tightest
        problem, placements = feasible(*case)
        fitting = placements[demand(problem).fits(placements)] if len(placements) else placements
        try:
            rules = tightened(problem, problem.constraints)
        except PlanError:
            assert not len(fitting)
            return
        assert ((rules.low <= fitting) & (fitting <= rules.high)).all()
        before = problem.constraints
        tightest += int((rules.low - before.low).sum() + (before.high - rules.high).sum())

    check()
    assert tightest > 50


def test_more_bytes_than_can_be_counted() -> None:
    huge = 2**53
    readers = [f"i{k}" for k in range(2048)]
    graph = graph_of(
        [operator(name, ["x"], huge) for name in readers]
        + [operator("all", [f"{name}_out" for name in readers], 1)],
        ["all_out"],
    )
    document = costs_document(graph, 2, workload={"mode": "inference"})
    document["hosts"][0]["memory_bytes"] = huge  # type: ignore[index]
    with pytest.raises(PlanError) as caught:
        build_problem(graph, check_costs(document, "huge"))
    assert caught.value.code == "PLN411"


def demand(problem: Problem) -> MemoryDemand:
    assert problem.memory is not None
    return problem.memory


def feasible(graph: Graph, costs: Costs) -> tuple[Problem, np.ndarray]:
    """The problem and every placement that keeps its rules, limits apart."""
    problem = build_problem(graph, costs)
    try:
        return problem, enumerate_placements(problem)
    except PlanError:
        return problem, np.zeros((0, problem.n_operators), np.int8)
