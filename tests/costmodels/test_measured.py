"""The cost model `measured`: what a profile says is charged, or refused with the reason."""

from __future__ import annotations

from dataclasses import replace

import pytest

from planner.graphs.graph import Graph
from planner.graphs.signatures import input_shapes, model_digest
from tests.costmodels.measured_prices import PLACE, layers, price, refused, upsampled
from tests.support.nets import Net
from tests.support.profiles import measurement_of


def test_numbers_are_charged_as_measured() -> None:
    costs = price(layers(), measurement_of(layers(), [1.0, 2.0, 3.0, 4.0]))
    assert costs.forward_s.tolist() == [1.0, 2.0, 3.0, 4.0]
    assert costs.backward_s.tolist() == [0.0] * 4
    assert (costs.notes, costs.together) == ((), ())


def test_backward_is_charged_where_there_is_a_backward_pass() -> None:
    net = Net(x=(2, 4))
    net.add("Relu", "x", (2, 4))
    net.add("Linear", "n0", (2, 4), weights=((4, 4),))
    graph = net.graph()
    measured = measurement_of(graph, [1.0, 2.0], [8.0, 16.0])
    costs = price(graph, measured, training=True)
    assert costs.backward_s.tolist() == [0.0, 16.0]
    assert price(graph, measured | {"mode": "inference"}).backward_s.tolist() == [0.0, 0.0]
    del measured["nodes"][0]["backward"]
    assert price(graph, measured, training=True).backward_s.tolist() == [0.0, 16.0]
    measured["nodes"][1]["backward"] = None
    problem = refused(graph, measured, training=True)
    assert (problem.code, problem.where) == ("PLN307", f"{PLACE}[0].nodes")
    assert "`n1`" in problem.message


def test_what_was_estimated_is_told() -> None:
    graph = layers()
    measured = measurement_of(graph, backward=lambda _: 1.0, backward_origin="estimated")
    costs = price(graph, measured, training=True)
    assert costs.notes == ("backward seconds of all operators are estimated, by toy ratio",)
    measured["nodes"][0]["backward"]["origin"] = "measured"
    measured["nodes"][1]["forward"]["origin"] = "estimated"
    assert price(graph, measured, training=True).notes == (
        "forward seconds of 1 of 4 operators are estimated",
        "backward seconds of 3 of 4 operators are estimated, by toy ratio",
    )


def test_operators_without_a_measurement_are_listed() -> None:
    graph = layers()
    measured = measurement_of(graph)
    measured["nodes"] = measured["nodes"][1:2]
    problem = refused(graph, measured)
    assert (problem.code, problem.where) == ("PLN306", f"{PLACE}[0].nodes")
    assert problem.message == "host `device` has no measurement of `n0`, `n2`, `n3`"


@pytest.mark.parametrize(("seconds", "is_told"), [(1e-6, False), (1.0, True)])
def test_operators_that_the_graph_lacks_are_left_out(seconds: float, is_told: bool) -> None:
    graph = layers()
    measured = measurement_of(graph, lambda _: 1.0)
    row = measured["nodes"][0]
    measured["nodes"].append(
        row | {"name": "gone", "forward": row["forward"] | {"typical_s": seconds}}
    )
    costs = price(graph, measured)
    assert costs.forward_s.tolist() == [1.0] * 4
    assert bool(costs.notes) == is_told


def test_profile_of_another_model() -> None:
    problem = refused(layers(2), measurement_of(layers(3)))
    assert problem.code == "PLN317"
    assert problem.message == (
        "the profile is of `net` (4 operators), the graph is `net` (3 operators)"
    )
    assert "--by-signature" in str(problem.hint)
    wider = refused(layers(3, width=8), measurement_of(layers(3)))
    assert wider.message.endswith(
        "the same operators, with other attributes, tensors or parameters"
    )
    without = refused(layers(), measurement_of(layers()) | {"digest": ""})
    assert without.code == "PLN317"


