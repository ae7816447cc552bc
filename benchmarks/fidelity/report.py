"""What a fidelity run found, its figures, and the table that people read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

from benchmarks.records import Machine, Record

MEAN_ERROR = {"inference": 0.10, "training": 0.15}
"""Largest mean relative error that is wanted, by mode."""
REGRET = {"inference": 0.03, "training": 0.05}


class State(Record):
    """One cut at one rate.

    Attributes:
        uplink_bps: Of the link, in both directions.
        predicted_s: `planner.evaluate`.
        measured_s: The profile's statistic over all runs.
        spread_s: Interquartile range of them.
        undisturbed_s: The statistic over them without the time in which a half was to be computed
            and another program had the processor.
        is_chosen: Whether it is the planner's cut at this rate.
    """

    uplink_bps: float
    predicted_s: float
    measured_s: float
    spread_s: float
    undisturbed_s: float
    is_chosen: bool

    @property
    def error(self) -> float:
        """Relative, of the prediction."""
        return self.predicted_s / self.measured_s - 1


class CutResult(Record):
    """One cut at all rates; seconds of compute are those of all its runs.

    Attributes:
        name: `prefix-…`, `inside-…`, `chosen-…` or an end.
        n_on_device: So many operators are on the device.
        n_crossing: So many tensors cross to the server.
        up_bytes: Their size.
        predicted_device_s, device_s: The device's half.
        predicted_server_s, server_s: The server's half.
        states: At every rate.
    """

    name: str
    n_on_device: int
    n_crossing: int
    up_bytes: int
    predicted_device_s: float
    device_s: float
    predicted_server_s: float
    server_s: float
    states: tuple[State, ...]


class ModelFidelity(Record):
    """One model: every cut, and what its predictions are worth.

    Attributes:
        model: Its name.
        mode: `inference` or `training`.
        batch: Samples per iteration.
        n_operators: Of the graph.
        repeat: Runs of every cut at every rate.
        cuts: At least twelve.
        seconds: What taking the profiles and all runs took.
    """

    model: str
    mode: Literal["inference", "training"]
    batch: int
    n_operators: int
    repeat: int
    cuts: tuple[CutResult, ...]
    seconds: float

    @property
    def states(self) -> list[State]:
        """All cuts at all rates."""
        return [state for cut in self.cuts for state in cut.states]

    @property
    def mean_error(self) -> float:
        """Mean of the absolute relative errors."""
        return fmean(abs(state.error) for state in self.states)

    @property
    def mean_undisturbed_error(self) -> float:
        """The same if no other program had run: much less than that, and the machine was busy."""
        return fmean(abs(state.predicted_s / state.undisturbed_s - 1) for state in self.states)

    @property
    def mean_compute_error(self) -> float:
        """Mean over the cuts of the relative error of both halves' computing, without the link."""
        pairs = [
            (cut.predicted_device_s + cut.predicted_server_s, cut.device_s + cut.server_s)
            for cut in self.cuts
        ]
        return fmean(abs(predicted / measured - 1) for predicted, measured in pairs)

    @property
    def worst_error(self) -> float:
        """The largest of them."""
        return max(abs(state.error) for state in self.states)

    @property
    def regrets(self) -> dict[float, float]:
        """By rate: how much slower the chosen cut is than the best that was measured."""
        return self._regrets(lambda state: state.measured_s)

    @property
    def undisturbed_regrets(self) -> dict[float, float]:
        """The same if no other program had run."""
        return self._regrets(lambda state: state.undisturbed_s)

    def _regrets(self, seconds: Callable[[State], float]) -> dict[float, float]:
        found = {}
        for rate in sorted({state.uplink_bps for state in self.states}):
            here = [state for state in self.states if state.uplink_bps == rate]
            chosen = next(state for state in here if state.is_chosen)
            found[rate] = seconds(chosen) / min(map(seconds, here)) - 1
        return found

    @property
    def misses(self) -> list[str]:
        """The figures that are not reached, in words."""
        found = []
        if self.mean_error > MEAN_ERROR[self.mode]:
            found.append(f"mean error {self.mean_error:.1%} > {MEAN_ERROR[self.mode]:.0%}")
        if (regret := max(self.regrets.values())) > REGRET[self.mode]:
            found.append(f"regret {regret:.1%} > {REGRET[self.mode]:.0%}")
        if len(self.cuts) < 12:
            found.append(f"{len(self.cuts)} cuts < 12")
        return [f"{self.model} ({self.mode}): {text}" for text in found]


