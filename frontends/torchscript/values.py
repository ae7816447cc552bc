"""Tensors of torch as values of a `Program`."""

from __future__ import annotations

import torch

from planner.frontends.torch_programs.dtypes import dtype_name
from planner.frontends.torch_programs.program import Argument, Ref, Value, Weight, WeightKind


class Values:
    """The tensors that have been seen, by identity.

    They are kept, so that no other tensor can come to have the same identity.
    """

    def __init__(self) -> None:
        self.weights: list[Weight] = []
        self._names: dict[int, str] = {}
        self._kept: list[torch.Tensor] = []
        self._used: dict[str, int] = {}
        self._storages: dict[tuple[int, int], str] = {}
        self._n_constants = 0

    def unused(self, stem: str) -> str:
        """`stem`, or with a number behind it."""
        number = self._used.get(stem, 0)
        self._used[stem] = number + 1
        if not number:
            return stem
        return self.unused(f"{stem}_{number}")

    def is_known(self, tensor: torch.Tensor) -> bool:
        """Whether it has a name."""
        return id(tensor) in self._names

    def define(self, tensor: torch.Tensor, stem: str) -> Value:
        """A new value, which is what this tensor holds from now on."""
        value = _value(tensor, self.unused(stem))
        self._names[id(tensor)] = value.name
        self._kept.append(tensor)
        return value

    def add_weight(self, tensor: torch.Tensor, path: str, kind: WeightKind) -> None:
        """Something that a module holds; a second path of the same tensor is a tie."""
        value = _value(tensor, self.unused(path))
        self._names.setdefault(id(tensor), value.name)
        self._kept.append(tensor)
        place = (tensor.untyped_storage()._cdata, int(tensor.storage_offset()))
        storage = self._storages.setdefault(place, path)
        self.weights.append(
            Weight(
                value=value,
                path=path,
                kind=kind,
                requires_grad=kind is WeightKind.PARAMETER and tensor.requires_grad,
                storage=storage,
            )
        )

    def name(self, tensor: torch.Tensor) -> str:
        """Its name; what was never seen is a constant of the code."""
        if id(tensor) not in self._names:
            self.add_weight(tensor, f"constant_{self._n_constants}", WeightKind.CONSTANT)
            self._n_constants += 1
        return self._names[id(tensor)]

    def argument(self, value: object) -> Argument:
        """What a call is given, without tensors."""
        match value:
            case torch.Tensor():
                return Ref(self.name(value))
            case torch.dtype():
                return dtype_name(value)
            case None | bool() | int() | float() | str():
                return value
            case list() | tuple():
                return tuple(self.argument(item) for item in value)
        return str(value)


def _value(tensor: torch.Tensor, name: str) -> Value:
    is_strided = tensor.layout is torch.strided
    return Value(
        name=name,
        dtype=dtype_name(tensor.dtype),
        shape=tuple(tensor.shape),
        strides=tuple(tensor.stride()) if is_strided else None,
    )


def tensors_in(value: object) -> list[torch.Tensor]:
    """The tensors in nested lists, tuples and dictionaries, in order."""
    found: list[torch.Tensor] = []
    if isinstance(value, torch.Tensor):
        found.append(value)
    elif isinstance(value, list | tuple):
        for item in value:
            found += tensors_in(item)
    elif isinstance(value, dict):
        for item in value.values():
            found += tensors_in(item)
    return found
