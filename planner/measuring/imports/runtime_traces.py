"""Traces of onnxruntime, as `end_profiling()` writes them, laid to the operators of a graph.

The file is a list of trace events. Those of category `Node` called `<name>_kernel_time` are
kernels, `dur` microseconds long, with the operator type and provider in `args`; `model_run` of
category `Session` is a run of the model.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from planner.costs.profile_file import Engine, Measurement, Timing
from planner.errors import MeasuringError, PlannerError, raise_all, shorten
from planner.files.values import JsonValue
from planner.graphs.graph import Graph
from planner.measuring.imports.attribution import (
    Attribution,
    Kernel,
    make_measurement,
    refuse_idle,
    refuse_other_model,
    refuse_untimed,
)
from planner.measuring.imports.fusion_guesses import guess_fusions
from planner.measuring.imports.runtime_names import KernelNames, is_layout
from planner.measuring.imports.trace_shapes import check_shapes
from planner.probe.statistics import typical

_MICROSECOND = 1e-6
_MAX_DURATION = 1e15
_SUFFIX = "_kernel_time"
_CONTROL_FLOW = frozenset({"If", "Loop", "Scan", "SequenceMap"})
_ASYNCHRONOUS = frozenset(
    f"{name}ExecutionProvider"
    for name in ("CUDA", "Tensorrt", "NvTensorRTRTX", "ROCM", "MIGraphX", "Dml", "WebGpu", "CANN")
)
_MIN_KNOWN_SHARE = 1 / 3
"""Where fewer kernels than this have a name of the model, it is another one."""
_FEW_RUNS = 4
_MUCH_OVERHEAD = 1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One kernel in one run; times in microseconds."""

    name: str
    op: str
    provider: str
    index: str
    start: float
    duration: float
    thread: object
    shapes: JsonValue


def read_trace(document: JsonValue, where: str, graph: Graph) -> Measurement:
    """The measurement of a graph that a trace of onnxruntime holds.

    Raises:
        PlannerError: If events are malformed, there is no run, kernels end after their events, the
            trace is of another model or batch, or operators that take time ran nowhere.
    """
    runs, spans = _runs(document, where)
    first = _check_providers(runs[0], where)
    kernels = _kernels(runs)
    names = KernelNames(graph)
    found = [names.find(kernel.name, kernel.op) for kernel in kernels]
    _check_model(graph, kernels, [f is not None for f in found], where)
    check_shapes(graph, [(e.name, e.op, e.shapes) for e in runs[0]], where)
    attribution = Attribution(graph)
    n_guessed = guess_fusions(attribution, kernels, found)
    refuse_untimed(
        attribution, where, "trace the model that is planned, or its graph without optimisation"
    )
    whole_s, spread_s = typical([duration * _MICROSECOND for duration in spans])
    refuse_idle(attribution, whole_s, where)
    whole = Timing(
        typical_s=whole_s,
        spread_s=spread_s,
        n_runs=len(spans),
        origin="measured",
        method="onnxruntime trace, `model_run`",
    )
    total_s = sum(kernel.typical_s for kernel in kernels)
    return make_measurement(
        attribution,
        whole=whole,
        engine=Engine(name="onnxruntime", version="", provider=_short(first)),
        method="onnxruntime trace",
        notes=_notes(n_guessed, len(spans), whole_s / total_s),
    )


def _runs(document: JsonValue, where: str) -> tuple[list[list[Event]], list[float]]:
    """The kernels of every complete run, in order, and how long the runs took in microseconds."""
    events = document.get("traceEvents") if isinstance(document, dict) else document
    place = f"{where}: $.traceEvents" if isinstance(document, dict) else f"{where}: $"
    rows = events if isinstance(events, list) else []
    raise_all(list(_problems(rows, place)))
    timed = [row for row in rows if isinstance(row, dict) and _is_kernel_or_run(row)]
    spans = sorted((_float(r["ts"]), _float(r["dur"])) for r in timed if r["cat"] == "Session")
    if not spans:
        raise MeasuringError(
            "has no event `model_run`: the model was not run while it was traced",
            code="PLN614",
            where=where,
        )
    for (start, duration), (following, _) in pairwise(spans):
        if following < start + duration:
            text = "runs of the model overlap, so the times are those of several at once"
            hint = "trace a single thread that calls `session.run`"
            raise MeasuringError(text, code="PLN614", where=where, hint=hint)
    runs: list[list[Event]] = [[] for _ in spans]
    starts = [start for start, _ in spans]
    kernels = [_event(row) for row in timed if row["cat"] == "Node"]
    for event in sorted(kernels, key=lambda event: (event.start, -event.duration)):
        at = bisect_right(starts, event.start) - 1
        if at >= 0 and event.start <= starts[at] + spans[at][1]:
            runs[at].append(event)
    runs = [_without_bodies(run) for run in runs]
    # What is traced ends after a million events, in the middle of a run.
    usual = Counter(len(run) for run in runs if run).most_common(1)
    if not usual:
        text = "has no kernel in any run: was it profiled with `enable_profiling`?"
        raise MeasuringError(text, code="PLN614", where=where)
    complete = [i for i, run in enumerate(runs) if len(run) == usual[0][0]]
    return [runs[i] for i in complete], [spans[i][1] for i in complete]


