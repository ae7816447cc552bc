"""The regions of a table over one parameter as a bar, on a logarithmic scale."""

from __future__ import annotations

import codecs
import math
import shutil
import sys
from itertools import pairwise

from planner.cli.ranges import format_value
from planner.tables.table import Table

MAX_WIDTH = 80
_DRAWN = ("├", "─", "┼", "┤")
_ASCII = ("+", "-", "+", "+")


def bar(table: Table, width: int | None = None) -> tuple[str, str]:
    """The bar, with the number of each plan that has room, and the scale below it.

    ├──────0──────┼───1───┼──────────2──────────┤
    1 Mbit/s    9.2 Mbit/s                1 Gbit/s
    """
    (parameter,) = table.parameters
    last = (width or _width()) - 1
    span = math.log(parameter.high / parameter.low)
    values = [table.plans[0].bounds[0][0], *(plan.bounds[0][1] for plan in table.plans)]
    columns = [round(math.log(value / parameter.low) / span * last) for value in values]
    left, dash, between, right = _DRAWN if _is_utf8() else _ASCII
    cells = [dash] * (last + 1)
    for index, (start, stop) in enumerate(pairwise(columns)):
        cells[stop] = between
        number = str(index)
        if stop - start > len(number) + 1:
            middle = (start + stop + 1 - len(number)) // 2
            cells[middle : middle + len(number)] = number
    cells[0], cells[last] = left, right
    labels = [format_value(parameter.name, value) for value in values]
    return "".join(cells), _scale(labels, columns)


def _scale(labels: list[str], columns: list[int]) -> str:
    """Both ends of the range, and of the borders between as many as have room."""
    width = columns[-1] + 1
    line = labels[0].ljust(width - len(labels[-1])) + labels[-1]
    for label, column in zip(labels[1:-1], columns[1:-1], strict=True):
        start = max(0, column - len(label) // 2)
        around = line[max(0, start - 2) : start + len(label) + 2]
        if not around.strip() and start + len(label) < width:
            line = line[:start] + label + line[start + len(label) :]
    return line


def _width() -> int:
    return min(MAX_WIDTH, shutil.get_terminal_size((MAX_WIDTH, 24)).columns)


def _is_utf8() -> bool:
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return codecs.lookup(encoding).name == "utf-8"
