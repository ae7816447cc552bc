"""Which values a whole-number input may hold: token ids, positions, masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from planner.frontends.onnx_model.nodes import Node
from planner.frontends.onnx_model.types import Knowledge
from planner.frontends.onnx_model.values import Array

DEFAULT_RANGE = (0, 2)
MASK = (1, 2)

_PASSING = frozenset(
    {
        "Cast",
        "Expand",
        "Flatten",
        "Gather",
        "GatherND",
        "Identity",
        "Reshape",
        "ScatterND",
        "Slice",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Unsqueeze",
    }
)
_INDEXING = {"Gather": 1, "GatherElements": 1}
_MASKING = frozenset({"And", "Equal", "Greater", "Less", "Mul", "Not", "ReduceSum", "Sub", "Where"})


def input_ranges(
    names: Sequence[str],
    nodes: Sequence[Node],
    known: Knowledge,
    constants: Mapping[str, Array],
) -> dict[str, tuple[int, int]]:
    """Lowest value, and one more than the highest, of each input of `names`.

    What indexes an axis stays below its size, what is computed with like a mask is 1.
    """
    readers: dict[str, list[tuple[Node, int]]] = {}
    for node in nodes:
        for position, name in enumerate(node.inputs):
            readers.setdefault(name, []).append((node, position))
    return {name: _range(name, readers, known, constants) for name in names}


def _range(
    name: str,
    readers: Mapping[str, Sequence[tuple[Node, int]]],
    known: Knowledge,
    constants: Mapping[str, Array],
) -> tuple[int, int]:
    """Follow `name` to whatever indexes with it; `offset` is what was added on the way."""
    limits: list[int] = []
    is_mask = False
    seen = {name}
    stack = [(name, 0)]
    while stack:
        current, offset = stack.pop()
        for node, position in readers.get(current, ()):
            passed = offset
            if _INDEXING.get(node.op) == position:
                shape = known.shape(node.inputs[0])
                axis = node.attributes.get("axis", 0)
                if shape and isinstance(axis, int):
                    limits.append(shape[axis] - offset)
                continue
            if node.op in ("Add", "Sub"):
                added = _constant(node.inputs[1 - position], known, constants)
                if added is None:
                    is_mask = True
                    continue
                passed += added if node.op == "Add" else -added
            elif node.op in _MASKING:
                is_mask = True
                continue
            elif node.op not in _PASSING or position:
                continue
            for output in node.outputs:
                if output not in seen:
                    seen.add(output)
                    stack.append((output, passed))
    if limits:
        return 0, max(1, min(limits))
    return MASK if is_mask else DEFAULT_RANGE


def _constant(name: str, known: Knowledge, constants: Mapping[str, Array]) -> int | None:
    """The largest element of a small constant of whole numbers."""
    value = known.values.get(name, constants.get(name))
    if value is None or value.dtype.kind not in "iu" or not value.size:
        return None
    return int(value.max())
