"""Residual networks (He et al., 2015) of 18 to 152 layers, with the stride on the 3x3 kernel."""

from __future__ import annotations

from planner.zoo.convnets import images
from planner.zoo.graph import Tensor
from planner.zoo.layers import Network

BRANCH_SCALE = 0.25
"""With random weights, how strong a branch is: at 1, 50 blocks would reach 5e9 in inference."""


def resnet18(net: Network) -> None:
    """ResNet-18: two basic blocks per stage."""
    _resnet(net, (2, 2, 2, 2), has_bottleneck=False)


def resnet34(net: Network) -> None:
    """ResNet-34: 3, 4, 6 and 3 basic blocks."""
    _resnet(net, (3, 4, 6, 3), has_bottleneck=False)


def resnet50(net: Network) -> None:
    """ResNet-50: 3, 4, 6 and 3 bottlenecks."""
    _resnet(net, (3, 4, 6, 3), has_bottleneck=True)


def resnet101(net: Network) -> None:
    """ResNet-101: 3, 4, 23 and 3 bottlenecks."""
    _resnet(net, (3, 4, 23, 3), has_bottleneck=True)


def resnet152(net: Network) -> None:
    """ResNet-152: 3, 8, 36 and 3 bottlenecks."""
    _resnet(net, (3, 8, 36, 3), has_bottleneck=True)


def _resnet(net: Network, depths: tuple[int, ...], *, has_bottleneck: bool) -> None:
    x = net.conv("conv1", images(net), 64, 7, stride=2, padding=3, has_bias=False)
    x = net.relu("relu", net.batch_norm("bn1", x))
    x = net.max_pool("maxpool", x, 3, 2, padding=1)
    for stage, depth in enumerate(depths):
        for index in range(depth):
            stride = 2 if stage > 0 and index == 0 else 1
            name = f"layer{stage + 1}.{index}"
            x = _block(net, name, x, 64 << stage, stride, has_bottleneck=has_bottleneck)
    x = net.flatten("flatten", net.global_average_pool("avgpool", x))
    net.output("logits", net.fully_connected("fc", x, 1000))


def _block(
    net: Network, name: str, x: Tensor, channels: int, stride: int, *, has_bottleneck: bool
) -> Tensor:
    # channels, kernel, stride of each convolution of the branch
    basic = ((channels, 3, stride), (channels, 3, 1))
    bottleneck = ((channels, 1, 1), (channels, 3, stride), (4 * channels, 1, 1))
    plan = bottleneck if has_bottleneck else basic
    y = x
    for index, shape in enumerate(plan, start=1):
        is_last = index == len(plan)
        scale = BRANCH_SCALE if is_last else 1.0
        y = _conv_bn(net, (f"{name}.conv{index}", f"{name}.bn{index}"), y, shape, scale=scale)
        y = y if is_last else net.relu(f"{name}.relu{index}", y)
    if x.shape != y.shape:
        names = (f"{name}.downsample.0", f"{name}.downsample.1")
        x = _conv_bn(net, names, x, (y.shape[1], 1, stride))
    y = net.binary("Add", f"{name}.add", y, x)
    return net.relu(f"{name}.relu{len(plan)}", y)


def _conv_bn(
    net: Network,
    names: tuple[str, str],
    x: Tensor,
    shape: tuple[int, int, int],
    *,
    scale: float = 1.0,
) -> Tensor:
    channels, kernel, stride = shape
    x = net.conv(names[0], x, channels, kernel, stride=stride, padding=kernel // 2, has_bias=False)
    return net.batch_norm(names[1], x, scale=scale)
