"""`planner verify`: a saved plan, checked by everything that did not make it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.inputs import load_both
from planner.cli.options import (
    FORMAT,
    LIMITS,
    MODEL,
    SCENARIO,
    ScenarioOptions,
    SolverOptions,
    options,
    solver_option,
    take,
)

if TYPE_CHECKING:
    from planner.problems.solution import Limits
    from planner.verification.verifying import Verification

EXIT_NO = 1
EXIT_INCOMPLETE = 5
LARGE = 2000
"""Operators above which it is said that the second solver may take a while."""


@click.command("verify")
@click.argument("plan_path", metavar="PLAN", type=Path)
@click.option("--graph", "model", required=True, metavar="GRAPH",
              help="The model that the plan was made from.")  # fmt: skip
@options(
    SCENARIO,
    MODEL,
    solver_option("Second solver: pulp, pyomo, networkx, brute-force."),
    LIMITS,
    FORMAT,
)
def command(plan_path: Path, model: str, **values: Any) -> int:
    """Whether the saved plan PLAN holds: evaluate it again, check every rule, hold its certificate
    against a fresh maximum flow, and ask a second solver.

    \b
      planner verify plan.json --graph resnet50.onnx --costs jetson.json
      planner verify plan.json --graph resnet50.onnx --costs jetson.json --solver networkx

    Give the model, the costs and the flags that the plan was made with. Exit status 1 says that
    something disagrees, 5 that nothing does but the second solver gave no answer, for which it has
    60 s without --time-limit. `maxflow`, `networkx` and `blockwise` share the flow's network.
    """
    from planner.cli.console import say, write_json
    from planner.cli.overrides import needs_flags, require_flags
    from planner.cli.places import placed_in
    from planner.plans.plan_file import read_plan
    from planner.units import format_seconds
    from planner.verification.verifying import verify

    limits = _limits(take(SolverOptions, values).limits())
    scenario = take(ScenarioOptions, values)
    if needs_flags(scenario):
        require_flags(scenario, str(plan_path), ("--graph", model))
    plan = read_plan(plan_path)
    graph, costs = load_both(model, values)
    if len(graph.operators) > LARGE:
        n, patience = len(graph.operators), format_seconds(limits.seconds or 0.0)
        say(f"note: a second solver is asked about {n} operators, for {patience} (`--time-limit`)")
    with _about(plan_path), placed_in(scenario, costs):
        found = verify(plan, graph, costs, values["solver"], limits=limits)
    if values["output_format"] == "json":
        write_json({"plan": str(plan_path), "graph": graph.name, **found.to_dict()})
    else:
        from planner.cli.views.verify import show_verification

        show_verification(plan_path.name, found)
    return _status(found)


def _limits(given: Limits) -> Limits:
    """What was asked for; the second solver has 60 s if nothing was."""
    from dataclasses import replace

    from planner.verification.second_solver import PATIENCE

    return given if given.seconds is not None else replace(given, seconds=PATIENCE.seconds)


@contextmanager
def _about(plan_path: Path) -> Iterator[None]:
    """Errors about the plan are about its file."""
    from planner.errors import PlannerError

    try:
        yield
    except PlannerError as error:
        for problem in error.problems:
            if problem.where == "plan":
                problem.where = str(plan_path)
        raise


def _status(found: Verification) -> int:
    if not found.ok:
        return EXIT_NO
    return 0 if found.is_complete else EXIT_INCOMPLETE
