"""What type of operator each call of a torch program is: some depend on layouts and modes."""

from __future__ import annotations

from collections.abc import Mapping

from planner.frontends.torch_programs.aliasing import view_strides
from planner.frontends.torch_programs.aten_table import (
    FULL_VIEWS,
    OVERWRITING,
    RANDOM,
    is_in_place,
    op_of,
)
from planner.frontends.torch_programs.forms import all_refs
from planner.frontends.torch_programs.program import Call, Ref, Value

SAME = "Identity"
"""The type of calls that hand their operand on."""

_MAYBE_VIEWS = frozenset({"reshape", "reshape_as", "ravel", "flatten", "contiguous"})
_AS_ANOTHER = frozenset({"expand_as", "view_as", "reshape_as", "type_as"})


def is_training_mode(call: Call) -> bool:
    """Whether a normalisation or dropout runs as in training."""
    flag = call.arguments.get("train", call.arguments.get("training"))
    if flag is None:
        return "no_training" not in call.operator and "no_update" not in call.operator
    return bool(flag)


def is_random(call: Call, op: str) -> bool:
    """Whether two runs give different results; `op` is the call's type."""
    told = call.arguments
    if op in RANDOM or op == "Dropout":
        return True
    if call.operator.startswith("rrelu"):
        return told.get("training") is True
    return bool(told.get("dropout_p")) or (bool(told.get("dropout")) and is_training_mode(call))


def updates_statistics(call: Call, op: str) -> bool:
    """Whether a normalisation also changes its running statistics, every time that it runs."""
    if op not in ("BatchNormalization", "InstanceNormalization"):
        return False
    told = call.arguments
    is_updating = told.get("use_input_stats") is True or is_training_mode(call)
    return is_updating and isinstance(told.get("running_mean"), Ref)


def op_of_call(call: Call, values: Mapping[str, Value]) -> str:
    """The type in the graph; `SAME` for what changes nothing here.

    Args:
        call: With at least one output.
        values: Everything that was defined so far, by name.
    """
    op = op_of(call.target)
    first = next((values[ref.name] for ref in all_refs(call)), None)
    result = next(value for value in call.outputs if value is not None)
    if call.operator in _MAYBE_VIEWS and first is not None:
        return _reshape(first, result)
    match op:
        case "Cast" if first is not None and first.dtype == result.dtype:
            is_copy = call.operator == "_to_copy" or call.arguments.get("copy") is True
            return "aten.copy" if is_copy else SAME
        case "aten.expand" if first is not None and first.shape == result.shape and call.has_grad:
            return SAME
        case "Dropout" if not is_training_mode(call):
            return SAME
        case "ReduceMax" | "ReduceMin" if call.target.endswith(".other"):
            return op.removeprefix("Reduce")
        case "Linear" if first is not None and len(first.shape) == 2:
            return "Gemm"
        case "Conv" if call.arguments.get("transposed") is True:
            return "ConvTranspose"
        case "AveragePool" if "adaptive" in call.operator and set(result.shape[2:]) == {1}:
            return "GlobalAveragePool"
    return op


def written_argument(call: Call) -> str | None:
    """The argument that a call writes to, if it does."""
    if isinstance(call.arguments.get("out"), Ref):
        return "out"
    if not is_in_place(call.operator) or op_of(call.target) in FULL_VIEWS:
        return None
    first = next(iter(call.arguments), None)
    return first if first is not None and isinstance(call.arguments[first], Ref) else None


def is_overwriting(call: Call) -> bool:
    """Whether a call does not read what it writes to."""
    return call.operator in OVERWRITING or "out" in call.arguments


def reads_shapes_only(call: Call) -> bool:
    """Whether the first operand only lends its shape or type: `zeros_like(x)`, `x.new_ones(2)`."""
    return call.operator.endswith("_like") or call.operator.startswith("new_")


def reads_first_only(call: Call) -> bool:
    """Whether the second operand only lends its shape or type: `x.view_as(y)`."""
    return call.operator in _AS_ANOTHER


def _reshape(first: Value, result: Value) -> str:
    """A view where the layout allows one, as torch decides; a copy where it does not.

    Never `SAME`: layouts depend on the device that a program was recorded on, and the operators
    of a graph must not.
    """
    if 0 in first.shape or first.strides is None:
        return "Reshape"
    if first.shape == result.shape:
        return "Reshape" if first.strides == result.strides else "aten.copy"
    return "Reshape" if view_strides(first.shape, first.strides, result.shape) else "aten.copy"
