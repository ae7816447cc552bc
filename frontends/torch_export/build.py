"""From what a program of torch.export says to the calls that run."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from planner.drafts.frontend import LoadOptions
from planner.frontends.torch_export.dims import SizedInput, bind_symbols
from planner.frontends.torch_export.names import source_place
from planner.frontends.torch_export.raw import (
    RawArgument,
    RawGraph,
    RawNode,
    RawProgram,
    Symbol,
)
from planner.frontends.torch_export.values import Values
from planner.frontends.torch_programs.aten_table import is_in_place
from planner.frontends.torch_programs.program import Argument, Call, Program, Ref, Value

_INLINED = (
    "higher_order.wrap",
    "higher_order.tag_activation_checkpoint",
    "higher_order.invoke_subgraph",
    "higher_order.strict_mode",
)
_GRAD_MODE = "higher_order.wrap_with_set_grad_enabled"


def build_program(raw: RawProgram, *, options: LoadOptions, where: str) -> Program:
    """The program with its symbols bound and bodies that always run in place of their calls.

    Raises:
        PlannerError: As `bind_symbols`, and PLN140 for a program that contradicts itself, PLN205
            for shapes that depend on data, PLN210 for types that the planner does not know.
    """
    names = _input_names(raw)
    sized = [
        _sized(raw.graph, ref, name) for ref, name in zip(raw.inputs, names, strict=True) if ref
    ]
    symbols = bind_symbols(sized, raw.ranges, raw.hints, options=options, where=where)
    return _program(raw, names, Values(raw, symbols, where))


def _sized(graph: RawGraph, ref: Ref | Symbol, name: str) -> SizedInput:
    if isinstance(ref, Symbol):
        size = graph.scalars.get(ref.name, 0)
        sizes = (size,) if isinstance(size, str) else ()
        return SizedInput(name=name, dtype=None, sizes=sizes)
    tensor = graph.tensors[ref.name]
    return SizedInput(name=name, dtype=tensor.dtype, sizes=tensor.sizes)


def _input_names(raw: RawProgram) -> list[str]:
    """What `forward` calls the inputs, where that is unambiguous; else the graph's names."""
    own = [ref.name if ref else "" for ref in raw.inputs]
    given = raw.forward_names
    if len(given) != len(own) or len(set(given)) != len(given):
        return own
    clashes = raw.graph.tensors.keys() & set(given)
    return own if clashes - set(own) else given


def _program(raw: RawProgram, names: list[str], values: Values) -> Program:
    weights = values.weights()
    env = {weight.value.name: weight.value.name for weight in weights}
    inputs: list[Value] = []
    for ref, name in zip(raw.inputs, names, strict=True):
        if isinstance(ref, Ref):
            env[ref.name] = name
            inputs.append(values.named(raw.graph, ref.name, name, f"input `{name}`"))
    _Scope(values, raw.graph, env, prefix="", has_grad=True, caller=None).run()
    return Program(
        name=raw.name,
        inputs=inputs,
        weights=weights,
        calls=values.calls,
        outputs=[
            values.known(env, r.name, "the outputs") for r in raw.outputs if isinstance(r, Ref)
        ],
    )


