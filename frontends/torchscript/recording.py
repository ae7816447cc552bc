"""Recording the operators that a module runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from planner.errors import GraphError, PlannerError
from planner.frontends.torch_programs.program import Argument, Call, Value
from planner.frontends.torchscript.execution import (
    Execution,
    MismatchError,
    NeedsValuesError,
    Operator,
)
from planner.frontends.torchscript.places import sentence
from planner.frontends.torchscript.values import Values, tensors_in

if TYPE_CHECKING:
    from torch._ops import OpOverload

EXPORT_HINT = (
    "export the module in Python instead: "
    '`torch.export.save(torch.export.export(model, (x,)), "model.pt2")`'
)

_LEFT_OUT = re.compile("Device|Layout|MemoryFormat|Generator")

Handler = Callable[["OpOverload", Sequence[object], Mapping[str, object]], object]


def _mode(handle: Handler) -> AbstractContextManager[object]:
    """A dispatch mode that hands every operator to `handle`, which runs outside of it."""

    def dispatch(
        _: object,
        func: OpOverload,
        __: object,
        args: Sequence[object] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        return handle(func, args, kwargs or {})

    # Not a `class` statement: without torch its base would be of no type.
    mode: Any = type("RecordingMode", (TorchDispatchMode,), {"__torch_dispatch__": dispatch})
    made: AbstractContextManager[object] = mode()
    return made


class Recorder:
    """Runs operators and keeps a list of them.

    Attributes:
        values: The tensors that were seen.
        calls: What ran.
        path: Of the module that is running.
        place: Gives the place in the user's source that is running.
        blame: Arguments of the last `problem`: torch's own interpreter forgets which error it was.
    """

    def __init__(self, where: str) -> None:
        self.values = Values()
        self.execution = Execution()
        self.calls: list[Call] = []
        self.path = ""
        self.place: Callable[[], str] = str
        self.blame: tuple[str, str, str] | None = None
        self._where = where
        self._mode = _mode(self._handle)
        self._is_inside = False

    def recording(self) -> AbstractContextManager[object]:
        """What runs inside of this is recorded, operator by operator."""
        return self._mode

    def call(
        self, func: OpOverload, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> object:
        """Run an operator, and record it as one whatever it consists of.

        Raises:
            GraphError: PLN147 if it needs to know what a tensor holds, PLN148 if it fails.
        """
        return self._run(func, args, kwargs, self._mode)

    def _handle(
        self, func: OpOverload, args: Sequence[object], kwargs: Mapping[str, object]
    ) -> object:
        if self._is_inside:
            return self.execution.run(Operator(func), args, dict(kwargs))
        return self._run(func, args, kwargs, nullcontext())

    def _run(
        self,
        func: OpOverload,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        mode: AbstractContextManager[object],
    ) -> object:
        operator = Operator(func, mode)
        self._is_inside = True
        try:
            result = self.execution.run(operator, args, dict(kwargs))
        except PlannerError:
            raise
        except NeedsValuesError as error:
            raise self.needs_values(_target(func)) from error
        except (MismatchError, RuntimeError, ValueError, IndexError, TypeError) as error:
            raise self.failed(_target(func), sentence(error)) from error
        finally:
            self._is_inside = False
        return self._recorded(operator, args, kwargs, result)

    def needs_values(self, what: str) -> GraphError:
        """PLN147."""
        text = "needs to know what a tensor holds, expected shapes to suffice"
        return self.problem("PLN147", what, text)

    def failed(self, what: str, reason: str) -> GraphError:
        """PLN148."""
        return self.problem("PLN148", what, f"does not run on these inputs: {reason}")

    def problem(self, code: str, what: str, text: str, place: str = "") -> GraphError:
        """An error of the operator `what` at the place that is running, if no other is given."""
        self.blame = (code, what, text)
        hint = EXPORT_HINT if code == "PLN147" else None
        return GraphError(
            f"{self._at(what, place)} {text}", code=code, where=self._where, hint=hint
        )

    def _at(self, what: str, place: str = "") -> str:
        place = place or self.place()
        module = f" in module `{self.path}`" if self.path else ""
        return f"`{what}`{module}" + (f" ({place})" if place else "")

    def _recorded(
        self,
        operator: Operator,
        args: Sequence[object],
        kwargs: Mapping[str, object],
        result: object,
    ) -> object:
        if not tensors_in(result):
            return result
        schema = operator.schema.arguments
        given = dict(zip((argument.name for argument in schema), args, strict=False))
        given.update(kwargs)
        left_out = {a.name for a in schema if _LEFT_OUT.search(str(a.real_type))} | {"pin_memory"}
        arguments: dict[str, Argument] = {
            name: self.values.argument(value)
            for name, value in given.items()
            if name not in left_out
        }
        inputs = {id(tensor) for tensor in tensors_in(list(given.values()))}
        if not operator.schema.is_mutable:
            result = _with_own_tensors(result, inputs)
        outputs: list[Value | None] = []
        for item in result if isinstance(result, list | tuple) else [result]:
            for part in item if isinstance(item, list | tuple) else [item]:
                if isinstance(part, torch.Tensor):
                    outputs.append(self.values.define(part, operator.name))
                else:
                    outputs.append(None)
        first = next(output.name for output in outputs if output is not None)
        self.calls.append(
            Call(
                name=first,
                target=_target(operator.overload),
                arguments=arguments,
                outputs=tuple(outputs),
                path=self.path,
                where=self.place(),
                has_grad=torch.is_grad_enabled(),
            )
        )
        return result


def _target(func: OpOverload) -> str:
    """`aten.conv2d.default`."""
    return str(func)


def _with_own_tensors(result: object, inputs: set[int]) -> object:
    """What an operator hands on as it is (`contiguous`, often) as a view of it.

    So that it has a name of its own.
    """
    if isinstance(result, torch.Tensor):
        if id(result) not in inputs:
            return result
        alias: object = torch.ops.aten.alias.default(result)
        return alias
    if isinstance(result, list):
        return [_with_own_tensors(item, inputs) for item in result]
    if isinstance(result, tuple):
        return tuple(_with_own_tensors(item, inputs) for item in result)
    return result
