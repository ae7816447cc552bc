"""Backward passes of convolutions and matrix products as ONNX models of standard operators.

For machines that cannot compute gradients otherwise: each model reads what the operator reads and
the gradient of its result, and makes the gradients of its inputs and the weights after one step
of gradient descent. Shapes are fixed, numbers are float32.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx

from planner.arrays import BoolArray
from planner.drafts.runnable import Json
from planner.graphs.gradients import needs_gradient
from planner.graphs.graph import Graph
from planner.graphs.operators import Operator, Shape
from planner.graphs.signatures import operator_signature
from planner.measuring.gradient_drafts import Draft, Window


def write_gradient_models(folder: Path, graph: Graph) -> list[dict[str, Json]]:
    """Write one model for each distinct operator that has a formulation, into `gradients/`.

    Args:
        folder: The bundle's.
        graph: The model, at the batch to be measured.

    Returns:
        For the manifest: `file`, `operators` (names), `inputs` (`name`, `dtype`, `shape`).
    """
    found: dict[tuple[str, bool, bool], tuple[onnx.ModelProto, list[str]]] = {}
    needed = needs_gradient(graph)
    for index, operator in enumerate(graph.operators):
        if operator.op not in _FORMULAS or operator.domain:
            continue
        wanted = _Wanted.of(graph, operator, needed)
        key = (operator_signature(graph, index), wanted.data, wanted.weight)
        if key in found:
            found[key][1].append(operator.name)
            continue
        model = gradient_model(graph, operator, wanted)
        if model is not None:
            found[key] = (model, [operator.name])
    if found:
        (folder / "gradients").mkdir(exist_ok=True)
    entries: list[dict[str, Json]] = []
    for number, (model, names) in enumerate(found.values()):
        file = f"gradients/{number:03}.onnx"
        (folder / file).write_bytes(model.SerializeToString())
        inputs: list[Json] = [
            {
                "name": value.name,
                "dtype": "float32",
                "shape": [dim.dim_value for dim in value.type.tensor_type.shape.dim],
            }
            for value in model.graph.input
        ]
        entries.append({"file": file, "operators": list(names), "inputs": inputs})
    return entries


class _Wanted(NamedTuple):
    """Whether a gradient goes to an operator's activations, and to its parameters."""

    data: bool
    weight: bool

    @classmethod
    def of(cls, graph: Graph, operator: Operator, needed: BoolArray) -> _Wanted:
        return cls(
            any(bool(needed[t]) for t in operator.inputs),
            any(graph.parameters[p].trainable for p in operator.parameters),
        )


def gradient_model(graph: Graph, operator: Operator, wanted: _Wanted) -> onnx.ModelProto | None:
    """The backward pass of one operator; None if it needs none or has no formulation here."""
    operands = operator.operand_shapes
    if not any(wanted) or len(operator.outputs) != 1 or len(operands) < 2:
        return None
    result, data = graph.tensors[operator.outputs[0]], graph.tensors[operator.inputs[0]]
    first, second = operands[0], operands[1]
    if first is None or second is None or result.shape is None or data.shape != first:
        return None
    if not _is_plain(graph, operator) or graph.batch_scale != 1:
        return None
    draft = Draft(first, second, result.shape)
    draft.wants_first = wanted.data
    draft.wants_second = wanted.weight or len(operator.inputs) > 1
    draft.is_descending = wanted.weight
    if not _FORMULAS[operator.op](draft, operator):
        return None
    if wanted.weight and len(operands) > 2 and operands[2] is not None:
        draft.bias(operands[2])
    return draft.model(operator.name)


def _is_plain(graph: Graph, operator: Operator) -> bool:
    """Whether everything the operator reads and makes is float32."""
    kinds = {graph.tensors[t].dtype for t in (*operator.inputs, *operator.outputs)}
    kinds |= {graph.parameters[p].dtype for p in operator.parameters}
    return kinds == {"float32"}


def _is_automatic(operator: Operator) -> bool:
    return operator.attributes.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID")


def _conv(draft: Draft, operator: Operator) -> bool:
    x, w, dy = (draft.shapes[key] for key in ("x", "w", "dy"))
    if len(x) < 3 or _is_automatic(operator):
        return False
    window = Window(operator, x, w[2:], dy)
    if draft.wants_first:
        draft.give(_data_gradient(draft, window))
    if draft.wants_second:
        draft.descend("w", _weight_gradient(draft, window, ("x", x), ("dy", dy)))
    return True


