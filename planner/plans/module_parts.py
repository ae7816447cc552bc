"""A model in memory, cut in parts that run one after the other where a plan puts them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from planner.drafts.frontend import ExampleInputs, SplittingFrontend
from planner.drafts.loading import live_frontend_of
from planner.errors import PlanError
from planner.plans.plan_file import Plan

if TYPE_CHECKING:
    from torch import nn

Ties = Literal["refuse", "share"]


def split_module(
    plan: Plan,
    module: object,
    inputs: ExampleInputs | None = None,
    *,
    ties: Ties = "refuse",
) -> tuple[nn.Module, ...]:
    """Cut a `torch.nn.Module` where a plan says.

    The parts are `torch.nn.Module`s whose parameters and buffers are those of `module` itself, so
    that an optimizer of the one trains the other. The first takes what `module` takes; each gives
    a tuple of tensors, in the order in which they are needed, that the next one takes; the last
    gives what `module` gives: outputs that are made earlier are handed on to it, after the
    rest. `part.takes` and `part.gives` name them, as the plan does.

    Args:
        plan: Made from this module, or from its `.pt2` file.
        module: A `torch.nn.Module` or a `torch.export.ExportedProgram`, in the mode, training or
            not, that the parts are to have.
        inputs: Example inputs, or specifications, as for `planner.load`; may be left out where
            `module` is what the plan's graph was loaded from, or an exported program.
        ties: What to do with a trainable parameter that several parts read. `refuse` it; or
            `share`, so that its parts in one process are one parameter, and its gradients add up.
            Across processes they must be added every iteration: `part.ties` names them.

    Returns:
        One part for each host, in the order of the route: `device, server = split_module(…)`.

    Raises:
        PlannerError: If the plan is for another model, a tie straddles the cut, or the model does
            what cannot be cut.
    """
    if ties not in ("refuse", "share"):
        raise PlanError(
            f"`ties` is {ties!r}, expected `refuse` or `share`", code="PLN430", where="ties"
        )
    frontend = live_frontend_of(module)
    if not isinstance(frontend, SplittingFrontend):
        kind = type(module).__qualname__
        raise PlanError(
            f"a {kind} cannot be split",
            code="PLN430",
            where="module",
            hint="give a `torch.nn.Module` or a `torch.export.ExportedProgram`",
        )
    return frontend.split(module, plan, inputs=inputs, shares_ties=ties == "share")
