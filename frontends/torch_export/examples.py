"""Example inputs for a module: the user's tensors, or tensors made from specifications."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch

from planner.drafts.frontend import ExampleInputs, InputSpec, parse_input_spec
from planner.errors import InputError, name_hint
from planner.frontends.torch_programs.dtypes import dtype_name

_STARS: dict[object, str] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}


def bind_examples(
    module: torch.nn.Module, inputs: ExampleInputs
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments and keywords for `module.forward`.

    Raises:
        InputError: PLN115 or PLN117 for what is no input, PLN208 for unknown names.
    """
    device = _device(module)
    where = type(module).__qualname__
    positional: list[Any] = []
    named: dict[str, Any] = {}
    if isinstance(inputs, Mapping):
        named = {str(key): _example(value, device, where) for key, value in inputs.items()}
    else:
        for value in _as_list(inputs):
            spec = parse_input_spec(value) if isinstance(value, str) else None
            made = _made(spec, device) if spec else _example(value, device, where)
            if spec is None or spec.name is None:
                positional.append(made)
            elif spec.name in named:
                text = f"input `{spec.name}` is specified twice"
                raise InputError(text, code="PLN115", where=where)
            else:
                named[spec.name] = made
    return _bound(module, positional, named, where)


def spec_texts(inputs: ExampleInputs) -> tuple[str, ...]:
    """Specifications of inputs for a program that has been exported already.

    Raises:
        InputError: PLN117 for what is neither a specification nor a tensor.
    """
    if isinstance(inputs, Mapping):
        return tuple(_text(value, f"{key}:") for key, value in inputs.items())
    return tuple(_text(value, "") for value in _as_list(inputs))


def forward_text(module: torch.nn.Module) -> str:
    """The parameters of `forward`, in words."""
    names = [
        f"`{_STARS.get(p.kind, '')}{p.name}`" + ("" if p.default is p.empty else " (optional)")
        for p in inspect.signature(module.forward).parameters.values()
    ]
    return ", ".join(names) or "no inputs"


def _as_list(inputs: object) -> list[object]:
    if isinstance(inputs, torch.Tensor):
        return [inputs]
    if isinstance(inputs, (list, tuple)):
        return list(inputs)
    hint = f"inputs=[{inputs!r}]" if isinstance(inputs, str) else None
    raise InputError(
        f"`inputs` is a {type(inputs).__qualname__}, expected a list of tensors or specifications",
        code="PLN117",
        where="inputs",
        hint=hint,
    )


def _text(value: object, prefix: str) -> str:
    if isinstance(value, str):
        return value if not prefix or value.startswith(prefix) else prefix + value
    if isinstance(value, torch.Tensor):
        shape = ",".join(str(int(size)) for size in value.shape)
        return f"{prefix}{dtype_name(value.dtype)}[{shape}]"
    raise InputError(
        f"`inputs` holds a {type(value).__qualname__}, expected tensors or specifications",
        code="PLN117",
        where="inputs",
        hint='inputs=["x:float32[1,3,224,224]"]',
    )


def _bound(
    module: torch.nn.Module, positional: list[Any], named: dict[str, Any], where: str
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    signature = inspect.signature(module.forward)
    parameters = signature.parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    unknown = [name for name in named if name not in parameters and not takes_any]
    if unknown:
        raise InputError(
            f"`forward` has no input `{unknown[0]}`",
            code="PLN208",
            where=where,
            hint=name_hint(unknown[0], parameters, "inputs"),
        )
    try:
        bound = signature.bind(*positional, **named)
    except TypeError as error:
        given = len(positional) + len(named)
        raise InputError(
            f"{given or 'no'} inputs are given that do not suit `forward`: {error}",
            code="PLN115",
            where=where,
            hint=f"`forward` takes {forward_text(module)}; give each as a tensor or as "
            "`name:float32[1,3,224,224]`",
        ) from error
    return bound.args, dict(bound.kwargs)


def _example(value: Any, device: torch.device, where: str) -> Any:
    """A value that `forward` gets: texts in a mapping are specifications."""
    if isinstance(value, str):
        return _made(parse_input_spec(value), device)
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(_example(item, device, where) for item in value)
    if type(value).__module__.partition(".")[0] == "numpy":
        raise InputError(
            f"`inputs` holds a numpy {type(value).__qualname__}, expected tensors",
            code="PLN117",
            where=where,
            hint="`torch.from_numpy(array)`",
        )
    return value


def _made(spec: InputSpec, device: torch.device) -> torch.Tensor:
    """A tensor whose memory is never touched: torch.export looks at type and shape only."""
    dtype = _DTYPES.get(spec.dtype)
    if dtype is None:
        text = f"torch has no tensors of type `{spec.dtype}`"
        raise InputError(text, code="PLN115", where="inputs")
    try:
        return torch.empty(spec.shape, dtype=dtype, device=device)
    except RuntimeError as error:
        text = f"an input of type {spec.dtype} and shape {list(spec.shape)} cannot be made"
        raise InputError(text, code="PLN115", where="inputs") from error


def _device(module: torch.nn.Module) -> torch.device:
    """That of the first parameter or buffer."""
    first = next(chain(module.parameters(), module.buffers()), None)
    return torch.device("cpu") if first is None else first.device


_DTYPES: dict[str, torch.dtype] = {
    dtype_name(dtype): dtype for dtype in vars(torch).values() if isinstance(dtype, torch.dtype)
}