def _data_gradient(draft: Draft, window: Window) -> str:
    if window.is_pointwise:
        order = (1, 0, *range(2, 2 + window.rank))
        return draft.add("Conv", ["dy", draft.transpose("w", *order)])
    return draft.add(
        "ConvTranspose",
        ["dy", "w"],
        strides=window.strides,
        dilations=window.dilations,
        pads=window.pads,
        group=window.groups,
        output_padding=window.extra,
    )


def _weight_gradient(
    draft: Draft, window: Window, data: tuple[str, Shape], result: tuple[str, Shape]
) -> str:
    """Correlate `data` with the gradient of the `result`; shape [M, C / groups, kernel …]."""
    (x, (n, c, *size)), (dy, (_, m, *_out)) = data, result
    if window.is_pointwise:
        count = int(np.prod(size))
        left = draft.reshape(dy, n, m, count)
        right = draft.transpose(draft.reshape(x, n, c, count), 0, 2, 1)
        product = draft.add("MatMul", [left, right])
        return draft.reshape(draft.sum_over(product, 0), m, c, *window.kernel)
    groups, rank = window.groups, window.rank
    tail = tuple(range(2, 2 + rank))
    if groups == 1:
        batched = draft.transpose(x, 1, 0, *tail)
    else:  # the samples of each group become the channels of a group of their own
        parts = draft.reshape(x, n, groups, c // groups, *size)
        order = (2, 1, 0, *(axis + 1 for axis in tail))
        batched = draft.reshape(draft.transpose(parts, *order), c // groups, groups * n, *size)
    found = draft.add(
        "Conv",
        [batched, draft.transpose(dy, 1, 0, *tail)],
        strides=window.dilations,
        dilations=window.strides,
        pads=window.pads,
        group=groups,
    )
    if any(window.extra):
        zeros, axes = draft.numbers(*[0] * rank), draft.numbers(*tail)
        found = draft.add("Slice", [found, zeros, draft.numbers(*window.kernel), axes])
    return draft.transpose(found, 1, 0, *tail)


def _conv_transpose(draft: Draft, operator: Operator) -> bool:
    """The adjoint of a convolution from the result to `x`: data and result change places."""
    x, w, dy = (draft.shapes[key] for key in ("x", "w", "dy"))
    if len(x) < 3 or _is_automatic(operator) or operator.attributes.get("output_shape"):
        return False
    window = Window(operator, dy, w[2:], x)
    if draft.wants_first:
        draft.give(
            draft.add(
                "Conv",
                ["dy", "w"],
                strides=window.strides,
                dilations=window.dilations,
                pads=window.pads,
                group=window.groups,
            )
        )
    if draft.wants_second:
        draft.descend("w", _weight_gradient(draft, window, ("dy", dy), ("x", x)))
    return True


def _gemm(draft: Draft, operator: Operator) -> bool:
    left, right = (int(bool(operator.attributes.get(key, 0))) for key in ("transA", "transB"))
    if any(operator.attributes.get(key, 1.0) != 1.0 for key in ("alpha", "beta")):
        return False
    if draft.wants_first:
        if left:
            draft.give(draft.add("Gemm", ["w", "dy"], transA=right, transB=1))
        else:
            draft.give(draft.add("Gemm", ["dy", "w"], transB=1 - right))
    if draft.wants_second:
        if right:
            draft.descend("w", draft.add("Gemm", ["dy", "x"], transA=1, transB=left))
        else:
            draft.descend("w", draft.add("Gemm", ["x", "dy"], transA=1 - left))
    return True


def _matmul(draft: Draft, operator: Operator) -> bool:
    """Of equal batches, or of a batch with one matrix."""
    x, w, dy = (draft.shapes[key] for key in ("x", "w", "dy"))
    if min(len(x), len(w)) < 2 or (len(w) > 2 and x[:-2] != w[:-2]):
        return False
    rank = len(w)
    swapped = (*range(rank - 2), rank - 1, rank - 2)
    if draft.wants_first:
        draft.give(draft.add("MatMul", ["dy", draft.transpose("w", *swapped)]))
    if draft.wants_second and rank == 2:
        rows = int(np.prod(x[:-1]))
        flat, gradient = draft.reshape("x", rows, x[-1]), draft.reshape("dy", rows, dy[-1])
        draft.descend("w", draft.add("Gemm", [flat, gradient], transA=1))
    elif draft.wants_second:
        draft.descend("w", draft.add("MatMul", [draft.transpose("x", *swapped), "dy"]))
    return True


_FORMULAS: dict[str, Callable[[Draft, Operator], bool]] = {
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Gemm": _gemm,
    "MatMul": _matmul,
}
