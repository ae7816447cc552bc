"""From a plan and an exported program to the modules of every host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import fx, nn

from planner.drafts.frontend import LoadOptions, SplitPlan
from planner.errors import PlanError, named
from planner.frontends.torch_parts.checks import (
    mark_writes,
    refuse_custom_gradients,
    refuse_unsplittable,
)
from planner.frontends.torch_parts.cuts import Cutter, Part
from planner.frontends.torch_parts.part_module import ModulePart
from planner.frontends.torch_parts.splitting import PartBuilder
from planner.frontends.torch_programs.draft import result_names, step_names, torch_graph
from planner.frontends.torch_programs.program import Program
from planner.frontends.torch_programs.steps import StepReader, Steps

if TYPE_CHECKING:
    from torch.export import ExportedProgram

_MAX_LISTED = 5
_AUTOCAST_ARGUMENTS = 4


def split_exported(
    exported: ExportedProgram,
    program: Program,
    plan: SplitPlan,
    *,
    module: nn.Module | None,
    shares_ties: bool,
) -> tuple[ModulePart, ...]:
    """The parts of a program, one for each host of the plan.

    Args:
        exported: The program.
        program: The same as the planner reads it.
        plan: Made from this program.
        module: What was exported, to share its parameters; None to share those of `exported`.
        shares_ties: Whether several parts may read one trainable parameter.

    Raises:
        PlanError: PLN431 for a plan of another model, PLN432 for in-place changes that cannot be
            cut, PLN433 for a tie.
    """
    steps = StepReader(program).result
    names = step_names(program, steps)
    hosts = _hosts_of_steps(program, plan, names)
    nodes, regions = _nodes(exported)
    refuse_unsplittable(exported, steps, nodes)
    refuse_custom_gradients(program, nodes)
    mark_writes(program, steps, nodes)
    tensors = result_names(program, steps, names)
    crossing = _crossing_inputs(program, plan)
    inputs = [value.name for value in program.inputs]
    count = len(plan.hosts)
    parts = Cutter(steps, hosts, inputs=inputs, crossing=crossing, n_parts=count).parts
    _check_crossing(plan, parts, tensors)
    ties = _ties(program, steps, parts)
    if any(ties) and not shares_ties:
        raise _straddling(plan, ties)
    weights = _weights(exported, program, module)
    builder = PartBuilder(exported, program, steps, nodes, regions, weights)
    is_training = module.training if module is not None else steps.has_training
    built = []
    for part, own in zip(parts, ties, strict=True):
        shown = {
            "takes": tuple(tensors.get(name, name) for name in part.takes),
            "gives": tuple(tensors.get(name, name) for name in (*part.gives, *part.handed)),
            "results": tuple(tensors.get(name, name) for name in part.results),
            "ties": own,
        }
        is_last = part is parts[-1]
        built.append(builder.build(part, names=shown, is_last=is_last, is_training=is_training))
    return tuple(built)


def _hosts_of_steps(program: Program, plan: SplitPlan, names: Mapping[str, str]) -> dict[str, int]:
    """The host of every step that the plan places, by the call's name."""
    graph = torch_graph(program, options=LoadOptions(), digest="", where="module")
    mine, theirs = set(graph.operator_index), set(plan.placement)
    if mine != theirs:
        odd = sorted(mine ^ theirs)
        shown = named(odd, _MAX_LISTED)
        raise PlanError(
            f"the plan is for another module: only one of the two has {shown}",
            code="PLN431",
            where="plan",
            hint="plan with `planner.load(module, inputs)`, in the same mode",
        )
    index = {host: number for number, host in enumerate(plan.hosts)}
    placed = {name: index[host] for name, host in plan.placement.items()}
    return {call: placed[name] for call, name in names.items() if name in placed}


def _crossing_inputs(program: Program, plan: SplitPlan) -> list[set[str]]:
    """The program's inputs that the plan sends over each link."""
    inputs = {value.name for value in program.inputs}
    links: list[set[str]] = [set() for _ in plan.hosts[1:]]
    for entry in plan.crossing:
        if entry.kind == "tensor" and entry.producer is None and entry.tensor in inputs:
            links[entry.link].add(entry.tensor)
    return links


