"""An exported program, cut in modules that run one after the other.

The parts are built from the same steps as the planner's graph, so that an operator is where the
plan puts it, and what crosses is what the plan says. In-place operators become their functional
forms, because a part must not write to what another one has been given.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from planner.frontends.torch_parts.cuts import Part
from planner.frontends.torch_parts.part_module import ModulePart
from planner.frontends.torch_programs.forms import all_refs
from planner.frontends.torch_programs.kinds import reads_shapes_only, written_argument
from planner.frontends.torch_programs.program import Program
from planner.frontends.torch_programs.steps import Step, Steps
from planner.graphs.operators import Shape

if TYPE_CHECKING:
    from torch.export import ExportedProgram


class PartBuilder:
    """Builds the module of one part.

    Args:
        exported: The program, with its `torch.fx` nodes.
        program: The same as the planner reads it.
        steps: What it does.
        nodes: The `torch.fx` node of each call, by the call's name.
        regions: The arguments of `torch.autocast` around calls, by the call's name.
        weights: The tensors themselves, by the names of values.
    """

    def __init__(
        self,
        exported: ExportedProgram,
        program: Program,
        steps: Steps,
        nodes: Mapping[str, fx.Node],
        regions: Mapping[str, tuple[Any, ...]],
        weights: Mapping[str, torch.Tensor],
    ) -> None:
        self._exported = exported
        self._regions = regions
        self._steps = steps
        self._nodes = nodes
        self._tensors = weights
        self._paths = {weight.value.name: weight.path for weight in program.weights}
        self._written: dict[str, fx.Node] = {}

    def build(
        self,
        part: Part,
        *,
        names: dict[str, tuple[str, ...]],
        is_last: bool,
        is_training: bool,
    ) -> ModulePart:
        """The module of `part`; `names` are its `takes`, `gives`, `results` and `ties`."""
        graph = fx.Graph()
        env: dict[str, fx.Node] = {}
        for number, name in enumerate(part.takes):
            env[name] = graph.placeholder(f"taken_{number}")
        for number, name in enumerate(part.weights):
            env[name] = graph.placeholder(f"weight_{number}")
        self._written = self._keep_old(graph, env, part)
        for step in part.steps:
            self._emit(graph, env, step)
        results, structure = self._result(env, part, is_last=is_last)
        graph.output(results)
        graph.lint()
        kept = self._exported.state_dict
        return ModulePart(
            graph,
            taken=[self._steps.values[name] for name in part.takes],
            weights=[
                (self._paths[name], self._tensors[name], self._paths[name] in kept)
                for name in part.weights
            ],
            structure=structure,
            names=names,
            is_training=is_training,
        )

    def _keep_old(self, graph: fx.Graph, env: dict[str, fx.Node], part: Part) -> dict[str, fx.Node]:
        """Let those who read a weight before it is written to read a copy.

        Returns:
            The weights that are written to themselves.
        """
        written: dict[str, fx.Node] = {}
        for name in dict.fromkeys(step.writes for step in part.steps if step.writes is not None):
            one = self._steps.ties[name].value.name
            written[name] = env[name]
            if any(one in step.reads for step in part.steps if step.writes is None):
                env[one] = graph.call_function(torch.ops.aten.clone.default, (env[name],))
        return written

    def _emit(self, graph: fx.Graph, env: dict[str, fx.Node], step: Step) -> None:
        call = step.call
        node = self._nodes[call.name]
        seen = {s: r for s, r in zip(step.shown_as, step.reads, strict=True) if s and r}
        refs = iter([ref.name for ref in all_refs(call)])

        def replaced(_: fx.Node) -> fx.Node:
            name = next(refs)
            if step.writes is not None and name == step.writes:
                return self._written[name]
            return env[seen[name]] if name in seen else self._stand_in(graph, step, name)

        args, kwargs = _mapped(node, replaced)
        target: Any = node.target
        if written_argument(call) is not None and step.writes is None:
            target, args = self._functional(graph, step, target, args)
        elif step.is_view:  # `t_`, `detach_` would change what others were given
            target = functional_form(target) or target
        region = self._regions.get(call.name)
        if region is not None:
            target, args = with_autocast, (region, target, *args)
        if not call.has_grad:
            target, args = without_gradient, (target, *args)
        made = graph.call_function(target, args, kwargs)
        kept = {value.name for value in step.outputs}
        for position, value in enumerate(call.outputs):
            if value is None or value.name not in kept:
                continue
            is_alone = isinstance(node.meta.get("val"), torch.Tensor)
            env[value.name] = (
                made if is_alone else graph.call_function(operator.getitem, (made, position))
            )

    def _stand_in(self, graph: fx.Graph, step: Step, name: str) -> fx.Node:
        """For an operand that is not read: it is written over, or lends its shape and layout."""
        value = self._steps.values[name]
        dtype = getattr(torch, value.dtype)
        device = self._nodes[step.call.name].meta["val"].device
        options = {"dtype": dtype, "device": device}
        if value.strides is not None and not _is_contiguous(value.shape, value.strides):
            arguments = (value.shape, value.strides)
            return graph.call_function(torch.empty_strided, arguments, options)
        if not reads_shapes_only(step.call):
            return graph.call_function(torch.empty, (value.shape,), options)
        # One element, however large: its values are not looked at.
        single = graph.call_function(torch.empty, ((),), options)
        return graph.call_method("expand", (single, value.shape))

    def _functional(
        self, graph: fx.Graph, step: Step, target: Any, args: tuple[Any, ...]
    ) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """An operator that returns what `target` would write, and its arguments."""
        found = functional_form(target)
        if found is not None and _gives_the_same(found, self._nodes[step.call.name]):
            return found, args
        copy = graph.call_function(torch.ops.aten.clone.default, (args[0],))
        return target, (copy, *args[1:])

    def _result(
        self, env: dict[str, fx.Node], part: Part, *, is_last: bool
    ) -> tuple[tuple[Any, ...], Any]:
        """What the part returns, and its structure: that of the model for the last one."""
        if not is_last:
            return tuple(env[name] for name in (*part.gives, *part.handed)), None
        tensors = iter(self._steps.outputs)
        outputs: list[Any] = []
        for spec in self._exported.graph_signature.output_specs:
            if spec.kind.name in ("USER_OUTPUT", "LOSS_OUTPUT"):
                is_tensor = type(spec.arg).__name__ == "TensorArgument"
                outputs.append(
                    env[next(tensors)] if is_tensor else getattr(spec.arg, "value", None)
                )
        return tuple(outputs), self._exported.call_spec.out_spec


def _is_contiguous(shape: Shape, strides: Shape) -> bool:
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def _gives_the_same(found: Any, node: fx.Node) -> bool:
    """Whether `found` returns the type and the layout that the in-place operator leaves."""
    values = fx.map_arg((node.args, node.kwargs), lambda n: n.meta.get("val"))
    expected = node.meta["val"]
    mode = getattr(expected, "fake_mode", None)
    if mode is None:
        return False
    with mode, torch.no_grad():
        try:
            result = found(*values[0], **values[1])
        except (RuntimeError, TypeError, ValueError):
            return False
    is_same_type = result.dtype == expected.dtype and result.shape == expected.shape
    return is_same_type and result.stride() == expected.stride()


def _mapped(
    node: fx.Node, replaced: Callable[[fx.Node], fx.Node]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What `node` is given, with every node in it replaced, in the order of the schema."""
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    target: Any = node.target
    for position, argument in enumerate(target._schema.arguments):
        if argument.name in node.kwargs:
            kwargs[argument.name] = fx.map_arg(node.kwargs[argument.name], replaced)
        elif position < len(node.args):
            args.append(fx.map_arg(node.args[position], replaced))
    return tuple(args), kwargs


