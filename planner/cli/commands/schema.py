"""`planner schema`: JSON Schemas of the file formats."""

from __future__ import annotations

import click


@click.command("schema")
@click.argument("name", required=False)
def command(name: str | None) -> None:
    """Print the JSON Schema (2020-12) of the file format NAME; without NAME, list them.

    \b
      planner schema costs > costs.v1.json
    """
    from planner.cli.console import write_out
    from planner.cli.schemas import schema_names, schema_text

    if name is None:
        write_out("\n".join(schema_names()) + "\n")
    else:
        write_out(schema_text(name))
