"""The training measurement: forward in training mode, and backward by the best way there is."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any

from ..errors import ProbeError

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..reporting import Reporter
    from ..settings import Settings


def measure_training(
    bundle: Bundle,
    settings: Settings,
    reporter: Reporter,
    unfinished: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure training.

    `settings.backward` of None or `measure` takes torch, forward and backward, where it is
    installed, runs on the provider's device and has every operator; else onnxruntime-training,
    where that is installed and has all gradients. Else the forward pass is onnxruntime's, and the
    backward pass is estimated.

    Args:
        bundle: The model.
        settings: What to measure.
        reporter: Shows progress; its `interrupted` stops after the current run.
        unfinished: Of an earlier measurement that was interrupted.

    Returns:
        A measurement in the form of the profile.

    Raises:
        ProbeError: PLN601 to PLN605.
    """
    n_before = len(reporter.notes)
    found = None
    if settings.backward in (None, "measure"):
        found = _by_torch(bundle, settings, reporter, unfinished)
        if found is None:
            found = _by_gradient_graph(bundle, settings, reporter, unfinished)
    if found is None:
        from .estimated_training import measure

        found = measure(bundle, settings, reporter, unfinished)
    found["notes"] += reporter.notes[n_before:]
    return found


def has_torch() -> bool:
    """Whether torch is installed; importing it takes a second or more."""
    return importlib.util.find_spec("torch") is not None


def _by_torch(
    bundle: Bundle, settings: Settings, reporter: Reporter, unfinished: dict[str, Any] | None
) -> dict[str, Any] | None:
    """The measurement by torch; None, with a note, where it cannot be had."""
    if not has_torch():
        if settings.backward == "measure":
            reporter.note("training: torch is not installed, so onnxruntime measures")
        return None
    from ..torch_ops.operators import UnsupportedByTorch
    from . import torch_engine

    if torch_engine.device_for(settings.provider) is None:
        reporter.note(
            f"training: this torch has no CUDA, so it cannot measure for `{settings.provider}`"
        )
        return None
    if (unfinished or {}).get("engine") != torch_engine.NAME:
        unfinished = None
    try:
        return torch_engine.measure(bundle, settings, reporter, unfinished)
    except UnsupportedByTorch as lacking:
        reporter.note(f"training: torch lacks {lacking.op}, so onnxruntime measures")
        return None


def _by_gradient_graph(
    bundle: Bundle, settings: Settings, reporter: Reporter, unfinished: dict[str, Any] | None
) -> dict[str, Any] | None:
    """The measurement by onnxruntime-training; None, with a note, where it cannot be had."""
    from ..forward.runs import method_of
    from . import gradient_graph

    if not gradient_graph.is_available():
        return None
    if method_of(settings) != "trace":
        reporter.note(f"training: {gradient_graph.NAME} is measured by traces alone")
        return None
    if (unfinished or {}).get("engine") != gradient_graph.NAME:
        unfinished = None
    try:
        return gradient_graph.measure(bundle, settings, reporter, unfinished)
    except gradient_graph.GradientsUnavailableError as reason:
        reporter.note(f"training: {gradient_graph.NAME} builds no gradients: {reason}")
    except ProbeError as error:
        if error.code != "PLN603":
            raise
        reporter.note(f"training: gradients of {gradient_graph.NAME} do not run: {error.message}")
    return None