class Fidelity(Record):
    """One run of the benchmark."""

    kind: Literal["fidelity"] = "fidelity"
    version: Literal[1] = 1
    is_quick: bool
    machine: Machine
    settings: dict[str, str]
    models: tuple[ModelFidelity, ...]
    notes: tuple[str, ...]


def write(found: Fidelity, path: Path) -> None:
    """Store a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")


def read(path: Path) -> Fidelity:
    """A stored run."""
    return Fidelity.model_validate_json(path.read_bytes())


def table(models: Iterable[ModelFidelity]) -> list[str]:
    """Markdown: a row for each model."""
    lines = [
        "| model | mode | cuts | inside | rates | mean error | worst | of computing "
        "| regret by rate | undisturbed: error, regret | chosen |",
        "|---|---|--:|--:|---|--:|--:|--:|---|--:|---|",
    ]
    return [*lines, *(_row(model) for model in models)]


def _row(model: ModelFidelity) -> str:
    n_inside = sum(cut.n_crossing > 1 for cut in model.cuts)
    rates = ", ".join(in_words(rate) for rate in model.regrets)
    regrets = ", ".join(f"{regret:.1%}" for regret in model.regrets.values())
    chosen = ", ".join(
        next(
            cut.name for cut in model.cuts for s in cut.states if s.is_chosen and s.uplink_bps == r
        )
        for r in model.regrets
    )
    cells = [model.model, model.mode, str(len(model.cuts)), str(n_inside), rates]
    cells += [f"{model.mean_error:.1%}", f"{model.worst_error:.1%}"]
    cells += [f"{model.mean_compute_error:.1%}"]
    regret = max(model.undisturbed_regrets.values())
    cells += [regrets, f"{model.mean_undisturbed_error:.1%}, {regret:.1%}", chosen]
    return f"| {' | '.join(cells)} |"


def details(model: ModelFidelity) -> list[str]:
    """A line for each cut: what was predicted and what was measured, in milliseconds."""
    lines = [f"{model.model}, {model.mode}: predicted / measured ms"]
    width = max(len(cut.name) for cut in model.cuts)
    for cut in model.cuts:
        parts = [
            _pair("device", cut.predicted_device_s, cut.device_s),
            _pair("server", cut.predicted_server_s, cut.server_s),
            *(
                _pair(in_words(s.uplink_bps) + "*" * s.is_chosen, s.predicted_s, s.measured_s)
                for s in cut.states
            ),
        ]
        size = f"{cut.n_crossing} x {cut.up_bytes / 1e3:.0f} kB"
        lines.append(f"  {cut.name:{width}} {size:>14}  " + "  ".join(parts))
    return lines


def _pair(name: str, predicted_s: float, measured_s: float) -> str:
    return f"{name} {predicted_s * 1e3:7.2f} / {measured_s * 1e3:7.2f}"


def in_words(rate_bps: float) -> str:
    """A rate as people write it.

    >>> in_words(5e7), in_words(1e9), in_words(2.5e9)
    ('50 Mbit/s', '1 Gbit/s', '2.5 Gbit/s')
    """
    return f"{rate_bps / 1e9:g} Gbit/s" if rate_bps >= 1e9 else f"{rate_bps / 1e6:g} Mbit/s"


def summary(found: Fidelity) -> Sequence[str]:
    """Everything but the cuts, in Markdown."""
    machine = found.machine
    listed = ", ".join(f"{name} {version}" for name, version in machine.libraries.items())
    said = "; ".join(f"{name}: {text}" for name, text in found.settings.items())
    return [
        *table(found.models),
        "",
        f"{said}.",
        f"Machine: {machine.processor}, {machine.cores} cores, Python {machine.python}, {listed}.",
        *(f"Note: {note}." for note in found.notes),
    ]