class _Scope:
    """One graph: the outermost one, or a body that runs in place of its call."""

    def __init__(
        self,
        values: Values,
        graph: RawGraph,
        env: dict[str, str],
        *,
        prefix: str,
        has_grad: bool,
        caller: RawNode | None,
    ) -> None:
        self._values = values
        self._graph = graph
        self._env = env
        self._prefix = prefix
        self._has_grad = has_grad
        self._caller = caller
        self._origins: dict[str, Ref] = {}

    def run(self) -> None:
        for node in self._graph.nodes:
            body = _inlined_body(node)
            if body is not None:
                self._inline(node, body)
            elif any(isinstance(output, Ref) for output in node.outputs) or _writes(node):
                self._call(node)
            else:
                self._note_origins(node)

    def _note_origins(self, node: RawNode) -> None:
        """A number that only a run can tell stands for the tensor that it was taken from."""
        for output in node.outputs:
            if not isinstance(output, Symbol):
                continue
            if self._values.number(self._graph, output.name) is not None:
                continue
            for argument in _leaves(value for _, value in node.arguments):
                if isinstance(argument, Ref):
                    self._origins[output.name] = self._values.ref(self._env, argument, node)
                    break
                if isinstance(argument, Symbol) and argument.name in self._origins:
                    self._origins[output.name] = self._origins[argument.name]
                    break

    def _call(self, node: RawNode) -> None:
        values = self._values
        if "." not in node.target:
            raise values.broken(f"`{node.target}` is no operator", node)
        stack, trace = node.stack, node.trace
        if self._caller is not None:
            stack, trace = stack or self._caller.stack, trace or self._caller.trace
        if node.target.startswith("higher_order."):
            read = [leaf for leaf in _leaves(v for _, v in node.arguments) if isinstance(leaf, Ref)]
            arguments: dict[str, Argument] = {
                "operands": tuple(values.ref(self._env, ref, node) for ref in read)
            }
        else:
            arguments = {name: self._argument(value, node) for name, value in node.arguments}
        outputs: list[Value | None] = []
        for output in node.outputs:
            if isinstance(output, Ref):
                name = self._prefix + output.name
                outputs.append(values.value(self._graph, output.name, name, node))
                self._env[output.name] = name
            else:
                outputs.append(None)
        values.add(
            Call(
                name=self._prefix + node.name,
                target=node.target,
                arguments=arguments,
                outputs=tuple(outputs),
                path=values.path(stack),
                where=source_place(trace),
                has_grad=self._has_grad,
            )
        )

    def _argument(self, value: RawArgument, node: RawNode) -> Argument:
        match value:
            case Ref():
                return self._values.ref(self._env, value, node)
            case Symbol(name=name):
                number = self._values.number(self._graph, name)
                return self._origins.get(name) if number is None else number
            case tuple():
                return tuple(self._argument(item, node) for item in value)
            case RawGraph():
                raise self._values.broken(f"`{node.target}` is given a graph", node)
            case _:
                return value

    def _inline(self, node: RawNode, body: RawGraph) -> None:
        """Run the body in place of its call; what it returns keeps its name in the body."""
        operands = [
            leaf
            for leaf in _leaves(value for _, value in node.arguments)
            if isinstance(leaf, (Ref, Symbol))
        ]
        n_inputs = len(body.inputs)
        if n_inputs > len(operands) or len(node.outputs) > len(body.outputs):
            raise self._values.broken("its body has other inputs or outputs than the call", node)
        env: dict[str, str] = {}
        for inner, outer in zip(body.inputs, operands[len(operands) - n_inputs :], strict=True):
            if isinstance(inner, Ref) and isinstance(outer, Ref):
                env[inner.name] = self._values.ref(self._env, outer, node).name
        has_grad = self._has_grad
        if node.target == _GRAD_MODE and node.arguments:
            has_grad = node.arguments[0][1] is True
        caller = node if node.stack or self._caller is None else self._caller
        prefix = f"{self._prefix}{node.name}."
        _Scope(self._values, body, env, prefix=prefix, has_grad=has_grad, caller=caller).run()
        for result, returned in zip(node.outputs, body.outputs, strict=False):
            if isinstance(result, Ref) and isinstance(returned, Ref):
                self._env[result.name] = self._values.ref(env, returned, node).name


def _inlined_body(node: RawNode) -> RawGraph | None:
    """The graph that a higher-order operator always runs once, if it is of that kind."""
    if not node.target.startswith(_INLINED):
        return None
    bodies = [leaf for leaf in _leaves(v for _, v in node.arguments) if isinstance(leaf, RawGraph)]
    return bodies[0] if len(bodies) == 1 else None


def _leaves(values: Iterable[RawArgument]) -> Iterable[RawArgument]:
    """The values, with tuples opened."""
    return chain.from_iterable(
        _leaves(value) if isinstance(value, tuple) and not _is_name(value) else (value,)
        for value in values
    )


def _is_name(value: object) -> bool:
    return isinstance(value, (Ref, Symbol))


def _writes(node: RawNode) -> bool:
    """Whether an operator that returns nothing changes its operands: `_foreach_mul_`."""
    return node.target.startswith("aten.") and is_in_place(node.target.split(".")[1])
