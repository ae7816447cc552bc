"""Work on all cores, for what is not timed."""

from __future__ import annotations

import os
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any, TypeVar

Part = TypeVar("Part")

SHARES = os.cpu_count() or 1
_WORK: list[Callable[[int], Any]] = []


def on_all_cores(work: Callable[[int], Part]) -> list[Part]:
    """`work(share)` for every share of `SHARES`, each in a process of its own.

    Processes are forked: problems hold functions, which cannot be sent to another one.
    """
    _WORK[:] = [work]
    with get_context("fork").Pool(SHARES) as pool:
        return pool.map(_run, range(SHARES))


def _run(share: int) -> Any:
    return _WORK[0](share)
