"""Which architectures the zoo has, and how a network of one is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from planner.errors import InputError, name_hint
from planner.zoo import branched, convnets, residual, transformers
from planner.zoo.layers import Network

MAX_BATCH = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Architecture:
    """An entry of the zoo.

    Attributes:
        name: On the command line and as the ONNX graph's name.
        define: Appends the architecture to an empty network.
        description: One line for people.
        reference: The paper.
        max_sequence: The longest sequence in tokens; None if there is no sequence.
    """

    name: str
    define: Callable[[Network], None]
    description: str
    reference: str
    max_sequence: int | None = None


_IMAGES = "3x224x224 images, 1000 classes"
_RESNETS = "He et al., 2015, arXiv:1512.03385"

_ENTRIES = (
    Architecture("lenet5", convnets.lenet5, "LeNet-5, 1x32x32 images, 10 classes",
                 "LeCun et al., 1998, Gradient-based learning applied to document recognition"),
    Architecture("alexnet", convnets.alexnet, f"AlexNet (one column), {_IMAGES}",
                 "Krizhevsky, 2014, arXiv:1404.5997"),
    Architecture("vgg16", convnets.vgg16, f"VGG-16, {_IMAGES}",
                 "Simonyan and Zisserman, 2014, arXiv:1409.1556"),
    Architecture("resnet18", residual.resnet18, f"ResNet-18, {_IMAGES}", _RESNETS),
    Architecture("resnet34", residual.resnet34, f"ResNet-34, {_IMAGES}", _RESNETS),
    Architecture("resnet50", residual.resnet50, f"ResNet-50, {_IMAGES}", _RESNETS),
    Architecture("resnet101", residual.resnet101, f"ResNet-101, {_IMAGES}", _RESNETS),
    Architecture("resnet152", residual.resnet152, f"ResNet-152, {_IMAGES}", _RESNETS),
    Architecture("googlenet", branched.googlenet, f"GoogLeNet without auxiliary heads, {_IMAGES}",
                 "Szegedy et al., 2014, arXiv:1409.4842"),
    Architecture("densenet121", branched.densenet121, f"DenseNet-121, {_IMAGES}",
                 "Huang et al., 2016, arXiv:1608.06993"),
    Architecture("mobilenet_v2", convnets.mobilenet_v2, f"MobileNetV2 1.0, {_IMAGES}",
                 "Sandler et al., 2018, arXiv:1801.04381"),
    Architecture("squeezenet1_1", convnets.squeezenet1_1, f"SqueezeNet 1.1, {_IMAGES}",
                 "Iandola et al., 2016, arXiv:1602.07360"),
    Architecture("unet", convnets.unet,
                 "U-Net (padded, batch-normalised), 3x256x256 images, 2 classes per pixel",
                 "Ronneberger et al., 2015, arXiv:1505.04597"),
    Architecture("vit_b_16", transformers.vit_b_16, f"ViT-B/16, {_IMAGES}",
                 "Dosovitskiy et al., 2020, arXiv:2010.11929"),
    Architecture("gpt2", transformers.gpt2, "GPT-2 (124M, tied embedding), up to 1024 tokens",
                 "Radford et al., 2019, Language models are unsupervised multitask learners",
                 transformers.GPT2_MAX_SEQUENCE),
    Architecture("bert_base", transformers.bert_base,
                 "BERT-base uncased with pooler, up to 512 tokens",
                 "Devlin et al., 2018, arXiv:1810.04805", transformers.BERT_MAX_SEQUENCE),
)  # fmt: skip

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {entry.name: entry for entry in _ENTRIES}
)
"""The zoo, by name."""


def architecture(name: str) -> Architecture:
    """The architecture of this name.

    Raises:
        InputError: PLN130, if there is none.
    """
    if name not in ARCHITECTURES:
        raise InputError(
            f"the zoo has no architecture `{name}`",
            code="PLN130",
            where="zoo",
            hint=name_hint(name, ARCHITECTURES, "architectures"),
        )
    return ARCHITECTURES[name]


def network(name: str, *, batch: int, sequence: int, is_training: bool) -> Network:
    """The network of an architecture, still in plain Python.

    Raises:
        InputError: PLN130, if there is no such architecture; PLN131, if the batch or the sequence
            is out of its range.
    """
    entry = architecture(name)
    _check_range("batch", batch, MAX_BATCH)
    if entry.max_sequence is not None:
        _check_range("sequence", sequence, entry.max_sequence)
    net = Network(batch=batch, sequence=sequence, is_training=is_training)
    entry.define(net)
    return net


def _check_range(argument: str, value: int, highest: int) -> None:
    if not 1 <= value <= highest:
        raise InputError(
            f"{argument} is {value}, expected 1 to {highest}",
            code="PLN131",
            where=argument,
        )
