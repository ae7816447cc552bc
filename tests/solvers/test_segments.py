"""`segments` is `maxflow` to the tick and to the operator, by whatever way it gets there."""

from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest

from planner.arrays import IntArray
from planner.costs.cost_file import check_costs
from planner.drafts.assembly import assemble
from planner.drafts.draft import Draft, DraftOperator, DraftTensor, Operand, OperandKind
from planner.errors import PlanError
from planner.graphs.graph import Graph
from planner.plans.solving import solve
from planner.problems.enumeration import enumerate_placements
from planner.problems.formulation import build_problem
from planner.problems.linear_terms import state_of
from planner.problems.problem import Problem
from planner.problems.solution import DeferredCertificate
from planner.solvers.pivots.layout import layout_of
from planner.solvers.segments import inner_cuts as closed_sets
from planner.solvers.segments.bounds import segment_bounds_of
from tests.support.segmented import random_costs, random_graph, wide_graph

segments_module = __import__("planner.solvers.segments", fromlist=["Segments"])


def random_problem(seed: int, n_parts: int = 6) -> Problem | None:
    random = Random(seed)
    graph = random_graph(random, n_parts)
    problem = build_problem(graph, random_costs(random, graph))
    try:
        layout_of(problem)
    except PlanError:
        return None
    return problem


def states(problem: Problem, random: Random) -> list[Problem]:
    other = problem.with_links(uplink_bps=random.choice([1e6, 3e6, 1.6e7]))
    return [problem, other, other.with_speed(device=random.choice([0.5, 2.0, 7.0]))]


def check(problem: Problem) -> str:
    """Compare with `maxflow`; returns the way that `segments` went."""
    expected = solve(problem, "maxflow")
    found = solve(problem, "segments")
    assert np.array_equal(found.placement, expected.placement)
    assert found.is_proved
    figures = (found.value, found.lower_bound, found.quantum_s)
    assert figures == (expected.value, expected.lower_bound, expected.quantum_s)
    if "whole network" in found.message:
        return "whole"
    is_cut = 0 < found.placement.sum() < len(found.placement)
    way = "seconds" if isinstance(found.certificate, DeferredCertificate) else "ticks"
    return f"{way}, {'real cut' if is_cut else 'one host'}"


def tally_of(seeds: range) -> Counter[str]:
    tally: Counter[str] = Counter()
    for seed in seeds:
        problem = random_problem(seed)
        if problem is None:
            continue
        for state in states(problem, Random(seed)):
            tally[check(state)] += 1
    return tally


def test_segments_is_maxflow_on_random_problems() -> None:
    tally = tally_of(range(2_500))
    assert sum(tally.values()) >= 5_000
    assert tally["seconds, real cut"] >= 1_000
    assert tally["ticks, real cut"] >= 100  # exact ties
    assert tally["whole"] == 0


def test_blocks_left_to_flows_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_sets, "MAX_SETS", 2)
    assert tally_of(range(10_000, 10_500))["ticks, real cut"] >= 50


def test_many_close_cuts_left_to_flows_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments_module, "MAX_CLOSE_SETS", 0)
    assert tally_of(range(20_000, 20_300))["ticks, real cut"] >= 50


def test_too_many_blocks_go_through_the_whole_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments_module, "MAX_GAPS", 0)
    assert tally_of(range(30_000, 30_300))["whole"] >= 50


def reachable(problem: Problem) -> IntArray:
    """Which operator may not be placed after which other, by closing the rules transitively."""
    n, rules = problem.n_operators, problem.constraints
    before = np.eye(n, dtype=np.bool_)
    before[rules.before, rules.after] = True
    for middle in range(n):
        before |= np.outer(before[:, middle], before[middle])
    return before


