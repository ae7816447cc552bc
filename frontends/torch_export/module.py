"""From a live module to an `ExportedProgram`, and from that to a `Program`."""

from __future__ import annotations

import os
import traceback
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import torch

from planner.drafts.frontend import ExampleInputs, LoadOptions
from planner.errors import InputError, PlanError, PlannerError, shorten
from planner.frontends.torch_export.build import build_program
from planner.frontends.torch_export.examples import bind_examples, forward_text, spec_texts
from planner.frontends.torch_export.kinds import is_program
from planner.frontends.torch_export.live import read_live
from planner.frontends.torch_export.names import source_place
from planner.frontends.torch_programs.program import Program

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_OPTIONS = LoadOptions()

_EXPORTED: WeakKeyDictionary[torch.nn.Module, tuple[ExportedProgram, list[bool]]] = (
    WeakKeyDictionary()
)
"""What each module that was loaded ran, with the mode of every part of it."""


def live_program(source: object, inputs: ExampleInputs, *, options: LoadOptions) -> Program:
    """The program of a module, or of an exported program with these sizes of its inputs.

    Raises:
        PlannerError: As `export_module` and `read_exported`.
    """
    if is_program(source):
        texts = spec_texts(inputs)
        bound = LoadOptions(inputs=texts, batch=options.batch, dims=options.dims)
        return read_exported(source, options=bound)
    module: Any = source
    program = export_module(module, inputs)
    _EXPORTED[module] = (program, _modes(module))
    return read_exported(program, options=LoadOptions(batch=options.batch, dims=options.dims))


def exported_again(
    source: Any, inputs: ExampleInputs | None
) -> tuple[ExportedProgram, torch.nn.Module | None]:
    """The program of `source` to cut, and the module whose parameters it has, if it has one.

    Raises:
        PlannerError: PLN430 if a module was not loaded before and has no `inputs`, or changed its
            mode since; as `export_module`.
    """
    if is_program(source):
        return source, None
    if inputs is not None:
        return export_module(source, inputs), source
    program, modes = _EXPORTED.get(source, (None, None))
    if program is None or modes != _modes(source):
        what = "has changed its mode since it was" if program is not None else "was not"
        raise PlanError(
            f"the module {what} loaded, so what it runs is not known",
            code="PLN430",
            where=type(source).__qualname__,
            hint="`planner.split_module(plan, module, inputs)` with the inputs of `planner.load`",
        )
    return program, source


def _modes(module: torch.nn.Module) -> list[bool]:
    return [inner.training for inner in module.modules()]


def read_exported(program: Any, *, options: LoadOptions = _OPTIONS) -> Program:
    """What a live `ExportedProgram` runs.

    Raises:
        PlannerError: As for an archive of it.
    """
    name = _class_name(program)
    raw = read_live(program, name=name, where=name)
    return build_program(raw, options=options, where=name)


def export_module(module: torch.nn.Module, inputs: ExampleInputs) -> ExportedProgram:
    """Export a module as it is: in its mode, with its parameters, on its devices.

    Raises:
        InputError: PLN115, PLN117 or PLN208 for inputs that do not fit `forward`, PLN142 if
            torch.export cannot follow the module.
    """
    module = getattr(module, "_orig_mod", module)  # of torch.compile
    arguments, keywords = bind_examples(module, inputs)
    try:
        # Warnings here are about torch's own code and the module's, not about what is asked.
        with warnings.catch_warnings(), torch.enable_grad():
            warnings.simplefilter("ignore")
            return torch.export.export(module, arguments, keywords, strict=False)
    except PlannerError:
        raise
    except Exception as error:  # the module's own code runs, and may raise anything
        raise _export_error(module, error) from error


def _export_error(module: torch.nn.Module, error: Exception) -> InputError:
    trace = "".join(
        f'  File "{frame.filename}", line {frame.lineno}\n'
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith(_OWN)
    )
    place = source_place(trace) if trace else ""
    reason = _first_sentence(error)
    return InputError(
        f"torch.export cannot follow the module{f' at {place}' if place else ''}: {reason}",
        code="PLN142",
        where=type(module).__qualname__,
        hint=f"`forward` takes {forward_text(module)}; a module that torch.export cannot follow "
        "as it is can be exported by hand, and the `ExportedProgram` given instead",
    )


_OWN = f"{Path(__file__).parent.parent}{os.sep}"
"""All frontends: a module is none of theirs."""


def _first_sentence(error: Exception) -> str:
    """The first line of what torch says that holds words."""
    lines = (line.strip() for line in str(error).splitlines())
    line = next((line for line in lines if line), "")
    return shorten(f"{type(error).__name__}: {line}" if line else type(error).__name__, 300)


def _class_name(program: Any) -> str:
    """Of the module that was exported: the outermost entry of any call's module stack."""
    for node in program.graph.nodes:
        for path, kind in (node.meta.get("nn_module_stack") or {}).values():
            if not path:
                own = kind if isinstance(kind, str) else kind.__qualname__
                return str(own).rpartition(".")[2]
    return "ExportedProgram"
