"""Which architectures the zoo has, and how a network of one is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from planner.errors import InputError, name_hint
from planner.zoo import branched, convnets, residual, transformers
from planner.zoo.layers import Network

MAX_BATCH = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
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


RESNET_PAPER = "He et al., 2015, arXiv:1512.03385"

_ENTRIES = (
    Architecture(
        name="lenet5",
        define=convnets.lenet5,
        description="LeNet-5, 1x32x32 images, 10 classes",
        reference="LeCun et al., 1998, Gradient-based learning applied to document recognition",
    ),
    Architecture(
        name="alexnet",
        define=convnets.alexnet,
        description="AlexNet (one column), 3x224x224 images, 1000 classes",
        reference="Krizhevsky, 2014, arXiv:1404.5997",
    ),
    Architecture(
        name="vgg16",
        define=convnets.vgg16,
        description="VGG-16, 3x224x224 images, 1000 classes",
        reference="Simonyan and Zisserman, 2014, arXiv:1409.1556",
    ),
    *(
        Architecture(
            name=f"resnet{depth}",
            define=define,
            description=f"ResNet-{depth}, 3x224x224 images, 1000 classes",
            reference=RESNET_PAPER,
        )
        for depth, define in (
            (18, residual.resnet18),
            (34, residual.resnet34),
            (50, residual.resnet50),
            (101, residual.resnet101),
            (152, residual.resnet152),
        )
    ),
    Architecture(
        name="googlenet",
        define=branched.googlenet,
        description="GoogLeNet without auxiliary heads, 3x224x224 images, 1000 classes",
        reference="Szegedy et al., 2014, arXiv:1409.4842",
    ),
    Architecture(
        name="densenet121",
        define=branched.densenet121,
        description="DenseNet-121, 3x224x224 images, 1000 classes",
        reference="Huang et al., 2016, arXiv:1608.06993",
    ),
    Architecture(
        name="mobilenet_v2",
        define=convnets.mobilenet_v2,
        description="MobileNetV2 1.0, 3x224x224 images, 1000 classes",
        reference="Sandler et al., 2018, arXiv:1801.04381",
    ),
    Architecture(
        name="squeezenet1_1",
        define=convnets.squeezenet1_1,
        description="SqueezeNet 1.1, 3x224x224 images, 1000 classes",
        reference="Iandola et al., 2016, arXiv:1602.07360",
    ),
    Architecture(
        name="unet",
        define=convnets.unet,
        description="U-Net (padded, batch-normalised), 3x256x256 images, 2 classes per pixel",
        reference="Ronneberger et al., 2015, arXiv:1505.04597",
    ),
    Architecture(
        name="vit_b_16",
        define=transformers.vit_b_16,
        description="ViT-B/16, 3x224x224 images, 1000 classes",
        reference="Dosovitskiy et al., 2020, arXiv:2010.11929",
    ),
    Architecture(
        name="gpt2",
        define=transformers.gpt2,
        description="GPT-2 (124M, tied embedding), up to 1024 tokens",
        reference="Radford et al., 2019, Language models are unsupervised multitask learners",
        max_sequence=transformers.GPT2_MAX_SEQUENCE,
    ),
    Architecture(
        name="bert_base",
        define=transformers.bert_base,
        description="BERT-base uncased with pooler, up to 512 tokens",
        reference="Devlin et al., 2018, arXiv:1810.04805",
        max_sequence=transformers.BERT_MAX_SEQUENCE,
    ),
)

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
