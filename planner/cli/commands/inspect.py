"""`planner inspect`: what was imported from a model file."""

from __future__ import annotations

from typing import Any

import click

from planner.cli.inputs import load_graph
from planner.cli.options import FORMAT, MODEL, options


@click.command("inspect")
@click.argument("model", metavar="GRAPH")
@options(MODEL, FORMAT)
@click.option("--all", "show_all", is_flag=True, help="List every operator.")
def command(model: str, **values: Any) -> None:
    """Operators, FLOPs, bytes and parameters of the model GRAPH as the planner sees it.

    \b
      planner inspect resnet50.onnx
      planner inspect gpt2.onnx --dim seq=128 --format json
    """
    from planner.cli.console import tell, write_json

    graph = load_graph(model, values)
    tell(graph.warnings, graph.notes)
    from planner.cli.views.inspect import describe, show_graph

    if values["output_format"] == "json":
        write_json(describe(graph, show_all=values["show_all"]))
    else:
        show_graph(graph, show_all=values["show_all"])
