"""The fidelity benchmark: split runs compute what whole ones do, figures are computed right.

Nothing here depends on how long anything took.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper

import planner
from planner import zoo
from planner.costs.profile_file import Profile, check_profile
from planner.drafts.frontend import LoadOptions
from planner.frontends.onnx_model.running.parts import with_types
from planner.graphs.graph import Graph
from planner.graphs.signatures import model_digest
from planner.measuring.bundles import write_bundle
from planner.probe.bundle import Bundle
from tests.conftest import ROOT
from tests.support import onnx_models as models

pytest.importorskip("onnxruntime")
sys.path.append(str(ROOT / "benchmarks"))  # the hosts' processes get it as well

import fidelity_cuts as cuts
import fidelity_forward as forward
import fidelity_report as report
import fidelity_trial as trials
import predictions
import profiling
import repeatability
import split_link as link
from split_onnx import inference_cut
from split_run import Order, hosts

CORES = (min(os.sched_getaffinity(0)), max(os.sched_getaffinity(0)))


class FakeClock:
    """Sleeps take as long as they should, and looking at the clock a microsecond."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        self.now += 1e-6
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def bucket(rate_bps: float | None, clock: FakeClock) -> link.TokenBucket:
    return link.TokenBucket(rate_bps=rate_bps, clock=clock, sleep=clock.sleep)


@pytest.mark.parametrize("rate_bps", [1e6, 5e7, 1e9])
@pytest.mark.parametrize("pieces", [[1_000_000], [4096] * 250, [1, 999_999], [7] * 1000])
def test_bytes_take_as_long_as_the_rate_says(rate_bps: float, pieces: list[int]) -> None:
    clock = FakeClock()
    limited = bucket(rate_bps, clock)
    begin = clock.now
    limited.begin()
    for piece in pieces:
        limited.wait(piece)
    # Whatever the pieces: what a wait is too long by is taken off the next. But looking at this
    # clock takes a microsecond.
    overhead = 1e-5 + 3e-6 * len(pieces) * (8 * min(pieces) / rate_bps < 3e-6)
    assert clock.now - begin == pytest.approx(8 * sum(pieces) / rate_bps, abs=overhead)


def test_time_without_sending_is_lost() -> None:
    clock = FakeClock()
    limited = bucket(1e6, clock)
    limited.wait(1000)
    clock.sleep(60)
    begin = clock.now
    limited.wait(1000)
    assert clock.now - begin == pytest.approx(0.008 - link.BURST_S, abs=1e-5)
    clock.sleep(60)
    begin = clock.now
    limited.begin()
    limited.wait(1000)
    assert clock.now - begin == pytest.approx(0.008, abs=1e-5)


def test_a_link_without_a_rate_takes_no_time() -> None:
    clock = FakeClock()
    begin = clock.now
    bucket(None, clock).wait(10**12)
    assert clock.now == begin


def test_chunks_are_small_beside_what_is_sent_in_a_second() -> None:
    assert [link.chunk_bytes(rate) for rate in (1e3, 5e7, 1e12)] == [4096, 12500, 262144]


@pytest.mark.parametrize("rate_bps", [None, 1e10])
def test_arrays_arrive_as_they_were_sent(rate_bps: float | None) -> None:
    sent = [np.arange(300_000, dtype=np.float32).reshape(3, -1), np.array(5), np.zeros((2, 0))]
    found = [np.empty_like(array) for array in sent]
    first, second = socket.socketpair()
    with first, second:
        thread = threading.Thread(target=link.send, args=(first, sent, rate_bps))
        thread.start()
        link.receive(second, found)
        thread.join()
        first.close()
        with pytest.raises(ConnectionError):
            link.receive(second, found)
    for one, other in zip(sent, found, strict=True):
        np.testing.assert_array_equal(one, other)


