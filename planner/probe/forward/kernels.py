"""Which operators of the model each kernel of the optimised model computes.

An optimised node mostly keeps the name of a tensor of the model: as its output, or (in the blocked
layout, which renames every tensor) as its own name. From there one walks back in the model to what
the kernel reads. What the optimiser put in, such as changes of layout, belongs to what it serves.
"""

from __future__ import annotations

from typing import Any, Iterable, NamedTuple, Sequence

from .wire import Kernel

_LAYOUT_SUFFIXES = ("_bn_nchwc", "_nchwc")
_BLOCKED = "com.microsoft.nchwc"
_ADDING = frozenset({"Add", "Sum"})

VIEWS = frozenset({"Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"})
"""Operators that cost nothing once the optimiser has removed them: nothing was fused with them."""


class Unit(NamedTuple):
    """Operators that are measured as one, in graph order, and the kernels that compute them.

    No kernels: the optimiser has removed the operator.
    """

    operators: tuple[str, ...]
    kernels: tuple[int, ...]


def units_of(manifest: dict[str, Any], kernels: Sequence[Kernel]) -> tuple[list[Unit], list[int]]:
    """Tell which operators share a kernel.

    Args:
        manifest: The bundle's.
        kernels: Nodes of the optimised model, in topological order.

    Returns:
        Units that cover every operator once, in graph order, and the kernels that belong to none.
    """
    mapping = _Mapping(manifest, kernels)
    mapping.claim()
    mapping.attach_inserted()
    mapping.adopt_rest()
    return mapping.units([operator["name"] for operator in manifest["operators"]])


