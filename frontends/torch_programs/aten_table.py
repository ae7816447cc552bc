"""Which operator of the planner each aten operator is: add a name to a row.

Where an ONNX operator computes the same at the same price, its name is used, so that FLOP rules,
backward rules and cost files are shared with ONNX models (`planner.graphs.flop_rules`). What only
torch has, or does without a copy, keeps its name with `aten.` before it.
"""

from __future__ import annotations

from collections.abc import Mapping

_ROWS: tuple[tuple[str, str], ...] = (
    (
        "Conv",
        "conv1d conv2d conv3d convolution _convolution _convolution_mode cudnn_convolution "
        "mkldnn_convolution",
    ),
    ("ConvTranspose", "conv_transpose1d conv_transpose2d conv_transpose3d"),
    ("MatMul", "matmul mm bmm mv dot vdot inner baddbmm linalg_matmul"),
    ("Gemm", "addmm addmv"),
    ("Linear", "linear"),
    ("Einsum", "einsum tensordot"),
    ("aten.recurrent", "lstm gru rnn_tanh rnn_relu lstm_cell gru_cell rnn_tanh_cell rnn_relu_cell"),
    (
        "Attention",
        "scaled_dot_product_attention _scaled_dot_product_flash_attention "
        "_scaled_dot_product_flash_attention_for_cpu _scaled_dot_product_efficient_attention "
        "_scaled_dot_product_cudnn_attention _scaled_dot_product_attention_math "
        "_scaled_dot_product_fused_attention_overrideable",
    ),
    ("aten.transformer_layer", "_native_multi_head_attention _transformer_encoder_layer_fwd"),
    (
        "BatchNormalization",
        "batch_norm native_batch_norm cudnn_batch_norm miopen_batch_norm _native_batch_norm_legit "
        "_native_batch_norm_legit_functional _native_batch_norm_legit_no_training "
        "_batch_norm_with_update _batch_norm_no_update _batch_norm_impl_index",
    ),
    ("LayerNormalization", "layer_norm native_layer_norm"),
    ("RMSNormalization", "rms_norm _fused_rms_norm"),
    ("GroupNormalization", "group_norm native_group_norm"),
    ("InstanceNormalization", "instance_norm"),
    ("Relu", "relu"),
    ("LeakyRelu", "leaky_relu rrelu"),
    ("PRelu", "prelu _prelu_kernel"),
    ("ThresholdedRelu", "threshold"),
    ("Clip", "clamp clip hardtanh relu6 clamp_min clamp_max"),
    ("HardSigmoid", "hardsigmoid"),
    ("HardSwish", "hardswish"),
    ("Shrink", "hardshrink softshrink"),
    ("Sigmoid", "sigmoid"),
    ("Tanh", "tanh"),
    ("Elu", "elu"),
    ("Selu", "selu"),
    ("Celu", "celu"),
    ("Gelu", "gelu"),
    ("Mish", "mish"),
    ("Softplus", "softplus log_sigmoid log_sigmoid_forward"),
    ("Swish", "silu"),
    ("aten.glu", "glu"),
    ("Softmax", "softmax _softmax _safe_softmax special_softmax"),
    ("LogSoftmax", "log_softmax _log_softmax special_log_softmax"),
    ("Add", "add __add__ __iadd__"),
    ("Sub", "sub rsub subtract"),
    ("Mul", "mul multiply outer square"),
    ("Div", "div divide true_divide floor_divide"),
    ("Max", "maximum fmax"),
    ("Min", "minimum fmin"),
    ("Where", "where masked_fill"),
    ("Mod", "remainder fmod"),
    ("aten.addcmul", "addcmul addcdiv lerp"),
    ("Neg", "neg negative"),
    ("Abs", "abs absolute"),
    ("Reciprocal", "reciprocal"),
    ("Sqrt", "sqrt"),
    ("aten.rsqrt", "rsqrt"),
    ("Exp", "exp exp2 expm1"),
    ("Pow", "pow float_power"),
    ("Log", "log log2 log10 log1p"),
    ("Erf", "erf erfc erfinv"),
    ("Sin", "sin sinc"),
    ("Cos", "cos"),
    ("Tan", "tan"),
    ("Asin", "asin arcsin"),
    ("Acos", "acos arccos"),
    ("Atan", "atan arctan atan2"),
    ("Sinh", "sinh"),
    ("Cosh", "cosh"),
    ("Asinh", "asinh"),
    ("Acosh", "acosh"),
    ("Atanh", "atanh"),
    ("Equal", "eq ne not_equal isclose equal"),
    ("Less", "lt less"),
    ("LessOrEqual", "le less_equal"),
    ("Greater", "gt greater"),
    ("GreaterOrEqual", "ge greater_equal"),
    ("Not", "logical_not"),
    ("And", "logical_and"),
    ("Or", "logical_or"),
    ("Xor", "logical_xor"),
    ("IsNaN", "isnan"),
    ("IsInf", "isinf isfinite isposinf isneginf"),
    ("Sign", "sign sgn signbit heaviside"),
    ("Floor", "floor trunc fix"),
    ("Ceil", "ceil"),
    ("Round", "round frac"),
    ("BitwiseAnd", "bitwise_and __and__ __iand__"),
    ("BitwiseOr", "bitwise_or __or__ __ior__"),
    ("BitwiseXor", "bitwise_xor __xor__ __ixor__"),
    ("BitwiseNot", "bitwise_not"),
    (
        "BitShift",
        "bitwise_left_shift bitwise_right_shift __lshift__ __rshift__ __ilshift__ __irshift__",
    ),
    ("Cast", "to _to_copy type_as"),
    (
        "Dropout",
        "dropout native_dropout alpha_dropout feature_dropout feature_alpha_dropout",
    ),
    ("Bernoulli", "bernoulli"),
    ("Multinomial", "multinomial"),
    ("RandomUniform", "rand uniform randint random randperm"),
    ("RandomUniformLike", "rand_like randint_like"),
    (
        "RandomNormal",
        "randn normal normal_functional exponential log_normal cauchy geometric poisson binomial "
        "_standard_gamma _sample_dirichlet",
    ),
    ("RandomNormalLike", "randn_like"),
    (
        "Resize",
        "upsample_nearest1d upsample_nearest2d upsample_nearest3d _upsample_nearest_exact2d "
        "upsample_linear1d upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d "
        "_upsample_bilinear2d_aa _upsample_bicubic2d_aa",
    ),
    ("GridSample", "grid_sampler grid_sampler_2d grid_sampler_3d"),
    ("AffineGrid", "affine_grid_generator"),
    (
        "MaxPool",
        "max_pool1d max_pool2d max_pool3d max_pool1d_with_indices max_pool2d_with_indices "
        "max_pool3d_with_indices adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d",
    ),
    (
        "AveragePool",
        "avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d "
        "adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d",
    ),
    ("ReduceSum", "sum nansum trace"),
    ("ReduceMean", "mean nanmean"),
    ("CumSum", "cumsum logcumsumexp"),
    ("CumProd", "cumprod"),
    ("TopK", "topk sort argsort kthvalue msort"),
    ("ReduceMax", "amax max"),
    ("ReduceMin", "amin min"),
    ("ReduceProd", "prod"),
    ("ReduceL2", "norm linalg_vector_norm linalg_norm frobenius_norm"),
    ("ReduceLogSumExp", "logsumexp"),
    ("aten.var", "var std var_mean std_mean"),
    ("ArgMax", "argmax any all"),
    ("ArgMin", "argmin"),
    ("NonZero", "nonzero"),
    ("SoftmaxCrossEntropyLoss", "cross_entropy_loss"),
    ("NegativeLogLikelihoodLoss", "nll_loss nll_loss_nd nll_loss_forward nll_loss2d_forward"),
    (
        "aten.loss",
        "mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy kl_div "
        "binary_cross_entropy_with_logits",
    ),
    ("Pad", "pad constant_pad_nd reflection_pad1d reflection_pad2d replication_pad2d"),
    ("Trilu", "tril triu"),
    ("Tile", "repeat tile repeat_interleave"),
    ("DepthToSpace", "pixel_shuffle"),
    ("SpaceToDepth", "pixel_unshuffle"),
    ("Col2Im", "col2im im2col"),
    ("ScatterElements", "scatter scatter_add scatter_reduce index_add index_copy index_fill"),
    ("ScatterND", "index_put _unsafe_index_put masked_scatter slice_scatter select_scatter"),
    (
        "aten.copy",
        "clone copy contiguous reshape reshape_as flatten ravel roll flip rot90 channel_shuffle",
    ),
    ("Concat", "cat concat concatenate stack hstack vstack column_stack dstack"),
    ("Gather", "embedding index_select embedding_bag _embedding_bag take"),
    ("GatherElements", "gather take_along_dim"),
    ("GatherND", "index _unsafe_index"),
    ("Compress", "masked_select"),
    ("Range", "arange linspace"),
    ("EyeLike", "eye"),
    ("OneHot", "one_hot"),
    (
        "ConstantOfShape",
        "full zeros ones empty full_like zeros_like ones_like empty_like new_full new_zeros "
        "new_ones new_empty scalar_tensor zero fill",
    ),
    # Views: no kernel runs, the result shares its storage with the operand.
    ("Reshape", "view _unsafe_view unflatten view_as _reshape_alias"),
    ("Squeeze", "squeeze"),
    ("Unsqueeze", "unsqueeze"),
    (
        "aten.permute",
        "permute transpose t swapaxes swapdims movedim moveaxis numpy_T mT mH adjoint matrix_H",
    ),
    ("aten.expand", "expand expand_as broadcast_to"),
    (
        "aten.slice",
        "slice select narrow diagonal unfold as_strided view_as_real view_as_complex real imag",
    ),
    (
        "aten.split",
        "split split_with_sizes chunk unbind tensor_split unsafe_split unsafe_chunk "
        "unsafe_split_with_sizes hsplit vsplit",
    ),
    ("aten.detach", "detach"),
    ("aten.overwrite", "overwrite"),
    ("Identity", "alias lift_fresh lift_fresh_copy positive resolve_conj resolve_neg lift"),
)

