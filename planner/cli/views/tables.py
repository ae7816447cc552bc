"""Headings and tables: on a terminal drawn by rich to its width, elsewhere one row per line.

A program or a file that reads the output wants no wrapping, and does not wait for rich to load.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from planner.cli.console import printable, write_out

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table as RichTable

_GAP = "  "


@dataclass(slots=True)
class Table:
    """Rows of text: names in the first `n_names` columns and in `words`, numbers in the others.

    Numbers stay whole; where a terminal is narrow, names and words go on in the next line.
    """

    columns: tuple[str, ...]
    n_names: int = 1
    words: str | None = None
    rows: list[tuple[str, ...]] = field(default_factory=list)

    def add_rest(self, hidden: int, flag: str = "--all", *, first: str = "") -> None:
        """The row that stands for rows which are not shown, if there are any.

        Args:
            hidden: How many.
            flag: What lists them.
            first: The first cell, where the words are to stand in the second.
        """
        if hidden > 0:
            words = f"and {hidden} more; `{flag}` lists them"
            self.add_row(*((first, words) if first else (f"… {words}",)))

    def add_row(self, *cells: str) -> None:
        """Add one row; cells left out at its end are empty."""
        padding = [""] * (len(self.columns) - len(cells))
        self.rows.append(tuple(one_line(text) for text in (*cells, *padding)))

    @property
    def has_header(self) -> bool:
        """Whether any column has a name."""
        return any(self.columns)

    def is_name(self, position: int) -> bool:
        """Whether a column holds text, aligned left, and not numbers, aligned right."""
        return position < self.n_names or self.columns[position] == self.words


def one_line(text: str) -> str:
    """A name from a file as a table can hold it: on one line, nothing that steers a terminal."""
    return printable(text).replace("\n", "\\n")


def show(heading: str | None, *bodies: Table | str) -> None:
    """Write a heading, what belongs to it and an empty line to stdout; alone, bodies only."""
    is_terminal = sys.stdout is not None and sys.stdout.isatty()
    if is_terminal or os.environ.get("COLUMNS"):
        text = _drawn(heading, bodies)
    else:
        lines = [one_line(heading)] if heading else []
        for body in bodies:
            lines += [body] if isinstance(body, str) else _aligned(body)
        text = "\n".join(lines)
    end = "\n\n" if heading else "\n"
    write_out("\n".join(line.rstrip() for line in text.splitlines()) + end)


def _aligned(table: Table) -> list[str]:
    rows = [table.columns, *table.rows] if table.has_header else table.rows
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        _GAP.join(
            text.ljust(width) if table.is_name(position) else text.rjust(width)
            for position, (text, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]


def _drawn(heading: str | None, bodies: tuple[Table | str, ...]) -> str:
    from rich.text import Text

    console = _console()
    with console.capture() as capture:
        if heading:
            console.print(Text(one_line(heading), style="bold"))
        for body in bodies:
            console.print(Text(body) if isinstance(body, str) else _rich_table(body))
    return capture.get()


def _console() -> Console:
    from rich.console import Console

    colors: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    return Console(highlight=False, markup=False, emoji=False, color_system=colors)


def _rich_table(table: Table) -> RichTable:
    from rich.table import Table as RichTable
    from rich.text import Text

    drawn = RichTable(box=None, pad_edge=False, header_style="bold", show_header=table.has_header)
    for position, column in enumerate(table.columns):
        if table.is_name(position):
            drawn.add_column(column, overflow="fold", min_width=min(8, len(column)))
        else:
            drawn.add_column(column, justify="right", no_wrap=True)
    for row in table.rows:
        drawn.add_row(*map(Text, row))
    return drawn