def branched(size: int = 8) -> bytes:
    """Two residual blocks, the second with a branch of three operators; an output inside."""
    node = helper.make_node
    weights = [
        models.values(f"w{k}", np.random.default_rng(k).normal(0, 0.3, (size, size)), np.float32)
        for k in range(5)
    ]
    return models.model(
        [
            node("MatMul", ["x", "w0"], ["a"], name="a"),
            node("Relu", ["a"], ["b"], name="b"),
            node("MatMul", ["b", "w1"], ["c"], name="c"),
            node("Add", ["c", "a"], ["d"], name="d"),
            node("MatMul", ["d", "w2"], ["e"], name="e"),
            node("Tanh", ["e"], ["f"], name="f"),
            node("MatMul", ["f", "w3"], ["g"], name="g"),
            node("MatMul", ["d", "w4"], ["h"], name="h"),
            node("Add", ["g", "h"], ["i"], name="i"),
            node("Sigmoid", ["i"], ["y"], name="y"),
        ],
        [models.tensor("x", [4, size])],
        [models.tensor("y", [4, size]), models.tensor("d", [4, size])],
        weights,
    )


def is_closed(graph: Graph, on_device: frozenset[str]) -> bool:
    return all(
        graph.tensors[t].producer < 0
        or graph.operators[graph.tensors[t].producer].name in on_device
        for operator in graph.operators
        if operator.name in on_device
        for t in operator.inputs
    )


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "gpt2"])
def test_places_are_closed_distinct_and_keep_groups_together(name: str) -> None:
    graph = planner.load(zoo.build(name, sequence=8).SerializeToString())
    names = [operator.name for operator in graph.operators]
    groups = [names[k : k + 3] for k in range(0, 30, 3)]
    found = cuts.places(graph, groups, n_prefixes=6, n_inside=6)
    assert len({place.on_device for place in found}) == len(found) >= 12
    assert sum(len(cuts.crossing(graph, place.on_device)) > 1 for place in found) >= 6
    for place in found:
        assert is_closed(graph, place.on_device), place.name
        for group in groups:
            assert len(place.on_device.intersection(group)) in (0, 3), place.name


def test_groups_that_enclose_others_are_joined_with_them() -> None:
    graph = models.load(branched())
    # `c` lies between `b` and `d`, so that no closed set has one of the group without the other.
    units = cuts.ordered(graph, cuts.units(graph, [("b", "d")]))
    assert units[0] == {"a"}
    assert units[1] == {"b", "c", "d"}
    assert len(units) == 8


def test_split_runs_compute_what_the_whole_model_computes(tmp_path: Path) -> None:
    data = branched()
    graph = models.load(data)
    model = with_types(onnx.load_from_string(data))
    feeds = forward.random_inputs(graph)
    places = cuts.places(graph, [], n_prefixes=3, n_inside=4)
    assert any(place.name.startswith("inside") for place in places)
    levels = ("disabled", "all")
    made = [
        inference_cut(
            place.name, model, place.on_device, folder=tmp_path, feeds=feeds, levels=levels
        )
        for place in places
    ]
    sizes = {tensor.name: tensor.size_bytes for tensor in graph.tensors}
    outputs = []
    with hosts(CORES, made) as both:
        for index, (place, cut) in enumerate(zip(places, made, strict=True)):
            run = both.run(Order(cut=index, uplink_bps=1e9))
            assert run.delay_s >= max(run.device_s, run.server_s, run.uplink_s) > 0
            # What the planner charges is what is sent.
            sent = sum(np.dtype(dtype).itemsize * int(np.prod(shape)) for dtype, shape in cut.up)
            assert sent == sum(sizes[name] for name in cuts.crossing(graph, place.on_device))
            outputs.append(both.outputs(index))
    assert all(found.keys() == {"y", "d"} for found in outputs)
    for found in outputs[1:]:
        for name, array in outputs[0].items():
            np.testing.assert_allclose(found[name], array, atol=1e-5)


