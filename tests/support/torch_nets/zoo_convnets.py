"""Convolutional networks without or with short-range branches, and U-Net, in plain torch."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


class LeNet5(nn.Module):
    """LeNet-5 on 32x32 grey images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(torch.tanh(self.conv1(x)), 2)
        x = F.avg_pool2d(torch.tanh(self.conv2(x)), 2)
        x = x.view(x.size(0), -1)
        x = torch.tanh(self.fc1(x))
        x = torch.tanh(self.fc2(x))
        return self.fc3(x)


class AlexNet(nn.Module):
    """AlexNet in the one-column form."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 11, stride=4, padding=2)
        self.conv2 = nn.Conv2d(64, 192, 5, padding=2)
        self.conv3 = nn.Conv2d(192, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 256, 3, padding=1)
        self.conv5 = nn.Conv2d(256, 256, 3, padding=1)
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.dropout = nn.Dropout(0.5)
        self.fc6 = nn.Linear(256 * 6 * 6, 4096)
        self.fc7 = nn.Linear(4096, 4096)
        self.fc8 = nn.Linear(4096, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 3, 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 3, 2)
        x = F.relu(self.conv3(x))
        x = F.relu(self.conv4(x))
        x = F.max_pool2d(F.relu(self.conv5(x)), 3, 2)
        x = torch.flatten(self.avgpool(x), 1)
        x = F.relu(self.fc6(self.dropout(x)))
        x = F.relu(self.fc7(self.dropout(x)))
        return self.fc8(x)


def vgg16(num_classes: int = 1000) -> nn.Sequential:
    """VGG with 16 weight layers (configuration D): one long sequence."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    in_channels = 3
    stages = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    for stage, (channels, depth) in enumerate(stages, start=1):
        for index in range(1, depth + 1):
            layers[f"conv{stage}_{index}"] = nn.Conv2d(in_channels, channels, 3, padding=1)
            layers[f"relu{stage}_{index}"] = nn.ReLU(inplace=True)
            in_channels = channels
        layers[f"pool{stage}"] = nn.MaxPool2d(2, 2)
    layers["avgpool"] = nn.AdaptiveAvgPool2d((7, 7))
    layers["flatten"] = nn.Flatten()
    in_features = 512 * 7 * 7
    for index in (6, 7):
        layers[f"fc{index}"] = nn.Linear(in_features, 4096)
        layers[f"relu{index}"] = nn.ReLU(inplace=True)
        layers[f"drop{index}"] = nn.Dropout(0.5)
        in_features = 4096
    layers["fc8"] = nn.Linear(in_features, num_classes)
    return nn.Sequential(layers)


