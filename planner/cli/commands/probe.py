"""`planner probe export`: what measures a model on a device that has no planner."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from planner.cli.inputs import load_options
from planner.cli.options import MODEL, options


@click.group("probe")
def command() -> None:
    """Measure a model on a device that has Python 3.8, numpy and onnxruntime 1.16, or newer ones.

    \b
      planner probe export resnet50.onnx -o probe.zip
      scp probe.zip jetson: && ssh jetson python3 probe.zip -o jetson.json
      planner plan resnet50.onnx --costs jetson.json --server a100 ...
    """


@command.command("export")
@click.argument("model", metavar="GRAPH")
@click.option(
    "-o",
    "--output",
    type=Path,
    required=True,
    metavar="FILE",
    help="The archive, such as probe.zip; runs as it is.",
)
@options(MODEL)
@click.option(
    "--opset",
    type=click.IntRange(7, 100),
    default=17,
    show_default=True,
    metavar="N",
    help="Newest operator set that the device's onnxruntime knows.",
)
@click.option("--force", is_flag=True, help="Replace an existing file.")
def export(model: str, output: Path, opset: int, force: bool, **values: Any) -> None:  # fmt: skip
    """Write an archive that measures the model GRAPH (ONNX) where it is run.

    It holds no weights: random ones are made on the device. There, `python3 probe.zip -o
    jetson.json` writes the same profile as `planner profile`; `python3 probe.zip --help` lists
    its options.
    """
    from planner.cli.console import say
    from planner.cli.outputs import check_output
    from planner.measuring.export import export_probe
    from planner.units import format_bytes

    check_output(output, [Path(model)], force=force, has_format=False)
    reading = load_options(values)
    size = export_probe(Path(model), output, load_options=reading, max_opset=opset, force=force)
    say(f"wrote {output} ({format_bytes(size)}); on the device: python3 {output.name} -o FILE")
