"""Forward where kernels run on by themselves: segment by segment, waiting after each."""

from __future__ import annotations

import time
from typing import Any

from ..bundle import Bundle
from ..measurements import Samples, check_unfinished, finish_measurement, start_measurement
from ..reporting import Reporter
from ..settings import WARM_UPS, Settings
from ..statistics import timing
from .providers import short_name
from .sessions import SessionMaker

_REASON = "they are one segment: the provider computes them without waiting in between"
_DEVICES = {"tensorrt": "cuda", "rocm": "cuda", "migraphx": "cuda", "nvtensorrtrtx": "cuda"}
_ON_DEVICE = frozenset({"cuda", "dml"})


def measure_segments(
    bundle: Bundle, settings: Settings, reporter: Reporter, file: str, mode: str, unfinished: Any
) -> dict[str, Any]:
    """Measure `file` as a whole and by the bundle's segments; see `forward.measure_inference`."""
    measurement = start_measurement(bundle, settings, mode, method="segments")
    unfinished = check_unfinished(bundle, settings, unfinished) or {}
    whole = [float(value) for value in unfinished.get("whole", ())]
    segments = bundle.manifest["files"]["segments"]
    parts = [list(samples) for samples in unfinished.get("segments", [[] for _ in segments])]
    sessions = SessionMaker(bundle, settings, keeps_dropout=mode == "training")
    runners = _prepare(bundle, settings, sessions, file)
    round_s = min(sum(runner.timed() for runner in runners) for _ in range(WARM_UPS))
    rounds = settings.rounds(round_s)
    wanted = max(rounds, len(whole) + int(unfinished.get("rounds_left", 0)))
    left = max(1, wanted - len(whole))
    reporter.total(left * round_s)

    def partial() -> dict[str, Any]:
        state = {
            "settings": settings.as_dict(),
            "rounds_left": left,
            "whole": whole,
            "segments": parts,
        }
        return {**measurement, "unfinished": state}

    while left and not reporter.interrupted:
        seconds = [runner.timed() for runner in runners]
        whole.append(seconds[0])
        for samples, value in zip(parts, seconds[1:]):
            samples.append(value)
        left -= 1
        reporter.step(round_s)
        reporter.checkpoint(partial)
    if left:
        return partial()
    covered = {name for segment in segments for name in segment["operators"]}
    units = [Samples(tuple(s["operators"]), p) for s, p in zip(segments, parts)]
    names = [operator["name"] for operator in bundle.manifest["operators"]]
    units += [Samples((name,), []) for name in names if name not in covered]
    return finish_measurement(
        measurement,
        bundle,
        timing(whole, "whole model, synchronised"),
        units,
        method="segment run alone, synchronised, scaled to the whole model",
        reason=_REASON,
    )


def _prepare(
    bundle: Bundle, settings: Settings, sessions: SessionMaker, file: str
) -> list[_Runner]:
    """The whole model, then its segments; each is fed what the ones before it have computed."""
    feed = bundle.inputs_feed(settings.seed)
    runners = [_Runner(sessions, (bundle.folder / file).read_bytes(), feed)]
    values = dict(feed)
    for segment in bundle.manifest["files"]["segments"]:
        model = (bundle.folder / segment["file"]).read_bytes()
        runner = _Runner(sessions, model, values)
        values.update(runner.outputs())
        runners.append(runner)
    return runners


class _Runner:
    """A session with its inputs and outputs where the provider computes."""

    def __init__(self, sessions: SessionMaker, model: bytes, values: dict[str, Any]) -> None:
        self._sessions = sessions
        self._session = sessions.make(model)
        self._binding = sessions.guard(lambda: self._bound(values))

    def _bound(self, values: dict[str, Any]) -> Any:
        import onnxruntime

        provider = short_name(self._sessions.provider)
        device = _DEVICES.get(provider, provider)
        device = device if device in _ON_DEVICE else "cpu"
        binding = self._session.io_binding()
        for item in self._session.get_inputs():
            value = onnxruntime.OrtValue.ortvalue_from_numpy(values[item.name], device, 0)
            binding.bind_ortvalue_input(item.name, value)
        for item in self._session.get_outputs():
            binding.bind_output(item.name, device, 0)
        binding.synchronize_inputs()
        return binding

    def timed(self) -> float:
        """Seconds of one run, until its outputs are there."""
        return self._sessions.guard(self._timed)

    def _timed(self) -> float:
        binding = self._binding
        started = time.perf_counter()
        self._session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        return time.perf_counter() - started

    def outputs(self) -> dict[str, Any]:
        """What one run computes, by name."""
        self.timed()
        names = [item.name for item in self._session.get_outputs()]
        return dict(zip(names, self._binding.copy_outputs_to_cpu()))
