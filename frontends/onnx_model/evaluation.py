"""Evaluation of shape arithmetic: what constants and static shapes determine, computed once.

Only operators on the list below are computed, because for each of them the size of the result is
known before it is made: a file can ask for a terabyte of zeros in thirty bytes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from math import ceil, prod

import numpy as np
import onnx
from onnx import helper

from planner.frontends.onnx_model.nodes import Node
from planner.frontends.onnx_model.values import MAX_ELEMENTS, Array

_MAX_TOTAL = 2**24
"""Elements computed for one model; above that the rest stays unevaluated."""

Limit = Callable[[Node, Sequence[Array]], float]


def _as_first(node: Node, arrays: Sequence[Array]) -> float:
    return arrays[0].size


def _broadcast(node: Node, arrays: Sequence[Array]) -> float:
    return prod(np.broadcast_shapes(*(array.shape for array in arrays)))


def _sum(node: Node, arrays: Sequence[Array]) -> float:
    return sum(array.size for array in arrays)


def _gather(node: Node, arrays: Sequence[Array]) -> float:
    data, indices = arrays[0], arrays[1]
    axis = node.attributes.get("axis", 0)
    width = data.shape[axis] if isinstance(axis, int) else 1
    return data.size // max(width, 1) * indices.size


def _gather_nd(node: Node, arrays: Sequence[Array]) -> float:
    return arrays[0].size * prod(arrays[1].shape[:-1])


def _by_indices(node: Node, arrays: Sequence[Array]) -> float:
    return arrays[1].size


def _non_zero(node: Node, arrays: Sequence[Array]) -> float:
    return arrays[0].size * max(arrays[0].ndim, 1)


def _filled(node: Node, arrays: Sequence[Array]) -> float:
    return prod(int(d) for d in arrays[0].reshape(-1).tolist())


def _expand(node: Node, arrays: Sequence[Array]) -> float:
    target = tuple(int(d) for d in arrays[1].reshape(-1).tolist())
    return prod(np.broadcast_shapes(arrays[0].shape, target))


def _tile(node: Node, arrays: Sequence[Array]) -> float:
    return arrays[0].size * prod(int(d) for d in arrays[1].reshape(-1).tolist())


def _range(node: Node, arrays: Sequence[Array]) -> float:
    start, limit, delta = (float(array.item()) for array in arrays)
    return max(ceil((limit - start) / delta), 0)


_AS_FIRST = (
    "Abs ArgMax ArgMin BitwiseNot Cast Ceil Clip CumSum Exp Flatten Floor Identity IsInf IsNaN Log "
    "Neg Not Reciprocal ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
    "ReduceSumSquare Reshape Round ScatterElements ScatterND Sign Slice Split Sqrt Squeeze "
    "Transpose Trilu Unsqueeze"
)
_BROADCAST = (
    "Add And BitShift BitwiseAnd BitwiseOr BitwiseXor Div Equal Greater GreaterOrEqual Less "
    "LessOrEqual Max Min Mod Mul Or Pow Sub Sum Where Xor"
)
_LIMITS: dict[str, Limit] = {
    **dict.fromkeys(_AS_FIRST.split(), _as_first),
    **dict.fromkeys(_BROADCAST.split(), _broadcast),
    "Concat": _sum,
    "ConstantOfShape": _filled,
    "Expand": _expand,
    "Gather": _gather,
    "GatherElements": _by_indices,
    "GatherND": _gather_nd,
    "NonZero": _non_zero,
    "Range": _range,
    "Tile": _tile,
}
"""An upper bound of the elements of the result, by operator; others are not evaluated."""


class Evaluator:
    """Computes operators on small known values; equal computations once per model."""

    def __init__(self, opset: int) -> None:
        self._opset = opset
        self._cache: dict[tuple[object, ...], tuple[Array, ...] | None] = {}
        self._total = 0

    def evaluate(
        self, node: Node, arrays: Sequence[Array | None], names: Sequence[str]
    ) -> tuple[Array, ...] | None:
        """The outputs of `node`, or None where they are not computed.

        Args:
            node: The operator.
            arrays: Values of its inputs; None where one is left out.
            names: `array_name` of each, "" where one is left out.
        """
        if node.domain or node.bodies or node.op not in _LIMITS or not node.is_pure:
            return None
        key = (node.op, tuple(sorted(node.attributes.items())), tuple(names), len(node.outputs))
        if key not in self._cache:
            self._cache[key] = self._compute(node, arrays)
        return self._cache[key]

    def _compute(self, node: Node, arrays: Sequence[Array | None]) -> tuple[Array, ...] | None:
        given = [array for array in arrays if array is not None]
        # A model is untrusted: its operators may be called with any values, of any types, and the
        # reference implementations check next to nothing. Whatever they raise means "not computed".
        try:
            size = _LIMITS[node.op](node, given)
            if not 0 <= size <= MAX_ELEMENTS or self._total + size > _MAX_TOTAL:
                return None
            self._total += int(size) + 1
            with warnings.catch_warnings(), np.errstate(all="ignore"):
                warnings.simplefilter("ignore")
                arrays_out = tuple(self._run(node, arrays))
        except Exception:  # noqa: BLE001
            return None
        if len(arrays_out) != len(node.outputs):
            return None
        return arrays_out if all(a.size <= MAX_ELEMENTS for a in arrays_out) else None

    def _run(self, node: Node, arrays: Sequence[Array | None]) -> list[Array]:
        from onnx.reference import ReferenceEvaluator

        feeds = {
            f"i{position}": array for position, array in enumerate(arrays) if array is not None
        }
        proto = onnx.NodeProto()
        proto.CopyFrom(node.proto)
        del proto.input[:], proto.output[:]
        proto.input.extend(f"i{k}" if a is not None else "" for k, a in enumerate(arrays))
        proto.output.extend(f"o{k}" for k in range(len(node.outputs)))
        untyped = onnx.TypeProto()
        graph = helper.make_graph(
            [proto],
            "evaluated",
            [helper.make_value_info(name, untyped) for name in feeds],
            [helper.make_value_info(name, untyped) for name in proto.output],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self._opset)])
        return [np.asarray(result) for result in ReferenceEvaluator(model).run(None, feeds)]


def shape_value(node: Node, shape: tuple[int, ...] | None) -> Array | None:
    """The result of a `Shape` or `Size` operator on a tensor of static shape."""
    if shape is None or len(node.outputs) != 1:
        return None
    if node.op == "Size":
        elements = prod(shape)
        return np.array(elements, np.int64) if elements < 2**63 else None
    start, end = node.attributes.get("start", 0), node.attributes.get("end", len(shape))
    if not isinstance(start, int) or not isinstance(end, int):
        return None
    return np.array(shape[start:end], np.int64)
