"""Whether what a trace says about shapes fits a graph: another batch, or another model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from math import prod

from planner.errors import MeasuringError, shorten
from planner.files.values import JsonValue
from planner.graphs.dtypes import BITS
from planner.graphs.graph import Graph
from planner.graphs.operators import Operator


def check_shapes(graph: Graph, kernels: Iterable[tuple[str, str, JsonValue]], where: str) -> None:
    """Compare what kernels wrote with what their operators write, where both are known.

    Args:
        graph: The model, at the batch that is planned.
        kernels: Name, operator type and `output_type_shape` of kernels.
        where: The trace.

    Raises:
        MeasuringError: If most of them differ.
    """
    ratios: Counter[Fraction] = Counter()
    example = ""
    for name, op, written in kernels:
        index = graph.operator_index.get(name)
        if index is None or graph.operators[index].op != op:
            continue
        ratio = _ratio(graph, graph.operators[index], written)
        if ratio is not None:
            ratios[ratio] += 1
            if ratio != 1 and not example:
                example = name
    if not ratios or 2 * ratios[Fraction(1)] >= ratios.total():
        return
    ratio, count = ratios.most_common(1)[0]
    hint = None
    if 2 * count > ratios.total() and graph.batch is not None:
        batch = graph.batch * ratio
        text = f"was taken at {_times(ratio)} the batch of `{graph.name}`, which is {graph.batch}"
        if batch.denominator == 1:
            hint = f"read the model at the batch that was traced: `--batch {batch}`"
    else:
        text = (
            f"{ratios.total() - ratios[Fraction(1)]} of {ratios.total()} operators write tensors "
            f"of other sizes than in `{graph.name}`, such as `{shorten(example, 60)}`"
        )
    raise MeasuringError(text, code="PLN612", where=where, hint=hint)


def _times(ratio: Fraction) -> str:
    return f"{ratio} times" if ratio.denominator == 1 else f"{ratio} of"


def _ratio(graph: Graph, operator: Operator, written: JsonValue) -> Fraction | None:
    """Elements that were written over elements in the graph; None where one is not known."""
    tensor = graph.tensors[operator.outputs[0]]
    if tensor.dtype is None or not tensor.size_bytes:
        return None
    match written:
        case [{**typed}, *_] if len(typed) == 1:
            shape = next(iter(typed.values()))
        case _:
            return None
    if not isinstance(shape, list) or not all(type(n) is int and n > 0 for n in shape):
        return None
    elements = prod(n for n in shape if isinstance(n, int))
    return Fraction(elements * BITS[tensor.dtype], tensor.size_bytes * 8)
