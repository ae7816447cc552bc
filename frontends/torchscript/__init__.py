"""TorchScript archives: traced and scripted modules.

Loading one runs code that is in it. `LoadOptions.torchscript` and the environment variable
`PLANNER_NO_TORCHSCRIPT` switch that off.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from planner.drafts.frontend import ExampleInputs, LoadOptions
from planner.errors import InputError, PlannerError, raise_all
from planner.graphs.graph import Graph

if TYPE_CHECKING:
    from planner.frontends.torch_programs.program import Program
    from planner.frontends.torchscript.archive import Archive

REFUSE_VARIABLE = "PLANNER_NO_TORCHSCRIPT"
"""Set to anything but `0`, no archive is loaded."""

_FIRST_FILE = re.compile(rb"/(data/\d+|constants/\d+|code/.*|version|byteorder|.*\.pkl)$")


class TorchScriptFrontend:
    """Reads TorchScript archives; see `planner.drafts.frontend` for the contract."""

    name = "torchscript"
    suffixes = (".pt", ".pth", ".ts", ".jit", ".torchscript")
    requires = ("torch",)

    def recognizes(self, head: bytes) -> bool:
        """Whether `head` starts like a zip archive of TorchScript."""
        if not head.startswith(b"PK\x03\x04"):
            return False
        name = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return _FIRST_FILE.search(name) is not None or b"/data.pkl" in head

    def load(self, data: bytes | Path, *, where: str, options: LoadOptions) -> Graph:
        """Read an archive; one of torch.export goes to the frontend for that.

        Raises:
            PlannerError: PLN145 if it is neither, PLN146 if loading is switched off, PLN147 if the
                program depends on data, PLN148 if it does not run on its inputs, PLN149 if torch
                cannot load it.
        """
        from planner.frontends.torchscript.archive import Kind, file_digest, read_archive

        archive = read_archive(data, where=where)
        if archive.kind is Kind.TORCH_EXPORT:
            from planner.frontends.torch_export import FRONTEND as TORCH_EXPORT

            return TORCH_EXPORT.load(data, where=where, options=options)
        name = data.stem if isinstance(data, Path) else "model"
        program = _program(archive, where, name, options)
        digest = hashlib.sha256(file_digest(data))
        digest.update(options.fingerprint().encode())
        from planner.frontends.torch_programs.draft import torch_graph

        return torch_graph(program, options=options, digest=digest.hexdigest(), where=where)

    def accepts(self, source: object) -> bool:
        """Whether `source` is a live TorchScript module; without importing torch."""
        torch = sys.modules.get("torch")
        return torch is not None and isinstance(source, torch.jit.ScriptModule)

    def load_live(self, source: object, *, inputs: ExampleInputs, options: LoadOptions) -> Graph:
        """The graph of a live module, as if it had been saved and loaded.

        Args:
            source: A `torch.jit.ScriptModule`.
            inputs: Tensors to run it on, of which only type and shape matter, or specifications.
            options: What the user says about the model.

        Raises:
            PlannerError: As `load` does.
        """
        from planner.frontends.torchscript.live import input_specs, saved

        if len(inputs):
            options = replace(options, inputs=input_specs(inputs))
        return self.load(saved(source), where="module", options=options)


def _program(archive: Archive, where: str, name: str, options: LoadOptions) -> Program:
    refusal = os.environ.get(REFUSE_VARIABLE, "")
    if not options.torchscript or refusal not in ("", "0"):
        by = f"by `{REFUSE_VARIABLE}`" if options.torchscript else "here"
        raise InputError(
            f"loading TorchScript runs code from the archive, and is switched off {by}",
            code="PLN146",
            where=where,
            hint="export the module as `.pt2` with `torch.export.save(…)`: that runs no code",
        )
    raise_all(_option_problems(options, where))
    from planner.frontends.torchscript.program import record_program

    return record_program(archive, where=where, name=name, options=options)


def _option_problems(options: LoadOptions, where: str) -> list[PlannerError]:
    """PLN116 for what other kinds of files need."""
    reasons: Mapping[str, str | None] = {
        "dims": "its shapes come from `--input`" if options.dims else None,
        "tied": "it says which parameters are tied" if options.tied else None,
        "untied": "it says which parameters are tied" if options.untied else None,
        "shapes": "torch infers its shapes" if options.shapes != "onnx" else None,
    }
    return [
        InputError(f"`{name}` does not apply to TorchScript: {why}", code="PLN116", where=where)
        for name, why in reasons.items()
        if why is not None
    ]


FRONTEND = TorchScriptFrontend()
