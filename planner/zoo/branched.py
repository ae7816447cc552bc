"""Networks that concatenate many branches: GoogLeNet and DenseNet."""

from __future__ import annotations

from planner.zoo.convnets import images
from planner.zoo.graph import Tensor
from planner.zoo.layers import Network

INCEPTIONS: dict[str, tuple[int, int, int, int, int, int]] = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Channels of the 1x1 branch, the two of the second, the two of the third, the pooled branch."""


def googlenet(net: Network) -> None:
    """GoogLeNet with batch normalisation and without auxiliary heads.

    As in torchvision, whose parameters it has, the branch that is 5x5 in the paper is 3x3.
    """
    x = _conv_bn_relu(net, "conv1", images(net), 64, 7, stride=2)
    x = net.max_pool("maxpool1", x, 3, 2, is_ceil=True)
    x = _conv_bn_relu(net, "conv2", x, 64, 1)
    x = _conv_bn_relu(net, "conv3", x, 192, 3)
    x = net.max_pool("maxpool2", x, 3, 2, is_ceil=True)
    for name, channels in INCEPTIONS.items():
        x = _inception(net, f"inception{name}", x, channels)
        if name == "3b":
            x = net.max_pool("maxpool3", x, 3, 2, is_ceil=True)
        if name == "4e":
            x = net.max_pool("maxpool4", x, 2, 2, is_ceil=True)
    x = net.flatten("flatten", net.global_average_pool("avgpool", x))
    net.output("logits", net.fully_connected("fc", net.dropout("dropout", x, 0.2), 1000))


def _inception(
    net: Network, name: str, x: Tensor, channels: tuple[int, int, int, int, int, int]
) -> Tensor:
    single, reduced2, wide2, reduced3, wide3, pooled = channels
    branch1 = _conv_bn_relu(net, f"{name}.branch1", x, single, 1)
    branch2 = _conv_bn_relu(net, f"{name}.branch2.0", x, reduced2, 1)
    branch2 = _conv_bn_relu(net, f"{name}.branch2.1", branch2, wide2, 3)
    branch3 = _conv_bn_relu(net, f"{name}.branch3.0", x, reduced3, 1)
    branch3 = _conv_bn_relu(net, f"{name}.branch3.1", branch3, wide3, 3)
    branch4 = net.max_pool(f"{name}.branch4.0", x, 3, 1, padding=1, is_ceil=True)
    branch4 = _conv_bn_relu(net, f"{name}.branch4.1", branch4, pooled, 1)
    return net.concat(f"{name}.concat", (branch1, branch2, branch3, branch4))


def _conv_bn_relu(
    net: Network, name: str, x: Tensor, channels: int, kernel: int, *, stride: int = 1
) -> Tensor:
    padding = kernel // 2
    x = net.conv(
        f"{name}.conv", x, channels, kernel, stride=stride, padding=padding, has_bias=False
    )
    return net.relu(f"{name}.relu", net.batch_norm(f"{name}.bn", x, epsilon=1e-3))


def densenet121(net: Network, growth: int = 32) -> None:
    """DenseNet-121: every layer of a block reads the outputs of all layers before it."""
    x = net.conv("conv0", images(net), 64, 7, stride=2, padding=3, has_bias=False)
    x = net.relu("relu0", net.batch_norm("norm0", x))
    x = net.max_pool("pool0", x, 3, 2, padding=1)
    depths = (6, 12, 24, 16)
    for block, depth in enumerate(depths, start=1):
        features = [x]
        for index in range(1, depth + 1):
            name = f"denseblock{block}.denselayer{index}"
            features.append(_dense_layer(net, name, features, growth))
        x = net.concat(f"denseblock{block}.concat", features)
        if block < len(depths):
            x = _transition(net, f"transition{block}", x)
    x = net.relu("relu5", net.batch_norm("norm5", x))
    x = net.flatten("flatten", net.global_average_pool("avgpool", x))
    net.output("logits", net.fully_connected("classifier", x, 1000))


def _dense_layer(net: Network, name: str, features: list[Tensor], growth: int) -> Tensor:
    # The first layer concatenates one tensor: exports of torchvision have this node, too.
    x = net.concat(f"{name}.concat", features)
    x = net.relu(f"{name}.relu1", net.batch_norm(f"{name}.norm1", x))
    x = net.conv(f"{name}.conv1", x, 4 * growth, 1, has_bias=False)
    x = net.relu(f"{name}.relu2", net.batch_norm(f"{name}.norm2", x))
    return net.conv(f"{name}.conv2", x, growth, 3, padding=1, has_bias=False)


def _transition(net: Network, name: str, x: Tensor) -> Tensor:
    x = net.relu(f"{name}.relu", net.batch_norm(f"{name}.norm", x))
    x = net.conv(f"{name}.conv", x, x.shape[1] // 2, 1, has_bias=False)
    return net.average_pool(f"{name}.pool", x, 2)
