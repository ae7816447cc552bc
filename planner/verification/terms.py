"""The costs that solvers see, one by one: their ticks are their seconds, and those the inputs'.

What every term should be is worked out from graph, prices and route, without the code that makes
the problem. docs/theory.md, §1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from planner.arrays import BoolArray, FloatArray, IntArray
from planner.costs.scenario import Objective
from planner.evaluation.delay import violations
from planner.evaluation.outcome import objective_s
from planner.graphs.operators import GRAPH_INPUT
from planner.problems.instance import LABELS, LATENCY
from planner.problems.problem import Problem
from planner.units import format_seconds
from planner.verification.case import Case, n_probes, parts_s, ties
from planner.verification.ledger import RELATIVE_TOLERANCE, Ledger, apart

TERM_TOLERANCE = 1e-12
"""Two ways to multiply the same few numbers differ by less, relative."""

TINY_S = 1e-320
"""Below this float64 has no digits left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What terms should be, in the shapes of `Terms`; those that are NaN do not matter."""

    unary: FloatArray
    transfer: FloatArray
    exchange: FloatArray
    sync: FloatArray


def check_terms(ledger: Ledger, case: Case) -> None:
    """The costs that solvers see: ticks against seconds, and seconds against the inputs.

    Each term by itself; then whole placements by the evaluator, which may see what no term says.
    Costs of operators that cannot be apart count together.
    """
    problem = case.problem
    goal, exact_parts = problem.goal, parts_s(problem)
    for part, exact in zip(goal.parts, exact_parts, strict=True):
        _check_ticks(ledger, case, part.flat(), exact.flat())
    if _check_rows(ledger, case):
        tied = ties(case.graph, case.scenario)
        for exact, expected in zip(exact_parts, _expected(case), strict=True):
            unary = exact.unary, expected.unary
            together = [
                np.stack([np.bincount(tied, row, problem.n_operators) for row in rows])
                for rows in unary
            ]
            seen = np.concatenate([
                together[0].ravel(), exact.transfer.ravel(), exact.exchange, exact.sync
            ])  # fmt: skip
            should = np.concatenate([
                together[1].ravel(), expected.transfer.ravel(), expected.exchange, expected.sync
            ])  # fmt: skip
            _compare_terms(ledger, problem, seen, should)
    n_probed = _check_probes(ledger, case)
    ledger.close("terms", f"ticks are seconds, and the evaluator's on {n_probed} other placements")


def _check_ticks(ledger: Ledger, case: Case, ticks: IntArray, seconds: FloatArray) -> None:
    goal = case.problem.goal
    with np.errstate(over="ignore"):
        scaled = np.minimum(seconds / goal.quantum_s, 2.0 * goal.bound + 2.0)
    expected = np.minimum(np.rint(scaled).astype(np.int64), goal.bound + 1)
    # Where a cost is as large as the bound, both may be meant.
    is_clipped = (ticks == goal.bound + 1) & (scaled >= goal.bound * (1 - 1e-8))
    wrong = np.flatnonzero((ticks != expected) & ~is_clipped)
    if len(wrong):
        i = int(wrong[0])
        text = (
            f"{_term(case.problem, i)} takes {format_seconds(float(seconds[i]))}, which is "
            f"{expected[i]} ticks, and solvers see {ticks[i]}"
        )
        others = f"; the same of {len(wrong) - 1} others" if len(wrong) > 1 else ""
        ledger.differ("terms", "terms", int(ticks[i]), int(expected[i]), text + others)


def _compare_terms(
    ledger: Ledger, problem: Problem, seen: FloatArray, expected: FloatArray
) -> None:
    largest = np.maximum(np.abs(seen), np.abs(expected))
    wrong = np.flatnonzero(np.abs(seen - expected) > TERM_TOLERANCE * largest + TINY_S)
    if len(wrong):
        i = int(wrong[0])
        one, other = float(seen[i]), float(expected[i])
        text = (
            f"{_term(problem, i)} takes {format_seconds(one)} by the terms that solvers see, and "
            f"{format_seconds(other)} by graph, prices and route: {apart('term_s', one, other)}"
        )
        others = f"; {len(wrong) - 1} others differ, too" if len(wrong) > 1 else ""
        ledger.differ("terms", "terms", one, other, text + others)


def _term(problem: Problem, index: int) -> str:
    """Which cost of `Terms.flat` this is, in words."""
    if index < problem.compute_s.size:
        host, operator = divmod(index, problem.n_operators)
        return f"`{problem.graph.operators[operator].name}` on `{problem.hosts[host]}`"
    index -= problem.compute_s.size
    if index < len(problem.transfers) * problem.n_links:
        row, link = divmod(index, problem.n_links)
        what = _row_words(problem, int(problem.transfers.tensor[row]))
        return f"{what} over the link after `{problem.hosts[link]}`"
    return "a tied parameter"


def _row_words(problem: Problem, tensor: int) -> str:
    if tensor >= 0:
        return f"`{problem.graph.tensors[tensor].name}`"
    return "the latency" if tensor == LATENCY else "the labels"


# Who sends what to whom.


def _check_rows(ledger: Ledger, case: Case) -> bool:
    """Whether every tensor that is read, latency, labels and tied parameters are there once."""
    graph, problem = case.graph, case.problem
    x, workload = problem.transfers, case.scenario.workload
    indptr, consumers = graph.consumers
    expected = np.flatnonzero(np.diff(indptr)).tolist()
    if len(graph.output_operators):
        expected.append(LATENCY)
        if workload.is_training and workload.label_bytes:
            expected.append(LABELS)
    if sorted(x.tensor.tolist()) != sorted(expected):
        odd = sorted({*x.tensor.tolist()} ^ {*expected}) or x.tensor.tolist()
        text = f"{_row_words(problem, odd[0])} is not among what crosses links exactly once"
        ledger.differ("terms", "terms", len(x), len(expected), text)
        return False
    starts = np.where(graph.producers == GRAPH_INPUT, -1, graph.producers)
    for tensor, host in case.scenario.rules.input_hosts:
        starts[tensor] = -1 - host
    read_by = [*np.split(consumers, indptr[1:-1]), graph.output_operators]
    for row, tensor in enumerate(x.tensor.tolist()):
        source = int(starts[tensor]) if tensor >= 0 else -1
        readers = read_by[tensor if tensor >= 0 else -1]
        if int(x.source[row]) != source or not _are_same(
            x.readers[x.indptr[row] : x.indptr[row + 1]], readers
        ):
            text = f"{_row_words(problem, tensor)} has other ends in what solvers see"
            ledger.differ("terms", "terms", None, None, text)
            return False
    return _check_tied(ledger, case)


def _check_tied(ledger: Ledger, case: Case) -> bool:
    """Whether the parameters with several readers are there, on a route of two hosts."""
    graph, tied = case.graph, case.problem.tied
    shared = [
        index
        for index, bits in enumerate(case.table.parameter_bytes.tolist())
        if bits and len(graph.parameters[index].readers) > 1
    ]
    expected = shared if case.problem.n_hosts == 2 else []
    is_there = sorted(tied.parameter.tolist()) == expected
    rows = np.split(tied.readers, tied.indptr[1:-1]) if is_there and expected else []
    for parameter, readers in zip(tied.parameter.tolist(), rows, strict=False):
        others = np.array(graph.parameters[parameter].readers)
        is_there = is_there and _are_same(readers, others)
    if not is_there:
        text = f"solvers see {len(tied.bits)} tied parameters, not the {len(expected)} that are"
        ledger.differ("terms", "terms", len(tied.bits), len(expected), text)
    return is_there


def _are_same(one: IntArray, other: IntArray) -> bool:
    return len(one) == len(other) and bool((np.sort(one) == np.sort(other)).all())


# What it takes.


def _expected(case: Case) -> list[Expected]:
    if case.scenario.workload.objective is Objective.THROUGHPUT:
        return _expected_stages(case)
    route, workload, table = case.scenario.route, case.scenario.workload, case.table
    n_hosts, rounds = len(route.hosts), workload.iterations
    up_s = np.array([1.0 / link.uplink_bps for link in route.links])
    down_s = np.array([1.0 / link.downlink_bps for link in route.links])
    own, tied = _parameter_bits(case)
    unary = (table.forward_s + table.backward_s) * rounds
    for host in range(n_hosts):
        unary[host] += own * (up_s[host:].sum() + down_s[host:].sum())
        unary[host] += _returned_bits(case) * down_s[:host].sum()
    up_bits, down_bits, is_free = _transfer_bits(case)
    transfer = rounds * (np.outer(up_bits, up_s) + np.outer(down_bits, down_s))
    one_ways = 2 if workload.is_training or workload.return_outputs else 1
    latency = np.array([link.latency_s for link in route.links])
    transfer[case.problem.transfers.tensor == LATENCY] += one_ways * rounds * latency
    transfer[is_free] = 0.0
    both_ways = tied * (up_s[0] + down_s[0])
    return [Expected(unary=unary, transfer=transfer, exchange=both_ways, sync=both_ways * rounds)]


def _expected_stages(case: Case) -> list[Expected]:
    """Hosts, then links up, then links down."""
    route, table = case.scenario.route, case.table
    compute = table.forward_s + table.backward_s
    up_bits, down_bits, is_free = _transfer_bits(case)
    _, tied = _parameter_bits(case)
    nothing = Expected(
        unary=np.zeros_like(compute),
        transfer=np.zeros((len(up_bits), len(route.links))),
        exchange=np.zeros(len(tied)),
        sync=np.zeros(len(tied)),
    )
    stages = []
    for host, row in enumerate(compute):
        unary = nothing.unary.copy()
        unary[host] = row
        stages.append(Expected(
            unary=unary, transfer=nothing.transfer, exchange=nothing.exchange, sync=nothing.sync
        ))  # fmt: skip
    for bits, rates, is_down in (
        (up_bits, [link.uplink_bps for link in route.links], False),
        (down_bits, [link.downlink_bps for link in route.links], True),
    ):
        for k, rate in enumerate(rates):
            unary, transfer = nothing.unary.copy(), nothing.transfer.copy()
            if is_down:
                unary[k + 1 :] = _returned_bits(case) / rate
            transfer[:, k] = np.where(is_free, 0.0, bits) / rate
            stages.append(Expected(
                unary=unary, transfer=transfer, exchange=nothing.exchange, sync=tied / rate
            ))  # fmt: skip
    return stages


def _parameter_bits(case: Case) -> tuple[FloatArray, FloatArray]:
    """Bits of parameters charged to one operator each, and of each tied one in its row."""
    own: FloatArray = np.zeros(len(case.graph.operators))
    for index, size in enumerate(case.table.parameter_bytes.tolist()):
        readers = case.graph.parameters[index].readers
        # With more than two hosts, all readers are on the same one: any of them will do.
        if size and (len(readers) == 1 or case.problem.n_hosts > 2):
            own[readers[0]] += 8.0 * size
    tied = case.table.parameter_bytes[case.problem.tied.parameter].astype(np.float64)
    return own, 8.0 * tied


def _returned_bits(case: Case) -> FloatArray:
    bits, workload = np.zeros(len(case.graph.operators)), case.scenario.workload
    if workload.return_outputs and not workload.is_training:
        for tensor in case.graph.outputs:
            if case.graph.tensors[tensor].producer != GRAPH_INPUT:
                size = int(case.table.activation_bytes[tensor])
                bits[case.graph.tensors[tensor].producer] += 8.0 * size
    return bits


def _transfer_bits(case: Case) -> tuple[FloatArray, FloatArray, BoolArray]:
    """Bits up and down of each row of transfers, and which may not cross, and so cost nothing."""
    tensor = case.problem.transfers.tensor
    is_tensor = tensor >= 0
    place = np.maximum(tensor, 0)
    up = np.where(is_tensor, 8.0 * case.table.activation_bytes[place], 0.0)
    up[tensor == LABELS] = 8.0 * case.scenario.workload.label_bytes
    down = np.where(is_tensor, 8.0 * case.table.gradient_bytes[place], 0.0)
    forbidden = np.array(case.scenario.rules.forbidden, np.int64)
    return up, down, np.asarray(is_tensor & np.isin(tensor, forbidden))


# Whole placements.


def _check_probes(ledger: Ledger, case: Case) -> int:
    """Hold terms against the evaluator on placements that keep the rules; how many these were."""
    problem, n_probed = case.problem, 0
    for placement in _probes(problem):
        if next(violations(case.graph, case.scenario, placement), None) is not None:
            continue
        n_probed += 1
        terms_s = float(max(problem.total(part, placement) for part in parts_s(problem)))
        found = objective_s(case.graph, case.table, case.scenario, placement)
        if abs(terms_s - found) > RELATIVE_TOLERANCE * max(found, terms_s):
            text = (
                f"a placement takes {format_seconds(terms_s)} by the terms that solvers see, and "
                f"{format_seconds(found)} by the evaluator: {apart('terms_s', terms_s, found)}"
            )
            ledger.differ("terms", "terms", terms_s, found, text)
    return n_probed


def _probes(problem: Problem) -> list[IntArray]:
    """Cut positions of every link, evenly spread, moved to where the rules allow."""
    latest, earliest = problem.constraints.extremes
    n = problem.n_operators
    positions = np.unique(np.linspace(0, n, min(n + 1, n_probes(n))).astype(np.int64))
    order = np.arange(n)
    return [
        np.clip(np.where(order < position, link, link + 1), earliest, latest)
        for link in range(problem.n_links)
        for position in positions.tolist()
    ]
