"""`planner plugins`: frontends, cost models and solvers that are installed."""

from __future__ import annotations

from typing import Any

import click

from planner.cli.options import FORMAT, options


@click.command("plugins")
@options(FORMAT)
def command(output_format: str) -> None:
    """List every plug-in, who provides it, and whether it has what it needs."""
    from planner.cli.console import write_json
    from planner.costs.cost_table import COST_MODELS
    from planner.drafts.frontend import FRONTENDS
    from planner.errors import PlannerError
    from planner.problems.solution import SOLVERS
    from planner.registry import Registry

    rows: list[tuple[str, str, str, str]] = []
    registries: tuple[Registry[Any], ...] = (FRONTENDS, COST_MODELS, SOLVERS)
    for registry in registries:
        for name in registry.names():
            try:
                missing = registry.missing(name)
            except PlannerError as error:
                state = error.message
            else:
                state = f"needs {', '.join(missing)}" if missing else "ready"
            rows.append((registry.what, name, state, registry.origin(name)))
    if output_format == "json":
        keys = ("kind", "name", "state", "from")
        document = {"plugins": [dict(zip(keys, row, strict=True)) for row in rows]}
        write_json(document)
        return
    from planner.cli.views.tables import Table, show

    table = Table(("kind", "name", "state", "from"), n_names=4)
    for row in rows:
        table.add_row(*row)
    show(None, table)
