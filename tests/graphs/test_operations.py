"""MACs and FLOPs against hand counts; the rule table against its own promises."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.drafts.assembly import assemble
from planner.drafts.draft import Draft, DraftOperator, DraftTensor, Operand, OperandKind
from planner.graphs import flop_rules
from planner.graphs.graph import Graph
from planner.graphs.operations import REARRANGING, forward_macs, lacks_shapes, rule_of

MACS = {
    # 112² outputs of 64 channels, each 3·7·7 products.
    "stem": ("Conv", [(2, 3, 224, 224), (64, 3, 7, 7)], (2, 64, 112, 112), {}, 236_027_904),
    "with bias": ("Conv", [(1, 2, 4, 4), (3, 2, 1, 1), (3,)], (1, 3, 4, 4), {}, 96),
    "depthwise": ("Conv", [(1, 32, 8, 8), (32, 1, 3, 3)], (1, 32, 8, 8), {"group": 32}, 18_432),
    "one axis": ("Conv", [(1, 4, 10), (8, 4, 3)], (1, 8, 8), {}, 768),
    "three axes": ("Conv", [(1, 1, 3, 3, 3), (2, 1, 3, 3, 3)], (1, 2, 1, 1, 1), {}, 54),
    "bias first": ("Conv", [(1, 2, 4, 4), (3,), (3, 2, 1, 1)], (1, 3, 4, 4), {}, 96),
    "fused": ("FusedConv", [(1, 2, 4, 4), (3, 2, 1, 1)], (1, 3, 4, 4), {}, 96),
    # 2·5·5 inputs, each spread over 3·2·2 outputs.
    "transposed": ("ConvTranspose", [(1, 2, 5, 5), (2, 3, 2, 2)], (1, 3, 10, 10), {}, 600),
    "integer": ("ConvInteger", [(1, 2, 4, 4), (3, 2, 1, 1), (), ()], (1, 3, 4, 4), {}, 96),
    "quantised": (
        "QLinearConv",
        [(1, 2, 4, 4), (), (), (3, 2, 1, 1), (3,), (3,), (), ()],
        (1, 3, 4, 4),
        {},
        96,
    ),
    "gemm": ("Gemm", [(8, 512), (1000, 512), (1000,)], (8, 1000), {"transB": 1}, 4_096_000),
    "gemm, transposed": ("Gemm", [(5, 2), (5, 3)], (2, 3), {"transA": 1}, 30),
    "gemm, swapped": ("Gemm", [(5, 3), (2, 5)], (2, 3), {}, 30),
    "gemm, bias first": ("Gemm", [(2, 5), (3,), (5, 3)], (2, 3), {}, 30),
    "linear": ("Linear", [(2, 7, 5), (3, 5), (3,)], (2, 7, 3), {}, 210),
    "quantised gemm": ("QGemm", [(2, 5), (), (), (5, 3), (), ()], (2, 3), {}, 30),
    "matmul": ("MatMul", [(2, 5), (5, 3)], (2, 3), {}, 30),
    "batched": ("MatMul", [(4, 2, 5), (4, 5, 3)], (4, 2, 3), {}, 120),
    "broadcast": ("MatMul", [(4, 2, 5), (5, 3)], (4, 2, 3), {}, 120),
    "heads": ("MatMul", [(1, 12, 128, 64), (1, 12, 64, 128)], (1, 12, 128, 128), {}, 12_582_912),
    "swapped": ("MatMul", [(5, 3), (4, 2, 5)], (4, 2, 3), {}, 120),
    "vector left": ("MatMul", [(5,), (5, 3)], (3,), {}, 15),
    "vector right": ("MatMul", [(2, 5), (5,)], (2,), {}, 10),
    "two vectors": ("MatMul", [(5,), (5,)], (), {}, 5),
    "quantised matmul": ("QLinearMatMul", [(2, 5), (), (), (5, 3), (), ()], (2, 3), {}, 30),
    "integer matmul": ("MatMulInteger", [(2, 5), (5, 3)], (2, 3), {}, 30),
    "fused, transposed": (
        "FusedMatMul",
        [(4, 5, 2), (4, 3, 5)],
        (4, 2, 3),
        {"transA": 1, "transB": 1},
        120,
    ),
    "packed": ("MatMulNBits", [(2, 64), (3, 2, 16)], (2, 3), {"K": 64, "N": 3}, 384),
    "empty": ("MatMul", [(0, 5), (5, 3)], (0, 3), {}, 0),
    "no operand shape": ("MatMul", [None, (5, 3)], (2, 3), {}, 0),
    "no output shape": ("Conv", [(1, 2, 4, 4), (3, 2, 1, 1)], None, {}, 0),
    "no such product": ("MatMul", [(2, 5), (4, 3)], (2, 3), {}, 0),
    "not counted": ("LSTM", [(6, 2, 3), (1, 16, 3), (1, 16, 4)], (6, 1, 2, 4), {}, 0),
    "activation": ("Relu", [(2, 3)], (2, 3), {}, 0),
    "unknown": ("FooOp", [(2, 3), (3, 2)], (2, 2), {}, 0),
}


@pytest.mark.parametrize("case", MACS, ids=str)
def test_macs_are_those_counted_by_hand(case: str) -> None:
    op, operands, out, attributes, expected = MACS[case]
    assert forward_macs(op, operands, [out], attributes) == expected


@given(
    batch=st.lists(st.integers(1, 4), max_size=2),
    sizes=st.tuples(*[st.integers(1, 9)] * 3),
    is_swapped=st.booleans(),
)
def test_a_product_counts_k_for_every_element_of_numpys_result(
    batch: list[int], sizes: tuple[int, int, int], is_swapped: bool
) -> None:
    rows, inner, columns = sizes
    a, b = np.ones((*batch, rows, inner)), np.ones((inner, columns))
    out = a @ b
    operands = [b.shape, a.shape] if is_swapped else [a.shape, b.shape]
    # Of ones, every element of the product is the number of terms in its sum.
    assert forward_macs("MatMul", operands, [out.shape], {}) == out.sum()
    assert forward_macs("Linear", operands, [out.shape], {}) == out.sum()


def test_a_missing_operand_counts_nothing() -> None:
    assert forward_macs("Conv", [(1, 2, 4, 4)], [(1, 3, 4, 4)], {}) == 0
    assert forward_macs("MatMul", [], [], {}) == 0


def one_operator(
    op: str,
    shapes: list[tuple[int, ...]],
    out: tuple[int, ...],
    *,
    attributes: dict[str, int | str] | None = None,
    forward_flops: float | None = None,
) -> Graph:
    """A graph of one operator whose operands are all graph inputs."""

    def tensor(name: str, shape: tuple[int, ...]) -> DraftTensor:
        return DraftTensor(name=name, size_bytes=4 * prod(shape), dtype="float32", shape=shape)

    operands = [Operand(OperandKind.TENSOR, f"x{i}", shape) for i, shape in enumerate(shapes)]
    return assemble(
        Draft(
            name="one",
            inputs=[tensor(f"x{i}", shape) for i, shape in enumerate(shapes)],
            outputs=["y"],
            parameters=[],
            operators=[
                DraftOperator(
                    name="op",
                    op=op,
                    operands=tuple(operands),
                    outputs=(tensor("y", out),),
                    attributes=attributes or {},
                    forward_flops=forward_flops,
                )
            ],
        )
    )


FLOPS = {
    "two per mac": ("MatMul", [(2, 5), (5, 3)], (2, 3), {}, 60),
    "one per output": ("Relu", [(4, 6)], (4, 6), {}, 24),
    "one per input": ("ReduceSum", [(4, 6)], (4, 1), {}, 24),
    "a view": ("Reshape", [(4, 6)], (24,), {}, 0),
    "a copy": ("Transpose", [(4, 6)], (6, 4), {}, 0),
    # 6 steps of batch 2: 16·3 weights for the input, 16·4 for the state.
    "recurrent": ("LSTM", [(6, 2, 3), (1, 16, 3), (1, 16, 4)], (6, 1, 2, 4), {}, 2688),
    "einsum": ("Einsum", [(2, 5), (5, 3)], (2, 3), {"equation": "ik, kj -> ij"}, 60),
    "unknown": ("FooOp", [(2, 3)], (2, 3), {}, 0),
}


@pytest.mark.parametrize("case", FLOPS, ids=str)
def test_flops_are_those_counted_by_hand(case: str) -> None:
    op, shapes, out, attributes, expected = FLOPS[case]
    graph = one_operator(op, shapes, out, attributes=attributes)
    assert graph.forward_flops[0] == expected


def test_fused_attention_counts_its_two_products() -> None:
    batch, heads, length, depth = 2, 3, 7, 4
    query, scores = (batch, heads, length, depth), (batch, heads, length, length)
    by_keys = forward_macs("MatMul", [query, (batch, heads, depth, length)], [scores], {})
    by_values = forward_macs("MatMul", [scores, query], [query], {})
    graph = one_operator("Attention", [query, query, query], query)
    assert graph.forward_flops[0] == 2 * (by_keys + by_values)


@pytest.mark.parametrize("case", FLOPS, ids=str)
@pytest.mark.parametrize("factor", [2, 3])
def test_flops_scale_with_the_batch(case: str, factor: int) -> None:
    op, shapes, out, attributes, expected = FLOPS[case]
    graph = replace(one_operator(op, shapes, out, attributes=attributes), batch=1)
    scaled = graph.rebatched(factor)
    assert scaled.forward_flops[0] == factor * expected


def test_stated_flops_go_first_and_scale() -> None:
    graph = one_operator("MatMul", [(2, 5), (2, 3)], (2, 3), forward_flops=7.0).rebatched(6)
    assert graph.forward_flops[0] == 21.0
    assert not lacks_shapes(graph.operators[0], graph.tensors)


def test_shapes_that_fit_nothing_are_told_from_products_of_nothing() -> None:
    wrong = one_operator("MatMul", [(2, 5), (4, 3)], (2, 3))
    empty = one_operator("MatMul", [(0, 5), (5, 3)], (0, 3))
    plain = one_operator("Relu", [(2, 3)], (2, 3))
    assert lacks_shapes(wrong.operators[0], wrong.tensors)
    assert not lacks_shapes(empty.operators[0], empty.tensors)
    assert not lacks_shapes(plain.operators[0], plain.tensors)


def test_no_type_is_in_two_rows_of_the_table() -> None:
    listed = Counter(name for _, names in flop_rules._ROWS for name in names.split())
    assert {name for name, count in listed.items() if count > 1} == set()


def test_what_rearranges_a_parameter_computes_no_products() -> None:
    families = {op: rule_of(op).family for op in REARRANGING}
    assert set(families.values()) == {"view", "copy", "cast", "quantization"}
    assert {"Expand", "Slice"}.isdisjoint(REARRANGING)