@pytest.mark.parametrize("seed", range(200))
def test_pivots_are_comparable_with_every_other_free_operator(seed: int) -> None:
    problem = random_problem(seed, n_parts=4)
    if problem is None:
        return
    layout = layout_of(problem)
    before = reachable(problem)
    comparable = (before | before.T)[np.ix_(layout.free, layout.free)].all(axis=1)
    is_pivot = np.zeros(len(layout.free), np.bool_)
    is_pivot[layout.pivots] = True
    assert not (is_pivot & ~comparable).any()
    ties = problem.constraints.before > problem.constraints.after
    if not ties.any():
        assert np.array_equal(is_pivot, comparable)
    assert (layout.gap_of >= 0).sum() + len(layout.pivots) == len(layout.free)


@pytest.mark.parametrize("seed", range(300))
def test_cuts_and_closed_sets_are_all_there_is_and_bounds_hold(seed: int) -> None:
    """Prefix cuts and cuts inside gaps are every placement but for operators that hand on."""
    problem = random_problem(seed, n_parts=3)
    if problem is None or problem.n_operators > 16:
        return
    bounds = segment_bounds_of(problem)
    layout = bounds.layout
    found = {tuple(layout.placement(int(cut))) for cut in layout.cuts}
    for state in states(problem, Random(seed)):
        least = bounds.matrix(*(1.0 / state.speed)).T @ [1.0, *state_of(state)[2:]]
        for gap in range(len(bounds.gaps)):
            inside = closed_sets.closed_sets_of(problem, bounds, gap)
            assert inside is not None
            placements = [closed_sets.gap_placement(bounds.gaps, gap, h) for h in inside.hosts]
            found |= {tuple(placement) for placement in placements}
            if not placements:
                continue
            seconds = state.totals(state.seconds, np.stack(placements))
            np.testing.assert_allclose(state_of(state) @ inside.rows, seconds, rtol=1e-12)
            assert least[len(bounds.cuts) + 1 + gap] <= seconds.min() * (1 + 1e-12)
        cuts = np.stack([layout.placement(int(cut)) for cut in bounds.cuts])
        seconds = state.totals(state.seconds, cuts)
        np.testing.assert_allclose(least[: len(bounds.cuts)], seconds, rtol=1e-12)
    kept = np.setdiff1d(np.arange(problem.n_operators), layout.reduced.passing)
    everything = {tuple(p) for p in enumerate_placements(problem)[:, kept].tolist()}
    assert {tuple(np.array(p)[kept].tolist()) for p in found} == everything


def test_a_graph_of_one_block_goes_through_the_whole_network() -> None:
    random = Random(5)
    graph = wide_graph(300)
    problem = build_problem(graph, random_costs(random, graph))
    solution = solve(problem, "segments")
    assert "one block holds" in solution.message
    assert solve(problem).solver == "maxflow"
    assert solve(problem).value == solution.value


def test_auto_is_segments_where_it_can_help() -> None:
    problem = random_problem(0)
    assert problem is not None
    assert solve(problem).solver == "segments"


def test_structure_is_shared_between_states() -> None:
    problem = random_problem(1)
    assert problem is not None
    solve(problem, "segments")
    bounds = problem.structure["segment_bounds"]
    other = problem.with_links(uplink_bps=1e5).with_speed(server=3.0)
    solve(other, "segments")
    assert segment_bounds_of(other) is bounds


def test_extreme_states_are_left_to_the_whole_network() -> None:
    problem = random_problem(2)
    assert problem is not None
    state = problem.with_links(uplink_bps=1e-40)
    assert "extreme" in solve(state, "segments").message
    assert check(state) == "whole"


def test_states_beyond_float64_are_refused_by_every_solver() -> None:
    problem = random_problem(0)
    assert problem is not None
    for solver in ("segments", "maxflow", "auto"):
        with pytest.raises(PlanError, match="more than a float64 can hold"):
            solve(problem.with_links(uplink_bps=1e-300), solver)


