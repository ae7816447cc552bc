"""From a TorchScript archive to the `Program` that it runs."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any

import torch

from planner.drafts.frontend import LoadOptions
from planner.errors import InputError
from planner.frontends.torch_programs.forms import all_refs
from planner.frontends.torch_programs.program import Call, Program, WeightKind
from planner.frontends.torchscript.archive import Archive
from planner.frontends.torchscript.inputs import parameters_of, read_inputs
from planner.frontends.torchscript.interpreter import Interpreter, Module
from planner.frontends.torchscript.recording import EXPORT_HINT, Recorder
from planner.frontends.torchscript.values import tensors_in


def record_program(archive: Archive, *, where: str, name: str, options: LoadOptions) -> Program:
    """Load an archive onto the meta device, run it and say what ran.

    Raises:
        PlannerError: PLN115 for inputs that do not fit, PLN147 and PLN148 if the module cannot be
            run on them, PLN149 if torch cannot load the archive.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"torch\.")
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module=r"torch\.")
        script, functions = _loaded(archive, where)
        if not script._has_method("forward"):
            text = "the archive's module has no method `forward`"
            raise InputError(text, code="PLN149", where=where)
        inputs = read_inputs(
            parameters_of(script._get_method("forward")),
            options.inputs,
            examples=archive.traced,
            where=where,
        )
        recorder = Recorder(where)
        values = recorder.values
        _add_weights(recorder, script)
        given = [values.define(tensor, stem) for stem, tensor in inputs.tensors]
        interpreter = Interpreter(recorder, functions.find_function)
        try:
            result = interpreter.run(Module(script, ""), inputs.arguments)
        except RecursionError as error:
            raise recorder.problem("PLN148", "forward", "calls itself without end") from error
    outputs = [values.name(tensor) for tensor in tensors_in(result)]
    return Program(
        name=name,
        inputs=given,
        weights=values.weights,
        calls=_without_idle(recorder.calls, outputs),
        outputs=outputs,
        warnings=_warnings(archive),
    )


def _loaded(archive: Archive, where: str) -> tuple[Any, Any]:
    """The outermost module and the unit that has its functions."""
    functions = torch._C.CompilationUnit()
    # `torch.jit.load` does this, but does not let go of the functions.
    load: Any = torch._C.import_ir_module_from_buffer
    try:
        return load(functions, archive.skeleton, None, {}, False), functions
    except RuntimeError as error:
        text = str(error)
        if "maximum supported version" in text:
            reason = (
                f"the archive is of version {archive.version}, which is newer than what torch "
                f"{torch.__version__} reads"
            )
            raise InputError(
                reason, code="PLN149", where=where, hint="pip install -U torch"
            ) from error
        if "Unknown builtin op" in text:
            reason = f"the archive needs an operator that is not there: {_unknown(text)}"
        else:
            reason = f"torch {torch.__version__} cannot load it: {_first_line(text)}"
        raise InputError(reason, code="PLN149", where=where, hint=EXPORT_HINT) from error


def _unknown(text: str) -> str:
    """`torchvision::nms`, out of torch's message."""
    after = text.split("Unknown builtin op:", 1)[1].split()
    return f"`{after[0].rstrip('.')}`" if after else "it does not say which"


def _first_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[0].rstrip(".:")[:300] if lines else "it does not say why"


def _add_weights(recorder: Recorder, script: Any) -> None:
    wrap: Any = torch.jit._recursive.wrap_cpp_module
    module = wrap(script)
    groups: Iterable[tuple[WeightKind, Any]] = (
        (WeightKind.PARAMETER, module.named_parameters(remove_duplicate=False)),
        (WeightKind.BUFFER, module.named_buffers(remove_duplicate=False)),
    )
    for kind, named in groups:
        for path, tensor in named:
            recorder.values.add_weight(tensor, path, kind)


def _without_idle(calls: list[Call], outputs: list[str]) -> list[Call]:
    """Without the calls of `detach` that nobody reads: autograd makes them for itself."""
    read = {*outputs, *(ref.name for call in calls for ref in all_refs(call))}
    return [
        call
        for call in calls
        if call.operator != "detach" or any(v is not None and v.name in read for v in call.outputs)
    ]


def _warnings(archive: Archive) -> list[str]:
    if not archive.is_frozen:
        return []
    return [
        "the module was frozen: its weights are constants of the code, so that it has nothing "
        "to train"
    ]