def test_split_training_steps_change_weights_as_whole_ones_do(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="the extra `torch` is not installed")
    import fidelity_training as training

    # Large enough that the frontend takes the matrices for weights without looking at values.
    source, bundle = tmp_path / "net.onnx", tmp_path / "bundle"
    source.write_bytes(branched(96))
    bundle.mkdir()
    write_bundle(bundle, source, options=LoadOptions())
    graph = planner.load(source)
    places = cuts.places(graph, [], n_prefixes=3, n_inside=4)
    made = [training.training_cut(graph, bundle, place, learning_rate=10.0) for place in places]
    assert any(cut.down for cut in made)
    assert all(len(cut.down) < len(cut.up) for cut in made if cut.name == "server-only")
    found = []
    with hosts(CORES, made) as both:
        for index in range(len(made)):
            runs = [both.run(Order(cut=index)) for _ in range(3)]
            assert all(run.delay_s >= run.device_s + run.server_s > 0 for run in runs)
            found.append(both.outputs(index))
    first = {name: Bundle(bundle).weight(name) for name in ("w0", "w1", "w2", "w3", "w4")}
    for name, array in found[0].items():
        if name in first:
            assert np.abs(array - first[name]).max() > 1e-3, name
        for other in found[1:]:
            np.testing.assert_allclose(other[name], array, atol=1e-5, err_msg=name)
    assert all(result.keys() == found[0].keys() > first.keys() for result in found)


def test_a_host_that_fails_says_why(tmp_path: Path) -> None:
    model = with_types(onnx.load_from_string(branched()))
    cut = inference_cut(
        "bad", model, frozenset({"a"}), folder=tmp_path, feeds={}, levels=("basic", "basic")
    )
    with pytest.raises(RuntimeError, match="a host failed"), hosts(CORES, [cut]) as both:
        both.run(Order(cut=0))


def test_trial_runs_all_places_and_the_chosen_ones(tmp_path: Path) -> None:
    data = branched()
    graph = models.load(data)
    rows = [{"name": operator.name, "forward_s": 0.001} for operator in graph.operators]
    fast = [{"name": row["name"], "forward_s": 0.0001} for row in rows]
    model = trials.Model(
        graph=graph,
        hosts=(
            {"name": "device", "model": "table", "nodes": rows},
            {"name": "server", "model": "table", "nodes": fast},
        ),
        mode="inference",
        places=cuts.places(graph, [], n_prefixes=2, n_inside=1),
        make=partial(
            forward._cut,
            with_types(onnx.load_from_string(data)),
            tmp_path,
            forward.random_inputs(graph),
            ("basic", "all"),
        ),
    )
    assert trials.rates_for(model) == trials.RATES
    found = trials.trial(model, cores=CORES, rates=(1e5, 1e9), repeat=2)
    assert {cut.name for cut in found} >= {"device-only", "server-only"}
    assert len(found) == len({cut.name for cut in found})
    for index in range(2):
        assert sum(cut.states[index].is_chosen for cut in found) == 1
    only = {cut.name: cut for cut in found}
    assert only["device-only"].n_crossing == 0
    assert only["device-only"].states[0].predicted_s == pytest.approx(0.010)
    assert only["server-only"].up_bytes == 4 * 8 * 4
    assert only["server-only"].states[0].predicted_s == pytest.approx(0.001 + 8 * 128 / 1e5)
    # A token bucket can only make it slower.
    assert only["server-only"].states[0].measured_s >= 8 * 128 / 1e5


def cut_result(name: str, *states: tuple[float, float, bool]) -> report.CutResult:
    return report.CutResult(
        name=name,
        n_on_device=1,
        n_crossing=1,
        up_bytes=4,
        predicted_device_s=0.1,
        device_s=0.1,
        predicted_server_s=0.1,
        server_s=0.1,
        states=tuple(
            report.State(
                uplink_bps=rate,
                predicted_s=predicted,
                measured_s=measured,
                spread_s=0.0,
                undisturbed_s=measured / 1.25,
                is_chosen=chosen,
            )
            for rate, (predicted, measured, chosen) in zip((5e7, 1e9), states, strict=True)
        ),
    )


def fidelity(mode: str = "inference") -> report.ModelFidelity:
    return report.ModelFidelity(
        model="net",
        mode=mode,
        batch=1,
        n_operators=3,
        repeat=2,
        cuts=(
            cut_result("one", (1.1, 1.0, True), (1.0, 1.0, False)),
            cut_result("two", (2.0, 2.5, False), (0.9, 1.25, True)),
        ),
        seconds=1.0,
    )


