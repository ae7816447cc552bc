"""The modules of a model, by the names of its operators: `layer1.0.conv1` is in `layer1.0`.

An operator is in every module that its name starts with, up to a dot, and its own name counts as
one: `layer1`, `layer1.0`, `layer1.0.conv1`. The number of a call is no part of a path: `relu@1` is
in the module `relu`. Names that no path looks like are in no module but the model: those with an
empty part between dots, or with a slash, which belongs to the scopes of other exporters.

Paths are never all written out: one name of ten thousand parts is in as many modules, and a tree of
parts holds them in the room of the name.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from planner.graphs.graph import Graph

T = TypeVar("T")
Number = TypeVar("Number", int, float)

ROOT = 0
"""The node of the whole model, whose path is empty."""

_CALL = re.compile(r"(?<=.)@[0-9]+$", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleRow:
    """Operators of one module, or one operator of a module that is split, on one host.

    Attributes:
        name: What rules call it: the module's path, or the operator's name; empty for the model.
        host: Where all of them are.
        operators: Their names, in graph order.
        parent: The module around it, which may have its name; empty for the model.
    """

    name: str
    host: str
    operators: tuple[str, ...]
    parent: str


class ModuleTree(Mapping[str, tuple[int, ...]]):
    """Module path → its operators, ascending, for a sequence of operator names.

    Attributes:
        parents: The node around each; a node comes after its parent, and `ROOT` is its own.
        nodes: The innermost node of each operator, in their order.

    >>> tree = ModuleTree(["conv", "block.relu", "block.relu@1", "fc"])
    >>> tree["block"], tree["block.relu"], "block.relu@1" in tree
    ((1, 2), (1, 2), False)
    >>> list(tree)
    ['conv', 'block', 'block.relu', 'fc']
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = names
        self.parents = [ROOT]
        self.nodes: list[int] = []
        self._parts = [""]
        self._index: dict[tuple[int, str], int] = {}
        for name in names:
            node = ROOT
            for part in _parts(name, has_calls=True):
                found = self._index.get((node, part))
                if found is None:
                    found = self._index[node, part] = len(self.parents)
                    self.parents.append(node)
                    self._parts.append(part)
                node = found
            self.nodes.append(node)

    def __getitem__(self, path: str) -> tuple[int, ...]:
        node = self.find(path)
        if not node:
            raise KeyError(path)
        return self.operators(node)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and bool(self.find(path))

    def __iter__(self) -> Iterator[str]:
        return map(self.path, range(1, len(self.parents)))

    def __len__(self) -> int:
        return len(self.parents) - 1

    def find(self, path: str) -> int | None:
        """The node of a path; None if no operator is in such a module."""
        node: int | None = ROOT
        for part in _parts(path) if path else ():
            node = self._index.get((node, part)) if node is not None else None
        return node

    def path(self, node: int) -> str:
        """The path of a node."""
        parts = []
        while node:
            parts.append(self._parts[node])
            node = self.parents[node]
        return ".".join(reversed(parts))

    def operators(self, node: int) -> tuple[int, ...]:
        """The operators in a module and in those within, ascending."""
        starts, order = self._layout
        start = starts[node]
        return tuple(sorted(order[start : start + self.counts[node]]))

    @cached_property
    def counts(self) -> list[int]:
        """Number of operators in each node."""
        counts = [0] * len(self.parents)
        for node in self.nodes:
            counts[node] += 1
        return self.added_up(counts)

    @cached_property
    def n_parts(self) -> list[int]:
        """Number of parts of each node: operators of its own, and nodes right within."""
        found = [0] * len(self.parents)
        for node in (*self.nodes, *self.parents[1:]):
            found[node] += 1
        return found

    @cached_property
    def namesakes(self) -> dict[int, int]:
        """Nodes with an operator of exactly their path, which is what that name then means."""
        paths = ((node, v) for v, node in enumerate(self.nodes))
        return {node: v for node, v in paths if self.path(node) == self.names[v]}

    @property
    def has_modules(self) -> bool:
        """Whether any module within the model has several operators."""
        return max(self.counts[1:], default=0) > 1

    def branching(self) -> Iterator[int]:
        """Nodes of several parts, without the root: a module of one part is told by that part."""
        return (node for node in range(1, len(self.parents)) if self.n_parts[node] > 1)

    def added_up(self, values: Sequence[Number]) -> list[Number]:
        """What every node has with all nodes within, of what each has by itself."""
        total = list(values)
        for node in range(len(total) - 1, ROOT, -1):
            total[self.parents[node]] += total[node]
        return total

    def inherited(self, given: Mapping[int, T]) -> list[T | None]:
        """For each operator what the innermost of its nodes is given, None if none is."""
        at: list[T | None] = [given.get(ROOT)]
        for node in range(1, len(self.parents)):
            at.append(given.get(node, at[self.parents[node]]))
        return [at[node] for node in self.nodes]

    @cached_property
    def _layout(self) -> tuple[list[int], list[int]]:
        """Where the operators of each node start in an order in which they are side by side."""
        own = [0] * len(self.parents)
        for node in self.nodes:
            own[node] += 1
        starts, free = [0] * len(self.parents), [own[ROOT]]
        for node in range(1, len(self.parents)):
            parent = self.parents[node]
            starts[node] = free[parent]
            free[parent] += self.counts[node]
            free.append(starts[node] + own[node])
        order, filled = [0] * len(self.nodes), list(starts)
        for operator, node in enumerate(self.nodes):
            order[filled[node]] = operator
            filled[node] += 1
        return starts, order


