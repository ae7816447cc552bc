"""The zoo's architectures as a torch user would write them, with the same parameters.

with torch.device("meta"):
    module = build("resnet18")
module(*example_inputs("resnet18", batch=32)).shape
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import torch
from torch import Tensor, nn

from tests.support.torch_nets.zoo_branched import (
    BasicBlock,
    Bottleneck,
    GoogLeNet,
    ResNet,
    densenet121,
)
from tests.support.torch_nets.zoo_convnets import (
    AlexNet,
    LeNet5,
    MobileNetV2,
    UNet,
    squeezenet1_1,
    vgg16,
)
from tests.support.torch_nets.zoo_llama import Llama, LlamaConfig
from tests.support.torch_nets.zoo_transformers import GPT2, Bert, VisionTransformer

_BUILDERS: MappingProxyType[str, Callable[[], nn.Module]] = MappingProxyType(
    {
        "lenet5": LeNet5,
        "alexnet": AlexNet,
        "vgg16": vgg16,
        "resnet18": lambda: ResNet(BasicBlock, (2, 2, 2, 2)),
        "resnet34": lambda: ResNet(BasicBlock, (3, 4, 6, 3)),
        "resnet50": lambda: ResNet(Bottleneck, (3, 4, 6, 3)),
        "resnet101": lambda: ResNet(Bottleneck, (3, 4, 23, 3)),
        "resnet152": lambda: ResNet(Bottleneck, (3, 8, 36, 3)),
        "googlenet": GoogLeNet,
        "densenet121": densenet121,
        "mobilenet_v2": MobileNetV2,
        "squeezenet1_1": squeezenet1_1,
        "unet": UNet,
        "vit_b_16": VisionTransformer,
        "gpt2": GPT2,
        "bert_base": Bert,
    }
)

NAMES = tuple(_BUILDERS)
"""In the order of the zoo."""

_VOCABULARIES = {"gpt2": 50257, "bert_base": 30522}
_MATRICES_OF_ROWS = frozenset({"wte", "wpe", "word", "segment", "position", "head", "pooler"})
"""Modules of the transformers whose matrices the zoo has as torch does; others are transposed."""


def build(name: str) -> nn.Module:
    """The network in training mode, on torch's default device."""
    return _BUILDERS[name]()


def llama(config: LlamaConfig | None = None) -> nn.Module:
    """A decoder in the style of Llama, by default of 1.2 billion parameters: for `meta` only."""
    return Llama(config or LlamaConfig())


def example_inputs(
    name: str, batch: int = 1, sequence: int = 128, device: str = "meta"
) -> tuple[Tensor, ...]:
    """What to call a network with: random images, or random tokens and a mask without padding."""
    if name in _VOCABULARIES:
        ids = torch.randint(0, _VOCABULARIES[name], (batch, sequence), device=device)
        return (ids, torch.ones_like(ids)) if name == "bert_base" else (ids,)
    image = {"lenet5": (1, 32, 32), "unet": (3, 256, 256)}.get(name, (3, 224, 224))
    return (torch.randn(batch, *image, device=device),)


def zoo_tensors(module: nn.Module) -> dict[str, Tensor]:
    """The state dict with the zoo's names and shapes.

    All are views, so that weights can be copied into them. Three things differ from the state dict:
    counters of batches and the second name of a tied matrix are absent, the joint projection of
    `nn.MultiheadAttention` has a dot in its name, and projections of transformers are transposed.
    """
    seen: set[int] = set()
    tensors = {}
    for key, tensor in module.state_dict(keep_vars=True).items():
        if key.endswith("num_batches_tracked") or id(tensor) in seen:
            continue
        seen.add(id(tensor))
        owner, _, kind = key.replace("in_proj_", "in_proj.").rpartition(".")
        is_transposed = (
            isinstance(module, VisionTransformer | GPT2 | Bert)
            and kind == "weight"
            and tensor.dim() == 2
            and owner.rpartition(".")[2] not in _MATRICES_OF_ROWS
        )
        tensors[f"{owner}.{kind}" if owner else kind] = (
            tensor.detach().mT if is_transposed else tensor.detach()
        )
    return tensors
