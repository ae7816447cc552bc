"""Values and calls of a program of torch.export, its symbols bound."""

from __future__ import annotations

from collections.abc import Mapping

from planner.errors import GraphError, InputError
from planner.frontends.torch_export.names import ModulePaths, source_place
from planner.frontends.torch_export.raw import RawGraph, RawNode, RawProgram, RawTensor, Size
from planner.frontends.torch_export.sizes import (
    BadExpression,
    Number,
    UnknownSymbols,
    compute,
)
from planner.frontends.torch_programs.program import Call, Ref, Value, Weight, WeightKind
from planner.graphs.dtypes import BITS
from planner.graphs.operators import Shape


class Values:
    """Makes values with numbers for sizes, and collects the calls that read and write them.

    Args:
        raw: What the program says.
        symbols: The values of its symbols.
        where: What messages call it.
    """

    def __init__(self, raw: RawProgram, symbols: Mapping[str, int], where: str) -> None:
        self._raw = raw
        self._symbols = symbols
        self._where = where
        self._paths = ModulePaths()
        self._defined: set[str] = set()
        self._call_names: set[str] = set()
        self.calls: list[Call] = []

    def weights(self) -> list[Weight]:
        """All weights; those that share memory have the path of the first of them as `storage`."""
        firsts: dict[str, str] = {}
        graph = self._raw.graph
        weights: list[Weight] = []
        for raw in self._raw.weights:
            is_parameter = raw.kind is WeightKind.PARAMETER
            weights.append(
                Weight(
                    value=self.named(graph, raw.name, raw.name, f"weight `{raw.path}`"),
                    path=raw.path,
                    kind=raw.kind,
                    requires_grad=is_parameter and graph.tensors[raw.name].requires_grad,
                    storage=firsts.setdefault(raw.storage, raw.path),
                )
            )
        return weights

    def named(self, graph: RawGraph, raw_name: str, name: str, at: str, place: str = "") -> Value:
        """A tensor under a name of its own; `at` is what messages call the place."""
        if name in self._defined:
            raise self.broken(f"{at} defines `{name}`, which is defined already")
        self._defined.add(name)
        tensor = graph.tensors.get(raw_name)
        if tensor is None:
            raise self.broken(f"{at} has a tensor `{raw_name}` of unknown type and shape")
        if tensor.dtype not in BITS:
            raise GraphError(
                f"{at} has elements of type `{tensor.dtype}`, which the planner does not know",
                code="PLN210",
                where=self._where,
            )
        shape = self._shape(tensor.sizes, at, place)
        return Value(
            name=name, dtype=tensor.dtype, shape=shape, strides=self._strides(tensor, at, place)
        )

    def value(self, graph: RawGraph, raw_name: str, name: str, node: RawNode) -> Value:
        """A tensor that a node writes."""
        return self.named(graph, raw_name, name, f"node `{node.name}`", source_place(node.trace))

    def _strides(self, tensor: RawTensor, at: str, place: str) -> Shape | None:
        if tensor.strides is None:
            return None
        if len(tensor.strides) != len(tensor.sizes):
            n_sizes, n_strides = len(tensor.sizes), len(tensor.strides)
            raise self.broken(f"{at} has {n_sizes} sizes and {n_strides} strides")
        return self._shape(tensor.strides, at, place)

    def _shape(self, sizes: tuple[Size, ...], at: str, place: str) -> Shape:
        shape: list[int] = []
        for size in sizes:
            number = size if isinstance(size, int) else self._computed(size, at, place)
            if number < 0 or number != int(number):
                raise self.broken(f"{at} has a dimension of size {number}")
            shape.append(int(number))
        return tuple(shape)

    def _computed(self, text: str, at: str, place: str) -> Number:
        try:
            return compute(text, self._symbols)
        except BadExpression as error:
            raise self.broken(f"{at} has a size that cannot be computed: {error}") from error
        except UnknownSymbols as unknown:
            source = f" at {place}" if place else ""
            names = ", ".join(f"`{name}`" for name in sorted(unknown.names))
            example = min(unknown.names)
            raise GraphError(
                f"{at}{source} has a shape that depends on data: {names} is known only when "
                "the model runs",
                code="PLN205",
                where=self._where,
                hint=f"plan for one size with `--dim {example}=16`, in Python "
                f'`dims={{"{example}": 16}}`, or export a model without it',
            ) from None

    def known(self, env: Mapping[str, str], name: str, reader: str) -> str:
        """What `reader` calls `name`."""
        if name not in env:
            raise self.broken(f"{reader} read `{name}`, which nothing defines")
        return env[name]

    def ref(self, env: Mapping[str, str], ref: Ref, node: RawNode) -> Ref:
        """The value that a node reads."""
        if ref.name not in env:
            raise self.broken(f"node `{node.name}` reads `{ref.name}`, which nothing defines", node)
        return Ref(env[ref.name])

    def number(self, graph: RawGraph, name: str) -> Number | None:
        """What a symbol of a graph is, None if only a run could tell."""
        size = graph.scalars.get(name)
        if not isinstance(size, str):
            return size
        try:
            return compute(size, self._symbols)
        except (UnknownSymbols, BadExpression):
            return None

    def path(self, stack: tuple[tuple[str, str], ...]) -> str:
        """Of the module that a node belongs to."""
        return self._paths.path(stack)

    def add(self, call: Call) -> None:
        """Take a call in."""
        if call.name in self._call_names:
            raise self.broken(f"two nodes are called `{call.name}`")
        self._call_names.add(call.name)
        self.calls.append(call)

    def broken(self, text: str, node: RawNode | None = None) -> InputError:
        """The program contradicts itself."""
        where = f"{self._where}: {node.at}" if node else self._where
        return InputError(f"{text}: the program is damaged", code="PLN140", where=where)
