"""Profiles at several batches: seconds between them are on a line, which is told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.graphs.graph import Graph
from tests.costmodels.measured_prices import PLACE, layers, price, refused, upsampled
from tests.support.profiles import Seconds, measurement_of
from tests.support.toys import diamond


def test_sizes_between_batches_are_on_a_line() -> None:
    series = [measurement_of(upsampled(2, batch=b), lambda _, b=b: float(b)) for b in (2, 4)]
    assert price(upsampled(2, batch=3), *series).forward_s == pytest.approx([3.0, 3.0])
    problem = refused(upsampled(4, batch=3), *series)
    assert (problem.code, problem.where) == ("PLN318", f"{PLACE}[0]")
    assert problem.message == (
        "`n0` writes 384 bytes at batch 3, which is not on the line through 128 at batch 2 and "
        "256 at batch 4"
    )
    mixed = [measurement_of(upsampled(f, batch=b)) for f, b in ((2, 2), (4, 4), (2, 8))]
    assert "`n0` writes 512 bytes at batch 4" in refused(upsampled(2, batch=3), *mixed).message


def at(graph: Graph, batch: int, forward: Seconds, **changes: Any) -> dict[str, Any]:
    return measurement_of(graph, forward, batch=batch, **changes)


def test_profile_at_one_other_batch_is_refused() -> None:
    graph = layers()
    problem = refused(graph, at(graph, 8, lambda _: 1.0))
    assert (problem.code, problem.where) == ("PLN318", f"{PLACE}[0]")
    assert problem.message == "`device` was measured at batch 8, the graph is at 2"
    assert "--batch 2" in str(problem.hint)
    faster = at(graph, 4, lambda _: 1.0)
    faster["engine"] = {**faster["engine"], "optimization": "all"}
    mixed = refused(graph, at(graph, 8, lambda _: 1.0), faster)
    assert mixed.message == "`device` was measured at batch 4 and 8, the graph is at 2"


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(1, 500), min_size=2, max_size=5, unique=True),
    st.integers(1, 1000),
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=4, max_size=4),
)
def test_exact_lines_are_reproduced(
    batches: list[int], batch: int, lines: list[tuple[int, int]]
) -> None:
    graph = layers(batch=1).rebatched(batch)
    expected = [a + b * batch for a, b in lines]
    series = [
        measurement_of(
            graph,
            [float(a + b * at) for a, b in lines],
            [3.0 * (a + b * at) for a, b in lines],
            batch=at,
        )
        for at in batches
    ]
    costs = price(graph, *series, training=True)
    assert costs.forward_s == pytest.approx(expected, rel=1e-9, abs=1e-9)
    assert costs.backward_s == pytest.approx([3.0 * e for e in expected], rel=1e-9, abs=1e-9)
    if batch in batches:
        assert costs.notes == ()
        return
    is_far = batch > 2 * max(batches) or 2 * batch < min(batches)
    assert len(costs.notes) == 1 + is_far
    assert all(str(at) in costs.notes[0] for at in batches)


def test_a_line_below_zero_counts_as_zero() -> None:
    graph = layers()
    costs = price(graph, at(graph, 10, lambda _: 1.0), at(graph, 20, [9.0, 1.5, 1.0, 9.0]))
    assert costs.forward_s == pytest.approx([0.0, 0.6, 1.0, 0.0])
    assert costs.notes[0] == "seconds at batch 2 are on the line through those at batches 10 and 20"
    assert "far from any" in costs.notes[1]
    assert costs.notes[2] == "the line is below 0 for 2 operators, which count as 0 s"


def test_more_than_two_batches_are_a_least_squares_line() -> None:
    graph = layers(batch=4)
    seconds = {1: 1.0, 2: 3.0, 3: 2.0}
    costs = price(graph, *[at(graph, b, [s] * 4) for b, s in seconds.items()])
    slope, intercept = np.polyfit(list(seconds), list(seconds.values()), 1)
    assert costs.forward_s == pytest.approx([intercept + 4 * slope] * 4)


def test_groups_of_all_batches_are_joined() -> None:
    graph = layers()
    small = at(graph, 10, [1.0, 2.0, 3.0, 4.0], groups=[("n0", "n1")])
    large = at(graph, 20, [2.0, 4.0, 6.0, 8.0], groups=[("n1", "n2")])
    costs = price(graph, small, large)
    assert costs.together == ((0, 1, 2),)
    assert costs.forward_s == pytest.approx([1.2, 0.0, 0.0, 0.8])
    assert costs.notes[-1] == "1 group of operators that it runs as one kernel is kept together"


def test_batch_that_is_not_known() -> None:
    graph = diamond()
    assert graph.batch is None
    assert price(graph, measurement_of(graph)).forward_s.tolist() == [
        0.001,
        0.002,
        0.003,
        0.004,
        0.005,
    ]
    series = [measurement_of(graph, batch=batch) for batch in (1, 2)]
    problem = refused(graph, *series)
    assert problem.code == "PLN318"
    assert problem.message.endswith("that of the graph is not known")
