"""Gradients of convolutions and matrix products that the bundle holds as models of their own."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ..bundle import random_input
from ..errors import ProbeError
from ..forward.sessions import SessionMaker
from ..settings import WARM_UPS
from ..statistics import timing

if TYPE_CHECKING:
    from ..bundle import Bundle
    from ..reporting import Reporter
    from ..settings import Settings

_METHOD = "gradients and descent as standard ONNX operators, in a session of their own"


def measure_gradients(
    bundle: Bundle, settings: Settings, reporter: Reporter
) -> dict[str, dict[str, Any]]:
    """Time the gradient models of the bundle.

    Returns:
        The timing of the backward pass by operator. Models that do not run are left out, with a
        note.
    """
    import numpy as np

    reporter.phase("gradients")
    sessions = SessionMaker(bundle, settings)
    runs: list[tuple[Any, dict[str, Any], list[str], list[float]]] = []
    for item in bundle.manifest["files"].get("gradients", ()):
        try:
            session = sessions.make((bundle.folder / item["file"]).read_bytes())
            random = np.random.default_rng(settings.seed)
            feed = {entry["name"]: random_input(entry, random) for entry in item["inputs"]}
            for _ in range(WARM_UPS):
                session.run(None, feed)
        except ProbeError as error:
            reporter.note("gradients of {}: {}".format(item["operators"][0], error.message))
            continue
        runs.append((session, feed, item["operators"], []))
    started = time.perf_counter()
    for session, feed, _, _ in runs:
        session.run(None, feed)
    round_s = time.perf_counter() - started
    rounds = settings.rounds(round_s)
    reporter.total(rounds * round_s)
    for _ in range(rounds):
        if reporter.interrupted:
            break
        for session, feed, _, samples in runs:
            started = time.perf_counter()
            session.run(None, feed)
            samples.append(time.perf_counter() - started)
        reporter.step(round_s)
    return {
        name: timing(samples, _METHOD) for _, _, names, samples in runs if samples for name in names
    }
