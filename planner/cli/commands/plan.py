"""`planner plan`: the best cut of a model, with its proof."""

from __future__ import annotations

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
from planner.cli.outputs import check_output

if TYPE_CHECKING:
    from planner.costs.cost_file import Costs
    from planner.graphs.graph import Graph

EXIT_UNPROVED = 5


@click.command("plan")
@click.argument("model", metavar="GRAPH")
@options(SCENARIO, MODEL, solver_option("Who solves it."), LIMITS, FORMAT)
@click.option("-o", "--output", type=Path, metavar="FILE",
              help="Save the plan (plan.v1).")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option("--all", "show_all", is_flag=True, help="List every operator and tensor.")
@click.option("--explain", is_flag=True,
              help="What `--solver blockwise` did with each block, and why.")  # fmt: skip
def command(model: str, **values: Any) -> int:
    """Where to cut the model GRAPH (ONNX, or a JSON graph spec) so that a round takes least, within
    the memory of the hosts; or so that a pipeline is fastest.

    \b
      planner plan resnet50.onnx --costs jetson.json
      planner plan resnet50.onnx --costs jetson.json --uplink 5Mbit/s -o plan.json
      planner plan gpt2.onnx --device jetson-orin-nx --server a100 \\
          --uplink 50Mbit/s --downlink 200Mbit/s --format json
      planner plan googlenet.onnx --costs jetson.json --device-memory 1.5GiB
      planner plan googlenet.onnx --costs jetson.json --solver blockwise --explain
    """
    from planner.cli.console import patience, say, tell, write_json
    from planner.cli.places import placed_in
    from planner.files.writing import json_text, write_text
    from planner.plans.planning import plan

    output: Path | None = values["output"]
    limits = take(SolverOptions, values).limits()
    if values["explain"]:
        _check_explain(values["solver"], values["output_format"])
    scenario = take(ScenarioOptions, values)
    if output is not None:
        check_output(output, [Path(model), *scenario.files], force=values["force"])
    graph, costs = load_both(model, values)
    with placed_in(scenario, costs), patience():
        made = plan(graph, costs, values["solver"], limits=limits)
    tell(made.warnings, made.notes)
    if output is not None:
        write_text(output, json_text(made.to_dict()), force=values["force"])
        say(f"wrote {output}")
    if values["output_format"] == "json":
        write_json(made.to_dict())
    else:
        from planner.cli.views.plan import show_plan

        show_plan(made, costs, show_all=values["show_all"])
        if values["explain"]:
            _explain(graph, costs, show_all=values["show_all"])
    # An exact solver that stopped without a proof; a policy never promised one.
    is_cut_short = made.certificate.status == "limit"
    return EXIT_UNPROVED if is_cut_short else 0


def _check_explain(solver: str, output_format: str) -> None:
    from planner.errors import InputError

    if solver != "blockwise":
        text = f"only `blockwise` has something to explain, and the solver is `{solver}`"
        hint = "add `--solver blockwise`, or leave out `--explain`"
    elif output_format == "json":
        text = "the explanation is a table for people, and the output is JSON"
        hint = "leave out `--format json`, and save the plan with `-o plan.json`"
    else:
        return
    raise InputError(text, code="PLN126", where="--explain", hint=hint)


def _explain(graph: Graph, costs: Costs, *, show_all: bool) -> None:
    """Print what `blockwise` did with the blocks of a model."""
    from planner.cli.console import say
    from planner.cli.views.blocks import show_explanation
    from planner.problems.formulation import build_problem
    from planner.solvers.blockwise.explanations import explain_blocks

    problem = build_problem(graph, costs)
    if problem.n_hosts != 2:
        say(f"note: with {problem.n_hosts} hosts `blockwise` solves the whole network")
        return
    show_explanation(explain_blocks(problem), show_all=show_all)
