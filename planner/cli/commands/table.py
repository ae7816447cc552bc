"""`planner table`: which plan is best in which state of the link and the device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.inputs import load_both
from planner.cli.options import (
    FORMAT,
    MODEL,
    SCENARIO,
    ScenarioOptions,
    options,
    solver_option,
    take,
)
from planner.cli.outputs import check_output

if TYPE_CHECKING:
    from planner.cli.map_requests import MapRequest
    from planner.cli.ranges import Range
    from planner.tables.table import Table


@click.command("table")
@click.argument("model", metavar="GRAPH")
@options(SCENARIO)
@click.option("--device-speed", metavar="LOW..HIGH",
              help="Factor on the speed of the first host, such as 0.25..1.")  # fmt: skip
@options(MODEL, solver_option("Who solves it."), FORMAT)
@click.option("-o", "--output", type=Path, metavar="FILE",
              help="Save the table (table.v1).")  # fmt: skip
@click.option("--map", "map_path", type=Path, metavar="FILE",
              help="Draw two ranges as a map: .svg or .png.")  # fmt: skip
@click.option("--at", metavar="NAME=VALUE",
              help="With three ranges, where the map is: device-speed=0.5.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(model: str, **values: Any) -> None:
    """All plans of the model GRAPH that are best in some state, over one to three ranges of
    --uplink, --downlink and --device-speed, with the proof that no plan is missing.

    \b
      planner table resnet50.onnx --costs jetson.json --uplink 1Mbit/s..1Gbit/s -o table.json
      planner table resnet50.onnx --costs jetson.json \\
          --uplink 1Mbit/s..1Gbit/s --downlink 1Mbit/s..1Gbit/s --map regions.svg
      planner table resnet50.onnx --costs jetson.json --device-speed 0.25..1
    """
    from planner.cli.console import tell, write_json
    from planner.cli.overrides import needs_flags, require_flags
    from planner.cli.places import placed_in
    from planner.cli.ranges import take_ranges
    from planner.tables.making import table

    scenario = take(ScenarioOptions, values)
    inputs = [Path(model), *scenario.files]
    speed = values["device_speed"]
    ranges = take_ranges(values)
    if needs_flags(scenario):
        require_flags(scenario, model, () if speed is None else ("--device-speed", speed))
        _fill_in(values, ranges)
    map_request = _map_request(values, ranges, inputs)
    output: Path | None = values["output"]
    if output is not None:
        check_output(output, inputs, force=values["force"])
    graph, costs = load_both(model, values)
    with placed_in(scenario, costs):
        made = table(graph, costs, solver=values["solver"], **ranges)
    tell(made.file.warnings, made.file.notes)
    _write(made, output, map_request, force=values["force"])
    if values["output_format"] == "json":
        write_json(made.to_dict())
    else:
        from planner.cli.views.table import show_plan_table

        show_plan_table(made, costs)


def _write(made: Table, output: Path | None, request: MapRequest | None, *, force: bool) -> None:
    """The files that were asked for."""
    from planner.cli.console import say
    from planner.files.writing import json_text, write_text

    if output is not None:
        write_text(output, json_text(made.to_dict()), force=force)
        say(f"wrote {output}")
    if request is not None:
        from planner.cli.views.table_map import write_map

        write_map(made, request, force=force)
        say(f"wrote {request.path}")


def _fill_in(values: dict[str, Any], ranges: dict[str, Range]) -> None:
    """Flags that replace a costs file must say every rate: any of a range will do."""
    for parameter, key in (("uplink_bps", "uplink"), ("downlink_bps", "downlink")):
        if parameter in ranges:
            values[key] = (repr(ranges[parameter][0]),)


def _map_request(
    values: dict[str, Any], ranges: dict[str, Range], inputs: list[Path]
) -> MapRequest | None:
    """What to draw, checked before any work is done for it; None for nothing."""
    from planner.cli.map_requests import map_request

    request = map_request(values["map_path"], values["at"], ranges)
    if request is None:
        return None
    check_output(request.path, inputs, force=values["force"])
    if values["output"] is not None and values["output"].absolute() == request.path.absolute():
        from planner.errors import InputError

        text = "this is where the table is saved"
        raise InputError(text, code="PLN121", where="--map", hint="choose another name")
    return request
