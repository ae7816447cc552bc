"""Networks that OR-tools would crash on, and flows that overflow, are no answers."""

from __future__ import annotations

import numpy as np
import pytest

from planner.errors import SolverError
from planner.solvers.flow.network import Network, network_of
from tests.support.toy_problems import problem


def test_a_network_that_or_tools_would_crash_on_is_refused() -> None:
    from planner.solvers.flow.cuts import minimum_cut

    instance = problem()
    network = network_of(instance)
    capacities = network.capacities(instance.ticks)
    outside = Network(
        n_vertices=2,
        tail=network.tail,
        head=network.head,
        slot=network.slot,
        vertex=network.vertex,
    )
    for broken, values in (
        (network, -capacities),
        (network, capacities.astype(np.float64)),
        (outside, capacities),
    ):
        with pytest.raises(SolverError) as caught:
            minimum_cut(broken, values)
        assert caught.value.code == "PLN502"


def test_a_flow_that_overflows_is_no_answer() -> None:
    from planner.solvers.flow.cuts import minimum_cut

    one = np.array([0], np.int64)
    pair = np.array([1], np.int64)
    network = Network(
        n_vertices=2,
        tail=np.repeat(one, 4),
        head=np.repeat(pair, 4),
        slot=np.arange(4),
        vertex=np.zeros((1, 0), np.int64),
    )
    with pytest.raises(SolverError) as caught:
        minimum_cut(network, np.full(4, 2**62, np.int64))
    assert caught.value.code == "PLN501"
