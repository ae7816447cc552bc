"""Draw the rooms of the package, as the contracts of `.importlinter` have them.

`python tools/draw_rooms.py docs/architecture.md` writes the picture and the list of rooms between
the page's markers; a test compares.
"""

from __future__ import annotations

import ast
import configparser
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MARKS = ("<!-- rooms -->", "<!-- end of rooms -->")
AT_THE_ROOT = ("frontends", "solvers", "costmodels", "schemas")
"""Rooms whose folders are not in `planner/`."""


def floors() -> list[list[str]]:
    """Rooms by floor, the highest first, from the contract about them."""
    contracts = configparser.ConfigParser()
    contracts.read(ROOT / ".importlinter", encoding="utf-8")
    lines = contracts["importlinter:contract:rooms"]["layers"].split("\n")
    return [re.split(r"\s*\|\s*", line.strip()) for line in lines if line.strip()]


def purpose(room: str) -> str:
    """The first sentence of a room's docstring, without its full stop."""
    path = ROOT / room if room in AT_THE_ROOT else ROOT / "planner" / room
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return " ".join(text.partition("\n\n")[0].split()).rstrip(".")


def picture() -> str:
    """Floors from top to bottom in Mermaid; a room imports what is below its floor."""
    lines = ["```mermaid", "flowchart TB"]
    rows = floors()
    for number, rooms in enumerate(rows):
        lines += [f'    subgraph floor{number}[" "]', f"        {'; '.join(rooms)}", "    end"]
    lines.append(f"    {' --> '.join(f'floor{n}' for n in range(len(rows)))}")
    return "\n".join([*lines, "```"])


def listing() -> str:
    """What each room is for, as a table."""
    rows = ["| room | purpose |", "|---|---|"]
    rows += [f"| `{room}` | {purpose(room)} |" for floor in floors() for room in floor]
    return "\n".join(rows)


def updated(page: str) -> str:
    """The page with what is between its markers drawn anew."""
    head, _, rest = page.partition(MARKS[0])
    _, _, tail = rest.partition(MARKS[1])
    return f"{head}{MARKS[0]}\n\n{picture()}\n\n{listing()}\n\n{MARKS[1]}{tail}"


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(updated(target.read_text(encoding="utf-8")), encoding="utf-8")
