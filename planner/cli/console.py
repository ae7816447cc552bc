"""Streams, what may be written to them, and how errors look."""

from __future__ import annotations

import codecs
import io
import os
import re
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from planner.errors import MAX_LISTED, InputError, PlannerError

_ASCII = {
    "\N{MICRO SIGN}": "u",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{MIDDLE DOT}": "|",
}

_UNPRINTABLE = "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]"
"""Control characters, and those that turn the direction of writing; not the line feed."""


def _to_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_ASCII.get(c) or ascii(c)[1:-1] for c in lost), error.end


def prepare_streams() -> None:
    """Let terminals that are not UTF-8 get readable text instead of an encoding error."""
    codecs.register_error("planner", _to_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="planner")


def abandon_stdout() -> None:
    """Drop what stdout did not take, or Python complains about it once more at its exit."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return


def printable(text: str) -> str:
    """Names come out of files: what would steer a terminal is shown instead, as an escape.

    >>> printable("a\\x1b[31mb")
    'a\\\\x1b[31mb'
    """
    if text.isascii() and text.isprintable():
        return text
    return re.sub(_UNPRINTABLE, lambda match: ascii(match[0])[1:-1], text)


def write_out(text: str) -> None:
    """Write a result to stdout.

    Raises:
        InputError: If stdout takes no more, for instance because a disk is full.
        BrokenPipeError: If its reader went away.
    """
    if sys.stdout is None:  # closed by whoever started us: `planner … >&-`
        return
    try:
        # Not click.echo, which takes ASCII for a mistake and writes UTF-8 to such a terminal.
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise stdout_error(error) from error


def stdout_error(error: OSError) -> InputError:
    """The error for a stdout that takes no more."""
    abandon_stdout()
    reason = error.strerror or str(error)
    return InputError(f"cannot be written: {reason}", code="PLN121", where="standard output")


def write_json(document: Mapping[str, object]) -> None:
    """One JSON document on stdout; where that is not UTF-8, in ASCII with escapes."""
    import json

    encoding = codecs.lookup(getattr(sys.stdout, "encoding", None) or "utf-8").name
    is_ascii = encoding != "utf-8"
    text = json.dumps(document, indent=2, ensure_ascii=is_ascii, allow_nan=False)
    # Strings in JSON are free to escape whatever they like, and a terminal obeys DEL and C1.
    write_out(re.sub("[\x7f-\x9f]", lambda match: f"\\u{ord(match[0]):04x}", text) + "\n")


def say(text: str) -> None:
    """One line to the person, on stderr."""
    if sys.stderr is not None:
        sys.stderr.write(printable(text) + "\n")
        sys.stderr.flush()


@contextmanager
def patience(seconds: float = 10.0) -> Iterator[None]:
    """Say once that it is still going on, and what would end it, if something takes long."""
    text = (
        "still solving; `--time-limit 60s` or `--gap 1%` would end it earlier, Ctrl-C ends it now"
    )
    timer = threading.Timer(seconds, say, (f"note: {text}",))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def tell(warnings: Sequence[str], notes: Sequence[str]) -> None:
    """Everything that is worth knowing beside a result."""
    for warning in warnings:
        say(f"warning: {warning}")
    for note in notes:
        say(f"note: {note}")


def show_error(error: PlannerError, *, verbose: bool) -> None:
    """Every problem with its place and hint, on stderr."""
    problems = error.problems
    blocks = [_block(problem, verbose) for problem in problems[:MAX_LISTED]]
    if len(problems) > MAX_LISTED:
        blocks.append(f"and {len(problems) - MAX_LISTED} more")
    say("\n\n".join(blocks))


def _block(problem: PlannerError, verbose: bool) -> str:
    lines = [f"error[{problem.code}]: {problem.message}"]
    if problem.where:
        lines.append(f"  --> {problem.where}")
    if problem.hint:
        lines += ["", f"hint: {problem.hint}"]
    if verbose and problem.__cause__ is not None:
        cause = problem.__cause__
        lines += ["", f"cause: {type(cause).__name__}: {cause}"]
    return "\n".join(lines)
