"""Options that several commands share: how a model is read, and what it is planned for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from planner.problems.solution import Limits

Command = TypeVar("Command", bound=Callable[..., Any])
Option = Callable[[Any], Any]
"""What `click.option` gives: a decorator."""

MODEL = (
    click.option("--batch", type=click.IntRange(min=1), help="Batch to plan at."),
    click.option("--dim", "dims", multiple=True, metavar="NAME=N", help="A symbolic dimension."),
    click.option("--input", "inputs", multiple=True, metavar="SPEC",
                 help="An input's type and shape: x:float32[32,3,224,224]."),
    click.option("--frozen", multiple=True, metavar="GLOB", help="Parameters not trained."),
    click.option("--tied", multiple=True, metavar="GLOB", help="Parameters truly shared."),
    click.option("--untied", multiple=True, metavar="GLOB", help="Parameters only merged."),
    click.option("--shapes", type=click.Choice(["onnx", "onnxruntime"]), default="onnx",
                 show_default=True, help="Who infers shapes."),
    click.option("--no-torchscript", is_flag=True,
                 help="Refuse TorchScript archives: loading runs code from them."),
)  # fmt: skip

SCENARIO = (
    click.option("--costs", "costs_path", type=Path, metavar="FILE",
                 help="Costs file (costs.v1), or a profile of the device."),
    click.option("--device", metavar="PRESET",
                 help="Hardware of the first host, or its profile: jetson.json."),
    click.option("--server", metavar="PRESET",
                 help="Hardware of the last host, or its profile."),
    click.option("--by-signature", is_flag=True, default=None,
                 help="Profiles: price by like operators of any model."),
    click.option("--uplink", multiple=True, metavar="RATE", help="Up, such as 50Mbit/s."),
    click.option("--downlink", multiple=True, metavar="RATE", help="Down, such as 100Mbit/s."),
    click.option("--latency", multiple=True, metavar="TIME", help="One way, such as 2ms."),
    click.option("--mode", type=click.Choice(["training", "inference"]),
                 help="Training or inference."),
    click.option("--objective", type=click.Choice(["delay", "throughput"]),
                 help="Least delay, or the fastest pipeline."),
    click.option("--iterations", type=click.IntRange(min=1), metavar="N",
                 help="Iterations per round."),
    click.option("--labels", metavar="BYTES", help="Size of the labels of one batch."),
    click.option("--return-outputs", is_flag=True, default=None,
                 help="Inference: send the outputs back."),
    click.option("--wire-dtype", metavar="DTYPE", help="What floats are sent as: float16, int8."),
    click.option("--device-memory", metavar="BYTES", help="What the first host has: 4GiB."),
    click.option("--server-memory", metavar="BYTES", help="What the last host has."),
    click.option("--optimizer-states", type=click.IntRange(0, 16), metavar="N",
                 help="Per weight: 0 SGD, 1 momentum, 2 Adam."),
    click.option("--pin", "pins", multiple=True, metavar="NODE=HOST",
                 help="Fix an operator, or a module: layer1=device."),
    click.option("--together", multiple=True, metavar="NODE,NODE",
                 help="Keep operators or modules on one host."),
    click.option("--forbid", multiple=True, metavar="TENSOR", help="May not cross a link."),
)  # fmt: skip

LIMITS = (
    click.option("--gap", metavar="FRACTION",
                 help="Stop this close to the optimum: 0.01. 0 asks for the optimum."),
    click.option("--time-limit", metavar="TIME", help="Stop after this time, such as 60s."),
    click.option("--engine", metavar="NAME",
                 help="Who solves integer programs: cbc, highs, glpk, …"),
)  # fmt: skip


FORMAT = click.option("--format", "output_format", type=click.Choice(["table", "json"]),
                      default="table", show_default=True,
                      help="For people or for programs.")  # fmt: skip


def solver_option(text: str) -> Option:
    """`--solver` of a command that asks one; `text` says what for."""
    return click.option("--solver", default="auto", show_default=True, metavar="NAME", help=text)


def options(*groups: Option | Sequence[Option]) -> Callable[[Command], Command]:
    """A decorator that gives a command some options and groups of them, in this order."""

    def decorate(command: Command) -> Command:
        for group in reversed(groups):
            for option in reversed(group if isinstance(group, Sequence) else [group]):
                command = option(command)
        return command

    return decorate


@dataclass(frozen=True, kw_only=True)
class ScenarioOptions:
    """What the command line says about hosts, links, work and rules."""

    costs_path: Path | None
    device: str | None
    server: str | None
    by_signature: bool | None
    uplink: tuple[str, ...]
    downlink: tuple[str, ...]
    latency: tuple[str, ...]
    mode: str | None
    objective: str | None
    iterations: int | None
    labels: str | None
    return_outputs: bool | None
    wire_dtype: str | None
    device_memory: str | None
    server_memory: str | None
    optimizer_states: int | None
    pins: tuple[str, ...]
    together: tuple[str, ...]
    forbid: tuple[str, ...]

    @property
    def files(self) -> list[Path]:
        """The files that are read: costs, and profiles."""
        profiles = [Path(p) for p in (self.device, self.server) if p and p.endswith(".json")]
        return [*([self.costs_path] if self.costs_path is not None else []), *profiles]


@dataclass(frozen=True, kw_only=True)
class SolverOptions:
    """What the command line says about how long a solver may take, and what it runs."""

    gap: str | None
    time_limit: str | None
    engine: str | None

    def limits(self) -> Limits:
        """The same as solvers take it.

        Raises:
            InputError: If the gap is no fraction, or the time is none.
        """
        from planner.errors import InputError
        from planner.problems.solution import Limits
        from planner.units import TIMES, parse_quantity

        gap, seconds = None, None
        if self.gap is not None:
            gap = parse_quantity(self.gap, {"%": 0.01}, "--gap", "0.01")
            if not 0 <= gap < 1:
                text = f"`{self.gap}` is no gap, expected a fraction from 0 to below 1"
                raise InputError(text, code="PLN119", where="--gap", hint="for example `--gap 1%`")
        if self.time_limit is not None:
            seconds = parse_quantity(self.time_limit, TIMES, "--time-limit", "60s")
            if not 0 < seconds <= 1e9:
                text = f"`{self.time_limit}` is out of range, expected more than 0 s up to 1e9 s"
                hint = "for example `--time-limit 60s`"
                raise InputError(text, code="PLN119", where="--time-limit", hint=hint)
        return Limits(seconds=seconds, gap=gap, engine=self.engine)


Options = TypeVar("Options", ScenarioOptions, SolverOptions)


def take(kind: type[Options], values: dict[str, Any]) -> Options:
    """The options of one kind out of what click passed."""
    return kind(**{field.name: values[field.name] for field in fields(kind)})