def test_figures_are_computed_right() -> None:
    found = fidelity()
    assert found.mean_error == pytest.approx((0.1 + 0 + 0.2 + 0.28) / 4)
    assert found.worst_error == pytest.approx(0.28)
    assert found.regrets == {5e7: 0.0, 1e9: pytest.approx(0.25)}
    assert [text.split(": ")[1].split()[0] for text in found.misses] == ["mean", "regret", "2"]
    assert "mean" not in " ".join(fidelity("training").misses)
    (row,) = report.table([found])[2:]
    assert row == (
        "| net | inference | 2 | 0 | 50 Mbit/s, 1 Gbit/s | 14.5% | 28.0% | 0.0% | 0.0%, 25.0% "
        "| 18.1%, 25.0% | one, two |"
    )


def test_report_is_stored_and_read(tmp_path: Path) -> None:
    stored = report.Fidelity(
        is_quick=True,
        machine={"processor": "p", "cores": 2, "python": "3", "libraries": {"numpy": "2"}},
        settings={"repeat": "2"},
        models=(fidelity(),),
        notes=(),
    )
    report.write(stored, tmp_path / "found.json")
    assert report.read(tmp_path / "found.json") == stored
    assert "p, 2 cores" in "\n".join(report.summary(stored))
    assert "one" in "\n".join(report.details(stored.models[0]))


def profile_of(graph: Graph, seconds: list[float]) -> Profile:
    """A profile of the device; the first two operators ran as one kernel."""

    def timing(typical_s: float) -> dict[str, object]:
        return {"typical_s": typical_s, "n_runs": 3, "origin": "measured", "method": "test"}

    nodes = [
        {"name": operator.name, "op": operator.op, "forward": timing(s)}
        for operator, s in zip(graph.operators, seconds, strict=True)
    ]
    total = sum(seconds)
    measurement = {
        "model": graph.name,
        "digest": model_digest(graph),
        "batch": graph.batch,
        "mode": "inference",
        "engine": {"name": "test", "version": "1"},
        "started": "",
        "is_complete": True,
        "whole": {"forward": timing(total), "sum_forward_s": 1.02 * total},
        "nodes": nodes,
        "groups": [{"nodes": [graph.operators[0].name, graph.operators[1].name], "reason": "test"}],
    }
    document = {"kind": "profile", "version": 1, "machine": {"name": "test"}}
    return check_profile(document | {"measurements": [measurement]}, "test")


def test_profiles_are_compared_by_what_their_plans_cost() -> None:
    graph = models.load(branched(96))
    size = len(graph.operators)
    even = profile_of(graph, [0.01, 0.0, *[0.01] * (size - 2)])
    same = repeatability.compare("net", graph, even, even, 20, 1.0)
    assert (same.states, same.same, same.near, same.worst, same.share) == (20, 20, 0, 0.0, 1.0)
    assert same.whole_s == pytest.approx((0.09, 0.09))
    slow = profile_of(graph, [1e-9, 0.0, *[1e-9] * (size - 2)])
    other = repeatability.compare("net", graph, even, slow, 20, 1.0)
    # By the second profile the device is faster than anything that has to cross.
    assert other.same == 0
    assert other.worst > 1
    assert other.share < 0.5
    assert "| net | 20 | 0.0% |" in repeatability.table([other])[2]


def test_sums_and_seconds_are_judged() -> None:
    found = profiling.Profiling(
        machine={"processor": "p", "cores": 2, "python": "3", "libraries": {}},
        default_s=61.0,
        models=[
            {"model": "good", "whole_s": 1.0, "sum_s": 0.98, "n_groups": 1, "seconds": 1.0},
            {"model": "bad", "whole_s": 1.0, "sum_s": 1.04, "n_groups": 1, "seconds": 1.0},
        ],
    )
    assert found.misses == ["bad: sum is +4.0% off the whole", "resnet50: 61 s > 60 s"]
    assert "| bad | 1000.00 | 1040.00 | +4.00% | 1 | 1.0 |" in profiling.table(found)


def test_page_shows_the_stored_runs() -> None:
    page = (ROOT / "docs" / "profiles.md").read_text(encoding="utf-8")
    shown = page.partition(predictions.BEGIN)[2].partition(predictions.END)[0]
    assert shown.strip() == predictions.render()
