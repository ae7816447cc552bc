"""Programs that `planner.split_module` refuses: their parts would not compute what they do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from planner.errors import PlanError
from planner.frontends.torch_programs.aten_table import FULL_VIEWS, op_of
from planner.frontends.torch_programs.kinds import written_argument
from planner.frontends.torch_programs.program import Program, Ref
from planner.frontends.torch_programs.steps import Step, Steps

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def refuse_open_sizes(exported: ExportedProgram) -> None:
    """Complain about sizes that are not fixed.

    Raises:
        PlanError: PLN430.
    """
    for node in exported.graph.nodes:
        value = node.meta.get("val")
        is_open = isinstance(value, torch.Tensor) and any(
            not isinstance(size, int) for size in value.shape
        )
        if is_open:
            raise PlanError(
                f"`{node.name}` has a size that is not fixed, which cannot be cut",
                code="PLN430",
                where="module",
                hint="export the module without `dynamic_shapes`",
            )


def refuse_unsplittable(
    exported: ExportedProgram, steps: Steps, nodes: Mapping[str, fx.Node]
) -> None:
    """Complain about what cannot be cut.

    Raises:
        PlanError: PLN430 for control flow and numbers out of tensors, PLN432 for views that are
            changed in place.
    """
    for spec in exported.graph_signature.output_specs:
        if spec.kind.name not in ("USER_OUTPUT", "LOSS_OUTPUT"):
            raise PlanError(
                "the program returns its changes of buffers or inputs instead of making them",
                code="PLN430",
                where="module",
                hint="give the program as `torch.export.export` made it, without "
                "`run_decompositions`",
            )
    by_call = {step.call.name: step for step in steps.steps}
    for name, node in nodes.items():
        _refuse_node(node, by_call.get(name), name in steps.folded)
    for step in steps.steps:
        place = step.call.where or step.call.path or "module"
        if step.is_recast:
            raise PlanError(
                f"`{step.call.name}` reads or writes a view of a tensor that is changed in place, "
                "which cannot be cut",
                code="PLN432",
                where=place,
                hint="write it without changing views in place: `torch.cat`, `torch.where`, "
                "`x = x.relu()`",
            )
        if not isinstance(nodes[step.call.name].target, torch._ops.OpOverload):
            raise PlanError(
                f"`{step.call.name}` is control flow, which cannot be cut",
                code="PLN430",
                where=place,
            )


def _refuse_node(node: fx.Node, step: Step | None, is_folded: bool) -> None:
    """Complain about numbers taken out of tensors, and changes that no step makes."""
    value = node.meta.get("val")
    if isinstance(value, (int, float, torch.SymInt, torch.SymFloat, torch.SymBool)):
        raise PlanError(
            f"`{node.name}` takes a number out of a tensor, which cannot be cut",
            code="PLN430",
            where="module",
            hint="compute with the tensor itself, without `.item()`",
        )
    written = _written(node.target) if not is_folded else []
    known = written_argument(step.call) if step is not None else None
    is_view = step is not None and op_of(step.call.target) in FULL_VIEWS
    if written and written != [known] and not is_view:
        raise PlanError(
            f"`{node.name}` changes {', '.join(f'`{name}`' for name in written)} in place, "
            "which cannot be cut",
            code="PLN430",
            where="module",
        )


def mark_writes(program: Program, steps: Steps, nodes: Mapping[str, fx.Node]) -> None:
    """Find the weight behind whatever is written to in a second step: `buffer.mul_(2).add_(1)`.

    Raises:
        PlanError: PLN432 if a weight is changed by way of a view of it.
    """
    by_call = {step.call.name: step for step in steps.steps}
    weights = {weight.value.name: weight.value.name for weight in program.weights}
    views: set[str] = set()
    for call in program.calls:
        written = written_argument(call)
        for name in _shared(nodes[call.name]):
            source = call.arguments.get(name)
            if not isinstance(source, Ref) or source.name not in weights:
                continue
            for value in call.outputs:
                if value is not None:
                    weights[value.name] = weights[source.name]
                    if name != written or source.name in views:
                        views.add(value.name)
        target = call.arguments.get(written) if written is not None else None
        step = by_call.get(call.name)
        if step is None or not isinstance(target, Ref) or target.name not in weights:
            continue
        if target.name in views:
            raise PlanError(
                f"`{call.name}` changes a view of a buffer or parameter in place, which cannot "
                "be cut",
                code="PLN432",
                where=call.where or call.path or "module",
                hint="change the buffer itself",
            )
        step.writes = step.writes or weights[target.name]


def refuse_custom_gradients(program: Program, nodes: Mapping[str, fx.Node]) -> None:
    """Complain about what has a backward pass of its own, which torch.export leaves out.

    Inside a `torch.autograd.Function` nothing is recorded for autograd, although its operators
    could be and no `torch.no_grad()` says otherwise.

    Raises:
        PlanError: PLN430.
    """
    if not any(_needs_grad(node) for node in nodes.values()):
        return  # exported without gradients
    for call in program.calls:
        node = nodes[call.name]
        is_tensor = isinstance(node.meta.get("val"), torch.Tensor)
        if not call.has_grad or not is_tensor or _needs_grad(node):
            continue
        if any(map(_needs_grad, node.all_input_nodes)) and _would_need_grad(node):
            raise PlanError(
                f"`{call.name}` seems to run in a `torch.autograd.Function`, whose backward pass "
                "torch.export does not keep",
                code="PLN430",
                where=call.where or call.path or "module",
                hint="write it with operators of torch and `detach`",
            )


def _needs_grad(node: fx.Node) -> bool:
    """Whether torch recorded the tensor for autograd when it exported; `val` is cut off."""
    return bool(getattr(node.meta.get("tensor_meta"), "requires_grad", False))


def _would_need_grad(node: fx.Node) -> bool:
    """Whether torch would record the operator for autograd."""
    target: Any = node.target
    mode = getattr(node.meta["val"], "fake_mode", None)
    if mode is None or _written(target):
        return False

    def value(source: fx.Node) -> Any:
        held: Any = source.meta.get("val")
        return held.detach().requires_grad_() if _needs_grad(source) else held

    with mode, torch.enable_grad():
        args, kwargs = fx.map_arg((node.args, node.kwargs), value)
        try:
            result = target(*args, **kwargs)
        except (RuntimeError, TypeError, ValueError):
            return False
    return isinstance(result, torch.Tensor) and result.requires_grad


def _written(target: Any) -> list[str]:
    """The arguments that an operator writes to, by its schema."""
    schema = getattr(target, "_schema", None)
    arguments = schema.arguments if schema is not None else ()
    return [a.name for a in arguments if a.alias_info is not None and a.alias_info.is_write]


def _shared(node: fx.Node) -> list[str]:
    """The arguments whose memory the results of an operator may share."""
    schema: Any = getattr(node.target, "_schema", None)
    if schema is None:
        return []
    return [argument.name for argument in schema.arguments if argument.alias_info is not None]
