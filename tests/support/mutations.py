"""Documents with something wrong in them: a valid one, its values and structure disturbed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

STRANGE: list[Any] = [
    None, True, False, "", [], {}, [None], [[[]]], {"a": 1}, ["a"], [1],
    -1, 0, 1, 2, -0.0, 1.0, 1.5, 1e5, 1e-300, 1e18, 1e308, float("nan"), float("inf"),
    2**31, 2**53, 2**53 + 1, 2**63 - 1, 2**63, -(2**53), 10**30, 10**400, [2**53] * 30,
    "x" * 300, "\ud800", "\x1b[31m", "\x00", "[red]", "1", "1e5", "é",
    "table", "analytical", "float32", "int64", "training", "costs", "graph", "plan", "a100",
]  # fmt: skip

KEYS = [
    "bogus",
    "name",
    "bytes",
    "nodes",
    "hardware",
    "dtype",
    "default",
    "",
    "a b",
    "\x1b",
    "\ud800",
]


def paths(document: Any, path: Path = ()) -> Iterator[Path]:
    """The way to every value within a document, that to itself first."""
    yield path
    if isinstance(document, dict | list):
        for key, value in document.items() if isinstance(document, dict) else enumerate(document):
            yield from paths(value, (*path, key))


def value_at(document: Any, path: Path) -> Any:
    """What lies at the end of a path."""
    for step in path:
        document = document[step]
    return document


@st.composite
def mutated(draw: st.DrawFn, document: dict[str, Any]) -> Any:
    """The document with one to three values replaced, removed, added or copied elsewhere."""
    result: Any = copy.deepcopy(document)
    for _ in range(draw(st.sampled_from([1, 1, 1, 2, 3]))):
        known = [path for path in paths(result) if path]
        if not known:
            return result
        *way, last = draw(st.sampled_from(known))
        parent = value_at(result, tuple(way))
        strange = copy.deepcopy(draw(st.sampled_from(STRANGE)))
        match draw(st.sampled_from(["replace", "replace", "remove", "add", "copy"])):
            case "replace":
                parent[last] = strange
            case "remove":
                del parent[last]
            case "add" if isinstance(parent, dict):
                parent[draw(st.sampled_from(KEYS))] = strange
            case "add":
                parent.append(strange)
            case _:
                parent[last] = copy.deepcopy(value_at(result, draw(st.sampled_from(known))))
    return result
