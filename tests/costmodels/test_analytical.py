"""The cost model `analytical` against rooflines worked out by hand, and the hardware presets."""

from __future__ import annotations

import json
from importlib.resources import files

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.costmodels import presets
from planner.costs.cost_table import HostCosts
from planner.errors import PlannerError
from planner.files.documents import validate
from planner.graphs.graph import Graph
from tests.support.nets import Net, price


def flops_and_bytes(graph: Graph) -> tuple[HostCosts, HostCosts]:
    """Seconds at one FLOP/s and endless bandwidth, and at one byte/s and endless arithmetic."""
    return (
        price(graph, peak_flops=1.0, memory_bandwidth_bytes_per_s=1e24),
        price(graph, peak_flops=1e24, memory_bandwidth_bytes_per_s=1.0),
    )


def test_a_kernel_takes_the_longer_of_arithmetic_and_traffic_and_a_launch() -> None:
    net = Net(x=(2, 5))
    net.add("Gemm", "x", (2, 3), weights=((5, 3), (3,)))
    graph = net.graph()
    # 2·30 FLOPs; 40 bytes in, 60 + 12 of parameters, 24 out.
    figures = {"efficiency": 0.5, "overhead_s": 100.0}
    slow_arithmetic = price(graph, peak_flops=2.0, memory_bandwidth_bytes_per_s=10.0, **figures)
    slow_memory = price(graph, peak_flops=2.0, memory_bandwidth_bytes_per_s=1.0, **figures)
    assert slow_arithmetic.forward_s.tolist() == [160.0]
    assert slow_memory.forward_s.tolist() == [236.0]
    # The input needs no gradient; that of the weights reads 24 + 40 and writes 72 bytes.
    assert slow_arithmetic.backward_s.tolist() == [160.0]
    assert slow_memory.backward_s.tolist() == [236.0]


def test_inference_has_no_backward_pass() -> None:
    net = Net(x=(2, 5))
    net.add("Gemm", "x", (2, 3), weights=((5, 3),))
    costs = price(net.graph(), training=False, hardware="jetson-tx2")
    assert costs.forward_s.min() > 0
    assert costs.backward_s.tolist() == [0.0]


def test_a_product_of_activations_has_two_gradient_products() -> None:
    net = Net(x=(4, 6))
    net.add("Linear", "x", (4, 4), weights=((4, 6),))
    net.add("Linear", "x", (4, 4), weights=((4, 6),))
    net.add("MatMul", "n0 n1", (4, 4))
    arithmetic, traffic = flops_and_bytes(net.graph())
    assert arithmetic.forward_s[2] == 2 * 4 * 4 * 4
    assert arithmetic.backward_s[2] == 2 * arithmetic.forward_s[2]
    assert traffic.backward_s[2] == 2 * traffic.forward_s[2] == 2 * 3 * 64


BACKWARD_BYTES = {
    # Every operand has 96 bytes, and the output but for Concat's: per input, the gradient that
    # arrives is read, then what was saved, and the gradient is written.
    "Relu": 3 * 96,
    "Gelu": 3 * 96,
    "Mul": 2 * 3 * 96,
    "Add": 0,
    "Reshape": 0,
    "Concat": 2 * 2 * 96,
    "Transpose": 2 * 96,
    "ArgMax": 0,
    "Greater": 0,
    "FooOp": 2 * 4 * 96,
}


@pytest.mark.parametrize("op", BACKWARD_BYTES)
def test_gradients_move_what_their_rule_says(op: str) -> None:
    binary = op in ("Mul", "Add", "Concat", "Greater", "FooOp")
    net = Net(x=(4, 6))
    net.add("Mul", "x", (4, 6), weights=((1,),))
    net.add("Mul", "x", (4, 6), weights=((6,),))
    out = (8, 6) if op == "Concat" else (4, 6)
    net.add(op, "n0 n1" if binary else "n0", out)
    _, traffic = flops_and_bytes(net.graph("n2", *(() if binary else ("n1",))))
    assert traffic.backward_s[2] == BACKWARD_BYTES[op]


def test_a_broadcast_summand_costs_a_sum() -> None:
    net = Net(x=(4, 6))
    net.add("Add", "x", (4, 6), weights=((6,),))
    _, traffic = flops_and_bytes(net.graph())
    assert traffic.backward_s.tolist() == [96 + 24]


