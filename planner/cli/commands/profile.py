"""`planner profile`: measure a model on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from planner.cli.inputs import load_options
from planner.cli.options import MODEL, options

EXIT_INTERRUPTED = 130
LEVELS = ("disabled", "basic", "extended", "all")


@click.command("profile")
@click.argument("model", metavar="GRAPH", required=False)
@click.option("-o", "--output", type=Path, metavar="FILE", help="The profile (profile.v1).")
@options(MODEL)
@click.option(
    "--provider",
    default="cpu",
    show_default=True,
    metavar="NAME",
    help="What runs the model: cpu, cuda, tensorrt, …",
)
@click.option("--list-providers", is_flag=True, help="List the providers of this machine.")
@click.option(
    "--threads",
    type=click.IntRange(1, 4096),
    metavar="N",
    help="Threads of one operator.  [default: all cores]",
)
@click.option(
    "--repeat", type=click.IntRange(1, 100_000), metavar="N", help="Runs of the whole model."
)
@click.option(
    "--optimization",
    type=click.Choice(LEVELS),
    default="all",
    show_default=True,
    help="Of the runtime, as it will be deployed.",
)
@click.option(
    "--method",
    type=click.Choice(["trace", "segments"]),
    help="Kernel by kernel, or by segments.  [default: as the provider allows]",
)
@click.option(
    "--mode",
    type=click.Choice(["inference", "training", "both"]),
    help="What is measured.  [default: both]",
)
@click.option(
    "--backward",
    type=click.Choice(["measure", "ratio", "none"]),
    help="Real gradients, a ratio to forward, or no training.  [default: measure "
    "with torch, else ratio]",
)
@click.option("--no-fusion", is_flag=True, help="Every operator apart, without optimisation.")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31),
    default=0,
    show_default=True,
    help="Of weights and inputs.",
)
@click.option("--resume", is_flag=True, help="Go on with an interrupted profile.")
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(model: str | None, **values: Any) -> int:  # fmt: skip
    """Measure what every operator of the model GRAPH (ONNX) takes on this machine.

    Weights that the file lacks are random, and so are the inputs. What the runtime fuses is
    measured, and later planned, as one.

    \b
      planner profile resnet50.onnx -o jetson.json
      planner profile resnet50.onnx -o server.json --provider cuda
      planner profile gpt2.onnx --dim seq=128 --threads 1 --mode inference -o phone.json
      planner plan resnet50.onnx --costs jetson.json --server a100 \\
          --uplink 50Mbit/s --downlink 100Mbit/s
    """
    from planner.cli.console import say, write_out
    from planner.cli.views.profile import show_profile
    from planner.cli.views.profile_progress import shown
    from planner.measuring.taking import MeasureOptions, MeasuringInterrupted, take_profile

    if values["list_providers"]:
        write_out("\n".join(present_providers()) + "\n")
        return 0
    output: Path | None = values["output"]
    if model is None or output is None:
        lacking = "model to measure" if model is None else "file to write to; add `-o profile.json`"
        raise click.UsageError(f"no {lacking}")
    _check_output(output, Path(model), resume=values["resume"], force=values["force"])
    settings = MeasureOptions(
        provider=values["provider"],
        threads=values["threads"],
        repeat=values["repeat"],
        optimization=values["optimization"],
        method=values["method"],
        mode=values["mode"],
        backward=values["backward"],
        fusion=not values["no_fusion"],
        seed=values["seed"],
    )
    try:
        with shown() as on_event:
            profile = take_profile(
                Path(model),
                output,
                load_options=load_options(values),
                options=settings,
                resume=values["resume"],
                on_event=on_event,
            )
    except MeasuringInterrupted:
        if output.exists():
            say(f"interrupted; what was measured is in {output}, `--resume` goes on")
        else:
            say("interrupted before anything was measured")
        return EXIT_INTERRUPTED
    say(f"wrote {output}")
    show_profile(profile)
    return 0


def present_providers() -> list[str]:
    """Execution providers of the installed onnxruntime, best first, as `--provider` takes them.

    Raises:
        PlannerError: PLN302 if onnxruntime is not installed.
    """
    from planner.measuring.taking import require_onnxruntime
    from planner.probe.forward.providers import present

    require_onnxruntime()
    return present()


def _check_output(output: Path, model: Path, *, resume: bool, force: bool) -> None:
    from planner.cli.outputs import check_output
    from planner.errors import MeasuringError

    if resume and not output.exists():
        text = "there is no profile to go on with"
        hint = "leave `--resume` out"
        raise MeasuringError(text, code="PLN606", where=str(output), hint=hint)
    check_output(output, [model], force=force or resume, has_format=False)
