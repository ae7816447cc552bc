"""Streams, and how errors look."""

from __future__ import annotations

import codecs
import io
import sys
from typing import TYPE_CHECKING

import click

from planner.errors import MAX_LISTED, PlannerError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_ASCII = {
    "\N{MICRO SIGN}": "u",
    "\N{MULTIPLICATION SIGN}": "x",
    "\N{RIGHTWARDS ARROW}": "->",
    "\N{HORIZONTAL ELLIPSIS}": "...",
    "\N{LESS-THAN OR EQUAL TO}": "<=",
    "\N{GREATER-THAN OR EQUAL TO}": ">=",
    "\N{MIDDLE DOT}": "|",
}


def _to_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lost = error.object[error.start : error.end]
    return "".join(_ASCII.get(character, "?") for character in lost), error.end


def prepare_streams() -> None:
    """Let terminals that are not UTF-8 get readable text instead of an encoding error."""
    codecs.register_error("planner", _to_ascii)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="planner")


def result_console() -> Console:
    """Where results go: stdout, as wide as the terminal, 100 columns where there is none."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=100)
    return console


def make_table(*columns: str, left: int = 1) -> Table:
    """A plain table: the first `left` columns aligned left, the others, numbers, right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for position, column in enumerate(columns):
        table.add_column(column, justify="left" if position < left else "right", overflow="fold")
    return table


def print_section(console: Console, title: str, body: object) -> None:
    """A heading, what belongs to it, and an empty line."""
    console.print(title, style="bold", markup=False)
    console.print(body)
    console.print()


def say(text: str) -> None:
    """One line to the person, on stderr."""
    click.echo(text, err=True)


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
