"""Running TorchScript one module at a time, so that operators are known by their module's path.

A loaded module runs in C++, where no hook says which module is at work. Methods that are understood
are run here, the others by torch; both give the same operators.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from planner.frontends.torchscript.builtins import SCALAR_READS, modern
from planner.frontends.torchscript.places import place, place_in_traceback, sentence
from planner.frontends.torchscript.recording import Recorder
from planner.frontends.torchscript.steps import (
    Body,
    FunctionName,
    Kind,
    NotUnderstoodError,
    Step,
    as_dtypes,
    read_body,
)

MAX_ITERATIONS = 1_000_000
"""Of all loops together: a program that goes on for longer is not unrolled."""

_FORWARD = re.compile(r"forward\d*")


@dataclass(slots=True)
class Module:
    """A module of the program, and its path in the outermost one.

    Traced modules have a method `forward1`, `forward2` … for each further call.
    """

    script: Any
    path: str
    children: dict[str, Module] = field(default_factory=dict)

    def __post_init__(self) -> None:
        prefix = f"{self.path}." if self.path else ""
        for name, child in torch._C.ModuleDict(self.script).items():
            self.children[name] = Module(child, prefix + name)


class Interpreter:
    """Runs a program on a recorder.

    Args:
        recorder: What records the operators.
        find_function: A function of the program by its qualified name.
    """

    def __init__(self, recorder: Recorder, find_function: Callable[[str], Any]) -> None:
        self._recorder = recorder
        self._find_function = find_function
        self._bodies: dict[tuple[str, str], Body | None] = {}
        self._times: Counter[str] = Counter()
        self._running: list[Any] = []
        self._iterations = 0
        recorder.place = self._place

    def run(self, module: Module, arguments: Sequence[object]) -> object:
        """What `forward` returns."""
        return self._method(module, "forward", list(arguments))

    def _place(self) -> str:
        return place(str(node.sourceRange()) for node in reversed(self._running))

    def _method(self, module: Module, name: str, arguments: list[Any]) -> Any:
        method = module.script._get_method(name)
        body = self._body(module.script.qualified_name, name, method.graph)
        if body is None:
            return self._native(method, arguments)
        return self._body_result(body, [module, *arguments])

    def _body(self, owner: str, name: str, graph: torch._C.Graph) -> Body | None:
        key = (owner, name)
        if key not in self._bodies:
            try:
                self._bodies[key] = read_body(graph)
            except NotUnderstoodError:
                self._bodies[key] = None
        return self._bodies[key]

    def _native(self, function: Callable[..., Any], arguments: list[Any]) -> Any:
        """Leave a call to torch's own interpreter."""
        given = [item.script if isinstance(item, Module) else item for item in arguments]
        self._recorder.blame = None
        try:
            with _plain_execution(), self._recorder.recording():
                return function(*given)
        except RuntimeError as error:
            where = place_in_traceback(str(error))
            if self._recorder.blame is not None:
                raise self._recorder.problem(*self._recorder.blame, place=where) from error
            text = f"does not run on these inputs: {sentence(error)}"
            raise self._recorder.problem("PLN148", "forward", text, where) from error

    def _body_result(self, body: Body, arguments: list[Any]) -> Any:
        values = dict(zip(body.inputs, arguments, strict=True))
        self._running.append(None)
        try:
            self._steps(body, values)
        finally:
            self._running.pop()
        results = [values[name] for name in body.outputs]
        return results[0] if len(results) == 1 else tuple(results)

    def _steps(self, body: Body, values: dict[str, Any]) -> None:
        values.update(body.constants)
        for step in body.steps:
            self._running[-1] = step.node
            given = [values[name] for name in step.inputs]
            if step.kind is Kind.IF:
                self._branch(step, given[0], values)
            elif step.kind is Kind.LOOP:
                self._loop(step, given, values)
            elif step.kind is Kind.UNPACK:
                values.update(zip(step.outputs, given[0], strict=True))
            else:
                result = self._result(step, given)
                if len(step.outputs) == 1:
                    values[step.outputs[0]] = result
                elif step.outputs:
                    values.update(zip(step.outputs, result, strict=True))

    def _result(self, step: Step, given: list[Any]) -> Any:
        match step.kind:
            case Kind.BUILTIN:
                return self._builtin(step, given)
            case Kind.OPERATOR:
                return self._operator(step, given)
            case Kind.SCALAR_READ:
                return self._number(step, given[0])
            case Kind.GET:
                return self._attribute(given[0], step.name)
            case Kind.SET:
                given[0].script.setattr(step.name, given[1])
                return None
            case Kind.METHOD:
                return self._call_method(given[0], step.name, given[1:])
            case Kind.FUNCTION:
                return self._call_function(given[0], given[1:])
        raise self._recorder.problem("PLN148", "raise", f"refuses these inputs: {given[0]}")

    def _builtin(self, step: Step, given: list[Any]) -> Any:
        try:
            if step.keywords:
                named = dict(zip(step.keywords, given[step.n_positional :], strict=True))
                return step.function(*given[: step.n_positional], **named)
            return step.function(*given)
        except (RuntimeError, ValueError, IndexError, KeyError, TypeError) as error:
            raise self._recorder.failed(step.name, sentence(error)) from error

    def _operator(self, step: Step, given: list[Any]) -> Any:
        given = as_dtypes(step, given)
        replaced = modern(step.name, given)
        if replaced is not None:
            return self._recorder.call(*replaced, {})
        named = dict(zip(step.keywords, given[step.n_positional :], strict=True))
        return self._recorder.call(step.function, given[: step.n_positional], named)

    def _number(self, step: Step, tensor: torch.Tensor) -> Any:
        if not self._recorder.execution.is_real(tensor):
            raise self._recorder.needs_values(step.name.replace("::", "."))
        number = tensor.item()
        kind = SCALAR_READS[step.name]
        return number if kind is None else kind(number)

    def _attribute(self, owner: Any, name: str) -> Any:
        if isinstance(owner, Module):
            if name in owner.children:
                return owner.children[name]
            return owner.script.getattr(name)
        return getattr(owner, name)

    def _call_method(self, owner: Any, name: str, arguments: list[Any]) -> Any:
        if not isinstance(owner, Module):
            return self._native(getattr(owner, name), arguments)
        recorder = self._recorder
        outer = recorder.path
        if _FORWARD.fullmatch(name) and owner.path:
            times = self._times[owner.path]
            self._times[owner.path] += 1
            recorder.path = f"{owner.path}@{times}" if times else owner.path
        elif owner.path and outer.split("@")[0] != owner.path:
            recorder.path = owner.path
        try:
            return self._method(owner, name, arguments)
        finally:
            recorder.path = outer

    def _call_function(self, name: FunctionName, arguments: list[Any]) -> Any:
        function = self._find_function(name.name)
        body = self._body("", name.name, function.graph)
        if body is None:
            return self._native(function, arguments)
        return self._body_result(body, arguments)

    def _branch(self, step: Step, is_true: Any, values: dict[str, Any]) -> None:
        block = step.blocks[0 if is_true else 1]
        self._steps(block, values)
        values.update(zip(step.outputs, [values[name] for name in block.outputs], strict=True))

    def _loop(self, step: Step, given: list[Any], values: dict[str, Any]) -> None:
        n_most, goes_on, carried = given[0], given[1], given[2:]
        block = step.blocks[0]
        i = 0
        while goes_on and i < n_most:
            self._iterations += 1
            if self._iterations > MAX_ITERATIONS:
                text = f"goes on for more than {MAX_ITERATIONS} iterations"
                raise self._recorder.problem("PLN148", "loop", text)
            values.update(zip(block.inputs, [i, *carried], strict=True))
            self._steps(block, values)
            goes_on, *carried = [values[name] for name in block.outputs]
            i += 1
            self._running[-1] = step.node
        values.update(zip(step.outputs, carried, strict=True))


def _plain_execution() -> Any:
    """Without optimisations, which would run other operators from the second call on."""
    jit: Any = torch.jit
    return jit.optimized_execution(False)