def test_profile_at_other_shapes() -> None:
    def net(size: int) -> Graph:
        net = Net(x=(2, 3, size))
        net.add("Relu", "x", (2, 3, size))
        return net.graph()

    assert price(net(8), measurement_of(net(8))).forward_s.tolist() == [0.001]
    problem = refused(net(9), measurement_of(net(8)))
    assert problem.code == "PLN317"
    assert problem.message == (
        "`net` was measured with `x` as float32[2,3,8], the graph has float32[2,3,9]"
    )


def test_constants_make_another_model() -> None:
    two, four = upsampled(2), upsampled(4)
    assert model_digest(two) == model_digest(four)
    assert input_shapes(two) == input_shapes(four)
    problem = refused(four, measurement_of(two))
    assert problem.code == "PLN317"
    assert problem.message == (
        "`net` was another model when it was measured: `n0` wrote 128 bytes, in the graph 256"
    )
    older = measurement_of(two)
    for row in older["nodes"]:
        del row["output_bytes"]
    assert "`n0` has other shapes or types in the graph" in refused(four, older).message
    both = price(four, measurement_of(two), measurement_of(four, lambda _: 7.0))
    assert both.forward_s.tolist() == [7.0, 7.0]
    scaled = upsampled(4, batch=1).rebatched(2)
    assert price(scaled, measurement_of(four)).forward_s.tolist() == [0.001, 0.002]
    assert refused(scaled, measurement_of(two)).code == "PLN317"


def test_frozen_parameters_are_those_that_were_measured() -> None:
    graph = layers()
    head, *rest = graph.parameters
    frozen = replace(graph, parameters=(head, *(p._replace(trainable=False) for p in rest)))
    measured = measurement_of(graph, backward=lambda _: 1.0)
    problem = refused(frozen, measured, training=True)
    assert (problem.code, problem.where) == ("PLN317", f"{PLACE}[0]")
    assert "--frozen" in str(problem.hint)
    own = measurement_of(frozen, backward=lambda _: 0.5)
    assert price(frozen, measured, own, training=True).backward_s.tolist() == [0.5] * 4
    assert price(frozen, measurement_of(graph)).forward_s.tolist() == [0.001, 0.002, 0.003, 0.004]


def test_profile_of_another_mode_and_unfinished() -> None:
    graph = layers()
    problem = refused(graph, measurement_of(graph), training=True)
    assert (problem.code, problem.where) == ("PLN320", f"{PLACE}[0]")
    assert problem.message == "`device` was measured in inference only, expected training"
    assert "--mode training" in str(problem.hint)
    partial = measurement_of(graph, is_complete=False, unfinished={"runs": 3})
    problem = refused(graph, partial)
    assert (problem.code, problem.where) == ("PLN319", f"{PLACE}[0]")
    assert "--resume" in str(problem.hint)
    assert price(graph, partial, measurement_of(graph)).notes == ()


def test_the_last_of_several_measurements_counts() -> None:
    graph = layers()
    old = measurement_of(graph, lambda _: 1.0, started="2026-01-01T00:00:00Z")
    new = measurement_of(graph, lambda _: 2.0, started="2026-01-02T00:00:00Z")
    for both in ((old, new), (new, old)):
        costs = price(graph, *both)
        assert costs.forward_s.tolist() == [2.0] * 4
        assert costs.notes == (
            "measured 2 times at this batch; the last counts, of 2026-01-02T00:00:00Z",
        )


def test_engines_are_not_mixed() -> None:
    graph = layers()
    cuda = measurement_of(graph)
    cuda["engine"] = {**cuda["engine"], "provider": "cuda"}
    for by_signature in (False, True):
        problem = refused(graph, measurement_of(graph), cuda, by_signature=by_signature)
        assert problem.code == "PLN321"
        assert problem.message == (
            "`device` was measured by onnxruntime cpu on 1 thread and onnxruntime cuda on "
            "1 thread, expected one of them"
        )