def handing_on(n_chain: int, n_costly: int, seconds: float) -> tuple[Graph, dict[str, float]]:
    """Operators that only hand 1 MB on, then `n_costly` others, each of the given seconds."""
    names = ["head", *(f"h{i}" for i in range(n_chain)), *(f"v{i}" for i in range(n_costly))]
    operators, read = [], "x"
    for name in names:
        size = 1_000 if name.startswith("v") else 1_000_000
        out = DraftTensor(name=f"{name}.out", size_bytes=size, dtype="float32")
        operand = (Operand(OperandKind.TENSOR, read),)
        operators.append(DraftOperator(name=name, op="Any", operands=operand, outputs=(out,)))
        read = out.name
    x = DraftTensor(name="x", size_bytes=1_000, dtype="float32")
    draft = Draft(name="chain", inputs=[x], outputs=[read], parameters=[], operators=operators)
    return assemble(draft), {n: seconds if n.startswith("v") else 0.0 for n in names}


def chain_problem(graph: Graph, device: dict[str, float], server: dict[str, float]) -> Problem:
    hosts = [
        {
            "name": name,
            "model": "table",
            "nodes": [{"name": n, "forward_s": s} for n, s in nodes.items()],
        }
        for name, nodes in (("device", device), ("server", server))
    ]
    links = [{"uplink_bps": 8e6, "downlink_bps": 8e6}]
    document = {"kind": "costs", "version": 1, "workload": {"mode": "inference"}}
    return build_problem(graph, check_costs({**document, "hosts": hosts, "links": links}, "chain"))


@pytest.mark.parametrize(("n_chain", "n_costly"), [(0, 300), (400, 60), (400, 100), (1_000, 300)])
def test_ticks_are_those_of_the_whole_problem(n_chain: int, n_costly: int) -> None:
    """Costs near half ticks, whose rounding decides; operators taken out make ticks coarser."""
    graph, costs = handing_on(n_chain, n_costly, 1.05 / n_costly)
    tick = solve(chain_problem(graph, costs, costs), "maxflow").quantum_s
    whole = int(1.05 / n_costly / tick)
    device = {n: (whole - 0.49) * tick if s else 0.0 for n, s in costs.items()}
    server = {n: (whole + 0.49) * tick if s else 0.0 for n, s in costs.items()}
    check(chain_problem(graph, device, server))
    check(chain_problem(graph, server, device))


def test_subnormal_costs_have_no_precision_to_tell_cuts_apart() -> None:
    graph, costs = handing_on(0, 20, 1e-323)
    half = {name: seconds / 2 for name, seconds in costs.items()}
    for device, server in ((half, costs), (costs, half)):
        problem = chain_problem(graph, device, server)
        for rate in (1e18, 1.7e308):
            check(problem.with_links(uplink_bps=rate))


def test_a_replaced_problem_starts_with_no_structure() -> None:
    problem = random_problem(1)
    assert problem is not None
    solve(problem, "segments")
    other = replace(problem, compute_s=problem.compute_s[::-1].copy())
    assert other.structure is not problem.structure
    check(other)


def test_a_solution_is_read_only_and_can_be_pickled() -> None:
    problem = random_problem(0)
    assert problem is not None
    solution = solve(problem, "segments")
    assert isinstance(solution.certificate, DeferredCertificate)
    with pytest.raises(ValueError, match="read-only"):
        solution.placement[:] = 0
    copied = pickle.loads(pickle.dumps(solution))
    assert copied.certificate == solution.certificate == solve(problem, "maxflow").certificate
    assert solution.certificate == solve(problem, "segments").certificate
    assert len({solution.certificate, copied.certificate}) == 1
    assert np.array_equal(copied.placement, solution.placement)
    assert str(solution.value) in repr(solution.certificate)


def test_long_chains_that_hand_on_to_many_readers_stay_small() -> None:
    graph, costs = handing_on(3_000, 1, 0.001)
    layout = layout_of(chain_problem(graph, costs, costs))
    assert len(layout.reduced.passing) == 3_000
    assert len(layout.reduced.readers) == 1
