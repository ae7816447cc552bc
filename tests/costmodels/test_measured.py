"""The cost model `measured`: what a profile says is charged, or refused with the reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.costmodels.measured import COST_MODEL
from planner.costs.cost_file import Costs, MeasuredHost, TableHost, check_costs
from planner.costs.cost_table import HostCosts, has_backward
from planner.costs.pricing import priced
from planner.costs.profile_file import check_profile
from planner.errors import PlanError, PlannerError, PluginError
from planner.evaluation.delay import evaluate, violations
from planner.graphs.gradients import needs_gradient
from planner.graphs.graph import Graph
from planner.graphs.signatures import input_shapes, model_digest
from planner.plans.planning import plan
from planner.problems.enumeration import enumerate_placements
from planner.problems.formulation import build_problem
from planner.verification.verifying import verify
from tests.support.nets import Net, context_of
from tests.support.profiles import Seconds, measurement_of, profile_document
from tests.support.strategies import problems
from tests.support.toys import costs_document, diamond

PLACE = "bench.json: $.measurements"


def host(*measurements: dict[str, Any], by_signature: bool = False) -> MeasuredHost:
    profile = check_profile(profile_document(*measurements), "bench.json")
    return MeasuredHost(name="device", model="measured", profile=profile, by_signature=by_signature)


def price(
    graph: Graph, *measurements: dict[str, Any], training: bool = False, by_signature: bool = False
) -> HostCosts:
    options = host(*measurements, by_signature=by_signature)
    return COST_MODEL.cost(graph, options, context_of(graph, training=training))


def refused(graph: Graph, *measurements: dict[str, Any], **how: bool) -> PlannerError:
    with pytest.raises(PlannerError) as caught:
        price(graph, *measurements, **how)
    (problem,) = caught.value.problems
    assert isinstance(problem, PluginError)
    assert str(problem.where).startswith(PLACE)
    assert problem.hint
    return problem


def layers(length: int = 3, *, width: int = 4, batch: int = 2, op: str = "Linear") -> Graph:
    """Layers in a row, `n0`, `n1`, …, each with a parameter, and a Relu at the end."""
    net = Net(x=(batch, width))
    for number in range(length):
        reads = f"n{number - 1}" if number else "x"
        net.add(op, reads, (batch, width), weights=((width, width),))
    net.add("Relu", f"n{length - 1}", (batch, width))
    return net.graph()


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


def upsampled(factor: int, *, batch: int = 2) -> Graph:
    """A graph of which a constant, which is not in it, tells how large what it writes is."""
    net = Net(x=(batch, 8))
    net.add("Resize", "x", (batch, 8 * factor))
    net.add("Relu", "n0", (batch, 8 * factor))
    return net.graph()


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


def test_backward_of_a_group_is_that_of_the_members_that_have_one() -> None:
    net = Net(x=(2, 4))
    net.add("Relu", "x", (2, 4))
    net.add("Linear", "n0", (2, 4), weights=((4, 4),))
    graph = net.graph()
    measured = measurement_of(graph, [1.0, 2.0], [8.0, 16.0], groups=[("n0", "n1")])
    costs = price(graph, measured, training=True)
    assert costs.forward_s.tolist() == [3.0, 0.0]
    assert costs.backward_s.tolist() == [0.0, 24.0]
    measured["nodes"][1]["backward"] = None
    assert price(graph, measured, training=True).backward_s.tolist() == [0.0, 24.0]


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


def measured_like(
    graph: Graph, costs: Costs, groups: list[list[list[str]]] | None = None
) -> tuple[Costs, Costs]:
    """The same numbers in tables and in profiles, there with the groups of each host."""
    is_training = costs.workload.mode == "training"
    back = has_backward(graph, needs_gradient(graph))
    tables, profiles = [], []
    for position, entry in enumerate(costs.hosts):
        assert isinstance(entry, TableHost)
        own = groups[position] if groups else []
        rows = {row.node: row for row in entry.nodes}
        names = [operator.name for operator in graph.operators]
        forward = [rows[name].forward_s for name in names]
        backward = [
            (rows[name].backward_s or 0.0) if is_back else 0.0
            for name, is_back in zip(names, back, strict=True)
        ]
        nodes = [
            {"name": name, "forward_s": f, "backward_s": b}
            for name, f, b in zip(names, forward, backward, strict=True)
        ]
        memory = {"memory_bytes": entry.memory_bytes}
        tables.append({"name": entry.name, "model": "table", "nodes": nodes, **memory})
        measured = measurement_of(graph, forward, backward if is_training else None, groups=own)
        profile = profile_document(measured)
        profiles.append({"name": entry.name, "model": "measured", "profile": profile, **memory})
    base = costs.model_dump(mode="json", by_alias=True)
    one, other = (check_costs(base | {"hosts": hosts}, "c") for hosts in (tables, profiles))
    return one, other


@settings(max_examples=80, deadline=None)
@given(problems(max_operators=6))
def test_plan_is_that_of_a_table_with_the_same_numbers(case: tuple[Graph, Costs]) -> None:
    graph, costs = case
    table, measured = measured_like(graph, costs)
    try:
        expected = plan(graph, table, baselines=())
    except PlanError as error:
        with pytest.raises(PlanError, match=error.code):
            plan(graph, measured, baselines=())
        return
    made = plan(graph, measured, baselines=())
    assert made.placement == expected.placement
    assert made.total_s == expected.total_s
    again = check_costs(measured.model_dump(mode="json", by_alias=True), "again")
    assert again.digest == measured.digest


@settings(max_examples=80, deadline=None)
@given(problems(max_operators=6), st.data())
def test_plan_with_groups_is_the_best_that_keeps_them_together(
    case: tuple[Graph, Costs], data: st.DataObject
) -> None:
    graph, costs = case
    of_hosts = []
    for _ in costs.hosts:
        names = data.draw(st.permutations([operator.name for operator in graph.operators]))
        size = data.draw(st.integers(2, 3))
        own = [names[i : i + size] for i in range(0, len(names), size)]
        of_hosts.append([group for group in own if len(group) > 1 and data.draw(st.booleans())])
    groups = [group for own in of_hosts for group in own]
    table, measured = measured_like(graph, costs, of_hosts)
    indices = [[graph.operator_index[name] for name in group] for group in groups]
    hosts = [entry.name for entry in costs.hosts]
    totals = []
    try:
        placements = enumerate_placements(build_problem(graph, table))
    except PlanError:
        placements = np.zeros((0, len(graph.operators)), np.int64)
    for placement in placements:
        if all(len({int(placement[v]) for v in group}) == 1 for group in indices):
            at = {op.name: hosts[int(h)] for op, h in zip(graph.operators, placement, strict=True)}
            totals.append(evaluate(graph, table, at).total_s)
    if not totals:
        with pytest.raises(PlanError):
            plan(graph, measured, baselines=())
        return
    for solver in ("auto", "maxflow", "pulp"):
        made = plan(graph, measured, solver, baselines=())
        assert made.total_s == pytest.approx(min(totals), rel=1e-6)
        for group in groups:
            assert len({made.placement[name] for name in group}) == 1
    assert verify(plan(graph, measured), graph, measured).ok


def grouped_costs(*groups: tuple[str, ...], **changes: object) -> tuple[Graph, Costs]:
    graph = diamond()
    document: dict[str, Any] = costs_document(graph, 2, **changes)
    profile = profile_document(measurement_of(graph, backward=lambda _: 0.1, groups=groups))
    document["hosts"] = [
        {"name": "device", "model": "measured", "profile": profile},
        *document["hosts"][1:],
    ]
    return graph, check_costs(document, "c.json")


def test_groups_of_any_host_are_kept_together_and_told() -> None:
    graph, costs = grouped_costs(("left", "right"), ("mid", "join"), together=[["right", "left"]])
    scenario, table = priced(graph, costs)
    index = graph.operator_index
    assert scenario.rules.together == (
        (index["right"], index["left"]),
        (index["mid"], index["join"]),
    )
    assert table.notes == (
        "`device`: 2 groups of operators that it runs as one kernel are kept together",
    )
    hosts = np.array([1 if op.name == "join" else 0 for op in graph.operators])
    (broken,) = violations(graph, scenario, hosts)
    assert broken.message == (
        "`mid` and `join` are kept together (`device` runs them as one kernel), "
        "but are placed apart"
    )
    both = replace(scenario, kernels=(*scenario.kernels, (1, scenario.rules.together[1])))
    (broken,) = violations(graph, both, hosts)
    assert "(`device` and `h1` run them as one kernel)" in broken.message


def test_a_chain_of_reasons_names_the_kernel_and_its_host() -> None:
    pins = [{"node": "stem", "host": "device"}, {"node": "join", "host": "h1"}]
    graph, costs = grouped_costs(("stem", "join"), pins=pins)
    with pytest.raises(PlanError) as caught:
        plan(graph, costs)
    assert caught.value.code == "PLN401"
    assert "they are together: `device` runs them as one kernel" in caught.value.message
    assert "$" not in caught.value.message
    assert "--no-fusion" in str(caught.value.hint)


def test_a_memory_conflict_names_the_kernel_and_its_host() -> None:
    pins = [{"node": "stem", "host": "device"}]
    graph, costs = grouped_costs(("stem", "join"), pins=pins)
    limited = costs.hosts[0].model_copy(update={"memory_bytes": 2_500_000})
    costs = costs.model_copy(update={"hosts": (limited, *costs.hosts[1:])})
    with pytest.raises(PlanError) as caught:
        plan(graph, costs)
    assert caught.value.code == "PLN406"
    kernel = "`stem`, `join` are together: `device` runs them as one kernel"
    assert kernel in caught.value.message


def test_groups_beyond_the_graph_are_a_defect_of_the_cost_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    graph, costs = grouped_costs()
    wrong = HostCosts(forward_s=np.zeros(5), backward_s=np.zeros(5), together=((0, 5),))
    monkeypatch.setattr(type(COST_MODEL), "cost", lambda *_: wrong)
    with pytest.raises(PluginError) as caught:
        plan(graph, costs)
    assert caught.value.code == "PLN309"
