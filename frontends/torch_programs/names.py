"""Names of operators by the module that they belong to: `layer1.0.conv1`, `layer1.0.add`.

A module whose forward pass is one operator gives it its own path. Other operators get the path of
their module and their own name; repeated ones are numbered. Names depend on the calls alone, so the
same network has the same names from a file and from memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable

from planner.frontends.torch_programs.program import Call


def operator_names(
    calls: Iterable[Call], *, main: Collection[str], taken: Collection[str] = ()
) -> dict[str, str]:
    """The name of the operator that each call becomes, by the call's name.

    Args:
        calls: In order.
        main: Names of the calls that may be what their module is for: that compute something from
            data, and are no views.
        taken: Names that are in use already.
    """
    calls = list(calls)
    inner = {prefix for call in calls for prefix in _prefixes(call.path)}
    per_path = Counter(call.path for call in calls if call.name in main)
    used = set(taken)
    names: dict[str, str] = {}
    for call in calls:
        is_leaf = bool(call.path) and call.path not in inner
        if is_leaf and call.name in main and per_path[call.path] == 1 and call.path not in used:
            names[call.name] = call.path
            used.add(call.path)
    numbers: Counter[str] = Counter()
    for call in calls:
        if call.name not in names:
            own = call.operator.strip("_") or call.operator
            stem = f"{call.path}.{own}" if call.path else own
            names[call.name] = _unused(stem, numbers, used)
    return {call.name: names[call.name] for call in calls}


def _prefixes(path: str) -> Iterable[str]:
    """Paths of the modules around `path`.

    >>> list(_prefixes("a.b.c"))
    ['a', 'a.b']
    """
    position = path.find(".")
    while position >= 0:
        yield path[:position]
        position = path.find(".", position + 1)


def _unused(stem: str, numbers: Counter[str], used: set[str]) -> str:
    name = stem
    while name in used:
        numbers[stem] += 1
        name = f"{stem}_{numbers[stem]}"
    used.add(name)
    return name
