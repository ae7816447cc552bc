"""Forward by onnxruntime: the whole model, and its kernels as the profiler sees them."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any, Callable

from ..bundle import Bundle
from ..errors import ProbeError
from ..measurements import Samples, check_unfinished, finish_measurement, start_measurement
from ..reporting import Reporter
from ..settings import LONGEST_S, MIN_ROUNDS, WARM_UPS, Settings
from ..statistics import timing, typical
from .kernels import Unit, units_of
from .providers import SYNCHRONOUS
from .sessions import SessionMaker
from .traces import read_trace
from .wire import Kernel, read_kernels

SERIES_S = 10.0
"""Seconds after which a new series begins: what was measured before is then safe."""

TOLERANCE = 0.03
RUN_S, NODE_S = 1e-5, 1e-6
"""What the runtime itself takes for a run and for each kernel, about."""

BUSY_SPREAD = 0.1
"""A spread above this share of the time is that of a busy machine."""

_FINE_S = 1e-6
"""Resolution that a clock needs."""

_MAX_EVENTS = 300_000
"""Of one trace; the profiler drops those beyond a million."""

_REASON = "one kernel of the runtime computes them"


def measure_inference(
    bundle: Bundle, settings: Settings, reporter: Reporter, unfinished: Any = None
) -> dict[str, Any]:
    """Measure the deployed model.

    Args:
        bundle: The model.
        settings: How; `threads` is used as it is.
        reporter: Told about progress, and asked whether to stop.
        unfinished: Of an interrupted measurement, to go on with.

    Returns:
        A measurement of the profile; not complete if it was interrupted.

    Raises:
        ProbeError: PLN601 to PLN606.
    """
    reporter.phase("forward")
    file = bundle.manifest["files"]["inference"]
    if method_of(settings) == "segments":
        from .segments import measure_segments

        return measure_segments(bundle, settings, reporter, file, "inference", unfinished)
    return measure_kernels(bundle, settings, reporter, file, "inference", unfinished)


def method_of(settings: Settings) -> str:
    """`trace` or `segments`: what the settings say, else what suits the provider."""
    if settings.method != "auto":
        return settings.method
    return "trace" if settings.provider in SYNCHRONOUS else "segments"


def measure_kernels(
    bundle: Bundle,
    settings: Settings,
    reporter: Reporter,
    file: str,
    mode: str,
    unfinished: Any = None,
) -> dict[str, Any]:
    """Measure `file` of the bundle kernel by kernel; see `measure_inference`."""
    measurement = start_measurement(bundle, settings, mode, method="trace")
    with tempfile.TemporaryDirectory(prefix="probe-") as folder:
        sessions = SessionMaker(bundle, settings, keeps_dropout=mode == "training")
        run = KernelRun(sessions, reporter, file, Path(folder), unfinished)
        run.all_series(lambda: {**measurement, "unfinished": run.state()})
    if run.rounds_left:
        return {**measurement, "unfinished": run.state()}
    measurement["notes"] += run.notes()
    return finish_measurement(
        measurement,
        bundle,
        run.forward(),
        run.samples(),
        method=f"kernel times of onnxruntime's profiler, scaled to the whole model "
        f"(optimisation {settings.level})",
        reason=_REASON,
    )


class KernelRun:
    """The rounds of one measurement: each runs the model once as it is and once with a trace.

    `whole` and `traced` are seconds per round; `parts` seconds per unit and round, `rest` those of
    kernels that belong to no operator.
    """

    def __init__(
        self,
        sessions: SessionMaker,
        reporter: Reporter,
        file: str,
        folder: Path,
        unfinished: Any,
    ) -> None:
        self.sessions, self.reporter = sessions, reporter
        self.bundle, self.settings = bundle, settings = sessions.bundle, sessions.settings
        self.model = (bundle.folder / file).read_bytes()
        self.folder = folder
        self.feed = bundle.inputs_feed(settings.seed)
        self.fetched: list[str] | None = None
        self.whole: list[float] = []
        self.rest: list[float] = []
        self.parts: list[list[float]] = []
        self.units: list[Unit] = []
        self.left: list[int] = []
        self.kernels: list[Kernel] = []
        self.rounds_left = 1
        self._unfinished = check_unfinished(bundle, settings, unfinished)
        self._series_s = SERIES_S
        self._clock, self.method = _clock(settings.threads)
        self._started = time.perf_counter()

    def all_series(self, partial: Any) -> None:
        """Measure until there are enough rounds, or somebody interrupts."""
        plain = self.sessions.make(self.model)
        round_s = 2 * self._warm_up(plain)
        while self.rounds_left and not self.reporter.interrupted:
            started = time.perf_counter()
            prefix = self.folder / "trace"
            optimised = self.folder / "optimised.onnx"
            traced = self.sessions.make(
                self.model, trace_prefix=prefix, optimised=None if self.kernels else optimised
            )
            self._series_s = max(SERIES_S, 4 * (time.perf_counter() - started))
            if not self.kernels:
                self._learn(optimised, round_s)
            self._series(plain, traced, round_s)
            self.reporter.checkpoint(partial)
            if not self.rounds_left and self._is_disturbed() and self._may_go_on():
                self.rounds_left = -(-len(self.whole) // 4)
                self.reporter.total(self.rounds_left * round_s)

    def _may_go_on(self) -> bool:
        """Whether nobody said how many rounds, and there is time for a quarter more."""
        spent = time.perf_counter() - self._started
        return self.settings.repeat is None and 1.25 * spent < LONGEST_S

    def _is_disturbed(self) -> bool:
        """Whether whole and kernels differ by more than what the runtime itself needs.

        Other programs lengthen most runs of the whole model, but few of a single kernel.
        """
        whole = typical(self.whole)[0]
        surplus = whole - self._total()
        return not -TOLERANCE * whole <= surplus <= TOLERANCE * whole + 2 * self._own_s()

    def _total(self) -> float:
        """Seconds of all kernels."""
        return sum(typical(samples)[0] for samples in (self.rest, *self.parts) if samples)

    def _own_s(self) -> float:
        """What the runtime itself takes for a run."""
        return RUN_S + NODE_S * len(self.kernels)

    def _learn(self, optimised: Path, round_s: float) -> None:
        """Find out which kernels there are, and how many rounds it takes."""
        self.kernels = read_kernels(optimised.read_bytes())
        optimised.unlink()
        self.units, self.left = self.find_units()
        self.parts = [[] for _ in self.units]
        self.rounds_left = self.settings.rounds(round_s)
        if self._unfinished is not None:
            self._restore(self._unfinished)
        self.reporter.total(self.rounds_left * round_s)

    def find_units(self) -> tuple[list[Unit], list[int]]:
        """What the kernels compute; see `units_of`."""
        return units_of(self.bundle.manifest, self.kernels)

    def _warm_up(self, session: Any) -> float:
        """Run a few times; seconds of the fastest."""
        return min(self._timed(session) for _ in range(WARM_UPS))

    def _timed(self, session: Any) -> float:
        started = self._clock()
        self.sessions.guard(lambda: session.run(self.fetched, self.feed))
        return self._clock() - started

    def _series(self, plain: Any, traced: Any, round_s: float) -> None:
        """As many rounds as fit into one trace; each also tells what a round takes."""
        self._warm_up(traced)
        ends = time.perf_counter() + self._series_s
        limit = max(1, _MAX_EVENTS // (3 * len(self.kernels) + 3))
        whole: list[float] = []
        while self.rounds_left and len(whole) < limit and not self.reporter.interrupted:
            if len(whole) % 2:
                self._timed(traced)
            whole.append(self._timed(plain))
            if len(whole) % 2:
                self._timed(traced)
            self.rounds_left -= 1
            self.reporter.step(round_s)
            if time.perf_counter() > ends:
                break
        trace = Path(traced.end_profiling())
        try:
            seconds = read_trace(trace, self.kernels)[WARM_UPS:]
        except ValueError as error:
            text = f"the profiler's trace cannot be read, as with quotes in names: {error}"
            hint = "`--method segments` does without it"
            raise ProbeError(text, code="PLN603", hint=hint) from error
        finally:
            trace.unlink()
        if len(seconds) != len(whole):
            raise ProbeError(
                f"the profiler recorded {len(seconds)} runs of {len(whole)}",
                code="PLN603",
                hint="`--method segments` does without it",
            )
        self.whole += whole
        for unit, samples in zip(self.units, self.parts):
            if unit.kernels:
                samples += seconds[:, list(unit.kernels)].sum(axis=1).tolist()
        self.rest += seconds[:, self.left].sum(axis=1).tolist()

    def state(self) -> dict[str, Any]:
        """What it takes to go on."""
        if not self.kernels and self._unfinished is not None:
            return dict(self._unfinished)  # stopped before it could be added to
        return {
            "settings": self.settings.as_dict(),
            "rounds_left": self.rounds_left,
            "whole": self.whole,
            "rest": self.rest,
            "units": [[list(u.operators), s] for u, s in zip(self.units, self.parts)],
        }

    def _restore(self, state: Any) -> None:
        if not state["units"]:
            return
        if [tuple(operators) for operators, _ in state["units"]] != [
            unit.operators for unit in self.units
        ]:
            raise ProbeError(
                "what was measured before fused other operators: another version of onnxruntime",
                code="PLN606",
                hint="leave out `--resume`",
            )
        self.whole, self.rest = list(state["whole"]), list(state["rest"])
        self.parts = [list(samples) for _, samples in state["units"]]
        wanted = max(self.rounds_left, len(self.whole) + state["rounds_left"])
        self.rounds_left = max(1, wanted - len(self.whole))

    def samples(self) -> list[Samples]:
        """Every unit with its seconds."""
        return [Samples(unit.operators, s) for unit, s in zip(self.units, self.parts)]

    def forward(self) -> dict[str, Any]:
        """The timing of the whole model.

        Where other programs lengthened every single run of it, that of its kernels, which are too
        short to be caught every time, says more.
        """
        found = timing(self.whole, self.method)
        if self.is_busy():
            found["typical_s"] = self._total() + self._own_s()
            found["origin"] = "estimated"
            found["method"] = (
                "sum of the kernels, because other programs lengthened every run of the whole "
                f"model (fastest: {min(self.whole):.6g} s)"
            )
        return found

    def is_busy(self) -> bool:
        """Whether the whole model was lengthened by other programs, to a varying degree."""
        whole, spread = typical(self.whole)
        is_longer = whole - self._total() > TOLERANCE * whole + 2 * self._own_s()
        return is_longer and len(self.whole) >= MIN_ROUNDS and spread > BUSY_SPREAD * whole

    def notes(self) -> list[str]:
        """What is worth knowing about kernels without an operator."""
        found = []
        rest, whole = typical(self.rest)[0], typical(self.whole)[0]
        if rest > 0.01 * whole:
            found.append(
                f"{100 * rest / whole:.1f} % of the time is in {len(self.left)} kernels that "
                "belong to no operator; it is shared out among all"
            )
        if self._is_disturbed():
            found.append(
                "the kernels do not add up to the whole model, most likely because other programs "
                "ran; measure again on a quiet machine"
            )
        return found


def _clock(threads: int) -> tuple[Callable[[], float], str]:
    """What times a run of the whole model, and what that is called.

    A single thread's own time is what it would take on a machine without other programs.
    """
    info = time.get_clock_info("thread_time")
    if threads == 1 and info.resolution <= _FINE_S:
        return time.thread_time, "whole model, processor time of its one thread"
    return time.perf_counter, "whole model"