class Fire(nn.Module):
    """Squeezes the channels, then expands them by two kernels."""

    def __init__(self, in_channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(in_channels, squeezed, 1)
        self.squeeze_activation = nn.ReLU(inplace=True)
        self.expand1x1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand1x1_activation = nn.ReLU(inplace=True)
        self.expand3x3 = nn.Conv2d(squeezed, expanded, 3, padding=1)
        self.expand3x3_activation = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        small = self.expand1x1_activation(self.expand1x1(x))
        large = self.expand3x3_activation(self.expand3x3(x))
        return torch.cat([small, large], 1)


def squeezenet1_1(num_classes: int = 1000) -> nn.Sequential:
    """SqueezeNet 1.1."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv1"] = nn.Conv2d(3, 64, 3, stride=2)
    layers["relu1"] = nn.ReLU(inplace=True)
    in_channels = 64
    widths = ((16, 64), (16, 64), (32, 128), (32, 128), (48, 192), (48, 192), (64, 256), (64, 256))
    for index, (squeezed, expanded) in enumerate(widths, start=2):
        if index in (2, 4, 6):
            layers[f"pool{index - 1}"] = nn.MaxPool2d(3, 2, ceil_mode=True)
        layers[f"fire{index}"] = Fire(in_channels, squeezed, expanded)
        in_channels = 2 * expanded
    layers["drop10"] = nn.Dropout(0.5)
    layers["conv10"] = nn.Conv2d(in_channels, num_classes, 1)
    layers["relu10"] = nn.ReLU(inplace=True)
    layers["pool10"] = nn.AdaptiveAvgPool2d((1, 1))
    layers["flatten"] = nn.Flatten()
    return nn.Sequential(layers)


def conv_bn(
    in_channels: int, channels: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> OrderedDict[str, nn.Module]:
    """A convolution that keeps the extent at stride 1, and its batch normalisation."""
    conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    return OrderedDict(conv=conv, bn=nn.BatchNorm2d(channels))


def conv_bn_relu6(
    in_channels: int, channels: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """The same with a rectifier that saturates at six."""
    layers = conv_bn(in_channels, channels, kernel, stride=stride, groups=groups)
    return nn.Sequential(layers | OrderedDict(relu6=nn.ReLU6(inplace=True)))


class InvertedResidual(nn.Module):
    """Expands the channels, filters each, projects them down again."""

    def __init__(self, in_channels: int, channels: int, *, expansion: int, stride: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        self.has_shortcut = stride == 1 and in_channels == channels
        self.expand = conv_bn_relu6(in_channels, hidden, 1) if expansion > 1 else None
        self.depthwise = conv_bn_relu6(hidden, hidden, 3, stride=stride, groups=hidden)
        self.project = nn.Sequential(conv_bn(hidden, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else self.expand(x)
        y = self.project(self.depthwise(y))
        return x + y if self.has_shortcut else y


class MobileNetV2(nn.Module):
    """MobileNetV2 of width 1."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.stem = conv_bn_relu6(3, 32, 3, stride=2)
        # expansion, channels, repetitions, stride of the first
        stages = (
            *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
            *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
        )
        self.blocks: list[str] = []
        in_channels = 32
        for expansion, channels, depth, first_stride in stages:
            for index in range(depth):
                stride = first_stride if index == 0 else 1
                block = InvertedResidual(in_channels, channels, expansion=expansion, stride=stride)
                self.blocks.append(f"block{len(self.blocks) + 1}")
                self.add_module(self.blocks[-1], block)
                in_channels = channels
        self.head = conv_bn_relu6(in_channels, 1280, 1)
        self.dropout = nn.Dropout(0.2)
        self.classifier = nn.Linear(1280, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for name in self.blocks:
            x = self.get_submodule(name)(x)
        x = F.adaptive_avg_pool2d(self.head(x), (1, 1))
        x = torch.flatten(x, 1)
        return self.classifier(self.dropout(x))


class DoubleConv(nn.Module):
    """Two padded convolutions, each with a batch normalisation and a rectifier."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)))


class Up(DoubleConv):
    """Enlarges the map, joins what the way down left there, convolves twice."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(in_channels, channels)
        self.up = nn.ConvTranspose2d(in_channels, channels, 2, stride=2)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return super().forward(torch.cat([skip, self.up(x)], dim=1))


class UNet(nn.Module):
    """U-Net with 64 to 1024 channels and two classes per pixel."""

    def __init__(self, num_classes: int = 2) -> None:
        super().__init__()
        self.down1 = DoubleConv(3, 64)
        self.down2 = DoubleConv(64, 128)
        self.down3 = DoubleConv(128, 256)
        self.down4 = DoubleConv(256, 512)
        self.pool = nn.MaxPool2d(2)
        self.bottom = DoubleConv(512, 1024)
        self.up4 = Up(1024, 512)
        self.up3 = Up(512, 256)
        self.up2 = Up(256, 128)
        self.up1 = Up(128, 64)
        self.head = nn.Conv2d(64, num_classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        x1 = self.down1(x)
        x2 = self.down2(self.pool(x1))
        x3 = self.down3(self.pool(x2))
        x4 = self.down4(self.pool(x3))
        x = self.bottom(self.pool(x4))
        x = self.up4(x, x4)
        x = self.up3(x, x3)
        x = self.up2(x, x2)
        x = self.up1(x, x1)
        return self.head(x)
