"""`planner compare`: every policy and solver side by side."""

from __future__ import annotations

from typing import Any

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
    take,
)


@click.command("compare")
@click.argument("model", metavar="GRAPH")
@options(SCENARIO, MODEL, LIMITS)
@click.option("--solver", "solvers", multiple=True, metavar="NAME", help="Only these; repeatable.")
@options(FORMAT)
def command(model: str, **values: Any) -> None:
    """What every solver and policy makes of one problem: delay, ratio to the best, proof, time.

    \b
      planner compare resnet50.onnx --costs jetson.json
    """
    from planner.cli.console import patience, tell, write_json
    from planner.cli.places import placed_in
    from planner.plans.comparison import compare
    from planner.plans.planning import warnings_for

    graph, costs = load_both(model, values)
    limits = take(SolverOptions, values).limits()
    with placed_in(take(ScenarioOptions, values), costs), patience():
        rows = compare(graph, costs, values["solvers"], limits=limits)
    tell(warnings_for(graph, costs), graph.notes)
    if values["output_format"] == "json":
        write_json({"graph": graph.name, "rows": [row.to_dict() for row in rows]})
        return
    from planner.cli.views.compare import show_comparison

    show_comparison(graph.name, len(graph.operators), rows, costs.workload.objective)
