"""Convolutional networks without or with short-range branches, and U-Net."""

from __future__ import annotations

from planner.zoo.graph import Tensor
from planner.zoo.layers import Network


def images(net: Network, size: int = 224, channels: int = 3) -> Tensor:
    """The input of a network that classifies square images."""
    return net.input("input", (net.batch, channels, size, size))


def lenet5(net: Network) -> None:
    """LeNet-5 on 32x32 grey images, with complete connections and plain averages (61,706)."""
    x = images(net, size=32, channels=1)
    for index, channels in enumerate((6, 16), start=1):
        x = net.conv(f"conv{index}", x, channels, 5)
        x = net.unary("Tanh", f"tanh{index}", x)
        x = net.average_pool(f"pool{index}", x, 2)
    x = net.flatten("flatten", x)
    for index, features in enumerate((120, 84), start=1):
        x = net.fully_connected(f"fc{index}", x, features)
        x = net.unary("Tanh", f"tanh{index + 2}", x)
    net.output("logits", net.fully_connected("fc3", x, 10))


def alexnet(net: Network) -> None:
    """AlexNet in the one-column form of Krizhevsky, 2014."""
    x = images(net)
    # channels, kernel, stride, padding, is a pooling next
    plan = ((64, 11, 4, 2, 1), (192, 5, 1, 2, 1), (384, 3, 1, 1, 0), (256, 3, 1, 1, 0))
    for index, (channels, kernel, stride, padding, is_pooled) in enumerate(
        (*plan, (256, 3, 1, 1, 1)), start=1
    ):
        x = net.conv(f"conv{index}", x, channels, kernel, stride=stride, padding=padding)
        x = net.relu(f"relu{index}", x)
        if is_pooled:
            x = net.max_pool(f"pool{index}", x, 3, 2)
    # The adaptive pooling to 6x6 of torchvision, which does nothing at this image size.
    x = net.average_pool("avgpool", x, 1)
    x = net.flatten("flatten", x)
    for index in (6, 7):
        x = net.dropout(f"drop{index}", x, 0.5)
        x = net.relu(f"relu{index}", net.fully_connected(f"fc{index}", x, 4096))
    net.output("logits", net.fully_connected("fc8", x, 1000))


def vgg16(net: Network) -> None:
    """VGG with 16 weight layers (configuration D), without batch normalisation."""
    x = images(net)
    stages = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    for stage, (channels, depth) in enumerate(stages, start=1):
        for index in range(1, depth + 1):
            x = net.conv(f"conv{stage}_{index}", x, channels, 3, padding=1)
            x = net.relu(f"relu{stage}_{index}", x)
        x = net.max_pool(f"pool{stage}", x, 2, 2)
    # The adaptive pooling to 7x7 of torchvision, which does nothing at this image size.
    x = net.average_pool("avgpool", x, 1)
    x = net.flatten("flatten", x)
    for index in (6, 7):
        x = net.relu(f"relu{index}", net.fully_connected(f"fc{index}", x, 4096))
        x = net.dropout(f"drop{index}", x, 0.5)
    net.output("logits", net.fully_connected("fc8", x, 1000))


def squeezenet1_1(net: Network) -> None:
    """SqueezeNet 1.1: fire modules squeeze the channels, then expand them by two kernels."""
    x = net.relu("relu1", net.conv("conv1", images(net), 64, 3, stride=2))
    fires = ((2, 16, 64), (3, 16, 64), (4, 32, 128), (5, 32, 128))
    for index, squeezed, expanded in (
        *fires,
        *((6, 48, 192), (7, 48, 192), (8, 64, 256), (9, 64, 256)),
    ):
        if index in (2, 4, 6):
            x = net.max_pool(f"pool{index - 1}", x, 3, 2, is_ceil=True)
        x = _fire(net, f"fire{index}", x, squeezed, expanded)
    x = net.dropout("drop10", x, 0.5)
    x = net.relu("relu10", net.conv("conv10", x, 1000, 1))
    x = net.global_average_pool("pool10", x)
    net.output("logits", net.flatten("flatten", x))


