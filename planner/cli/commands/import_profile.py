"""`planner import-profile`: what other programs measured."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from planner.cli.inputs import load_graph
from planner.cli.options import MODEL, options

if TYPE_CHECKING:
    from planner.errors import PlannerError
    from planner.measuring.imports.pipedream_files import Scenario
    from planner.measuring.imports.recognition import Source

_PIPEDREAM_FLAGS = ("graph_out", "server_speed", "uplink", "downlink", "latency")
_PROFILE_FLAGS = ("graph", "machine")


@click.command("import-profile")
@click.argument("path", metavar="FILE", type=Path)
@click.option("--graph", metavar="GRAPH", help="The model that was measured.")
@click.option("-o", "--output", type=Path, required=True, metavar="FILE",
              help="The profile (profile.v1); of PipeDream, the costs file.")  # fmt: skip
@click.option("--format", "file_format", metavar="NAME",
              help="trtexec, onnxruntime or pipedream.  [default: by content]")  # fmt: skip
@click.option("--machine", metavar="NAME", help="What the measured machine is called.")
@click.option("--graph-out", type=Path, metavar="FILE",
              help="PipeDream: where its graph (graph.v1) goes.")  # fmt: skip
@click.option("--server-speed", metavar="FACTOR",
              help="PipeDream: how many times faster than measured the server is.")  # fmt: skip
@click.option("--uplink", metavar="RATE", help="PipeDream: up, such as 50Mbit/s.")
@click.option("--downlink", metavar="RATE", help="PipeDream: down, such as 100Mbit/s.")
@click.option("--latency", metavar="TIME", help="PipeDream: one way, such as 2ms.")
@options(MODEL)
@click.option("--force", is_flag=True, help="Replace existing files.")
def command(path: Path, **values: Any) -> None:
    """Make a profile of the per-layer times that `trtexec --exportProfile` or a trace of
    onnxruntime holds in FILE; or a graph and a costs file of a `graph.txt` of PipeDream.

    \b
      planner import-profile layers.json --graph resnet50.onnx --machine orin -o orin.json
      planner import-profile trace.json --graph resnet50.onnx --batch 8 -o server.json
      planner import-profile graph.txt --graph-out resnet50.json -o costs.json \\
          --server-speed 10 --uplink 50Mbit/s --downlink 100Mbit/s
    """
    from planner.cli.outputs import check_output
    from planner.measuring.imports import recognise

    for output in (values["output"], values["graph_out"]):
        if output is not None:
            inputs = [path, *([Path(values["graph"])] if values["graph"] else [])]
            check_output(output, inputs, force=values["force"], has_format=False)
    source = recognise(path, values["file_format"])
    _check_flags(source, values)
    if source.format == "pipedream":
        _write_files(source, values)
    else:
        _write_profile(source, values)


def _check_flags(source: Source, values: dict[str, Any]) -> None:
    """Every flag that this format needs, and none that belongs to another.

    Raises:
        PlannerError: With each of them.
    """
    from planner.errors import MeasuringError, raise_all

    is_graph = source.format == "pipedream"
    needed = _NEEDED_BY_PIPEDREAM if is_graph else _NEEDED_BY_PROFILES
    strange = (*_PROFILE_FLAGS, *_READING) if is_graph else _PIPEDREAM_FLAGS
    problems: list[PlannerError] = []
    for name, (why, hint) in needed.items():
        if values[name] is None:
            text = f"`{_flag(name)}` is missing: {why}"
            problems.append(MeasuringError(text, code="PLN616", where=_flag(name), hint=hint))
    for name in strange:
        if values[name] not in (None, (), "onnx"):
            what = "a PipeDream profile, which is a graph of its own" if is_graph else source.format
            text = f"`{_flag(name)}` does not apply to {what}"
            problems.append(MeasuringError(text, code="PLN616", where=_flag(name)))
    raise_all(problems)


_READING = ("dims", "inputs", "frozen", "tied", "untied", "shapes")
_NEEDED_BY_PROFILES = {
    "graph": ("times alone are no model", "`--graph` names the file that was measured"),
}
_NEEDED_BY_PIPEDREAM = {
    "graph_out": ("the file holds a graph, too", "for example `--graph-out graph.json`"),
    "server_speed": (
        "the times are those of one machine, and nothing says how much faster another is",
        "`--server-speed 10` divides them by 10 for the server; 1 makes both alike",
    ),
    "uplink": ("the file says nothing about a link", "for example `--uplink 50Mbit/s`"),
    "downlink": ("the file says nothing about a link", "for example `--downlink 100Mbit/s`"),
}


def _flag(name: str) -> str:
    return {"dims": "--dim", "inputs": "--input"}.get(name, f"--{name.replace('_', '-')}")


def _write_profile(source: Source, values: dict[str, Any]) -> None:
    from planner.cli.console import say, tell, write_out
    from planner.files.writing import json_text, write_text
    from planner.measuring.imports import UNKNOWN_MACHINE, profile_of
    from planner.units import format_seconds

    graph = load_graph(values["graph"], values)
    profile = profile_of(source, graph, machine=values["machine"] or UNKNOWN_MACHINE)
    measured = profile.measurements[0]
    tell(graph.warnings, measured.notes)
    text = json_text(profile.model_dump(mode="json", by_alias=True))
    write_text(values["output"], text, force=values["force"])
    say(f"wrote {values['output']}")
    assert measured.whole is not None
    write_out(
        f"{measured.model}: {format_seconds(measured.whole.forward.typical_s)} forward by "
        f"{measured.engine.name}; operators: {len(measured.nodes)}, groups of them in one kernel: "
        f"{len(measured.groups)}\n"
    )


def _write_files(source: Source, values: dict[str, Any]) -> None:
    from planner.cli.console import say, tell, write_out
    from planner.errors import InputError
    from planner.files.writing import json_text, write_text
    from planner.measuring.imports.pipedream_files import import_pipedream

    output, graph_out = values["output"], values["graph_out"]
    if output.absolute() == graph_out.absolute():
        text = "this is where the costs file goes"
        raise InputError(text, code="PLN121", where="--graph-out", hint="choose another name")
    name = Path(source.where).name.removesuffix(".txt").removesuffix(".graph")
    made = import_pipedream(source, name, _scenario(values))
    tell((), made.notes)
    for path, document in ((graph_out, made.graph), (output, made.costs)):
        write_text(path, json_text(document), force=values["force"])
        say(f"wrote {path}")
    write_out(f"{name}: {made.summary()}\n")


def _scenario(values: dict[str, Any]) -> Scenario:
    """What the flags say about hosts and link.

    Raises:
        InputError: If one is no quantity, or out of range.
    """
    from planner.costs.cost_file import MAX_RATE, MAX_SECONDS, MIN_RATE
    from planner.errors import InputError
    from planner.measuring.imports.pipedream_files import Scenario
    from planner.units import RATES, TIMES, parse_quantity

    def quantity(
        name: str, units: dict[str, float], example: str, low: float, high: float
    ) -> float:
        flag, text = _flag(name), values[name]
        value = parse_quantity(text, units, flag, f"{flag} {example}")
        if not low <= value <= high:
            message = f"`{text}` is out of range, expected {low:g} to {high:g}"
            hint = f"for example `{flag} {example}`"
            raise InputError(message, code="PLN119", where=flag, hint=hint)
        return value

    latency = values["latency"]
    return Scenario(
        server_speed=quantity("server_speed", {"x": 1.0}, "10", 1e-6, 1e6),
        uplink_bps=quantity("uplink", RATES, "50Mbit/s", MIN_RATE, MAX_RATE),
        downlink_bps=quantity("downlink", RATES, "100Mbit/s", MIN_RATE, MAX_RATE),
        latency_s=quantity("latency", TIMES, "2ms", 0.0, MAX_SECONDS) if latency else 0.0,
        batch=values["batch"],
    )
