"""Every deliberate error, with the code, the place and the hint that a person needs to act on it.

    PlannerError
    ├── InputError          PLN1xx  a file, its JSON or protobuf, a unit, a flag
    ├── GraphError          PLN2xx  cycles, duplicates, dangling names, dimensions, shapes
    ├── PluginError         PLN3xx  unknown, clashing or broken plug-ins, absent dependencies, costs
    ├── PlanError           PLN4xx  no placement, contradictory rules, an unsupported request
    ├── SolverError         PLN5xx  a solver that stopped without a proof
    ├── MeasuringError      PLN6xx  a profile that cannot be taken, imported or merged
    └── ProblemReport       several of the above, found together in one input

An error that is not a `PlannerError` is a defect of the planner itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

MAX_LISTED = 20
"""How many problems of one input are shown before the rest is only counted."""


class PlannerError(Exception):
    """What is wrong, where it is, and what to do about it.

    Args:
        message: What is, then what was expected; lower case, no full stop, literals in backticks.
        code: One of those in docs/errors.md, for instance `PLN101`.
        where: The file and JSON pointer, the operator, or the flag.
        hint: A command or an edit that is likely to help; left out where none is. A function
            makes it only if it is shown: a search for similar names in a large graph takes a while.
        exit_code: What the command line exits with; the family's default if not given.
    """

    default_exit_code: ClassVar[int] = 2

    def __init__(
        self,
        message: str,
        *,
        code: str,
        where: str | None = None,
        hint: str | Callable[[], str] | None = None,
        exit_code: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.where = where
        self._hint = hint
        self.exit_code = self.default_exit_code if exit_code is None else exit_code

    @property
    def hint(self) -> str | None:
        """A command or an edit that is likely to help."""
        if callable(self._hint):
            self._hint = self._hint()
        return self._hint

    @property
    def problems(self) -> tuple[PlannerError, ...]:
        """The single errors behind this one; itself if there is only one."""
        return (self,)

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        return f"[{self.code}] {place}{self.message}" + (f" ({self.hint})" if self.hint else "")


class InputError(PlannerError):
    """A file, a quantity or a flag that cannot be read."""


class GraphError(PlannerError):
    """A model that is no valid graph, or whose shapes are not known."""


class PluginError(PlannerError):
    """A frontend, cost model or solver that is unknown, broken or lacks something it needs."""


class PlanError(PlannerError):
    """A problem that has no answer, or a request that does not fit it."""


class SolverError(PlannerError):
    """A solver that stopped without a proof."""

    default_exit_code = 5


class MeasuringError(PlannerError):
    """A profile that cannot be taken, imported or merged."""


class ProblemReport(PlannerError):  # noqa: N818 (a report of errors, not one)
    """Several independent problems of one input, reported together."""

    def __init__(self, problems: Sequence[PlannerError]) -> None:
        self._problems = tuple(problems)
        first = self._problems[0]
        super().__init__(
            f"{len(self._problems)} problems",
            code=first.code,
            exit_code=max(problem.exit_code for problem in self._problems),
        )

    @property
    def problems(self) -> tuple[PlannerError, ...]:
        return self._problems

    def __str__(self) -> str:
        shown = [str(problem) for problem in self._problems[:MAX_LISTED]]
        hidden = len(self._problems) - len(shown)
        return "\n".join([*shown, f"and {hidden} more"] if hidden else shown)


def raise_all(problems: Sequence[PlannerError]) -> None:
    """Raise nothing, the one problem, or a report of all of them.

    Raises:
        PlannerError: If `problems` is not empty.
    """
    if len(problems) == 1:
        raise problems[0]
    if problems:
        raise ProblemReport(problems)


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` is most likely a misspelling of, if any.

    >>> nearest("maxfow", ["maxflow", "networkx"])
    'maxflow'
    """
    if len(name) > 500:
        return None  # no slip of the pen, and the comparison would take minutes
    import difflib  # only once something is wrong

    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None


def shorten(text: str, limit: int = 100) -> str:
    """A name as messages show it: the middle of a long one is left out.

    >>> shorten("a" * 10 + "b" * 10, limit=9)
    'aaaa…bbbb'
    """
    half = (limit - 1) // 2
    return text if len(text) <= limit else f"{text[:half]}…{text[-half:]}"


def listed(items: Sequence[str], most: int) -> str:
    """The first of some items, and how many more there are.

    >>> listed(["`a`", "`b`", "`c`"], 2)
    '`a`, `b` and 1 more'
    """
    hidden = len(items) - most
    return ", ".join(items[:most]) + (f" and {hidden} more" if hidden > 0 else "")


def named(names: Iterable[str], most: int) -> str:
    """`listed` for names, in backticks."""
    return listed([f"`{name}`" for name in names], most)


def name_hint(name: str, known: Iterable[str], what: str) -> str:
    """A hint for an unknown name: the nearest known one, then at most ten that exist.

    >>> name_hint("maxfow", ["maxflow", "networkx"], "solvers")
    'did you mean `maxflow`? solvers: `maxflow`, `networkx`'
    """
    names = sorted(known)
    close = nearest(name, names)
    shown = listed([f"`{shorten(item, 60)}`" for item in names], 10)
    listing = f"{what}: {shown}" if names else f"there are no {what}"
    return f"did you mean `{close}`? {listing}" if close else listing