def _fire(net: Network, name: str, x: Tensor, squeezed: int, expanded: int) -> Tensor:
    x = net.relu(f"{name}.squeeze.relu", net.conv(f"{name}.squeeze", x, squeezed, 1))
    small = net.conv(f"{name}.expand1x1", x, expanded, 1)
    small = net.relu(f"{name}.expand1x1.relu", small)
    large = net.conv(f"{name}.expand3x3", x, expanded, 3, padding=1)
    large = net.relu(f"{name}.expand3x3.relu", large)
    return net.concat(f"{name}.concat", (small, large))


def mobilenet_v2(net: Network) -> None:
    """MobileNetV2 of width 1: inverted residuals around depthwise convolutions."""
    x = _conv_bn_relu6(net, "stem", images(net), 32, 3, stride=2)
    # expansion, channels, repetitions, stride of the first
    stages = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2))
    block = 0
    for expansion, channels, depth, stride in (
        *stages,
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for index in range(depth):
            block += 1
            x = _inverted_residual(
                net, f"block{block}", x, channels, expansion, stride if index == 0 else 1
            )
    x = _conv_bn_relu6(net, "head", x, 1280, 1)
    x = net.flatten("flatten", net.global_average_pool("avgpool", x))
    net.output("logits", net.fully_connected("classifier", net.dropout("dropout", x, 0.2), 1000))


def _inverted_residual(
    net: Network, name: str, x: Tensor, channels: int, expansion: int, stride: int
) -> Tensor:
    hidden = x.shape[1] * expansion
    y = x if expansion == 1 else _conv_bn_relu6(net, f"{name}.expand", x, hidden, 1)
    y = _conv_bn_relu6(net, f"{name}.depthwise", y, hidden, 3, stride=stride, groups=hidden)
    y = net.conv(f"{name}.project.conv", y, channels, 1, has_bias=False)
    y = net.batch_norm(f"{name}.project.bn", y)
    return net.binary("Add", f"{name}.add", x, y) if x.shape == y.shape else y


def _conv_bn_relu6(
    net: Network,
    name: str,
    x: Tensor,
    channels: int,
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
) -> Tensor:
    x = net.conv(
        f"{name}.conv",
        x,
        channels,
        kernel,
        stride=stride,
        padding=kernel // 2,
        groups=groups,
        has_bias=False,
    )
    return net.relu6(f"{name}.relu6", net.batch_norm(f"{name}.bn", x))


def unet(net: Network) -> None:
    """U-Net on 3x256x256 images, 64 to 1024 channels, two classes per pixel.

    Two things differ from the paper, as in most implementations: convolutions are padded, so that
    the map of classes is as large as the image, and each is followed by a batch normalisation.
    """
    x = images(net, size=256)
    skips: list[Tensor] = []
    for level, channels in enumerate((64, 128, 256, 512), start=1):
        x = _double_conv(net, f"down{level}", x, channels)
        skips.append(x)
        x = net.max_pool(f"down{level}.pool", x, 2, 2)
    x = _double_conv(net, "bottom", x, 1024)
    for level in (4, 3, 2, 1):
        skip = skips.pop()
        x = net.up_conv(f"up{level}.up", x, skip.shape[1], 2)
        x = net.concat(f"up{level}.concat", (skip, x))
        x = _double_conv(net, f"up{level}", x, skip.shape[1])
    net.output("logits", net.conv("head", x, 2, 1))


def _double_conv(net: Network, name: str, x: Tensor, channels: int) -> Tensor:
    for index in (1, 2):
        x = net.conv(f"{name}.conv{index}", x, channels, 3, padding=1, has_bias=False)
        x = net.relu(f"{name}.relu{index}", net.batch_norm(f"{name}.bn{index}", x))
    return x