OPS: Mapping[str, str] = {name: op for op, names in _ROWS for name in names.split()}
"""Type in the graph by aten name, without the underscore of in-place forms."""

FULL_VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "aten.permute", "aten.detach"})
"""Types whose result is the whole storage of the operand, seen in another way."""

PART_VIEWS = frozenset({"aten.expand", "aten.slice", "aten.split"})
"""Types whose result shares some of the operand's storage, or repeats it."""

RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"}
    | {"RandomUniformLike"}
)
"""Types whose result differs between two runs."""

_IN_PLACE_DUNDERS = frozenset(
    {"__iadd__", "__iand__", "__ior__", "__ixor__", "__ilshift__", "__irshift__"}
)

OVERWRITING = frozenset(
    {"copy_", "zero_", "fill_", "normal_", "uniform_", "random_", "exponential_", "bernoulli_"}
    | {"log_normal_", "cauchy_", "geometric_"}
)
"""In-place operators that do not read what they write to."""


def op_of(target: str) -> str:
    """The type in the graph of `namespace.operator.overload`.

    >>> op_of("aten.relu_.default"), op_of("aten.fft_fft.default"), op_of("torchvision.nms.default")
    ('Relu', 'aten.fft_fft', 'torchvision.nms')
    """
    namespace, operator, *_ = target.split(".")
    if namespace != "aten":
        return f"{namespace}.{operator}"
    if operator in OPS or not is_in_place(operator):
        return OPS.get(operator, f"aten.{operator}")
    return OPS.get(operator[:-1], f"aten.{operator[:-1]}")


def is_in_place(operator: str) -> bool:
    """Whether an aten name says that it writes to its first operand: `relu_`, not `__and__`."""
    if operator in _IN_PLACE_DUNDERS:
        return True
    return operator.endswith("_") and not operator.endswith("__")
