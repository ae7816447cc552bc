"""Progress, notes and interruption, for a person or for the program that started this one."""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, Iterator

from .errors import ProbeError

CHECKPOINT_S = 10.0
SAME_S = 0.5
"""Signals within this time are one: `timeout` sends two at once."""

GRACE_S = 5.0
"""What is left to save what was measured, once nobody reads the events any more."""

EXIT_ALONE = 130
_REFRESH_S = 0.2


class Reporter:
    """Says how far the measuring is.

    Work is counted in units that take about equally long; expected seconds are the best ones.
    Events of `json` are one JSON object a line on stdout: `progress` (`phase`, `done`, `total`,
    `left_s`), `note`, `error`, `end`; otherwise a line on stderr is overwritten.

    Attributes:
        interrupted: Whether to stop after the current run and keep what there is.
        notes: What was noted since the start.
        save: Writes a partial measurement; called at most every `CHECKPOINT_S`.
    """

    def __init__(
        self,
        *,
        is_json: bool = False,
        save: Callable[[dict[str, Any]], None] | None = None,
    ) -> None:
        self.interrupted = False
        self.notes: list[str] = []
        self.save = save
        self._interrupted_at = 0.0
        self._is_json = is_json
        self._is_open = False
        self._phase = ""
        self._total = 0.0
        self._done = 0.0
        self._started = time.perf_counter()
        self._shown = 0.0
        self._saved = time.perf_counter()

    def phase(self, text: str) -> None:
        """What comes now, in a few words."""
        self._phase = text
        self._show(is_forced=True)

    def total(self, units: float) -> None:
        """Announce more work."""
        if not self._total:
            self._started = time.perf_counter()
        self._total += units
        self._show(is_forced=True)

    def step(self, units: float = 1) -> None:
        """Some of the announced work is done."""
        self._done += units
        self._show()

    def note(self, text: str) -> None:
        """Something that a person should know about what was measured."""
        self.notes.append(text)
        if self._is_json:
            self.emit({"event": "note", "text": text})
        else:
            self._end_line()
            print(f"note: {text}", file=sys.stderr)

    def checkpoint(self, make: Callable[[], dict[str, Any]]) -> None:
        """Save what `make` gives, if the last time is long enough ago."""
        now = time.perf_counter()
        if self.save is not None and now - self._saved >= CHECKPOINT_S:
            self.save(make())
            self._saved = time.perf_counter()

    def emit(self, event: dict[str, Any]) -> None:
        """Print an event as JSON, where that was asked for."""
        if not self._is_json:
            return
        try:
            print(json.dumps(event, allow_nan=False), flush=True)
        except OSError:
            self._is_json, self.interrupted = False, True  # nobody listens any more

    def fail(self, error: ProbeError) -> None:
        """Say what went wrong."""
        if self._is_json:
            self.emit(error.as_event())
        else:
            self._end_line()
            print(error, file=sys.stderr)

    def close(self) -> None:
        """Finish the line that progress is shown in."""
        self._show(is_forced=True)
        self._end_line()

    @contextmanager
    def catching_interrupts(self) -> Iterator[None]:
        """Within, the first SIGINT or SIGTERM sets `interrupted`; a second one ends the program.

        So does the end of the program that reads the events.
        """
        if self._is_json:
            threading.Thread(target=self._watch, daemon=True).start()
        before = {}
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, self._interrupt)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _watch(self) -> None:
        """Stop when nobody reads the events any more, even within a run that takes hours."""
        if not hasattr(select, "poll"):
            return
        try:
            poll = select.poll()
            poll.register(sys.stdout.fileno(), 0)  # for nothing but the errors, which always count
            poll.poll()
        except (OSError, ValueError, AttributeError):  # no such file any more, or none at all
            return
        self.interrupted = True
        time.sleep(GRACE_S)
        os._exit(EXIT_ALONE)

    def _interrupt(self, number: int, frame: Any) -> None:
        now = time.monotonic()
        if self.interrupted and now - self._interrupted_at > SAME_S:
            raise KeyboardInterrupt
        if not self.interrupted:
            self._interrupted_at = now
        self.interrupted = True

    def _show(self, is_forced: bool = False) -> None:
        now = time.perf_counter()
        if not is_forced and now - self._shown < _REFRESH_S:
            return
        self._shown = now
        left = None
        if self._done:
            left = max(0.0, (self._total - self._done) * (now - self._started) / self._done)
        if self._is_json:
            self.emit(
                {
                    "event": "progress",
                    "phase": self._phase,
                    "done": self._done,
                    "total": self._total,
                    "left_s": left,
                }
            )
        elif sys.stderr.isatty() and self._total:
            share = min(1.0, self._done / self._total)
            line = f"{self._phase}: {100 * share:3.0f} %"
            if left is not None:
                line += f", {left:.0f} s left"
            print("\r\033[K" + line, end="", file=sys.stderr, flush=True)
            self._is_open = True

    def _end_line(self) -> None:
        if self._is_open:
            print(file=sys.stderr)
            self._is_open = False
