"""What a TorchScript program is run on: its arguments, from the user's input specifications."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from planner.drafts.frontend import InputSpec, parse_input_spec
from planner.errors import InputError, name_hint
from planner.frontends.torch_programs.dtypes import dtypes_by_name

if TYPE_CHECKING:
    from planner.graphs.operators import Shape

Example = tuple[str, "Shape"]

_TUPLE = re.compile(r"Tuple\[((?:Tensor(?:, )?)+)\]")
_LIST = "List[Tensor]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """An argument of `forward`.

    Attributes:
        name: As in the program's source.
        kind: Its type, as TorchScript writes it.
        is_optional: Whether it may be left out.
        default: What it is then.
    """

    name: str
    kind: str
    is_optional: bool
    default: object = None

    @property
    def n_tensors(self) -> int | None:
        """How many tensors it takes: any number (None) for a list."""
        if self.kind in ("Tensor", "Optional[Tensor]"):
            return 1
        if self.kind == _LIST:
            return None
        return self.kind.count("Tensor") if _TUPLE.fullmatch(self.kind) else 0


@dataclass(slots=True)
class Inputs:
    """What to pass, and the tensors in it with their names."""

    arguments: list[object] = field(default_factory=list)
    tensors: list[tuple[str, torch.Tensor]] = field(default_factory=list)


def parameters_of(method: Any) -> list[Parameter]:
    """The arguments of a method, without the module itself."""
    return [
        Parameter(
            name=re.sub(r"\.\d+$", "", argument.name),
            kind=str(argument.type.annotation_str),
            is_optional=argument.has_default_value() or "Optional[" in argument.type.annotation_str,
            default=argument.default_value if argument.has_default_value() else None,
        )
        for argument in method.schema.arguments[1:]
    ]


class _Reader:
    """Matches specifications and parameters."""

    def __init__(
        self, parameters: Sequence[Parameter], examples: Sequence[Example], where: str
    ) -> None:
        self._parameters, self._where = parameters, where
        self._examples = dict(zip([p.name for p in self._tensors()], examples, strict=False))
        self._dtypes = dtypes_by_name()

    def _tensors(self) -> list[Parameter]:
        return [p for p in self._parameters if p.n_tensors != 0]

    def read(self, texts: Sequence[str]) -> Inputs:
        given = self._assigned([parse_input_spec(text) for text in texts])
        inputs = Inputs()
        missing = [p for p in self._parameters if p.name not in given and not p.is_optional]
        if missing:
            raise self._missing(missing)
        for parameter in self._parameters:
            specs = given.get(parameter.name)
            if specs is None:
                inputs.arguments.append(parameter.default)
                continue
            made = [self._empty(spec) for spec in specs]
            is_one = parameter.n_tensors == 1
            names = [
                parameter.name if is_one else f"{parameter.name}.{i}" for i in range(len(made))
            ]
            inputs.tensors += zip(names, made, strict=True)
            many: object = made if parameter.n_tensors is None else tuple(made)
            inputs.arguments.append(made[0] if is_one else many)
        return inputs

    def _assigned(self, specs: list[InputSpec]) -> dict[str, list[InputSpec]]:
        """The specifications of each parameter; those without a name go to the next free one."""
        by_name = {parameter.name: parameter for parameter in self._tensors()}
        given: dict[str, list[InputSpec]] = {}
        for spec in specs:
            if spec.name is None:
                continue
            if spec.name not in by_name:
                hint = name_hint(spec.name, by_name, "inputs")
                raise self._error(f"the model has no input `{spec.name}`", hint)
            most = by_name[spec.name].n_tensors
            if most is not None and len(given.get(spec.name, [])) >= most:
                times = f"more than {most} times" if most > 1 else "twice"
                raise self._error(f"input `{spec.name}` is specified {times}")
            given.setdefault(spec.name, []).append(spec)
        free = [parameter for parameter in self._tensors() if parameter.name not in given]
        unnamed = [spec for spec in specs if spec.name is None]
        while unnamed and free:
            parameter = free.pop(0)
            others = sum(p.n_tensors or 0 for p in free if not p.is_optional)
            taken = max(len(unnamed) - others, 1)
            if parameter.n_tensors is not None:
                taken = parameter.n_tensors
            given[parameter.name], unnamed = unnamed[:taken], unnamed[taken:]
        for name, found in given.items():
            expected = by_name[name].n_tensors
            if expected is not None and len(found) != expected:
                text = f"input `{name}` is {expected} tensors, {len(found)} of them are specified"
                raise self._error(text)
        if unnamed:
            n = sum(len(found) for found in given.values())
            raise self._error(
                f"{len(specs)} input specifications are given, expected at most {n}",
                f"its inputs are {self._listing(self._tensors())}",
            )
        return given

    def _empty(self, spec: InputSpec) -> torch.Tensor:
        if spec.dtype not in self._dtypes:
            raise self._error(f"torch has no tensors of type `{spec.dtype}`")
        return torch.empty(spec.shape, dtype=self._dtypes[spec.dtype], device="meta")

    def _missing(self, missing: list[Parameter]) -> InputError:
        others = [p for p in missing if p.n_tensors == 0]
        if others:
            shown = self._listing(others)
            text = f"the module takes {shown}, expected tensors or arguments with a default"
            return self._error(text, "wrap it in a module that passes them, and save that")
        flags = " ".join(f"--input {self._example(parameter)}" for parameter in missing)
        shown = self._listing(missing)
        return self._error(f"the types and shapes of its inputs are not known: {shown}", flags)

    def _example(self, parameter: Parameter) -> str:
        dtype, shape = self._examples.get(parameter.name, ("float32", (1, 3, 224, 224)))
        return f"{parameter.name}:{dtype}[{','.join(map(str, shape))}]"

    def _listing(self, parameters: Sequence[Parameter]) -> str:
        return ", ".join(f"`{p.name}` ({p.kind})" for p in parameters) or "none"

    def _error(self, text: str, hint: str | None = None) -> InputError:
        return InputError(text, code="PLN115", where=self._where, hint=hint)


def read_inputs(
    parameters: Sequence[Parameter],
    texts: Sequence[str],
    *,
    examples: Sequence[Example] = (),
    where: str,
) -> Inputs:
    """Tensors on the meta device for a program's arguments.

    Args:
        parameters: Of the program.
        texts: The user's specifications.
        examples: Types and shapes that it was traced with, for hints.
        where: What messages call the file.

    Raises:
        InputError: PLN115 if they do not fit.
    """
    return _Reader(parameters, examples, where).read(texts)
