"""`planner zoo`: write a known architecture as ONNX, or list all of them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import click

from planner import zoo
from planner.cli.places import named_as_flags
from planner.errors import InputError
from planner.zoo.registry import architecture

UNITS = ("B", "KB", "MB", "GB")


@click.command("zoo")
@click.argument("name", required=False)
@click.option("-o", "--output", metavar="FILE", help="The ONNX file to write.")
@click.option("--batch", type=int, default=1, show_default=True, help="Samples per run.")
@click.option("--sequence", type=int, help="Tokens per sample of a language model.  [default: 128]")
@click.option(
    "--training", is_flag=True, help="Batch normalisation and dropout as they are in training."
)
@click.option(
    "--weights",
    type=click.Choice(["random", "zeros"]),
    help="Write the weights, too, so that onnxruntime can run the model.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of random weights.")
@click.option("--force", is_flag=True, help="Replace existing files.")
@click.option("--list", "is_list", is_flag=True, help="List the architectures, as without NAME.")
def command(
    name: str | None,
    output: str | None,
    batch: int,
    sequence: int | None,
    training: bool,
    weights: str | None,
    seed: int,
    force: bool,
    is_list: bool,
) -> None:
    """Write the architecture NAME as an ONNX model, by default without weights.

    The weights of model.onnx belong in model.weights beside it. Planning needs none.

    \b
      planner zoo                                 list the architectures
      planner zoo resnet50 --training --batch 32 -o resnet50.onnx
      planner zoo gpt2 --sequence 1024 --weights random -o gpt2.onnx
    """
    from planner.cli.console import write_out

    if name is None or is_list:
        if output is not None:
            raise click.UsageError("no architecture to write; `planner zoo` lists them")
        write_out(listing() + "\n")
        return
    entry = architecture(name)
    if output is None:
        raise click.UsageError(f"no file to write to; add `-o {name}.onnx`")
    if output == "-":
        message = "standard output is no place for a model that names its weights' file"
        hint = f"write to a file with `-o {name}.onnx`"
        raise InputError(message, code="PLN121", where="--output", hint=hint)
    if sequence is not None and entry.max_sequence is None:
        message = f"sequence is {sequence}, but `{name}` has no sequence"
        raise InputError(message, code="PLN131", where="--sequence", hint="leave `--sequence` out")
    with named_as_flags():
        written = zoo.write(
            name,
            Path(output),
            batch=batch,
            sequence=128 if sequence is None else sequence,
            training=training,
            weights=cast("zoo.Filling | None", weights),
            seed=seed,
            force=force,
        )
    click.echo(summary(written, weights), err=True)


def listing() -> str:
    """All architectures as a table."""
    rows = [("NAME", "PARAMETERS", "DESCRIPTION")]
    for entry in zoo.ARCHITECTURES.values():
        rows.append((entry.name, f"{zoo.count_parameters(entry.name):,}", entry.description))
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    return "\n".join(
        f"{name:<{widths[0]}}  {count:>{widths[1]}}  {text}" for name, count, text in rows
    )


def summary(written: zoo.WrittenModel, filling: str | None) -> str:
    """One line on what is now on disk."""
    name = written.weights_path.name
    weights = (
        f"weights absent: {name}"
        if filling is None
        else f"weights: {name}, {size_text(written.weights_bytes)}, {filling}"
    )
    return f"wrote {written.path} ({size_text(written.n_bytes)}, {weights})"


def size_text(n_bytes: int) -> str:
    """A size for people, in powers of 1000.

    >>> size_text(70_411)
    '70 KB'
    """
    size = float(n_bytes)
    for unit in UNITS[:-1]:
        if size < 999.5:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} {UNITS[-1]}"
