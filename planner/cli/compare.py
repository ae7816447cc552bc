"""`planner compare`: every policy and solver side by side."""

from __future__ import annotations

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


@click.command("compare")
@click.argument("model", metavar="GRAPH")
@scenario_options
@model_options
@click.option("--solver", "solvers", multiple=True, metavar="NAME", help="Only these; repeatable.")
@click.option("--format", "output_format", type=click.Choice(["table", "json"]), default="table",
              show_default=True, help="For people or for programs.")  # fmt: skip
def command(model: str, **values: Any) -> None:
    """What every solver and policy makes of one problem: delay, ratio to the best, proof, time.

    \b
      planner compare resnet50.onnx --costs jetson.json
    """
    from planner.cli.console import say
    from planner.comparison import compare
    from planner.planning import warnings_for
    from planner.pricing import scenario_of
    from planner.writing import json_text

    costs = load_costs(take(ScenarioOptions, values), model)
    graph = load_graph(model, take(ModelOptions, values), costs.workload.batch_size)
    if values["batch"] is not None and costs.workload.batch_size is not None:
        workload = costs.workload.model_copy(update={"batch_size": values["batch"]})
        costs = costs.model_copy(update={"workload": workload})
    for warning in warnings_for(graph, scenario_of(graph, costs)):
        say(f"warning: {warning}")
    rows = compare(graph, costs, values["solvers"])
    if values["output_format"] == "json":
        document = {"graph": graph.name, "rows": [row.to_dict() for row in rows]}
        click.echo(json_text(document), nl=False)
        return
    from planner.cli.compare_view import show_comparison

    show_comparison(graph.name, len(graph.operators), rows)
