"""How far a measurement is: a bar on terminals, and only what matters elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from planner.cli.console import say
from planner.measuring.taking import Event


@contextmanager
def shown() -> Iterator[Callable[[Event], None]]:
    """What to call with the events of a measuring process."""
    if not (sys.stderr is not None and sys.stderr.isatty()):
        yield _said
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("measuring", total=None, left="")

        def draw(event: Event) -> None:
            if event.get("event") == "progress":
                seconds = event.get("left_s")
                progress.update(
                    task,
                    left=f"{seconds:.0f} s left" if isinstance(seconds, float) else "",
                    description=str(event.get("phase") or "measuring"),
                    completed=float(event.get("done", 0)),
                    total=float(event.get("total", 0)) or None,
                )
            else:
                _said(event)

        yield draw


def _said(event: Event) -> None:
    if event.get("event") == "note":
        say(f"note: {event.get('text')}")