def without_gradient(target: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call `target` as inside `torch.no_grad()`."""
    with torch.no_grad():
        return target(*args, **kwargs)


def with_autocast(
    region: tuple[Any, ...], target: Callable[..., Any], *args: Any, **kwargs: Any
) -> Any:
    """Call `target` as inside `torch.autocast`; `region` has its device, type and so on."""
    device, dtype, is_enabled, has_cache = region
    with torch.autocast(device, dtype=dtype, enabled=is_enabled, cache_enabled=has_cache):
        return target(*args, **kwargs)


def functional_form(target: Any) -> Any:
    """The operator that returns what an in-place one writes; None if there is none.

    >>> functional_form(torch.ops.aten.relu_.default)
    <OpOverload(op='aten.relu', overload='default')>
    """
    packet = getattr(torch.ops.aten, target.overloadpacket.__name__.removesuffix("_"), None)
    overload = target._overloadname
    if packet is None or overload not in packet.overloads():
        return None
    found = getattr(packet, overload)
    mine, theirs = target._schema, found._schema
    names = [argument.name for argument in mine.arguments]
    same_arguments = names == [argument.name for argument in theirs.arguments]
    same_results = [str(r.type) for r in mine.returns] == [str(r.type) for r in theirs.returns]
    return found if same_arguments and same_results else None
