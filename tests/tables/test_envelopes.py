"""Envelopes of planes: no vertex is wrong, and none is missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.tables.envelopes import Envelope


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), st.integers(1, 3))
def test_envelope_of_any_planes(data: st.DataObject, n_axes: int) -> None:
    """Small whole coefficients, so that many planes meet in one point and many are equal."""
    number = st.integers(0, 6).map(float)
    cut = st.tuples(*[number] * (n_axes + 1))
    cuts = data.draw(st.lists(cut, min_size=1, max_size=9))
    envelope = Envelope([(0.5, 2.0)] * n_axes, cuts[0])
    for other in cuts[1:]:
        envelope.add(other)
    table = np.array(cuts)

    def least(position: tuple[float, ...]) -> float:
        return float((table @ [1.0, *position]).min())

    for vertex in envelope.vertices:
        assert vertex.height == pytest.approx(least(vertex.position), rel=1e-12)
    # The concave hull of the vertices is the envelope: nothing is missing.
    rng = np.random.default_rng(0)
    needed = set(envelope.cells())
    for _ in range(20):
        position = tuple(rng.uniform(0.5, 2.0, n_axes))
        totals = table @ [1.0, *position]
        assert min(totals[list(needed)]) == pytest.approx(totals.min(), rel=1e-12)
    assert len(envelope.vertices) >= 2**n_axes


def test_vertices_are_those_that_scipy_finds() -> None:
    """Qhull, where it is not degenerate, knows no other vertices."""
    spatial = pytest.importorskip("scipy.spatial", reason="scipy is not installed")
    rng = np.random.default_rng(5)
    for n_axes in (1, 2, 3):
        for _ in range(15):
            cuts = rng.uniform(1, 2, (7, n_axes + 1))
            envelope = Envelope([(0.0, 1.0)] * n_axes, tuple(cuts[0].tolist()))
            for cut in cuts[1:]:
                envelope.add(tuple(cut.tolist()))
            own = sorted((*v.position, v.height) for v in envelope.vertices)
            under = np.column_stack([-cuts[:, 1:], np.ones(7), -cuts[:, 0]])
            eye = np.eye(n_axes)
            low = np.column_stack([-eye, np.zeros((n_axes, 2))])
            high = np.column_stack([eye, np.zeros(n_axes), -np.ones(n_axes)])
            floor = [*[0.0] * n_axes, -1.0, 0.0]
            inside = np.array([*[0.5] * n_axes, 0.5])
            found = spatial.HalfspaceIntersection(np.vstack([under, low, high, floor]), inside)
            above = found.intersections[found.intersections[:, -1] > 1e-6]
            distinct = {tuple(np.round(point, 9)) for point in above}
            np.testing.assert_allclose(own, sorted(map(tuple, distinct)), atol=1e-8)
