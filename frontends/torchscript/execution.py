"""Running single operators on the meta device, where tensors have shapes but no content.

What is computed from constants alone is computed in full, on the CPU, so that control flow that
depends on nothing else can be followed. A tensor that is written to from the meta device has no
content any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from planner.frontends.torchscript.values import tensors_in

if TYPE_CHECKING:
    from torch._ops import OpOverload

MAX_REAL_ELEMENTS = 16 * 2**20
"""Constants with more elements are not computed."""
MAX_REAL_BYTES = 256 * 2**20
"""Nor are further ones, once they have so many bytes together."""
MAX_TRIAL_BYTES = 600 * 2**20
"""An operator that the meta device lacks is run on zeros if they have no more bytes."""

T = TypeVar("T")

_META = torch.device("meta")
_CPU = torch.device("cpu")
_ONE_DTYPE = {"addmm", "bmm", "linear", "matmul", "mm", "baddbmm", "scaled_dot_product_attention"}
_READS_VALUES = {
    "_local_scalar_dense",
    "allclose",
    "equal",
    "is_nonzero",
    "item",
    "masked_select",
    "nonzero",
    "nonzero_numpy",
}


class NeedsValuesError(Exception):
    """An operator asks for what a tensor without content holds."""


class MismatchError(Exception):
    """An operator that the meta device would run on tensors that no other one takes."""


@dataclass(slots=True)
class Operator:
    """An overload, and the mode that it is to run in."""

    overload: OpOverload
    mode: AbstractContextManager[object] = field(default_factory=nullcontext)

    def __call__(self, *args: object, **kwargs: object) -> object:
        """Run it."""
        with self.mode:
            result: object = self.overload(*args, **kwargs)
            return result

    @property
    def schema(self) -> torch.FunctionSchema:
        """Its arguments and results."""
        return self.overload._schema

    @property
    def name(self) -> str:
        """Without namespace and overload."""
        return str(self.schema.name).split("::")[-1]

    def is_tagged(self, tag: torch.Tag) -> bool:
        """Whether torch says so of it."""
        return tag in self.overload.tags


class Execution:
    """Runs operators, and remembers which tensors have lost their content."""

    def __init__(self) -> None:
        self._written: set[int] = set()
        self._twins: dict[int, torch.Tensor] = {}
        self._kept: list[torch.Tensor] = []
        self._real_bytes = 0

    def is_real(self, tensor: torch.Tensor) -> bool:
        """Whether its content is known."""
        is_meta = tensor.device.type == "meta"
        return not is_meta and tensor.untyped_storage()._cdata not in self._written

    def run(self, func: Operator, args: Sequence[object], kwargs: dict[str, object]) -> object:
        """The result of an operator.

        Raises:
            NeedsValuesError: If it depends on what tensors hold that have no content.
            MismatchError: If the types of tensors differ.
        """
        given = tensors_in([args, kwargs])
        if all(tensor.device.type == "meta" for tensor in given):
            if given:
                return self._run_meta(func, args, kwargs, given)
            return self._run_factory(func, args, kwargs)
        if all(self.is_real(tensor) for tensor in given):
            return self._run_real(func, args, kwargs, given)
        args = _indices_of_masks(func, args, self.is_real)
        twins = {id(tensor): tensor for tensor in given}

        def twin(tensor: torch.Tensor) -> torch.Tensor:
            moved = self._twin(tensor)
            twins[id(moved)] = tensor
            return moved

        args, kwargs = _mapped(args, twin), _mapped(kwargs, twin)
        result = self._run_meta(func, args, kwargs, tensors_in([args, kwargs]))
        if func.schema.is_mutable:
            self._mark_written(func, args, kwargs, twins)
        return _mapped(result, lambda tensor: twins.get(id(tensor), tensor))

    def _run_meta(
        self,
        func: Operator,
        args: Sequence[object],
        kwargs: dict[str, object],
        given: list[torch.Tensor],
    ) -> object:
        _check_dtypes(func, given)
        args, kwargs = _placed(func, args, kwargs, _META)
        try:
            return func(*args, **kwargs)
        except NotImplementedError as error:
            if _reads_values(func, given):
                raise NeedsValuesError from error
            return self._run_on_zeros(func, args, kwargs, given, error)
        except RuntimeError as error:
            if "meta tensor" in str(error).lower() and _reads_values(func, given):
                raise NeedsValuesError from error
            raise

    def _run_real(
        self,
        func: Operator,
        args: Sequence[object],
        kwargs: dict[str, object],
        given: list[torch.Tensor],
    ) -> object:
        args, kwargs = _placed(func, args, kwargs, _CPU)
        try:
            trial = func(*_mapped(args, _to_meta), **_mapped(kwargs, _to_meta))
        except (NotImplementedError, RuntimeError):
            return self._counted(func(*args, **kwargs), given)  # what is wrong shows here again
        is_random = func.is_tagged(torch.Tag.nondeterministic_seeded)
        fits = self._fits(trial) or func.overload.is_view
        if func.schema.is_mutable or not tensors_in(trial) or (fits and not is_random):
            return self._counted(func(*args, **kwargs), given)
        return trial

    def _run_factory(
        self, func: Operator, args: Sequence[object], kwargs: dict[str, object]
    ) -> object:
        on_meta = _placed(func, args, kwargs, _META)
        is_random = func.is_tagged(torch.Tag.nondeterministic_seeded)
        if not any(argument.name == "device" for argument in func.schema.arguments):
            return func(*args, **kwargs)
        trial = func(*on_meta[0], **on_meta[1])
        if is_random or not self._fits(trial):
            return trial
        args, kwargs = _placed(func, args, kwargs, _CPU)
        return self._counted(func(*args, **kwargs), [])

    def _fits(self, trial: object) -> bool:
        results = tensors_in(trial)
        elements = sum(tensor.numel() for tensor in results)
        n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in results)
        return elements <= MAX_REAL_ELEMENTS and self._real_bytes + n_bytes <= MAX_REAL_BYTES

    def _counted(self, result: object, given: list[torch.Tensor]) -> object:
        shared = {tensor.untyped_storage()._cdata for tensor in given}
        for tensor in tensors_in(result):
            if tensor.untyped_storage()._cdata not in shared:
                self._real_bytes += tensor.numel() * tensor.element_size()
        return result

    def _twin(self, tensor: torch.Tensor) -> torch.Tensor:
        """The same tensor on the meta device."""
        if tensor.device.type == "meta":
            return tensor
        if id(tensor) not in self._twins:
            self._twins[id(tensor)] = _to_meta(tensor)
            self._kept.append(tensor)
        return self._twins[id(tensor)]

    def _mark_written(
        self,
        func: Operator,
        args: Sequence[object],
        kwargs: dict[str, object],
        twins: dict[int, torch.Tensor],
    ) -> None:
        given = dict(zip((a.name for a in func.schema.arguments), args, strict=False)) | kwargs
        for argument in func.schema.arguments:
            if argument.alias_info is not None and argument.alias_info.is_write:
                for tensor in tensors_in(given.get(argument.name)):
                    original = twins.get(id(tensor), tensor)
                    if original.device.type != "meta":
                        self._written.add(original.untyped_storage()._cdata)

    def _run_on_zeros(
        self,
        func: Operator,
        args: Sequence[object],
        kwargs: dict[str, object],
        given: list[torch.Tensor],
        error: NotImplementedError,
    ) -> object:
        """Shapes from a run on zeros, for an operator that the meta device does not have."""
        n_bytes = sum(tensor.numel() * tensor.element_size() for tensor in given)
        if n_bytes > MAX_TRIAL_BYTES or func.schema.is_mutable:
            raise error
        args, kwargs = _placed(func, args, kwargs, _CPU)
        with torch.no_grad():
            return _mapped(func(*_mapped(args, _zeros), **_mapped(kwargs, _zeros)), _to_meta)


def _reads_values(func: Operator, given: list[torch.Tensor]) -> bool:
    if func.name in _READS_VALUES or func.is_tagged(torch.Tag.data_dependent_output):
        return True
    if func.name.startswith(("index", "_index", "_unsafe_index")):
        return any(tensor.dtype in (torch.bool, torch.uint8) for tensor in given[1:])
    return func.is_tagged(torch.Tag.dynamic_output_shape)


def _check_dtypes(func: Operator, given: list[torch.Tensor]) -> None:
    """The meta device multiplies a float64 by a float32 where every other one refuses to."""
    if func.name not in _ONE_DTYPE and not func.name.startswith("conv"):
        return
    types = {tensor.dtype for tensor in given[:3] if tensor.dtype is not torch.bool}
    if len(types) > 1:
        words = " and ".join(sorted(str(dtype).removeprefix("torch.") for dtype in types))
        raise MismatchError(f"it is given tensors of {words}, expected one type")


def _mapped(value: T, change: Callable[[torch.Tensor], torch.Tensor]) -> T:
    """The same nested value with other tensors."""
    changed: Any = value
    if isinstance(value, torch.Tensor):
        changed = change(value)
    elif isinstance(value, list):
        changed = [_mapped(item, change) for item in value]
    elif isinstance(value, tuple):
        changed = tuple(_mapped(item, change) for item in value)
    elif isinstance(value, dict):
        changed = {key: _mapped(item, change) for key, item in value.items()}
    result: T = changed
    return result


def _placed(
    func: Operator, args: Sequence[object], kwargs: dict[str, object], device: torch.device
) -> tuple[Sequence[object], dict[str, object]]:
    """The arguments with another device, if the operator takes one."""
    for position, argument in enumerate(func.schema.arguments):
        if argument.name == "device":
            if position < len(args):
                args = [*args[:position], device, *args[position + 1 :]]
            elif kwargs.get("device") is not None or device.type == "meta":
                kwargs = {**kwargs, "device": device}
            if kwargs.get("pin_memory"):
                kwargs = {**kwargs, "pin_memory": None}
    return args, kwargs


def _indices_of_masks(
    func: Operator, args: Sequence[object], is_real: Callable[[torch.Tensor], bool]
) -> Sequence[object]:
    """Masks of known content as the indices that they stand for: those have a known length."""
    if not func.name.startswith(("index", "_index")) or len(args) < 2:
        return args
    if not isinstance(args[1], list | tuple):
        return args
    indices: list[object] = []
    for index in args[1]:
        is_mask = isinstance(index, torch.Tensor) and index.dtype in (torch.bool, torch.uint8)
        if isinstance(index, torch.Tensor) and is_mask and is_real(index):
            indices += index.nonzero().unbind(1)
        else:
            indices.append(index)
    return [args[0], indices, *args[2:]]


def _to_meta(tensor: torch.Tensor) -> torch.Tensor:
    if tensor.device.type == "meta":
        return tensor
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _zeros(tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros(tensor.shape, dtype=tensor.dtype)
