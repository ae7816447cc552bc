"""The training measurement by onnxruntime-training: whole steps, forward, backward and update.

From the model with a loss the package builds the gradient graph: a node `conv1` gets nodes called
`conv1_Grad/…`, and where several gradients of one tensor meet there is a sum called
`AccumulateGrad_…`. The whole step runs in one session, so nothing in it says where the forward
pass ends: whole steps are shared out by the times of the kernels.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Mapping, Sequence

from ..forward.kernels import Unit, units_of
from ..forward.runs import KernelRun
from ..forward.sessions import SessionMaker
from ..forward.wire import Kernel, read_kernels
from ..measurements import Samples, finish_measurement, start_measurement
from ..statistics import scaled, timing, typical
from .estimated_training import TRAINABLE_LEVELS

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..reporting import Reporter
    from ..settings import Settings

NAME = "onnxruntime-training"

_MARK = "_Grad/"
_SUM = "AccumulateGrad_"
_TRACED = "kernel times of onnxruntime's profiler in a training step, scaled to whole steps"
_REASON = "one kernel of the runtime computes them"


class GradientsUnavailableError(Exception):
    """Why there is no gradient graph of this model; nothing was measured then."""


def is_available() -> bool:
    """Whether this onnxruntime can build gradient graphs."""
    try:
        from onnxruntime.capi._pybind_state import GradientGraphBuilder  # noqa: F401
    except ImportError:
        return False
    return True


def build_gradients(bundle: Bundle) -> bytes:
    """The graph of a training step, as a serialized ModelProto; weights are as in the bundle.

    Raises:
        GradientsUnavailableError: If the bundle has no model with a loss, or an operator has no
            gradient here.
    """
    import onnxruntime
    from onnxruntime.capi._pybind_state import GradientGraphBuilder

    entry = bundle.manifest["files"].get("loss")
    if entry is None:
        raise GradientsUnavailableError("the model has no form with a loss")
    loss, weights = entry["output"], entry["weights"]
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it has to say is for those who develop it
    try:
        content = (bundle.folder / entry["file"]).read_bytes()
        builder = GradientGraphBuilder(content, {loss}, set(weights), loss, options)
        builder.build()
        found: bytes = builder.get_model()
    except Exception as error:  # whatever the binding makes of a failed check in C++
        text = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise GradientsUnavailableError(text[:500]) from error
    made = {name for kernel in read_kernels(found) for name in kernel.outputs}
    lacking = [name for name in weights if f"{name}_grad" not in made]
    if lacking:
        raise GradientsUnavailableError(f"no gradient reaches weight `{lacking[0]}`")
    update: bytes = (bundle.folder / entry["update"]).read_bytes()
    # Serialized messages that follow one another are one message, with the nodes of both.
    return found + update


def measure(
    bundle: Bundle, settings: Settings, reporter: Reporter, unfinished: dict[str, Any] | None
) -> dict[str, Any]:
    """Measure training with onnxruntime-training.

    Returns:
        A measurement of the profile; not complete if it was interrupted.

    Raises:
        GradientsUnavailableError: If there is no gradient graph; nothing was measured then.
        ProbeError: PLN603 if the gradient graph does not run, PLN604 if memory does not suffice,
            PLN606 if what is to be gone on with was measured in another way.
    """
    model = build_gradients(bundle)
    reporter.phase("training")
    if settings.level not in TRAINABLE_LEVELS:
        settings = replace(settings, optimization=TRAINABLE_LEVELS[-1])
    measurement = start_measurement(bundle, settings, "training", method="trace")
    measurement["engine"]["name"] = NAME
    measurement["engine"]["settings"]["update"] = "gradient descent"
    with tempfile.TemporaryDirectory(prefix="probe-") as folder:
        sessions = SessionMaker(bundle, settings, keeps_dropout=True)
        run = _Run(sessions, reporter, model, Path(folder), unfinished)
        run.all_series(lambda: {**measurement, "unfinished": run.state()})
    if run.rounds_left:
        return {**measurement, "unfinished": run.state()}
    measurement["notes"] += run.notes()
    return _finished(measurement, run)


class _Run(KernelRun):
    """Rounds of whole steps; `units` are those of the forward pass, then as many backward."""

    def __init__(
        self,
        sessions: SessionMaker,
        reporter: Reporter,
        model: bytes,
        folder: Path,
        unfinished: dict[str, Any] | None,
    ) -> None:
        entry = sessions.bundle.manifest["files"]["loss"]
        super().__init__(sessions, reporter, entry["file"], folder, unfinished)
        self.model = model
        self.fetched = [entry["output"]]  # gradients are not to be copied out
        self.n_forward = 0

    def find_units(self) -> tuple[list[Unit], list[int]]:
        """Forward and backward kernels by operator."""
        forward, backward, left = step_units(
            self.bundle.manifest, self.kernels, read_kernels(self.model)
        )
        self.n_forward = len(forward)
        return [*forward, *backward], left

    def state(self) -> dict[str, Any]:
        """What it takes to go on."""
        return {"engine": NAME, **super().state()}


def step_units(
    manifest: dict[str, Any], kernels: Sequence[Kernel], built: Sequence[Kernel]
) -> tuple[list[Unit], list[Unit], list[int]]:
    """Tell what the kernels of a training step compute.

    Args:
        manifest: The bundle's.
        kernels: Nodes of the optimised gradient graph, in topological order.
        built: Its nodes before that.

    Returns:
        Units forward; those backward, one for each and of the same operators; kernels of neither,
        such as those of the loss.
    """
    owners = _gradient_owners(manifest, kernels, built)
    rest = [index for index in range(len(kernels)) if index not in owners]
    found, lost = units_of(manifest, [kernels[index] for index in rest])
    forward = [Unit(unit.operators, tuple(rest[k] for k in unit.kernels)) for unit in found]
    left = [rest[k] for k in lost]
    number = {name: n for n, unit in enumerate(forward) for name in unit.operators}
    shares: list[list[int]] = [[] for _ in forward]
    receivers = {o["name"] for o in manifest["operators"] if o["has_backward"]}
    has_receiver = [bool(receivers.intersection(unit.operators)) for unit in forward]
    for index, owner in owners.items():
        place = number.get(owner)
        if place is not None and has_receiver[place]:
            shares[place].append(index)
        else:
            left.append(index)
    backward = [Unit(unit.operators, tuple(share)) for unit, share in zip(forward, shares)]
    return forward, backward, sorted(left)


def _gradient_owners(
    manifest: dict[str, Any], kernels: Sequence[Kernel], built: Sequence[Kernel]
) -> dict[int, str]:
    """By kernel of the backward pass, the operator that it belongs to; "" if to none."""
    nodes, serving = manifest["nodes"], _serving(manifest)
    maker = {name: n for n, kernel in enumerate(built) for name in kernel.outputs}
    sources = {kernel.name: kernel.inputs for kernel in built}
    owners: dict[int, str] = {}
    for index, kernel in enumerate(kernels):
        if kernel.name.startswith(_SUM):
            # The one that runs last is where a step without sums of its own would add.
            last = max((maker.get(n, -1) for n in sources.get(kernel.name, ())), default=-1)
            owner = _owner_by_name(built[last].name, serving) if last >= 0 else None
            owners[index] = owner or ""
        else:
            owner = _owner_by_name(kernel.name, serving)
            if owner is not None:
                owners[index] = owner
            elif _MARK in kernel.name and not _is_forward(kernel, serving):
                owners[index] = ""  # the gradient of the loss
    tensors = {name for node in nodes for name in node["outputs"]}
    reader: dict[str, int] = {}
    for index in reversed(range(len(kernels))):
        kernel = kernels[index]
        is_model = _is_forward(kernel, serving) or tensors.intersection(kernel.outputs)
        readers = [reader[name] for name in kernel.outputs if name in reader]
        if index not in owners and not is_model and readers and min(readers) in owners:
            owners[index] = owners[min(readers)]  # the optimiser put it in
        reader.update((name, index) for name in kernel.inputs)
    return owners


def _is_forward(kernel: Kernel, serving: Mapping[str, str]) -> bool:
    return kernel.name in serving


def _owner_by_name(name: str, serving: Mapping[str, str]) -> str | None:
    """The operator whose gradient a node computes; None if the name is not that of a gradient."""
    if name in serving:
        return None
    place = name.find(_MARK)
    while place >= 0:
        if name[:place] in serving:
            return serving[name[:place]]
        place = name.find(_MARK, place + 1)
    return None


def _serving(manifest: dict[str, Any]) -> dict[str, str]:
    """By node its operator: itself, or the first one that reads its result; "" if there is none."""
    found: dict[str, str] = {}
    reader: dict[str, str] = {}
    for node in reversed(manifest["nodes"]):
        owner = node["operator"]
        if owner is None:
            owner = next((reader[name] for name in node["outputs"] if name in reader), "")
        found[node["name"]] = owner
        reader.update((name, owner) for name in node["inputs"])
    return found


def _finished(measurement: dict[str, Any], run: _Run) -> dict[str, Any]:
    """The finished measurement; see `finish_measurement`."""
    samples, n_forward = run.samples(), run.n_forward
    halves = samples[:n_forward], samples[n_forward:]
    sums = [sum(typical(part.seconds)[0] for part in half if part.seconds) for half in halves]
    total_s = sum(sums) + typical(run.rest)[0]
    step = run.forward()
    forward, backward = (
        dict(
            scaled(step, seconds / total_s),
            method=f"{what}, by the kernels' share of {NAME}'s whole steps ({step['method']})",
        )
        for what, seconds in zip(("forward", "backward and gradient descent"), sums)
    )
    found = finish_measurement(
        measurement, run.bundle, forward, halves[0], method=_TRACED, reason=_REASON
    )
    found["whole"].update(backward=backward, sum_backward_s=sums[1])
    timings = _backward(run.bundle, halves[1], step["typical_s"] / total_s)
    for row in found["nodes"]:
        row["backward"] = timings.get(row["name"])
    return found


def _backward(bundle: Bundle, units: Sequence[Samples], factor: float) -> dict[str, dict[str, Any]]:
    """Timings of all operators that have a backward pass."""
    receivers = {o["name"] for o in bundle.manifest["operators"] if o["has_backward"]}
    n_runs = max(len(unit.seconds) for unit in units)
    nothing = {"typical_s": 0.0, "spread_s": 0.0, "n_runs": n_runs, "origin": "measured"}
    found: dict[str, dict[str, Any]] = {}
    for unit in units:
        names = [name for name in unit.operators if name in receivers]
        for name in names:
            found[name] = dict(nothing, method=f"in the time of `{names[0]}`")
        if names and unit.seconds:
            entry = timing(unit.seconds, f"{_TRACED}; gradient descent included")
            found[names[0]] = scaled(entry, factor)
        elif names:
            found[names[0]] = dict(nothing, method="the gradient takes no kernel")
    return found