def _parts(name: str, *, has_calls: bool = False) -> list[str]:
    parts = name.split(".")
    if not all(parts) or "/" in name:
        return [name]
    return [_CALL.sub("", part) for part in parts] if has_calls and "@" in name else parts


def modules_of(graph: Graph) -> ModuleTree:
    """Module path → indices of its operators, ascending, for every module that has any."""
    return ModuleTree([operator.name for operator in graph.operators])


def module_paths(names: Sequence[str], longest: int = 500) -> list[str]:
    """The modules of several parts that a person may have meant, by paths of bounded length."""
    tree = ModuleTree(names)
    paths = []
    lengths = [0]
    branching = set(tree.branching())
    for node in range(1, len(tree.parents)):
        lengths.append(lengths[tree.parents[node]] + 1)
        if node in branching and lengths[node] <= longest:
            paths.append(tree.path(node))
    return [path for path in paths if len(path) <= longest]


def placement_by_module(placement: Mapping[str, str]) -> list[ModuleRow]:
    """A placement by the coarsest modules of which all operators are on one host.

    A module that is split is opened up, down to its operators, and so is one whose path is the name
    of one operator among several: what a rule of that name means is the operator. So the names and
    hosts of the rows, as they are, make the same placement for `planner.evaluate`.

    Args:
        placement: Host of every operator, in graph order.

    Returns:
        Rows in graph order of their first operators.

    >>> hosts = {"conv": "device", "block.a": "device", "block.b": "server", "block.b@1": "server"}
    >>> [(row.name, row.host) for row in placement_by_module(hosts)]
    [('conv', 'device'), ('block.a', 'device'), ('block.b', 'server'), ('block.b@1', 'server')]
    """
    names, hosts = list(placement), list(placement.values())
    tree = ModuleTree(names)
    whole = _whole_nodes(tree, hosts)
    members: dict[tuple[int, int], list[str]] = {}
    for operator, node in enumerate(tree.nodes):
        module = whole[node]
        key = (module, -1) if module is not None else (node, operator)
        members.setdefault(key, []).append(names[operator])
    opened = set(tree.parents)
    rows = []
    for (node, operator), found in members.items():
        # An operator that is called like a module around others is one of that module's parts.
        parent = node if operator >= 0 and node in opened else tree.parents[node]
        rows.append(
            ModuleRow(
                name=found[0] if operator >= 0 else tree.path(node),
                host=placement[found[0]],
                operators=tuple(found),
                parent=tree.path(parent),
            )
        )
    return rows


def _whole_nodes(tree: ModuleTree, hosts: Sequence[str]) -> list[int | None]:
    """For each node the outermost around it that is on one host and can be named; or None."""
    first: list[str | None] = [None] * len(tree.parents)
    is_split = [False] * len(tree.parents)

    def merge(node: int, host: str | None) -> None:
        if first[node] is None:
            first[node] = host
        elif first[node] != host:
            is_split[node] = True

    for node, host in zip(tree.nodes, hosts, strict=True):
        merge(node, host)
    for node in range(len(tree.parents) - 1, ROOT, -1):
        merge(tree.parents[node], first[node])
        is_split[tree.parents[node]] |= is_split[node]
    whole: list[int | None] = []
    for node, parent in enumerate(tree.parents):
        above = whole[parent] if node else None
        is_other = node in tree.namesakes and tree.counts[node] > 1
        whole.append(node if above is None and not is_split[node] and not is_other else above)
    return whole


def resolved(tree: ModuleTree, names: Mapping[str, T]) -> list[T | None]:
    """What each operator is given, by its own name or else by the longest of its modules' paths.

    Names of `names` that are in the model neither way give nothing.
    """
    index = {name: operator for operator, name in enumerate(tree.names)}
    given: dict[int, T] = {}
    for name, value in names.items():
        # An operator's name is no module's: what is given to it is not inherited.
        node = tree.find(name) if name not in index else None
        if node is not None:
            given[node] = value
    found = tree.inherited(given)
    for name in names.keys() & index.keys():
        found[index[name]] = names[name]
    return found
