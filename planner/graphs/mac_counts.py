"""Multiply-accumulates of one operator, from the shapes of what it reads and writes.

Every counter takes the operand shapes by position, the output shapes and the attributes, and
returns 0 where a shape that it needs is unknown or fits nothing. ONNX files list operands in ONNX
order; a JSON spec lists activations before parameters, so the two sides of a product may be
swapped: the output's shape decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod

Shape = tuple[int, ...]
Shapes = Sequence[Shape | None]
MacCounter = Callable[[Shapes, Shapes, Mapping[str, object]], int]


def convolution(weight: int) -> MacCounter:
    """A counter for convolutions whose weight [M, C/group, …kernel] is operand `weight`."""

    def count(operands: Shapes, outputs: Shapes, attributes: Mapping[str, object]) -> int:
        out = outputs[0] if outputs else None
        if out is None or len(out) < 3:
            return 0
        nominal = _shape(operands, weight)
        for shape in (nominal, *operands[1:]):
            if shape is not None and len(shape) == len(out) and shape[0] == out[1]:
                return prod(out) * prod(shape[1:])
        return 0

    return count


def transposed_convolution(
    operands: Shapes, outputs: Shapes, attributes: Mapping[str, object]
) -> int:
    """ConvTranspose: every input element meets its weight slice [C, M/group, …kernel]."""
    image, weight = _shape(operands, 0), _shape(operands, 1)
    if image is None or weight is None or len(image) < 3 or len(weight) != len(image):
        return 0
    return prod(image) * prod(weight[1:]) if image[1] == weight[0] else 0


def matrix_product(right: int) -> MacCounter:
    """A counter for (batched) MatMul whose second matrix is operand `right`."""

    def count(operands: Shapes, outputs: Shapes, attributes: Mapping[str, object]) -> int:
        a, b = _shape(operands, 0), _shape(operands, right)
        out = outputs[0] if outputs else None
        if a is None or b is None or out is None:
            return 0
        if attributes.get("transA"):
            a = _transposed(a)
        if attributes.get("transB"):
            b = _transposed(b)
        for left, other in ((a, b), (b, a)):
            if _is_product(left, other, out):
                return prod(out) * left[-1]
        return 0

    return count


def dense(right: int) -> MacCounter:
    """A counter for Gemm-like operators: out [rows, columns] of A [rows, K] and B [K, columns].

    Elements are compared, not dimensions, so transpositions and swapped operands do not matter,
    and leading dimensions may be any number.
    """

    def count(operands: Shapes, outputs: Shapes, attributes: Mapping[str, object]) -> int:
        out = outputs[0] if outputs else None
        if not out or 0 in out:
            return 0
        columns = out[-1]
        rows = prod(out) // columns
        # The bias of a JSON spec may stand between an activation and the weight.
        for i, j in ((0, right), (0, 2), (1, 2)):
            a, b = _shape(operands, i), _shape(operands, j)
            if a is None or b is None or i == j:
                continue
            for left, other in ((prod(a), prod(b)), (prod(b), prod(a))):
                inner = left // rows
                if inner and inner * rows == left and inner * columns == other:
                    return rows * columns * inner
        return 0

    return count


def packed_product(operands: Shapes, outputs: Shapes, attributes: Mapping[str, object]) -> int:
    """MatMulNBits: the weight is packed, its inner dimension is the attribute `K`."""
    out, inner = (outputs[0] if outputs else None), attributes.get("K")
    return prod(out) * inner if out is not None and isinstance(inner, int) else 0


def recurrence(operands: Shapes, outputs: Shapes, attributes: Mapping[str, object]) -> int:
    """LSTM, GRU, RNN: both weight matrices [directions, gates·hidden, …] once per step."""
    sequence, weight, recurrent = (_shape(operands, position) for position in range(3))
    if not sequence or weight is None or recurrent is None:
        return 0
    return prod(sequence[:-1]) * (prod(weight) + prod(recurrent))


def attention(operands: Shapes, outputs: Shapes, attributes: Mapping[str, object]) -> int:
    """Fused attention: queries by keys, then scores by values; a 2-D operand 1 is a projection."""
    query, key = _shape(operands, 0), _shape(operands, 1)
    out = outputs[0] if outputs else None
    if query is None or key is None or out is None or len(query) < 3 or len(key) < 2:
        return 0
    if len(key) == 2:
        return prod(query) * key[1] + 2 * prod(out) * query[-2]
    return (prod(query) + prod(out)) * key[-2]


def projections(operands: Shapes, outputs: Shapes, attributes: Mapping[str, object]) -> int:
    """torch's fused layers: every 2-D weight once per token, and attention where there are heads.

    Operand 0 is the sequence [batch, tokens, width]; recurrent layers and encoder layers alike.
    """
    sequence = _shape(operands, 0)
    if not sequence or len(sequence) < 2:
        return 0
    weights = sum(prod(shape) for shape in operands[1:] if shape is not None and len(shape) == 2)
    macs = prod(sequence[:-1]) * weights
    if "num_heads" in attributes or "num_head" in attributes:
        macs += 2 * prod(sequence) * sequence[-2]
    return macs


def contraction(operands: Shapes, outputs: Shapes, attributes: Mapping[str, object]) -> int:
    """Einsum of two or more operands: one multiply-accumulate per combination of all labels."""
    equation = attributes.get("equation")
    if not isinstance(equation, str) or "." in equation or len(operands) < 2:
        return 0
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, operands, strict=False):
        if shape is None or len(shape) != len(term):
            return 0
        sizes |= {
            label: max(size, sizes.get(label, 0)) for label, size in zip(term, shape, strict=True)
        }
    return prod(sizes.values())


def _shape(shapes: Shapes, position: int) -> Shape | None:
    return shapes[position] if position < len(shapes) else None


def _transposed(shape: Shape) -> Shape:
    return (*shape[:-2], shape[-1], shape[-2]) if len(shape) > 1 else shape


def _is_product(left: Shape, right: Shape, out: Shape) -> bool:
    """Whether numpy's matmul of `left` and `right` ends in the matrix (or vector) of `out`."""
    if not left or not right:
        return False
    if left[-1] != (right[-2] if len(right) > 1 else right[0]):
        return False
    matrix = left[-2:-1] + (right[-1:] if len(right) > 1 else ())
    rank = max(len(left), len(right)) - 2 if len(left) > 1 and len(right) > 1 else None
    if rank is not None and len(out) != rank + 2:
        return False
    return not matrix or out[-len(matrix) :] == matrix
