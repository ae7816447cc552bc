"""Split runs: links take as long as their rate says, and halves compute what whole models do.

Nothing here depends on how long anything took.
"""

from __future__ import annotations

import os
import socket
import threading
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

import planner
from planner import zoo
from planner.drafts.frontend import LoadOptions
from planner.frontends.onnx_model.running.parts import with_types
from planner.graphs.graph import Graph
from planner.measuring.bundles import write_bundle
from planner.probe.bundle import Bundle
from tests.benchmarks.branched import branched
from tests.support import onnx_models as models

pytest.importorskip("onnxruntime")

from benchmarks.fidelity import cuts, forward
from benchmarks.fidelity import split_link as link
from benchmarks.fidelity import trial as trials
from benchmarks.fidelity.split_onnx import inference_cut
from benchmarks.fidelity.split_run import Order, hosts

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
    from benchmarks.fidelity import training

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
