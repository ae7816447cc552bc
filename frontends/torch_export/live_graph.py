"""Graphs of a live `ExportedProgram`, as an archive of it would have them."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch

from planner.errors import InputError
from planner.frontends.torch_export.raw import (
    RawArgument,
    RawGraph,
    RawNode,
    RawTensor,
    Size,
    Symbol,
)
from planner.frontends.torch_programs.dtypes import dtype_name
from planner.frontends.torch_programs.program import Ref

if TYPE_CHECKING:
    from torch.fx import Node

_SYMBOLIC = (torch.SymInt, torch.SymFloat, torch.SymBool)
_SILENT = (torch.device, torch.layout)


def read_graph(graph: Any, where: str) -> RawGraph:
    """What a graph says; `where` is what messages call the program.

    Raises:
        InputError: PLN143 for objects that are neither tensors nor numbers.
    """
    return _GraphReader(graph, where).read()


def expression_of(number: Any) -> str:
    """The text of a symbolic number, as archives have it."""
    sympy = importlib.import_module("sympy")  # comes with torch, without types
    return str(sympy.srepr(number.node.expr))


class _GraphReader:
    """Reads one graph; bodies of higher-order operators by readers of their own."""

    def __init__(self, graph: Any, where: str) -> None:
        self._graph = graph
        self._where = where
        self._tensors: dict[str, RawTensor] = {}
        self._scalars: dict[str, Size | float] = {}
        self._same: dict[str, str] = {}
        self._texts: dict[Any, str] = {}

    def read(self) -> RawGraph:
        inputs: list[Ref | Symbol | None] = []
        outputs: tuple[Ref | Symbol | None, ...] = ()
        nodes: list[RawNode] = []
        for node in self._graph.nodes:
            if node.op == "placeholder":
                inputs.append(self._written(node.name, node.meta.get("val")))
            elif node.op == "output":
                outputs = tuple(self._returned(node.args[0]))
            elif node.op == "call_function" and not _is_folded(node):
                nodes.append(self._node(node))
        return RawGraph(
            inputs=tuple(inputs),
            outputs=outputs,
            nodes=nodes,
            tensors=self._tensors,
            scalars=self._scalars,
        )

    def _returned(self, values: Any) -> Iterable[Ref | Symbol | None]:
        for value in values if isinstance(values, (list, tuple)) else (values,):
            found = self._argument(value, None)
            yield found if isinstance(found, (Ref, Symbol)) else None

    def _node(self, node: Node) -> RawNode:
        target = _target(node)
        return RawNode(
            name=node.name,
            target=target,
            arguments=tuple(self._arguments(node)),
            outputs=tuple(self._outputs(node, node.name, node.meta.get("val"))),
            stack=_stack(node.meta.get("nn_module_stack") or {}),
            trace=str(node.meta.get("stack_trace") or ""),
            at=f"node `{node.name}`",
        )

    def _outputs(self, node: Node | None, name: str, value: Any) -> Iterable[Ref | Symbol | None]:
        """What a node writes: its own value, or those that `getitem` takes out of it."""
        if not isinstance(value, (list, tuple)):
            yield self._written(name, value)
            return
        for index, item in enumerate(value):
            first = self._item_node(node, index)
            unused = f"{name}_{index}" if node is None else f"{name}_unused_{index}"
            yield from self._outputs(first, first.name if first else unused, item)

    def _item_node(self, node: Node | None, index: int) -> Node | None:
        """The first `getitem` of an index; later ones are the same value."""
        found: Node | None = None
        for user in node.users if node is not None else ():
            if user.target is operator.getitem and user.args[0] is node and user.args[1] == index:
                if found is None:
                    found = user
                else:
                    self._same[user.name] = found.name
        return found

    def _written(self, name: str, value: Any) -> Ref | Symbol | None:
        if isinstance(value, torch.Tensor):
            self._tensors[name] = self._tensor(value)
            return Ref(name)
        if isinstance(value, _SYMBOLIC):
            self._scalars[name] = self._number(value)
            return Symbol(name)
        if isinstance(value, (int, float)):
            self._scalars[name] = value
            return Symbol(name)
        return None

    def _tensor(self, value: Any) -> RawTensor:
        is_strided = value.layout == torch.strided
        return RawTensor(
            dtype=dtype_name(value.dtype),
            sizes=tuple(self._size(size) for size in value.shape),
            strides=tuple(self._size(size) for size in value.stride()) if is_strided else None,
            requires_grad=bool(value.requires_grad),
        )

    def _size(self, size: Any) -> Size:
        return size if isinstance(size, int) else self._number(size)

    def _number(self, number: Any) -> Size:
        expression = number.node.expr
        if expression.is_Integer:
            return int(expression)
        if expression not in self._texts:
            self._texts[expression] = expression_of(number)
        return self._texts[expression]

    def _arguments(self, node: Node) -> Iterable[tuple[str, RawArgument]]:
        schema = getattr(node.target, "_schema", None)
        if schema is None:
            named = [("", value) for value in (*node.args, *node.kwargs.values())]
        else:
            named = []
            for index, argument in enumerate(schema.arguments):
                if argument.name in node.kwargs:
                    named.append((argument.name, node.kwargs[argument.name]))
                elif not argument.kwarg_only and index < len(node.args):
                    named.append((argument.name, node.args[index]))
        for name, value in named:
            if not isinstance(value, _SILENT):
                yield name, self._argument(value, node)

    def _argument(self, value: Any, reader: Node | None) -> RawArgument:
        if isinstance(value, torch.fx.Node):
            return self._read(value)
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        if isinstance(value, (list, tuple)):
            return tuple(self._argument(item, reader) for item in value)
        if isinstance(value, dict):
            return tuple(self._argument(item, reader) for item in value.values())
        if isinstance(value, torch.dtype):
            return dtype_name(value)
        if isinstance(value, torch.memory_format):
            return str(value).removeprefix("torch.")
        if isinstance(value, complex):
            return (value.real, value.imag)
        if isinstance(value, torch._ops.OpOverload):
            return str(value)
        raise self._unsupported(value, reader)

    def _read(self, node: Node) -> RawArgument:
        if node.op == "get_attr":
            held = self._graph.owning_module
            for step in str(node.target).split("."):
                held = getattr(held, step)
            if isinstance(held, torch.fx.GraphModule):
                return _GraphReader(held.graph, self._where).read()
            raise self._unsupported(held, node)
        name = self._same.get(node.name, node.name)
        value = node.meta.get("val")
        if isinstance(value, (int, float, *_SYMBOLIC)):
            return Symbol(name)
        if value is not None and not isinstance(value, (torch.Tensor, list, tuple)):
            raise self._unsupported(value, node)
        return Ref(name)

    def _unsupported(self, value: object, node: Node | None) -> InputError:
        place = f" of node `{node.name}`" if node is not None else ""
        return InputError(
            f"an argument{place} is a {type(value).__qualname__}: the planner reads programs of "
            "tensors and numbers",
            code="PLN143",
            where=self._where,
        )


def _is_folded(node: Node) -> bool:
    """Whether a node only takes one output out of an operator that has several."""
    return node.target is operator.getitem and isinstance(node.args[0], torch.fx.Node)


def _target(node: Node) -> str:
    target: Any = node.target
    if isinstance(node.target, torch._ops.HigherOrderOperator):
        return f"higher_order.{target.name()}"
    if isinstance(node.target, torch._ops.OpOverload):
        return str(target)
    return f"{target.__module__}.{target.__name__}"


def _stack(stack: dict[str, tuple[str, object]]) -> tuple[tuple[str, str], ...]:
    return tuple((str(key), entry[0]) for key, entry in stack.items())