def _check_crossing(plan: SplitPlan, parts: list[Part], tensors: Mapping[str, str]) -> None:
    for link, part in enumerate(parts[:-1]):
        mine = {tensors[name] for name in part.gives}
        theirs = {e.tensor for e in plan.crossing if e.kind == "tensor" and e.link == link}
        if mine != theirs:
            odd = ", ".join(f"`{name}`" for name in sorted(mine ^ theirs)[:_MAX_LISTED])
            raise PlanError(
                f"the plan is for another module: {odd} crosses link {link} in only one of the two",
                code="PLN431",
                where="plan",
            )


def _ties(program: Program, steps: Steps, parts: list[Part]) -> list[tuple[str, ...]]:
    """For every part the trainable parameters that it reads and others do, too; by path."""
    counts: dict[str, int] = {}
    one = {name: weight.value.name for name, weight in steps.ties.items()}
    for part in parts:
        for name in {one[name] for name in part.weights}:
            counts[name] = counts.get(name, 0) + 1
    trained = {w.value.name for w in program.weights if w.requires_grad}
    return [
        tuple(
            dict.fromkeys(
                steps.ties[name].path
                for name in part.weights
                if counts[one[name]] > 1 and name in trained
            )
        )
        for part in parts
    ]


def _straddling(plan: SplitPlan, ties: list[tuple[str, ...]]) -> PlanError:
    first = next(own[0] for own in ties if own)
    readers = [host for host, own in zip(plan.hosts, ties, strict=True) if first in own]
    where = " and ".join(f"`{host}`" for host in readers)
    return PlanError(
        f"parameter `{first}` is read on {where}",
        code="PLN433",
        where=f"`{first}`",
        hint='`ties="share"` keeps it one parameter while both parts are in one process; '
        "or plan with its readers `together`",
    )


def _weights(
    exported: ExportedProgram, program: Program, module: nn.Module | None
) -> dict[str, torch.Tensor]:
    """The tensors themselves: those of `module` where it has them.

    Raises:
        PlanError: PLN430 if the module's are not those that it had when it was exported.
    """
    held: dict[str, torch.Tensor] = {**exported.constants, **exported.state_dict}
    if module is not None:
        own = dict(module.named_buffers(remove_duplicate=False))
        own |= dict(module.named_parameters(remove_duplicate=False))
        _refuse_changed(exported, held, own, module)
        held |= own
    return {weight.value.name: held[weight.path] for weight in program.weights}


def _refuse_changed(
    exported: ExportedProgram,
    held: Mapping[str, torch.Tensor],
    own: Mapping[str, torch.Tensor],
    module: nn.Module,
) -> None:
    nodes = {node.name: node for node in exported.graph.nodes if node.op == "placeholder"}
    is_wrapped = hasattr(module, "_orig_mod")  # of torch.compile: its weights have other names
    for spec in exported.graph_signature.input_specs:
        path = spec.target
        if path is None or path not in held or is_wrapped:
            continue
        was = nodes[spec.arg.name].meta["val"]
        now = own.get(path, held[path] if path in exported.constants else None)
        if now is None or (now.shape, now.dtype) != (was.shape, was.dtype):
            raise PlanError(
                f"`{path}` is not what it was when the module was loaded",
                code="PLN430",
                where=f"`{path}`",
                hint="`planner.split_module(plan, module, inputs)` reads the module again",
            )


def _nodes(
    exported: ExportedProgram,
) -> tuple[dict[str, fx.Node], dict[str, tuple[object, ...]]]:
    """Every `torch.fx` node by the name of its call, those of inner graphs as well.

    Returns:
        The nodes, and the arguments of `torch.autocast` around those that are inside it.
    """
    found: dict[str, fx.Node] = {}
    regions: dict[str, tuple[object, ...]] = {}

    def collect(module: fx.GraphModule, prefix: str, region: tuple[object, ...] | None) -> None:
        for node in module.graph.nodes:
            if node.op != "call_function":
                continue
            found[prefix + node.name] = node
            if region is not None:
                regions[prefix + node.name] = region
            is_autocast = "wrap_with_autocast" in str(node.target)
            for inner in node.args:
                if isinstance(inner, fx.Node) and inner.op == "get_attr":
                    body = getattr(module, str(inner.target), None)
                    if isinstance(body, fx.GraphModule):
                        own = node.args[:_AUTOCAST_ARGUMENTS] if is_autocast else region
                        collect(body, f"{prefix}{node.name}.", own)

    collect(exported.graph_module, "", None)
    return found, regions