def test_a_table_lookup_moves_its_rows_forward_and_the_table_backward() -> None:
    net = Net(ids=(2, 3))
    net.add("Gather", "ids", (2, 3, 10), weights=((50_000, 10),))
    _, traffic = flops_and_bytes(net.graph())
    assert traffic.forward_s.tolist() == [2 * 240]
    assert traffic.backward_s.tolist() == [240 + 2_000_000]


def test_normalisation_sums_its_weight_gradients_on_the_way() -> None:
    net = Net(x=(4, 6))
    net.add("Mul", "x", (4, 6), weights=((1,),))
    net.add("BatchNormalization", "n0", (4, 6), weights=((6,), (6,)))
    _, traffic = flops_and_bytes(net.graph())
    operands, out, own = 96 + 48, 96, 96
    assert traffic.backward_s[1] == operands + out + own

    alone = Net(x=(4, 6))
    alone.add("BatchNormalization", "x", (4, 6), weights=((6,), (6,)))
    _, traffic = flops_and_bytes(alone.graph())
    assert traffic.backward_s[0] == operands + out + 48


def test_frozen_layers_have_no_weight_gradient_and_a_frozen_stem_no_backward_pass() -> None:
    net = Net(x=(4, 4))
    net.add("Linear", "x", (4, 4), weights=((4, 4),), trainable=False)
    net.add("Linear", "n0", (4, 4), weights=((4, 4),))
    net.add("Linear", "n1", (4, 4), weights=((4, 4),), trainable=False)
    arithmetic, _ = flops_and_bytes(net.graph())
    assert arithmetic.backward_s.tolist() == [0.0, 128.0, 128.0]


def test_a_view_costs_nothing_at_all() -> None:
    net = Net(x=(4, 6))
    net.add("Relu", "x", (4, 6))
    net.add("Reshape", "n0", (24,))
    costs = price(net.graph(), hardware="raspberry-pi-4")
    assert costs.forward_s[0] > costs.forward_s[1] == 0.0


def resnet50() -> Graph:
    """Its convolutions and classifier, with the shapes of the publication."""
    net = Net(x=(1, 3, 224, 224))

    def conv(reads: str, channels: int, kernel: int, size: int) -> str:
        shape = net.shapes[reads]
        assert shape is not None
        weight = (channels, shape[1], kernel, kernel)
        return net.add("Conv", reads, (1, channels, size, size), weights=(weight,))

    def block(entry: str, width: int, size: int, stride: int, is_first: bool) -> str:
        inner = conv(entry, width, 1, size * stride)
        inner = conv(conv(inner, width, 3, size), 4 * width, 1, size)
        shortcut = conv(entry, 4 * width, 1, size) if is_first else entry
        return net.add("Add", f"{inner} {shortcut}", (1, 4 * width, size, size))

    entry = net.add("MaxPool", conv("x", 64, 7, 112), (1, 64, 56, 56))
    stages = ((64, 56, 3), (128, 28, 4), (256, 14, 6), (512, 7, 3))
    for width, size, blocks in stages:
        for number in range(blocks):
            stride = 2 if number == 0 and width > 64 else 1
            entry = block(entry, width, size, stride, number == 0)
    pooled = net.add("GlobalAveragePool", entry, (1, 2048, 1, 1))
    flat = net.add("Flatten", pooled, (1, 2048))
    net.add("Gemm", flat, (1, 1000), weights=((2048, 1000), (1000,)))
    return net.graph()


def test_resnet50_matches_the_published_macs_and_the_measured_backward_ratio() -> None:
    graph = resnet50()
    macs = np.array([graph.macs(operator) for operator in graph.operators])
    assert round(macs.sum() / 1e9, 3) == 4.089
    arithmetic, _ = flops_and_bytes(graph)
    products = macs > 0
    forward, backward = arithmetic.forward_s[products], arithmetic.backward_s[products]
    # Measured with PyTorch's FLOP counter: 1.97, as the first layer needs no input gradient.
    assert backward.sum() / forward.sum() == pytest.approx(1.97, abs=0.005)
    assert (backward[1:] == 2 * forward[1:]).all()
    assert backward[0] == forward[0]


