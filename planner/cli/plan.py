"""`planner plan`: the best cut of a model, with its proof."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from planner.cli.options import (
    ModelOptions,
    ScenarioOptions,
    load_costs,
    load_graph,
    model_options,
    scenario_options,
    take,
)


@click.command("plan")
@click.argument("model", metavar="GRAPH")
@scenario_options
@model_options
@click.option("--solver", default="auto", show_default=True, metavar="NAME", help="Who solves it.")
@click.option("--format", "output_format", type=click.Choice(["table", "json"]), default="table",
              show_default=True, help="For people or for programs.")  # fmt: skip
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="FILE",
              help="Save the plan (plan.v1).")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace an existing file.")
@click.option("--all", "show_all", is_flag=True, help="List every operator and tensor.")
def command(model: str, **values: Any) -> None:
    """Where to cut the model GRAPH (ONNX, or a JSON graph spec) so that a round takes least.

    \b
      planner plan resnet50.onnx --costs jetson.json
      planner plan resnet50.onnx --costs jetson.json --uplink 5Mbit/s -o plan.json
      planner plan gpt2.onnx --device jetson-orin-nx --server a100 \\
          --uplink 50Mbit/s --downlink 200Mbit/s --format json
    """
    from planner.cli.console import say
    from planner.planning import plan
    from planner.writing import check_writable, json_text, write_text

    scenario = take(ScenarioOptions, values)
    output: Path | None = values["output"]
    if output is not None:
        check_writable(output, force=values["force"])
    costs = load_costs(scenario, model)
    graph = load_graph(model, take(ModelOptions, values), costs.workload.batch_size)
    if values["batch"] is not None and costs.workload.batch_size is not None:
        workload = costs.workload.model_copy(update={"batch_size": values["batch"]})
        costs = costs.model_copy(update={"workload": workload})
    made = plan(graph, costs, values["solver"])
    for warning in made.warnings:
        say(f"warning: {warning}")
    for note in made.notes:
        say(f"note: {note}")
    if output is not None:
        write_text(output, json_text(made.to_dict()), force=values["force"])
        say(f"wrote {output}")
    if values["output_format"] == "json":
        click.echo(json_text(made.to_dict()), nl=False)
    else:
        from planner.cli.plan_view import show_plan

        show_plan(made, costs, show_all=values["show_all"])
