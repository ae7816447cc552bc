"""What operators compute: multiply-accumulates, FLOPs, and which only re-arrange a parameter.

The knowledge is in the table `planner.graphs.flop_rules.RULES`; this module reads it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import prod

from planner.graphs.dtypes import ASSUMED_BITS, BITS
from planner.graphs.flop_rules import RULES, UNKNOWN, OperationRule
from planner.graphs.mac_counts import Shapes
from planner.graphs.operators import Operator, Tensor

REARRANGING: frozenset[str] = frozenset(
    {
        "Cast",
        "CastLike",
        "DequantizeLinear",
        "Flatten",
        "Identity",
        "Reshape",
        "Squeeze",
        "Transpose",
        "Unsqueeze",
        "aten.permute",
    }
)
"""Operator types that hand one parameter on with another shape, order or type."""

MAC_FAMILIES = frozenset({"conv", "matmul", "attention"})
"""Families that published MAC counts are counted over; attention for the matmuls in it."""


def rule_of(op: str) -> OperationRule:
    """The rule of an operator type; `UNKNOWN` if it has none.

    >>> rule_of("Conv").family
    'conv'
    """
    return RULES.get(op, UNKNOWN)


def forward_macs(
    op: str, operand_shapes: Shapes, output_shapes: Shapes, attributes: Mapping[str, object]
) -> int:
    """Multiply-accumulates of one forward pass at the exported batch.

    Args:
        op: Operator type, such as `Conv`.
        operand_shapes: Shapes of what it reads, by position; None where absent or unknown.
        output_shapes: Shapes of what it writes.
        attributes: Its attributes.

    Returns:
        The count for convolutions, matrix products and fused attention, quantised forms included;
        0 for every other type and where a needed shape is unknown.

    >>> forward_macs("MatMul", [(8, 128, 64), (64, 32)], [(8, 128, 32)], {})
    2097152
    """
    rule = RULES.get(op)
    if rule is None or rule.macs is None or rule.family not in MAC_FAMILIES:
        return 0
    return rule.macs(operand_shapes, output_shapes, attributes)


def forward_flops(operator: Operator, tensors: Sequence[Tensor], scale: Fraction) -> float:
    """FLOPs of one forward pass at the planned batch: 2 per MAC, and what else the rule counts.

    What the model's file states (`Operator.forward_flops`, at the exported batch) goes first. A
    type without a rule counts nothing.

    Args:
        operator: Its outputs and inputs are indices into `tensors`.
        tensors: Those of its graph, at the planned batch.
        scale: Planned batch over exported batch.
    """
    if operator.forward_flops is not None:
        return operator.forward_flops * scale.numerator / scale.denominator
    rule = RULES.get(operator.op)
    if rule is None:
        return 0.0
    flops = 0.0
    if rule.macs is not None:
        shapes = [tensors[t].shape for t in operator.outputs]
        macs = rule.macs(operator.operand_shapes, shapes, operator.attributes)
        flops += 2 * macs * scale.numerator / scale.denominator
    if rule.flops_per_output:
        flops += rule.flops_per_output * _elements(tensors[operator.outputs[0]])
    if rule.flops_per_input:
        flops += rule.flops_per_input * _first_operand_elements(operator, tensors)
    return flops


def lacks_shapes(operator: Operator, tensors: Sequence[Tensor]) -> bool:
    """Whether FLOPs of this operator are not counted because shapes are unknown or fit nothing."""
    rule = RULES.get(operator.op)
    if operator.forward_flops is not None or rule is None or rule.macs is None:
        return False
    outputs = [tensors[t].shape for t in operator.outputs]
    if any(shape is not None and 0 in shape for shape in (*operator.operand_shapes, *outputs)):
        return False
    return rule.macs(operator.operand_shapes, outputs, operator.attributes) == 0


def _elements(tensor: Tensor) -> float:
    """Elements at the planned batch: from the size, which is scaled and known without a shape."""
    return tensor.size_bytes * 8 / (BITS[tensor.dtype] if tensor.dtype else ASSUMED_BITS)


def _first_operand_elements(operator: Operator, tensors: Sequence[Tensor]) -> float:
    if operator.inputs:
        return _elements(tensors[operator.inputs[0]])
    shape = operator.operand_shapes[0] if operator.operand_shapes else None
    return float(prod(shape)) if shape is not None else 0.0