@pytest.mark.parametrize(
    ("dtype", "precision", "peak"),
    [
        ("float32", None, "float32"),
        ("float16", None, "float16"),
        ("bfloat16", None, "bfloat16"),
        ("float64", None, "float32"),
        ("float32", "float16", "float16"),
        ("float16", "float32", "float32"),
        ("float32", "int8", "int8"),
    ],
)
def test_the_peak_is_that_of_the_type(dtype: str, precision: str | None, peak: str) -> None:
    net = Net(dtype, x=(1, 4096, 4096))
    net.add("MatMul", "x", (1, 4096, 4096), weights=((4096, 4096),))
    costs = price(net.graph(), hardware="rtx-3090", precision=precision, overhead_s=0.0)
    preset = presets.get("rtx-3090")
    expected = 2 * 4096**3 / (preset.peak_flops.by_dtype()[peak] * preset.efficiency)
    assert costs.forward_s[0] == pytest.approx(expected, rel=1e-12)


def test_a_type_that_the_vendor_gives_no_peak_for_runs_as_float32() -> None:
    net = Net("bfloat16", x=(1, 4096, 4096))
    net.add("MatMul", "x", (1, 4096, 4096), weights=((4096, 4096),))
    graph = net.graph()
    assert price(graph, hardware="jetson-nano").forward_s == pytest.approx(
        2 * 4096**3 / (128 * 2 * 921.6e6 * 0.5), rel=1e-4
    )
    with pytest.raises(PlannerError, match="expected one of `float32`, `float16`") as caught:
        price(graph, hardware="jetson-nano", precision="bfloat16")
    assert (caught.value.code, caught.value.where) == (
        "PLN315",
        "costs.json: $.hosts[0].precision",
    )
    assert price(graph, hardware="jetson-nano", precision="bfloat16", peak_flops=1e12)


def test_the_hosts_figures_replace_the_presets() -> None:
    net = Net(x=(2, 5))
    net.add("Gemm", "x", (2, 3), weights=((5, 3), (3,)))
    own = {"peak_flops": 2.0, "memory_bandwidth_bytes_per_s": 1.0, "efficiency": 1.0}
    given = price(net.graph(), hardware="h100", overhead_s=7.0, **own)
    assert given.forward_s.tolist() == [136.0 + 7.0]
    kept = price(net.graph(), hardware="h100", **own)
    assert kept.forward_s.tolist() == [136.0 + presets.get("h100").overhead_s]


def test_what_has_no_rule_is_priced_by_bytes_and_reported_once() -> None:
    net = Net(x=(4, 6))
    for reads in ("x", "n0", "n1"):
        net.add("FooOp", reads, (4, 6))
    net.add("BarOp", "n2", (4, 6), forward_flops=50.0)
    net.add("MatMul", "n3 n2", None)
    costs = price(net.graph(), peak_flops=1.0, memory_bandwidth_bytes_per_s=1.0)
    assert costs.notes == (
        "no FLOP rule for `FooOp` (3 operators), priced by bytes alone",
        "the shapes of `MatMul` (1 operator) are unknown or do not fit, priced by bytes alone",
    )
    assert costs.forward_s.tolist() == [192, 192, 192, 192, 96 + 96 + 400]


def test_stated_flops_of_an_unknown_type_are_shared_by_its_input_gradients() -> None:
    net = Net(x=(4, 6))
    net.add("Mul", "x", (4, 6), weights=((1,),))
    net.add("Mul", "x", (4, 6), weights=((6,),))
    net.add("Block", "n0 n1", (4, 6), weights=((9,),), forward_flops=1000.0)
    arithmetic, _ = flops_and_bytes(net.graph())
    assert arithmetic.backward_s[2] == 2000.0


def test_figures_that_take_longer_than_a_lifetime_are_refused() -> None:
    net = Net(x=(4, 6))
    net.add("Relu", "x", (4, 6))
    with pytest.raises(PlannerError, match="longer than 1e\\+09 s: `n0`") as caught:
        price(net.graph(), peak_flops=5e-324, memory_bandwidth_bytes_per_s=1.0, efficiency=0.1)
    assert caught.value.code == "PLN316"