class _Mapping:
    """`owner` is the kernel that claimed each node; kernels of one unit are joined in `parent`."""

    def __init__(self, manifest: dict[str, Any], kernels: Sequence[Kernel]) -> None:
        self.nodes: list[dict[str, Any]] = manifest["nodes"]
        self.kernels = kernels
        self.owner: dict[int, int] = {}
        self.maker = {name: k for k, kernel in enumerate(kernels) for name in kernel.outputs}
        self.parent = list(range(len(kernels)))
        self.producer: dict[str, int] = {}
        self.consumers: dict[str, list[int]] = {}
        self.by_name = {node["name"]: index for index, node in enumerate(self.nodes)}
        fed = {item["name"] for item in manifest["inputs"]}
        # What depends on no input becomes a constant, and has no kernel.
        self.is_live: list[bool] = []
        for index, node in enumerate(self.nodes):
            self.producer.update((name, index) for name in node["outputs"])
            reads = [*node["inputs"], *node.get("captured", ())]
            for name in reads:
                self.consumers.setdefault(name, []).append(index)
            self.is_live.append(any(name in fed for name in reads))
            if self.is_live[-1]:
                fed.update(node["outputs"])

    def claim(self) -> None:
        """Give every kernel whose result has a name in the model the nodes that it computes."""
        for index, kernel in enumerate(self.kernels):
            anchors, is_blocked = self._anchors(kernel)
            if not anchors:
                continue
            found = self._walk_back(anchors, kernel, is_blocked)
            if is_blocked:
                found += self._fused_behind(anchors[0], kernel, found)
            for node in found:
                self.owner[node] = index
            if not found or kernel.op == "ReorderOutput":
                self._join_makers(index, kernel, anchors)

    def _anchors(self, kernel: Kernel) -> tuple[list[str], bool]:
        """The model's tensors that `kernel` makes; whether its own inputs have lost their names."""
        named = [name for name in kernel.outputs if name in self.producer]
        if named:
            return named, False
        for suffix in _LAYOUT_SUFFIXES:
            tensor = kernel.name[: -len(suffix)]
            if kernel.name.endswith(suffix) and tensor in self.producer:
                return [tensor], True
        node = self.by_name.get(kernel.name)
        if node is not None and self.nodes[node]["op"] == kernel.op:
            return [name for name in self.nodes[node]["outputs"] if name], True
        return [], False

    def _walk_back(self, anchors: Sequence[str], kernel: Kernel, is_blocked: bool) -> list[int]:
        """Nodes that nobody has claimed, from the anchors back to what the kernel reads."""
        stops = set(kernel.inputs)
        found: dict[int, None] = {}
        stack = [self.producer[name] for name in anchors]
        while stack:
            index = stack.pop()
            node = self.nodes[index]
            if index in found or index in self.owner:
                continue
            # Without optimisation, what could be computed beforehand is computed in every run.
            is_run = node["operator"] is not None and not found and node["op"] == kernel.op
            if not self.is_live[index] and not is_run:
                continue
            if found and node["operator"] is None:
                continue
            found[index] = None
            if is_blocked and node["op"] == kernel.op:
                continue
            stack += [
                self.producer[name]
                for name in node["inputs"]
                if name in self.producer and name not in stops
            ]
        return list(found)

    def _fused_behind(self, tensor: str, kernel: Kernel, found: Sequence[int]) -> list[int]:
        """The sum and the activation that a convolution took over after it got its name."""
        more: list[int] = []
        if kernel.domain != _BLOCKED:
            return more
        if len(kernel.inputs) > 3 and kernel.inputs[3]:
            more += self._only_reader(tensor, _ADDING)
            tensor = self.nodes[more[-1]]["outputs"][0] if more else tensor
        has_activation = any(self.nodes[n]["op"] == kernel.activation for n in found)
        if kernel.activation and (more or not has_activation):
            more += self._only_reader(tensor, {kernel.activation})
        return more

    def _only_reader(self, tensor: str, ops: Iterable[str]) -> list[int]:
        readers = self.consumers.get(tensor, [])
        if len(readers) != 1 or readers[0] in self.owner:
            return []
        return readers if self.nodes[readers[0]]["op"] in ops else []

    def _join_makers(self, index: int, kernel: Kernel, anchors: Sequence[str]) -> None:
        """Join a kernel that only hands something on with what makes it."""
        for name in anchors:
            if self.producer[name] in self.owner:
                self.join(index, self.owner[self.producer[name]])
        if kernel.op == "ReorderOutput" and kernel.inputs[0] in self.maker:
            self.join(index, self.maker[kernel.inputs[0]])

    def attach_inserted(self) -> None:
        """Join kernels that claimed nothing with the first one that reads their result."""
        idle = set(range(len(self.kernels))).difference(self.owner.values())
        reader: dict[str, int] = {}
        for index in reversed(range(len(self.kernels))):
            kernel = self.kernels[index]
            if index in idle and self.find(index) == index:
                readers = [reader[name] for name in kernel.outputs if name in reader]
                if readers:
                    self.join(index, min(readers))
            for name in kernel.inputs:
                reader[name] = index

    def adopt_rest(self) -> None:
        """Find out what nodes without a kernel were fused with: what makes their input, else …

        … what reads their result. Views that were removed stay on their own.
        """
        rest = [
            index
            for index, node in enumerate(self.nodes)
            if index not in self.owner
            and self.is_live[index]
            and node["operator"] is not None
            and node["op"] not in VIEWS
        ]
        for index in rest:
            for name in self.nodes[index]["inputs"]:
                made = self.owner.get(self.producer.get(name, -1))
                if made is not None and len(self.consumers[name]) == 1:
                    self.owner[index] = made
                    break
        for index in reversed(rest):
            readers = [n for name in self.nodes[index]["outputs"] for n in self._readers(name)]
            owned = [self.owner[n] for n in readers if n in self.owner]
            if index not in self.owner and owned:
                self.owner[index] = owned[0]
        for index in rest:
            made_by = [self.producer.get(name, -1) for name in self.nodes[index]["inputs"]]
            owned = [self.owner[n] for n in made_by if n in self.owner]
            if index not in self.owner and owned:
                self.owner[index] = owned[0]

    def _readers(self, name: str) -> list[int]:
        return self.consumers.get(name, [])

    def find(self, kernel: int) -> int:
        """The representative of a kernel's unit."""
        while self.parent[kernel] != kernel:
            self.parent[kernel] = self.parent[self.parent[kernel]]
            kernel = self.parent[kernel]
        return kernel

    def join(self, one: int, other: int) -> None:
        """Make two kernels part of one unit."""
        self.parent[self.find(one)] = self.find(other)

    def units(self, operators: Sequence[str]) -> tuple[list[Unit], list[int]]:
        """The units in graph order, and the kernels of none."""
        order = {name: index for index, name in enumerate(operators)}
        members: dict[int, list[str]] = {}
        for index, kernel in self.owner.items():
            name = self.nodes[index]["operator"]
            if name in order:
                members.setdefault(self.find(kernel), []).append(name)
        self._serve(members)
        kernels: dict[int, list[int]] = {}
        for index in range(len(self.kernels)):
            kernels.setdefault(self.find(index), []).append(index)
        found = [
            Unit(
                tuple(sorted(self._without_views(names), key=order.__getitem__)),
                tuple(kernels[root]),
            )
            for root, names in members.items()
        ]
        covered = {name for unit in found for name in unit.operators}
        found += [Unit((name,), ()) for name in operators if name not in covered]
        found.sort(key=lambda unit: order[unit.operators[0]])
        left = [k for root, ks in kernels.items() if root not in members for k in ks]
        return found, left

    def _serve(self, members: dict[int, list[str]]) -> None:
        """Join kernels of nodes that are no operators with the first operator that reads them."""
        owner_of = {self.nodes[n]["operator"]: k for n, k in self.owner.items()}
        serving: dict[int, str] = {}
        for index in reversed(range(len(self.nodes))):
            node = self.nodes[index]
            if node["operator"] is not None:
                serving[index] = node["operator"]
                continue
            readers = [n for name in node["outputs"] for n in self._readers(name) if n in serving]
            if readers:
                serving[index] = serving[min(readers)]
        for index, kernel in self.owner.items():
            root = self.find(kernel)
            served = owner_of.get(serving.get(index))
            if root not in members and served is not None and self.find(served) in members:
                self.join(root, served)

    def _without_views(self, names: list[str]) -> list[str]:
        """Leave out views at the rim of a unit: a cut on either side of one is the same."""
        kept = list(dict.fromkeys(names))
        is_changed = True
        while is_changed and len(kept) > 1:
            is_changed = False
            inside = {self.by_name[name] for name in kept}
            for name in kept:
                node = self.nodes[self.by_name[name]]
                if node["op"] not in VIEWS:
                    continue
                reads = any(self.producer.get(n, -1) in inside for n in node["inputs"])
                is_read = any(r in inside for n in node["outputs"] for r in self._readers(n))
                if not (reads and is_read):
                    kept.remove(name)
                    is_changed = True
                    break
        return kept
