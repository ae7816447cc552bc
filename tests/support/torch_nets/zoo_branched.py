"""Residual networks, GoogLeNet and DenseNet in plain torch."""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += identity
        return self.relu(out)


class Bottleneck(nn.Module):
    """A 3x3 convolution between two of 1x1 beside a shortcut; the stride is on the 3x3 one."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = shortcut(in_channels, 4 * width, stride)

    def forward(self, x: Tensor) -> Tensor:
        identity = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += identity
        return self.relu(out)


def shortcut(in_channels: int, channels: int, stride: int) -> nn.Sequential | None:
    """A projection where the shapes at the two ends of a block differ."""
    if stride == 1 and in_channels == channels:
        return None
    return nn.Sequential(
        nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
    )


class ResNet(nn.Module):
    """A residual network of four stages."""

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        depths: tuple[int, int, int, int],
        num_classes: int = 1000,
    ) -> None:
        super().__init__()
        self.in_channels = 64
        self.conv1 = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1)
        self.layer1 = self._stage(block, 64, depths[0], 1)
        self.layer2 = self._stage(block, 128, depths[1], 2)
        self.layer3 = self._stage(block, 256, depths[2], 2)
        self.layer4 = self._stage(block, 512, depths[3], 2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * block.expansion, num_classes)

    def _stage(
        self, block: type[BasicBlock | Bottleneck], width: int, depth: int, stride: int
    ) -> nn.Sequential:
        blocks = []
        for index in range(depth):
            blocks.append(block(self.in_channels, width, stride if index == 0 else 1))
            self.in_channels = width * block.expansion
        return nn.Sequential(*blocks)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer1(x)
        x = self.layer2(x)
        x = self.layer3(x)
        x = self.layer4(x)
        x = torch.flatten(self.avgpool(x), 1)
        return self.fc(x)


class ConvBnRelu(nn.Module):
    """A convolution that keeps the extent at stride 1, with normalisation and rectifier."""

    def __init__(self, in_channels: int, channels: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2, bias=False)
        self.bn = nn.BatchNorm2d(channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.bn(self.conv(x)))


class Inception(nn.Module):
    """Four branches of convolutions, concatenated."""

    def __init__(self, in_channels: int, channels: tuple[int, int, int, int, int, int]) -> None:
        super().__init__()
        single, reduced2, wide2, reduced3, wide3, pooled = channels
        self.branch1 = ConvBnRelu(in_channels, single, 1)
        self.branch2 = nn.Sequential(
            ConvBnRelu(in_channels, reduced2, 1), ConvBnRelu(reduced2, wide2, 3)
        )
        self.branch3 = nn.Sequential(
            ConvBnRelu(in_channels, reduced3, 1), ConvBnRelu(reduced3, wide3, 3)
        )
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1, ceil_mode=True), ConvBnRelu(in_channels, pooled, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        branches = [self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)]
        return torch.cat(branches, 1)


class GoogLeNet(nn.Module):
    """GoogLeNet with batch normalisation and without auxiliary heads."""

    def __init__(self, num_classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = ConvBnRelu(3, 64, 7, stride=2)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.conv2 = ConvBnRelu(64, 64, 1)
        self.conv3 = ConvBnRelu(64, 192, 3)
        self.maxpool2 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = Inception(192, (64, 96, 128, 16, 32, 32))
        self.inception3b = Inception(256, (128, 128, 192, 32, 96, 64))
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = Inception(480, (192, 96, 208, 16, 48, 64))
        self.inception4b = Inception(512, (160, 112, 224, 24, 64, 64))
        self.inception4c = Inception(512, (128, 128, 256, 24, 64, 64))
        self.inception4d = Inception(512, (112, 144, 288, 32, 64, 64))
        self.inception4e = Inception(528, (256, 160, 320, 32, 128, 128))
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = Inception(832, (256, 160, 320, 32, 128, 128))
        self.inception5b = Inception(832, (384, 192, 384, 48, 128, 128))
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout(0.2)
        self.fc = nn.Linear(1024, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool1(self.conv1(x))
        x = self.maxpool2(self.conv3(self.conv2(x)))
        x = self.maxpool3(self.inception3b(self.inception3a(x)))
        x = self.inception4b(self.inception4a(x))
        x = self.inception4d(self.inception4c(x))
        x = self.maxpool4(self.inception4e(x))
        x = self.inception5b(self.inception5a(x))
        x = torch.flatten(self.avgpool(x), 1)
        return self.fc(self.dropout(x))


class DenseLayer(nn.Module):
    """Reads all features so far and makes some more."""

    def __init__(self, in_channels: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = torch.cat(features, 1)
        x = self.conv1(self.relu1(self.norm1(x)))
        return self.conv2(self.relu2(self.norm2(x)))


class DenseBlock(nn.ModuleDict):
    """Layers of which each reads the outputs of all before it."""

    def __init__(self, in_channels: int, depth: int, growth: int) -> None:
        super().__init__()
        for index in range(depth):
            self[f"denselayer{index + 1}"] = DenseLayer(in_channels + index * growth, growth)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return torch.cat(features, 1)


def transition(in_channels: int) -> nn.Sequential:
    """Halves the channels, the height and the width."""
    conv = nn.Conv2d(in_channels, in_channels // 2, 1, bias=False)
    norm, relu = nn.BatchNorm2d(in_channels), nn.ReLU(inplace=True)
    return nn.Sequential(OrderedDict(norm=norm, relu=relu, conv=conv, pool=nn.AvgPool2d(2)))


def densenet121(growth: int = 32, num_classes: int = 1000) -> nn.Sequential:
    """DenseNet-121."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["conv0"] = nn.Conv2d(3, 64, 7, stride=2, padding=3, bias=False)
    layers["norm0"] = nn.BatchNorm2d(64)
    layers["relu0"] = nn.ReLU(inplace=True)
    layers["pool0"] = nn.MaxPool2d(3, stride=2, padding=1)
    channels = 64
    depths = (6, 12, 24, 16)
    for block, depth in enumerate(depths, start=1):
        layers[f"denseblock{block}"] = DenseBlock(channels, depth, growth)
        channels += depth * growth
        if block < len(depths):
            layers[f"transition{block}"] = transition(channels)
            channels //= 2
    layers["norm5"] = nn.BatchNorm2d(channels)
    layers["relu5"] = nn.ReLU(inplace=True)
    layers["avgpool"] = nn.AdaptiveAvgPool2d((1, 1))
    layers["flatten"] = nn.Flatten()
    layers["classifier"] = nn.Linear(channels, num_classes)
    return nn.Sequential(layers)