@st.composite
def chains(draw: st.DrawFn) -> Graph:
    """A few operators in a row, of every kind of rule, over square matrices."""
    size = draw(st.integers(1, 8))
    square = (size, size)
    net = Net(x=square)
    last = net.add("Linear", "x", square, weights=(square,))
    ops = ("Linear", "Relu", "Reshape", "Softmax", "Gather", "FooOp", "LayerNormalization", "Add")
    for op in draw(st.lists(st.sampled_from(ops), max_size=6)):
        is_weighted = op in ("Linear", "LayerNormalization") or draw(st.booleans())
        weights = ((square if op == "Linear" else (size,)),) if is_weighted else ()
        last = net.add(op, last, square, weights=weights, trainable=draw(st.booleans()))
    return net.graph()


@given(
    graph=chains(),
    peak=st.floats(1e3, 1e15),
    bandwidth=st.floats(1e3, 1e13),
    overhead=st.floats(0, 1e-3),
)
def test_faster_hardware_never_costs_more_and_no_kernel_less_than_its_launch(
    graph: Graph, peak: float, bandwidth: float, overhead: float
) -> None:
    def cost(faster: float, wider: float) -> HostCosts:
        return price(
            graph,
            peak_flops=peak * faster,
            memory_bandwidth_bytes_per_s=bandwidth * wider,
            overhead_s=overhead,
        )

    base = cost(1, 1)
    for other in (cost(2, 1), cost(1, 2), cost(2, 2)):
        assert (other.forward_s <= base.forward_s).all()
        assert (other.backward_s <= base.backward_s).all()
    is_view = np.array([operator.op == "Reshape" for operator in graph.operators])
    assert (base.forward_s[~is_view] >= overhead).all()
    assert not base.forward_s[is_view].any()
    assert not base.backward_s[is_view].any()
    assert np.isfinite(base.forward_s + base.backward_s).all()


@given(graph=chains(), factor=st.integers(2, 5))
def test_arithmetic_scales_with_the_batch(graph: Graph, factor: int) -> None:
    size = graph.batch or 1
    once, _ = flops_and_bytes(graph)
    often, _ = flops_and_bytes(graph.rebatched(factor * size))
    assert often.forward_s == pytest.approx(factor * once.forward_s)


EXPECTED_PRESETS = (
    "jetson-nano jetson-tx2 jetson-xavier-nx jetson-agx-xavier jetson-orin-nano jetson-orin-nx "
    "jetson-agx-orin raspberry-pi-4 raspberry-pi-5 laptop-cpu rtx-3090 rtx-a6000 a100 h100 h200"
)


def test_every_preset_is_valid_and_sources_every_figure() -> None:
    assert presets.names() == tuple(EXPECTED_PRESETS.split())
    document = json.loads((files("planner.costmodels") / "hardware.json").read_bytes())
    for entry in document["presets"]:
        preset = presets.get(entry["name"])
        assert preset.peak_flops.by_dtype() == entry["peak_flops"]
        assert {f"peak_flops.{dtype}" for dtype in entry["peak_flops"]} < set(preset.source)
        # Wider types are never faster, and no kernel of these machines waits for milliseconds.
        ordered = [entry["peak_flops"].get(dtype, 0) for dtype in ("float32", "float16", "int8")]
        assert [peak for peak in ordered if peak] == sorted(peak for peak in ordered if peak)
        assert 0 < preset.overhead_s < 1e-3
        assert preset.memory_bytes >= 4e9


def test_a_figure_without_a_source_is_refused() -> None:
    document = json.loads((files("planner.costmodels") / "hardware.json").read_bytes())
    entry = document["presets"][0]
    del entry["source"]["overhead_s"]
    with pytest.raises(PlannerError, match="overhead_s"):
        validate(presets.Preset, entry, "hardware.json")


def test_an_unknown_preset_names_the_nearest() -> None:
    net = Net(x=(4, 6))
    net.add("Relu", "x", (4, 6))
    with pytest.raises(PlannerError) as caught:
        price(net.graph(), hardware="jetson-tx3")
    error = caught.value
    assert (error.code, error.where) == ("PLN305", "costs.json: $.hosts[0].hardware")
    assert error.hint is not None
    assert error.hint.startswith("did you mean `jetson-tx2`?")
