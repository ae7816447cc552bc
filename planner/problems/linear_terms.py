"""The delay as a linear function of the state: what a placement costs per unit of each parameter.

For a fixed placement the delay is linear in every host's slowness (1 / speed), and in 1 / uplink,
1 / downlink and latency of every link. So the terms of any state are a combination of a few basis
terms, computed once per graph, and one placement in all states is one vector of coefficients.
"""

from __future__ import annotations

import numpy as np

from planner.arrays import FloatArray, IntArray
from planner.problems.instance import Instance
from planner.problems.terms import Terms

Basis = tuple[Terms[np.float64], ...]


def state_of(problem: Instance) -> FloatArray:
    """The parameters of the current state, all ≥ 0; shape [hosts + 3 · links].

    Slowness of every host, then 1 / uplink, 1 / downlink and latency of every link.
    """
    return np.concatenate(
        [
            1.0 / problem.speed,
            1.0 / problem.uplink_bps,
            1.0 / problem.downlink_bps,
            problem.latency_s,
        ]
    )


def basis_of(problem: Instance) -> Basis:
    """Terms per unit of each parameter of `state_of`; made once and shared between states.

    The seconds of a state are the sum of its parameters times these, but for rounding.
    """
    return problem.shared("basis", lambda: (*_compute_rows(problem), *_link_rows(problem)))


def coefficients(problem: Instance, placements: IntArray) -> FloatArray:
    """What each placement costs per unit of each parameter.

    Args:
        problem: In any state; only its structure matters.
        placements: Feasible placements; shape [placements, operators].

    Returns:
        Shape [placements, hosts + 3 · links]; its product with `state_of(problem)` is the seconds
        of a round, to within float64 rounding.
    """
    return np.stack([problem.totals(terms, placements) for terms in basis_of(problem)], axis=1)


def _compute_rows(problem: Instance) -> list[Terms[np.float64]]:
    rounds = float(problem.workload.iterations)
    rows = []
    for host in range(problem.n_hosts):
        unary = np.zeros_like(problem.compute_s)
        unary[host] = problem.compute_s[host] * rounds
        rows.append(_terms(problem, unary=unary))
    return rows


def _link_rows(problem: Instance) -> list[Terms[np.float64]]:
    rounds, x = float(problem.workload.iterations), problem.transfers
    hosts = np.arange(problem.n_hosts)[:, None]
    rows = []
    for kind, per_iteration in enumerate((x.up_bits, x.down_bits, x.latencies)):
        for link in range(problem.n_links):
            transfer = np.zeros((len(x), problem.n_links))
            transfer[:, link] = np.where(x.is_forbidden, 0.0, per_iteration * rounds)
            if kind == 2:
                rows.append(_terms(problem, transfer=transfer))
                continue
            unary = np.where(hosts <= link, problem.exchange_bits, 0.0)
            if kind == 1:
                unary += np.where(hosts > link, problem.returned_bits, 0.0)
            # Tied parameters are charged by sets of readers with two hosts only: on one link.
            rows.append(_terms(problem, unary=unary, transfer=transfer, tied=problem.tied.bits))
    return rows


def _terms(
    problem: Instance,
    *,
    unary: FloatArray | None = None,
    transfer: FloatArray | None = None,
    tied: FloatArray | None = None,
) -> Terms[np.float64]:
    exchange = np.zeros(len(problem.tied.bits)) if tied is None else tied
    return Terms(
        unary=np.zeros_like(problem.compute_s) if unary is None else unary,
        transfer=np.zeros((len(problem.transfers), problem.n_links))
        if transfer is None
        else transfer,
        exchange=exchange,
        sync=exchange * float(problem.workload.iterations),
    )
