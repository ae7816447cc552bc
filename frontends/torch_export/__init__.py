"""Programs of torch.export: `.pt2` archives, without torch, and live modules."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from planner.drafts.frontend import ExampleInputs, LoadOptions, SplitPlan
from planner.errors import InputError, PlannerError, raise_all
from planner.frontends.torch_export.archive import looks_exported, read_archive
from planner.frontends.torch_export.build import build_program
from planner.frontends.torch_export.json import read_json
from planner.frontends.torch_export.kinds import is_module, is_program
from planner.frontends.torch_programs.program import Program
from planner.graphs.graph import Graph

if TYPE_CHECKING:
    from torch import nn


class TorchExportFrontend:
    """Reads `.pt2` archives; see `planner.drafts.frontend` for the contract."""

    name = "torch-export"
    suffixes = (".pt2",)
    requires: tuple[str, ...] = ()

    def recognizes(self, head: bytes) -> bool:
        """Whether `head` starts like a zip archive of torch.export."""
        return looks_exported(head)

    def load(self, data: bytes | Path, *, where: str, options: LoadOptions) -> Graph:
        """Read an archive.

        Raises:
            PlannerError: With every problem of the file or the options.
        """
        program, content = read_file(data, where=where, options=options)
        return _graph(program, content, options, where)

    def accepts(self, source: object) -> bool:
        """Whether `source` is a module or an exported program, and no TorchScript."""
        return is_program(source) or is_module(source)

    def load_live(self, source: object, *, inputs: ExampleInputs, options: LoadOptions) -> Graph:
        """Read a live `ExportedProgram`, or a module: it is exported with these inputs.

        Raises:
            PlannerError: If it cannot be exported or read, or the inputs do not fit it.
        """
        from planner.frontends.torch_export.module import live_program

        _refuse_options(options)
        program = live_program(source, inputs, options=options)
        return _graph(program, canonical_text(program), options, program.name)

    def split(
        self, source: object, plan: SplitPlan, *, inputs: ExampleInputs | None, shares_ties: bool
    ) -> tuple[nn.Module, ...]:
        """Cut a live program where a plan says; see `planner.split_module`.

        Raises:
            PlannerError: As `planner.split_module`.
        """
        from planner.frontends.torch_export.module import exported_again, read_exported
        from planner.frontends.torch_parts.checks import refuse_open_sizes
        from planner.frontends.torch_parts.module_parts import split_exported

        exported, module = exported_again(source, inputs)
        refuse_open_sizes(exported)
        program = read_exported(exported)
        return split_exported(exported, program, plan, module=module, shares_ties=shares_ties)


def read_file(data: bytes | Path, *, where: str, options: LoadOptions) -> tuple[Program, str]:
    """The program in an archive, and a digest of the archive's bytes.

    Raises:
        PlannerError: As `TorchExportFrontend.load`.
    """
    _refuse_options(options)
    try:
        archive = read_archive(data, where=where)
        raw = read_json(archive)
        return build_program(raw, options=options, where=where), archive.digest
    except RecursionError:
        text = "the program is nested too deep to be read"
        raise InputError(text, code="PLN140", where=where) from None


def canonical_text(program: Program) -> str:
    """All that a plan may depend on; places in the source are left out."""
    calls = [
        (c.name, c.target, [*c.arguments.items()], c.outputs, c.path, c.has_grad)
        for c in program.calls
    ]
    return repr((program.inputs, program.weights, calls, program.outputs))


def _graph(program: Program, content: str, options: LoadOptions, where: str) -> Graph:
    from planner.frontends.torch_programs.draft import torch_graph

    digest = hashlib.sha256(f"{content}\n{options.fingerprint()}".encode()).hexdigest()
    return torch_graph(program, options=options, digest=digest, where=where)


def _refuse_options(options: LoadOptions) -> None:
    given = {"tied": options.tied, "untied": options.untied, "shapes": options.shapes != "onnx"}
    problems: list[PlannerError] = [
        InputError(
            f"`{option}` does not apply to a program of torch.export, which says which parameters "
            "are tied and what shapes there are",
            code="PLN116",
            where=option,
        )
        for option, is_given in given.items()
        if is_given
    ]
    raise_all(problems)


FRONTEND = TorchExportFrontend()
