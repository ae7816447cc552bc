"""The layers that the architectures are made of: operators together with their parameters."""

from __future__ import annotations

import math

from planner.zoo.graph import GraphBuilder, Tensor

EMBEDDING_STD = 0.02
"""Standard deviation of random embeddings and projections, as in GPT-2 and BERT."""


class Network(GraphBuilder):
    """A graph under construction, with layers.

    Random weights follow He et al., 2015 for what a rectifier follows; biases are zero, scales one.
    """

    def conv(
        self,
        name: str,
        x: Tensor,
        channels: int,
        kernel: int,
        *,
        stride: int = 1,
        padding: int = 0,
        groups: int = 1,
        has_bias: bool = True,
    ) -> Tensor:
        """Append a square 2-D convolution."""
        fan_in = x.shape[1] // groups * kernel**2
        shape = (channels, x.shape[1] // groups, kernel, kernel)
        inputs = [x, self.parameter(f"{name}.weight", shape, std=math.sqrt(2 / fan_in))]
        if has_bias:
            inputs.append(self.parameter(f"{name}.bias", (channels,)))
        height, width = (_extent(n, kernel, stride, padding) for n in x.shape[2:])
        return self.node(
            "Conv",
            name,
            inputs,
            (x.shape[0], channels, height, width),
            dilations=(1, 1),
            group=groups,
            kernel_shape=(kernel, kernel),
            pads=(padding,) * 4,
            strides=(stride, stride),
        )

    def up_conv(self, name: str, x: Tensor, channels: int, factor: int) -> Tensor:
        """Append a transposed convolution that enlarges height and width by `factor`."""
        batch, in_channels, height, width = x.shape
        # Without overlap every output pixel is a sum over the input channels alone.
        std = math.sqrt(2 / in_channels)
        weight = self.parameter(f"{name}.weight", (in_channels, channels, factor, factor), std=std)
        bias = self.parameter(f"{name}.bias", (channels,))
        return self.node(
            "ConvTranspose",
            name,
            (x, weight, bias),
            (batch, channels, height * factor, width * factor),
            dilations=(1, 1),
            group=1,
            kernel_shape=(factor, factor),
            pads=(0, 0, 0, 0),
            strides=(factor, factor),
        )

    def batch_norm(
        self, name: str, x: Tensor, *, epsilon: float = 1e-5, scale: float = 1.0
    ) -> Tensor:
        """Append a batch normalisation; in training it also writes its running statistics.

        Args:
            name: Of the node.
            x: Images.
            epsilon: Added to the variance.
            scale: Of random weights, the factor for every channel.
        """
        channels = (x.shape[1],)
        inputs = [
            x,
            self.parameter(f"{name}.weight", channels, mean=scale),
            self.parameter(f"{name}.bias", channels),
            self.parameter(f"{name}.running_mean", channels, is_trainable=False),
            self.parameter(f"{name}.running_var", channels, mean=1.0, is_trainable=False),
        ]
        updated = [
            Tensor(name=f"{name}.running_mean.output", shape=channels),
            Tensor(name=f"{name}.running_var.output", shape=channels),
        ]
        return self.node(
            "BatchNormalization",
            name,
            inputs,
            x.shape,
            further_outputs=updated if self.is_training else (),
            epsilon=epsilon,
            momentum=0.9,
            training_mode=int(self.is_training),
        )

    def layer_norm(self, name: str, x: Tensor, epsilon: float) -> Tensor:
        """Append a layer normalisation over the last axis."""
        width = (x.shape[-1],)
        weight = self.parameter(f"{name}.weight", width, mean=1.0)
        bias = self.parameter(f"{name}.bias", width)
        inputs = (x, weight, bias)
        return self.node("LayerNormalization", name, inputs, x.shape, axis=-1, epsilon=epsilon)

    def dropout(self, name: str, x: Tensor, ratio: float) -> Tensor:
        """Append a dropout in training; return `x` as it is otherwise."""
        if not self.is_training:
            return x
        flag = self.constant(f"{name}.training_mode", [1], (), dtype="bool")
        return self.node("Dropout", name, (x, self.scalar(ratio), flag), x.shape)

    def relu(self, name: str, x: Tensor) -> Tensor:
        """Append a rectifier."""
        return self.unary("Relu", name, x)

    def relu6(self, name: str, x: Tensor) -> Tensor:
        """Append a rectifier that saturates at six."""
        return self.node("Clip", name, (x, self.scalar(0.0), self.scalar(6.0)), x.shape)

    def gelu(self, name: str, x: Tensor) -> Tensor:
        """Append the exact Gaussian error linear unit, which is no single operator in opset 17."""
        scaled = self.binary("Div", f"{name}.scale", x, self.scalar(math.sqrt(2)))
        erf = self.unary("Erf", f"{name}.erf", scaled)
        shifted = self.binary("Add", f"{name}.shift", erf, self.scalar(1.0))
        product = self.binary("Mul", f"{name}.product", x, shifted)
        return self.binary("Mul", name, product, self.scalar(0.5))

    def gelu_tanh(self, name: str, x: Tensor) -> Tensor:
        """Append the Gaussian error linear unit in the approximation that GPT-2 was trained with.

        0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x³)))
        """
        half = self.binary("Mul", f"{name}.half", x, self.scalar(0.5))
        cube = self.binary("Pow", f"{name}.cube", x, self.scalar(3.0))
        cubic = self.binary("Mul", f"{name}.cubic", cube, self.scalar(0.044715))
        series = self.binary("Add", f"{name}.series", x, cubic)
        scaled = self.binary("Mul", f"{name}.scale", series, self.scalar(math.sqrt(2 / math.pi)))
        tanh = self.unary("Tanh", f"{name}.tanh", scaled)
        shifted = self.binary("Add", f"{name}.shift", tanh, self.scalar(1.0))
        return self.binary("Mul", name, half, shifted)

    def max_pool(
        self,
        name: str,
        x: Tensor,
        kernel: int,
        stride: int,
        *,
        padding: int = 0,
        is_ceil: bool = False,
    ) -> Tensor:
        """Append a square maximum pooling; `is_ceil` rounds the output's extent up."""
        height, width = (_extent(n, kernel, stride, padding, is_ceil=is_ceil) for n in x.shape[2:])
        return self.node(
            "MaxPool",
            name,
            (x,),
            (*x.shape[:2], height, width),
            ceil_mode=int(is_ceil),
            kernel_shape=(kernel, kernel),
            pads=(padding,) * 4,
            strides=(stride, stride),
        )

    def average_pool(self, name: str, x: Tensor, kernel: int) -> Tensor:
        """Append an average pooling of disjoint squares."""
        return self.node(
            "AveragePool",
            name,
            (x,),
            (*x.shape[:2], *(_extent(n, kernel, kernel, 0) for n in x.shape[2:])),
            kernel_shape=(kernel, kernel),
            pads=(0, 0, 0, 0),
            strides=(kernel, kernel),
        )

    def global_average_pool(self, name: str, x: Tensor) -> Tensor:
        """Append the average of every channel."""
        return self.node("GlobalAveragePool", name, (x,), (*x.shape[:2], 1, 1))

    def flatten(self, name: str, x: Tensor) -> Tensor:
        """Append a reshape to one row per sample."""
        return self.node("Flatten", name, (x,), (x.shape[0], math.prod(x.shape[1:])), axis=1)

    def fully_connected(
        self, name: str, x: Tensor, features: int, std: float | None = None
    ) -> Tensor:
        """Append a fully connected layer on a matrix; weights are [features, inputs]."""
        n_inputs = x.shape[1]
        std = math.sqrt(2 / n_inputs) if std is None else std
        weight = self.parameter(f"{name}.weight", (features, n_inputs), std=std)
        bias = self.parameter(f"{name}.bias", (features,))
        return self.node("Gemm", name, (x, weight, bias), (x.shape[0], features), transB=1)

    def projection(self, name: str, x: Tensor, features: int) -> Tensor:
        """Append a fully connected layer on the last axis of a sequence.

        Weights are [inputs, features], as a MatMul needs them.
        """
        shape = (x.shape[-1], features)
        weight = self.parameter(f"{name}.weight", shape, std=EMBEDDING_STD)
        product = self.matmul(f"{name}.matmul", x, weight)
        return self.binary("Add", name, product, self.parameter(f"{name}.bias", (features,)))


def _extent(size: int, kernel: int, stride: int, padding: int = 0, *, is_ceil: bool = False) -> int:
    rest = size + 2 * padding - kernel
    return (-(-rest // stride) if is_ceil else rest // stride) + 1