def _problems(rows: Sequence[JsonValue], place: str) -> Iterator[PlannerError]:
    for index, row in enumerate(rows):
        if not isinstance(row, dict):
            text = "is no trace event, which is an object"
        elif not _is_kernel_or_run(row):
            continue
        else:
            wrong = [key for key in ("ts", "dur") if not _is_time(row.get(key))]
            if not wrong:
                continue
            text = f"`{wrong[0]}` is {row.get(wrong[0])!r}, expected microseconds ≥ 0"
        yield MeasuringError(shorten(text, 120), code="PLN611", where=f"{place}[{index}]")


def _is_kernel_or_run(row: dict[str, JsonValue]) -> bool:
    name = row.get("name")
    if not isinstance(name, str):
        return False
    if row.get("cat") == "Node":
        return name.endswith(_SUFFIX)
    return row.get("cat") == "Session" and name == "model_run"


def _is_time(value: JsonValue) -> bool:
    match value:
        case bool():
            return False
        case int() | float():
            return 0 <= value <= _MAX_DURATION
    return False


def _float(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else -1.0


def _event(row: dict[str, JsonValue]) -> Event:
    args = row.get("args")
    details = args if isinstance(args, dict) else {}
    return Event(
        name=str(row["name"]).removesuffix(_SUFFIX),
        op=str(details.get("op_name", "")),
        provider=str(details.get("provider", "")),
        index=str(details.get("node_index", "")),
        start=_float(row["ts"]),
        duration=_float(row["dur"]),
        thread=str(row.get("tid")),
        shapes=details.get("output_type_shape"),
    )


def _without_bodies(run: list[Event]) -> list[Event]:
    """Less what ran inside a loop or a branch, whose own event lasts as long."""
    kept: list[Event] = []
    ends: dict[object, float] = {}
    for event in run:
        if event.start < ends.get(event.thread, -1.0):
            continue
        kept.append(event)
        if event.op in _CONTROL_FLOW:
            ends[event.thread] = event.start + event.duration
    return kept


def _check_providers(run: list[Event], where: str) -> str:
    """The provider of most kernels.

    Raises:
        MeasuringError: If kernels still run when their event ends.
    """
    providers = Counter(event.provider for event in run)
    late = sorted(_ASYNCHRONOUS & providers.keys())
    if late:
        raise MeasuringError(
            f"`{late[0]}` runs kernels behind the back of the trace, which holds only the times of "
            "their launches",
            code="PLN614",
            where=where,
            hint="`planner profile` waits for them; of TensorRT, `trtexec --exportProfile` has "
            "real times",
        )
    return providers.most_common(1)[0][0]


def _short(provider: str) -> str:
    return provider.removesuffix("ExecutionProvider").lower()


def _kernels(runs: list[list[Event]]) -> list[Kernel]:
    """Every kernel with its typical time over the runs, in the order of the first run."""
    samples: dict[tuple[str, str], list[list[float]]] = {}
    ops: dict[tuple[str, str], str] = {}
    for number, run in enumerate(runs):
        for event in run:
            key = (event.name, event.index)
            ops.setdefault(key, event.op)
            rows = samples.setdefault(key, [])
            while len(rows) <= number:
                rows.append([])
            rows[number].append(event.duration * _MICROSECOND)
    kernels = []
    for key, rows in samples.items():
        times = [sum(row) for row in rows if row]
        typical_s, spread_s = typical(times)
        kernels.append(
            Kernel(
                name=key[0],
                op=ops[key],
                typical_s=typical_s,
                spread_s=spread_s,
                n_runs=len(times),
            )
        )
    return kernels


def _check_model(graph: Graph, kernels: list[Kernel], known: list[bool], where: str) -> None:
    pairs = zip(kernels, known, strict=True)
    telling = [(k, is_known) for k, is_known in pairs if is_known or not is_layout(k)]
    unknown = [k.name or f"(unnamed {k.op})" for k, is_known in telling if not is_known]
    if len(telling) - len(unknown) <= _MIN_KNOWN_SHARE * len(telling):
        if all(not kernel.name for kernel in kernels):
            raise MeasuringError(
                "its kernels have no names, because the nodes of the model had none",
                code="PLN612",
                where=where,
                hint="name the nodes of the ONNX file, and trace that",
            )
        refuse_other_model(graph, unknown, len(telling), where)


def _notes(n_guessed: int, n_runs: int, overhead: float) -> list[str]:
    notes = []
    if n_guessed:
        notes.append(
            f"operators without a time of their own: {n_guessed}; which kernel they were fused "
            "into was guessed from the graph, because a trace does not hold the optimised model"
        )
    if n_runs < _FEW_RUNS:
        notes.append(
            f"only {n_runs} {'run' if n_runs == 1 else 'runs'} of the model, the first of which "
            "warms it up"
        )
    if overhead > _MUCH_OVERHEAD:
        notes.append(
            f"a run took {overhead:.2f} times what its kernels add up to; writing the trace is a "
            "part of that, and what disturbed the runs; the times are scaled to the run"
        )
    return notes
