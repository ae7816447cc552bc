"""Parameters by glob: which of them an option means."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

from planner.errors import InputError, PlannerError, name_hint, raise_all


def matching(globs: Iterable[str], names: Iterable[str], option: str) -> set[str]:
    """The names that any of `globs` matches.

    Args:
        globs: Patterns of `fnmatch`, with case.
        names: Names of parameters.
        option: The argument that gave the globs, for errors.

    Raises:
        InputError: PLN208 for every glob that matches none.

    >>> sorted(matching(["layer1*"], ["layer1.w", "layer2.w"], "frozen"))
    ['layer1.w']
    """
    known = list(names)
    found: set[str] = set()
    problems: list[PlannerError] = []
    for pattern in globs:
        hits = [name for name in known if fnmatchcase(name, pattern)]
        found.update(hits)
        if not hits:
            text = f"`{pattern}` matches no parameter"
            hint = name_hint(pattern, known, "parameters")
            problems.append(InputError(text, code="PLN208", where=option, hint=hint))
    raise_all(problems)
    return found
