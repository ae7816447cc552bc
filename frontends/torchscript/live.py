"""Live TorchScript modules: as files in memory, and their inputs as specifications."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping
from typing import Any

import torch

from planner.drafts.frontend import ExampleInputs
from planner.errors import InputError
from planner.frontends.torch_programs.dtypes import dtype_name
from planner.frontends.torchscript.places import sentence


def saved(module: object) -> bytes:
    """The archive that `torch.jit.save` writes.

    Raises:
        InputError: PLN149 if the module cannot be saved.
    """
    buffer = io.BytesIO()
    save: Any = torch.jit.save
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
            save(module, buffer)
    except (RuntimeError, ValueError) as error:
        text = f"the module cannot be saved: {sentence(error)}"
        raise InputError(text, code="PLN149", where="module") from error
    return buffer.getvalue()


def input_specs(inputs: ExampleInputs) -> tuple[str, ...]:
    """Specifications of tensors by position or by name.

    Raises:
        InputError: PLN115 if there is something else among them.

    >>> input_specs({"x": torch.zeros(2, 3)})
    ('x:float32[2,3]',)
    """
    if isinstance(inputs, Mapping):
        return tuple(_spec(value, f"{name}:") for name, value in inputs.items())
    if isinstance(inputs, torch.Tensor):  # which is a sequence of its rows as well
        return (_spec(inputs, ""),)
    return tuple(_spec(value, "") for value in inputs)


def _spec(value: object, prefix: str) -> str:
    if isinstance(value, str):
        return value
    if not isinstance(value, torch.Tensor):
        text = f"an input is of type `{type(value).__name__}`, expected a tensor"
        raise InputError(text, code="PLN115", where="inputs")
    return f"{prefix}{dtype_name(value.dtype)}[{','.join(map(str, value.shape))}]"
