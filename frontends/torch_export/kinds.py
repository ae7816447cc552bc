"""What a live source is, told without importing torch."""

from __future__ import annotations

_MODULE = ("torch.nn.modules.module", "Module")
_PROGRAM = ("torch.export.exported_program", "ExportedProgram")


def is_program(source: object) -> bool:
    """Whether `source` is a `torch.export.ExportedProgram`; torch is not imported."""
    return _PROGRAM in _bases(source)


def is_module(source: object) -> bool:
    """Whether `source` is a `torch.nn.Module` that is no TorchScript; torch is not imported."""
    bases = _bases(source)
    return _MODULE in bases and not any(module.startswith("torch.jit.") for module, _ in bases)


def _bases(source: object) -> list[tuple[str, str]]:
    return [(base.__module__, base.__qualname__) for base in type(source).__mro__]
