"""Making TorchScript archives in memory, and the programs that they are recorded as."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.drafts.frontend import LoadOptions
from planner.frontends.torchscript.archive import read_archive

if TYPE_CHECKING:
    from planner.frontends.torch_programs.program import Program


def scripted(module: Any) -> bytes:
    """The archive of a scripted module."""
    import torch

    return _saved(lambda: torch.jit.script(module))


def traced(module: Any, *inputs: Any) -> bytes:
    """The archive of a traced module."""
    import torch

    return _saved(lambda: torch.jit.trace(module, inputs))


def frozen(module: Any) -> bytes:
    """The archive of a scripted module that was frozen."""
    import torch

    return _saved(lambda: torch.jit.freeze(torch.jit.script(module.eval())))


def live(module: Any) -> Any:
    """A scripted module that is not saved."""
    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        return torch.jit.script(module)


def _saved(make: Any) -> bytes:
    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        torch.jit.save(make(), buffer)
    return buffer.getvalue()


def program_of(data: bytes | Path, *inputs: str) -> Program:
    """What an archive runs."""
    from planner.frontends.torchscript.program import record_program

    archive = read_archive(data, where="m.pt")
    return record_program(archive, where="m.pt", name="m", options=LoadOptions(inputs=inputs))


def operators(program: Program) -> list[str]:
    """Names of the operators that ran."""
    return [call.operator for call in program.calls]
