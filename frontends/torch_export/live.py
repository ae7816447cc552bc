"""From a live `ExportedProgram` to a `RawProgram`: the same as its archive would say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from planner.frontends.torch_export.live_graph import expression_of, read_graph
from planner.frontends.torch_export.raw import RawProgram, RawWeight, Symbol
from planner.frontends.torch_export.sizes import plain_symbol
from planner.frontends.torch_programs.program import Ref, WeightKind

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_KINDS = {
    "PARAMETER": WeightKind.PARAMETER,
    "BUFFER": WeightKind.BUFFER,
    "CONSTANT_TENSOR": WeightKind.CONSTANT,
}
_SYMBOL_ARGUMENTS = ("SymIntArgument", "SymFloatArgument", "SymBoolArgument")


def read_live(program: ExportedProgram, *, name: str, where: str) -> RawProgram:
    """What a live program says.

    Raises:
        InputError: PLN143 for objects that are neither tensors nor numbers.
    """
    graph = read_graph(program.graph, where)
    raw = RawProgram(
        name=name,
        graph=graph,
        inputs=[],
        forward_names=_forward_names(program),
        weights=[],
        outputs=[],
        ranges=_ranges(program),
        hints=_hints(program),
    )
    for spec in program.graph_signature.input_specs:
        kind = spec.kind.name
        if kind in _KINDS:
            is_constant = spec.target in program.constants
            held = program.constants if is_constant else program.state_dict
            storage = _storage(held[spec.target], "constants" if is_constant else "weights")
            raw.weights.append(
                RawWeight(name=spec.arg.name, path=spec.target, kind=_KINDS[kind], storage=storage)
            )
        elif kind == "USER_INPUT":
            raw.inputs.append(_reference(spec.arg))
    for spec in program.graph_signature.output_specs:
        if spec.kind.name in ("USER_OUTPUT", "LOSS_OUTPUT"):
            raw.outputs.append(_reference(spec.arg))
    return raw


def _reference(argument: Any) -> Ref | Symbol | None:
    """What an argument of the signature is; constants have no place in the graph."""
    kind = type(argument).__name__
    if kind == "TensorArgument":
        return Ref(argument.name)
    return Symbol(argument.name) if kind in _SYMBOL_ARGUMENTS else None


def _forward_names(program: ExportedProgram) -> list[str]:
    entries = program.module_call_graph
    signature = entries[0].signature if entries else None
    return list(getattr(signature, "forward_arg_names", None) or [])


def _storage(tensor: Any, kind: str) -> str:
    """Text that tensors of one memory share, on the meta device as well."""
    try:
        storage = tensor.untyped_storage()
        return f"{kind}:{storage._cdata}+{tensor.storage_offset()}"
    except (RuntimeError, NotImplementedError, AttributeError):  # sparse, or a subclass
        return f"object:{id(tensor)}"


def _ranges(program: ExportedProgram) -> dict[str, tuple[int | None, int | None]]:
    return {
        str(symbol): (_finite(limits.lower), _finite(limits.upper))
        for symbol, limits in program.range_constraints.items()
    }


def _finite(bound: Any) -> int | None:
    """A limit as a number; torch's infinity of whole numbers is none."""
    try:
        return int(bound) if abs(int(bound)) < 2**62 else None
    except (TypeError, ValueError, OverflowError, AttributeError):
        return None


def _hints(program: ExportedProgram) -> dict[str, int]:
    hints: dict[str, int] = {}
    for node in program.graph.nodes:
        value = node.meta.get("val")
        if node.op != "placeholder" or not isinstance(value, torch.Tensor):
            continue
        for size in value.shape:
            name = plain_symbol(expression_of(size)) if isinstance(size, torch.SymInt) else None
            hint = getattr(size.node, "hint", None) if name is not None else None
            if name is not None and isinstance(hint, int) and hint > 0:
                hints.setdefault(name, hint)
    return hints
