"""What each operator type computes and moves, as a table: add a row, or a name to a row.

FLOPs beside multiply-accumulates are counts of simple arithmetic per element; a transcendental
function counts as 8. They matter little: such operators wait for memory, not for arithmetic.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from planner.graphs.mac_counts import (
    MacCounter,
    attention,
    contraction,
    convolution,
    dense,
    matrix_product,
    packed_product,
    projections,
    recurrence,
    transposed_convolution,
)


class Traffic(Enum):
    """Which bytes a forward kernel moves."""

    ALL = "all"
    """Every operand and every output, once."""
    OUTPUT_TWICE = "output twice"
    """It reads only as much as it writes, however large the operand is."""
    NOTHING = "nothing"
    """A view or a fact about shapes: no kernel, no bytes, no time."""


class Gradient(Enum):
    """Which bytes the kernel moves that computes the gradient of one operand."""

    NONE = "none"
    """There is no gradient: comparisons, indices, shapes."""
    HANDED_ON = "handed on"
    """It is the output's gradient: no kernel, or a sum where the operand was broadcast."""
    BY_PRODUCT = "by-product"
    """The input gradient's kernel computes it on the way; without one, as `OPERANDS`."""
    SHARE = "share"
    """It is a part of the output's gradient: reads and writes its own size."""
    PLAIN = "plain"
    """Reads the output's gradient, writes the operand's."""
    OTHERS = "others"
    """`PLAIN`, and reads the other operands: products."""
    OPERANDS = "operands"
    """`PLAIN`, and reads all operands again: functions that need their argument."""
    OUTPUTS = "outputs"
    """`PLAIN`, and reads the outputs again: functions that are derived from their value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationRule:
    """How an operator type is priced.

    Attributes:
        family: What people group it under; `conv` and `matmul` are counted as MACs.
        macs: Counts multiply-accumulates from shapes; None where there are none.
        flops_per_output: Further FLOPs per output element.
        flops_per_input: Further FLOPs per element of the first operand.
        traffic: Which bytes the forward kernel moves.
        input_gradient: How the gradient of an activation is computed, for each of them.
        weight_gradient: How that of the trainable parameters is computed, together.
        gradient_flops: FLOPs of each gradient, relative to the forward pass.
        precision: The arithmetic's type where it is not that of the first output.
    """

    family: str
    macs: MacCounter | None = None
    flops_per_output: float = 0.0
    flops_per_input: float = 0.0
    traffic: Traffic = Traffic.ALL
    input_gradient: Gradient = Gradient.PLAIN
    weight_gradient: Gradient = Gradient.PLAIN
    gradient_flops: float = 1.0
    precision: str | None = None


def _product(
    family: str,
    macs: MacCounter,
    *,
    flops: float = 0.0,
    precision: str | None = None,
    gradient_flops: float = 1.0,
) -> OperationRule:
    """Linear in every operand: each gradient is another product of the same size."""
    return OperationRule(
        family=family,
        macs=macs,
        flops_per_output=flops,
        input_gradient=Gradient.OTHERS,
        weight_gradient=Gradient.OTHERS,
        precision=precision,
        gradient_flops=gradient_flops,
    )


def _elementwise(
    family: str, flops: float, inputs: Gradient, weights: Gradient | None = None
) -> OperationRule:
    return OperationRule(
        family=family,
        flops_per_output=flops,
        input_gradient=inputs,
        weight_gradient=weights or inputs,
    )


def _reduction(
    family: str, flops: float, inputs: Gradient, weights: Gradient = Gradient.PLAIN
) -> OperationRule:
    return OperationRule(
        family=family, flops_per_input=flops, input_gradient=inputs, weight_gradient=weights
    )


def _moved(
    family: str, traffic: Traffic, inputs: Gradient, weights: Gradient = Gradient.PLAIN
) -> OperationRule:
    return OperationRule(
        family=family, traffic=traffic, input_gradient=inputs, weight_gradient=weights
    )


_ROWS: tuple[tuple[OperationRule, str], ...] = (
    (_product("conv", convolution(1)), "Conv FusedConv NhwcFusedConv DeformConv"),
    (_product("conv", convolution(1), precision="int8"), "ConvInteger"),
    (_product("conv", convolution(3), precision="int8"), "QLinearConv"),
    (_product("conv", transposed_convolution), "ConvTranspose"),
    (_product("matmul", matrix_product(1)), "MatMul FusedMatMul"),
    (
        _product("matmul", matrix_product(1), precision="int8"),
        "MatMulInteger MatMulIntegerToFloat DynamicQuantizeMatMul",
    ),
    (_product("matmul", matrix_product(3), precision="int8"), "QLinearMatMul"),
    (_product("matmul", dense(1)), "Gemm FusedGemm Linear"),
    (_product("matmul", dense(3), precision="int8"), "QGemm"),
    (_product("matmul", packed_product), "MatMulNBits"),
    (_product("einsum", contraction), "Einsum"),
    (_product("recurrent", recurrence), "LSTM GRU RNN"),
    (_product("recurrent", projections), "aten.recurrent"),
    # Five products for the three gradients, where the forward pass has two: the scores are
    # computed again (Dao et al., 2022, arXiv:2205.14135).
    (_product("attention", attention, gradient_flops=5 / 6), "Attention MultiHeadAttention"),
    (_product("attention", projections), "aten.transformer_layer"),
    # Batch normalisation sums both of its weight gradients while it computes the input's.
    (
        _elementwise("normalization", 4, Gradient.OPERANDS, Gradient.BY_PRODUCT),
        "BatchNormalization BatchNormInternal",
    ),
    (
        _elementwise("normalization", 8, Gradient.OPERANDS),
        "LayerNormalization RMSNormalization SimplifiedLayerNormalization SkipLayerNormalization "
        "SkipSimplifiedLayerNormalization EmbedLayerNormalization GroupNormalization "
        "InstanceNormalization LpNormalization MeanVarianceNormalization LRN",
    ),
    (
        _elementwise("activation", 1, Gradient.OUTPUTS, Gradient.OPERANDS),
        "Relu LeakyRelu PRelu ThresholdedRelu Clip HardSigmoid HardSwish Shrink",
    ),
    (_elementwise("activation", 8, Gradient.OUTPUTS), "Sigmoid Tanh Elu Selu Celu Softsign"),
    (
        _elementwise("activation", 8, Gradient.OPERANDS),
        "Gelu FastGelu BiasGelu QuickGelu Mish Softplus Swish SwiGLU aten.glu",
    ),
    (_elementwise("softmax", 10, Gradient.OUTPUTS), "Softmax LogSoftmax"),
    # A sum's gradient is the one that arrives: only a broadcast operand costs a kernel.
    (_elementwise("elementwise", 1, Gradient.HANDED_ON), "Add Sub Sum Mean"),
    (_elementwise("elementwise", 1, Gradient.OTHERS), "Mul Div Max Min Where Mod"),
    (_elementwise("elementwise", 3, Gradient.OTHERS), "RotaryEmbedding aten.addcmul"),
    (_elementwise("elementwise", 1, Gradient.OUTPUTS), "Neg Abs Reciprocal Sqrt aten.rsqrt"),
    (_elementwise("elementwise", 8, Gradient.OUTPUTS), "Exp"),
    (
        _elementwise("elementwise", 8, Gradient.OPERANDS),
        "Pow Log Erf Sin Cos Tan Asin Acos Atan Sinh Cosh Asinh Acosh Atanh",
    ),
    (
        _elementwise("comparison", 1, Gradient.NONE),
        "Equal Less LessOrEqual Greater GreaterOrEqual Not And Or Xor IsNaN IsInf Sign Floor Ceil "
        "Round BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Hardmax",
    ),
    (_elementwise("cast", 0, Gradient.PLAIN), "Cast CastLike"),
    (
        _elementwise("quantization", 2, Gradient.PLAIN),
        "QuantizeLinear DequantizeLinear DynamicQuantizeLinear",
    ),
    (_elementwise("random", 2, Gradient.OUTPUTS), "Dropout"),
    (
        _elementwise("random", 8, Gradient.NONE),
        "RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial",
    ),
    (
        _elementwise("resampling", 8, Gradient.PLAIN),
        "Resize Upsample GridSample RoiAlign AffineGrid",
    ),
    # Two per input element: what a 3x3 window of stride 2 makes of it.
    (_reduction("pooling", 2, Gradient.OUTPUTS), "MaxPool MaxRoiPool"),
    (_reduction("pooling", 2, Gradient.PLAIN), "AveragePool LpPool QLinearAveragePool"),
    (_reduction("pooling", 1, Gradient.PLAIN), "GlobalAveragePool QLinearGlobalAveragePool"),
    (_reduction("pooling", 1, Gradient.OPERANDS), "GlobalMaxPool GlobalLpPool"),
    (_reduction("reduction", 1, Gradient.PLAIN), "ReduceSum ReduceMean CumSum TopK"),
    (
        _reduction("reduction", 2, Gradient.OPERANDS, Gradient.OPERANDS),
        "ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp "
        "ReduceSumSquare CumProd aten.var",
    ),
    (_reduction("reduction", 1, Gradient.NONE), "ArgMax ArgMin NonZero"),
    (
        _reduction("loss", 10, Gradient.OPERANDS, Gradient.OPERANDS),
        "SoftmaxCrossEntropyLoss NegativeLogLikelihoodLoss aten.loss",
    ),
    (
        _moved("view", Traffic.NOTHING, Gradient.HANDED_ON),
        "Identity Reshape Flatten Squeeze Unsqueeze "
        "aten.permute aten.detach aten.slice aten.split aten.expand aten.overwrite",
    ),
    (_moved("view", Traffic.NOTHING, Gradient.NONE), "Shape Size Rank"),
    # A Transpose is a copy in onnxruntime, and where it is not its reader strides instead.
    (
        _moved("copy", Traffic.ALL, Gradient.PLAIN),
        "Transpose DepthToSpace SpaceToDepth Pad CenterCropPad Trilu ReverseSequence Tile "
        "ScatterND ScatterElements Scatter TensorScatter MaxUnpool Col2Im aten.copy",
    ),
    (_moved("copy", Traffic.ALL, Gradient.HANDED_ON), "Expand"),
    (_moved("copy", Traffic.ALL, Gradient.SHARE, Gradient.SHARE), "Concat"),
    # The gradient of a table is as large as the table, however few of its rows were read.
    (
        _moved("gather", Traffic.OUTPUT_TWICE, Gradient.PLAIN),
        "Gather GatherElements GatherND Embedding Slice Split Compress",
    ),
    (
        _moved("generator", Traffic.ALL, Gradient.NONE, Gradient.NONE),
        "Constant ConstantOfShape Range EyeLike OneHot",
    ),
)

RULES: Mapping[str, OperationRule] = {name: rule for rule, names in _ROWS for name in names.split()}
"""Rule by operator type. One name means the same in every domain that has it."""

UNKNOWN = OperationRule(
    family="unknown", input_gradient=Gradient.OPERANDS, weight_gradient=Gradient.OPERANDS
)
"""For types without a rule: bytes alone, and as many FLOPs as the file states."""
