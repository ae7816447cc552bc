"""Known architectures as ONNX models, made from nothing but their published description.

A model is a few hundred kilobytes at most, because its weights lie in a file of their own that is
written only on request: shapes, costs and cuts need none. Importing this package needs no onnx.

>>> from planner import zoo
>>> zoo.names()[:2]
('lenet5', 'alexnet')
"""

from __future__ import annotations

from planner.zoo.files import WrittenModel, build, write
from planner.zoo.registry import ARCHITECTURES, Architecture
from planner.zoo.weights import Filling


def names() -> tuple[str, ...]:
    """The names of all architectures, smaller and older ones first.

    >>> "resnet50" in names()
    True
    """
    return tuple(ARCHITECTURES)


def count_parameters(name: str) -> int:
    """Trainable parameters of an architecture, tied ones once.

    >>> count_parameters("lenet5")
    61706
    """
    from planner.zoo.registry import network

    return network(name, batch=1, sequence=1, is_training=False).n_trainable


__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Filling",
    "WrittenModel",
    "build",
    "count_parameters",
    "names",
    "write",
]
