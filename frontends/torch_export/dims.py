"""Symbolic sizes of a program: what the user binds, and what is left to complain about.

The rules are those of ONNX files: `--dim` by symbol, `--input` by name or position, and `--batch`
for the symbols that lead the inputs' shapes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from planner.drafts.frontend import InputSpec, LoadOptions, parse_input_spec
from planner.errors import GraphError, InputError, PlannerError, listed, name_hint, raise_all
from planner.frontends.torch_export.raw import Size
from planner.frontends.torch_export.sizes import (
    BadExpression,
    UnknownSymbols,
    compute,
    plain_symbol,
    symbols_of,
)

Ranges = Mapping[str, tuple[int | None, int | None]]

_DEFAULT_HINT = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedInput:
    """An input as the program declares it; `dtype` is None for a number that is an input."""

    name: str
    dtype: str | None
    sizes: tuple[Size, ...]


def bind_symbols(
    inputs: list[SizedInput],
    ranges: Ranges,
    hints: Mapping[str, int],
    *,
    options: LoadOptions,
    where: str,
) -> dict[str, int]:
    """The values of a program's symbols.

    Raises:
        PlannerError: PLN115 for a specification that contradicts the program or a value out of a
            symbol's range, PLN205 for symbols of inputs without a value, PLN208 for unknown names.
    """
    binder = _Binder(inputs, ranges, where)
    binder.bind_names(options.dims)
    binder.bind_specs(options.inputs)
    binder.bind_batch(options.batch)
    binder.check_ranges()
    raise_all(binder.problems)
    binder.check_bound(hints)
    return binder.values


class _Binder:
    """Collects values and problems."""

    def __init__(self, inputs: list[SizedInput], ranges: Ranges, where: str) -> None:
        self.inputs = inputs
        self.tensors = [value for value in inputs if value.dtype is not None]
        self.ranges = ranges
        self.where = where
        self.values: dict[str, int] = {}
        self.problems: list[PlannerError] = []
        self._known = {s for v in inputs for s in _symbols(v.sizes)} | ranges.keys()

    def _complain(self, text: str, code: str = "PLN115", hint: str | None = None) -> None:
        self.problems.append(InputError(text, code=code, where=self.where, hint=hint))

    def bind_names(self, dims: Mapping[str, int]) -> None:
        """`--dim s77=8`."""
        for name, value in dims.items():
            if name not in self._known:
                hint = name_hint(name, self._known, "symbolic dimensions")
                self._complain(f"no input has a dimension `{name}`", "PLN208", hint)
            elif value < 1:
                self._complain(f"dimension `{name}` is {value}, expected a whole number > 0")
            else:
                self.values[name] = value

    def bind_specs(self, texts: tuple[str, ...]) -> None:
        """`--input x:float32[8,3,224,224]`; plain symbols first, they settle expressions."""
        chosen: list[tuple[str, SizedInput, InputSpec]] = []
        for position, text in enumerate(texts):
            spec = parse_input_spec(text)
            value = self._input_of(spec, position)
            if value is None:
                continue
            if any(value is other for _, other, _ in chosen):
                self._complain(f"input `{value.name}` is specified twice")
            else:
                chosen.append((text, value, spec))
        for only_plain in (True, False):
            for text, value, spec in chosen:
                reason = self._apply(value, spec, only_plain)
                if reason and not only_plain:
                    listed = ", ".join(f"`{_declared(v)}`" for v in self.tensors[:10])
                    self._complain(
                        f"`{text}` contradicts input `{value.name}`: {reason}",
                        hint=f"the inputs are {listed}",
                    )

    def _input_of(self, spec: InputSpec, position: int) -> SizedInput | None:
        by_name = {value.name: value for value in self.tensors}
        if spec.name is not None:
            if spec.name not in by_name:
                hint = name_hint(spec.name, by_name, "inputs")
                self._complain(f"the model has no input `{spec.name}`", "PLN208", hint)
            return by_name.get(spec.name)
        if position < len(self.tensors):
            return self.tensors[position]
        self._complain(
            f"input specification {position + 1} is one too many: the model has "
            f"{len(self.tensors)}",
            "PLN208",
            name_hint("", by_name, "inputs"),
        )
        return None

    def _apply(self, value: SizedInput, spec: InputSpec, only_plain: bool) -> str | None:
        """Bind the symbols of `value`; return what contradicts the program, if anything."""
        if value.dtype != spec.dtype:
            return f"its type is {value.dtype}"
        if len(value.sizes) != len(spec.shape):
            return f"it has {len(value.sizes)} dimensions"
        for position, (size, wanted) in enumerate(zip(value.sizes, spec.shape, strict=True)):
            if isinstance(size, int):
                if size != wanted:
                    return f"dimension {position} is fixed at {size} in the file"
                continue
            name = plain_symbol(size)
            if name is not None:
                if self.values.setdefault(name, wanted) != wanted:
                    return f"`{name}` is {self.values[name]} already"
            elif not only_plain and not self._solve(size, wanted):
                return f"dimension {position} is `{shown(size)}`, which cannot be {wanted}"
        return None

    def _solve(self, size: str, wanted: int) -> bool:
        """Bind the one open symbol of an expression, for instance `s77` of `2*s77`."""
        names = symbols_of(size) - self.values.keys()
        if len(names) == 1:
            name = next(iter(names))
            at_1, at_2 = (self._try(size, {name: value}) for value in (1, 2))
            if at_1 is None or at_2 is None or at_2 == at_1:
                return False
            solution = 1 + (wanted - at_1) / (at_2 - at_1)
            if not solution.is_integer() or not 0 < solution < 2**53:
                return False
            self.values[name] = int(solution)
        return self._try(size, {}) == wanted

    def _try(self, size: str, more: Mapping[str, int]) -> float | None:
        try:
            return float(compute(size, {**self.values, **more}))
        except (UnknownSymbols, BadExpression):
            return None

    def bind_batch(self, batch: int | None) -> None:
        """`--batch N`: every open symbol that is the leading dimension of an input."""
        if batch is None:
            return
        if batch < 1:
            self._complain(f"batch is {batch}, expected a whole number > 0")
            return
        given = dict(self.values)
        for value in self.tensors:
            first = value.sizes[0] if value.sizes else 0
            if isinstance(first, str) and symbols_of(first) - given.keys():
                self._bind_leading(value, first, batch)

    def _bind_leading(self, value: SizedInput, first: str, batch: int) -> None:
        name = plain_symbol(first)
        if name is not None:
            self.values.setdefault(name, batch)
        elif not self._solve(first, batch):
            text = f"input `{value.name}` dim 0 is `{shown(first)}`, which cannot be {batch}"
            self._complain(text, "PLN209")

    def check_ranges(self) -> None:
        """Refuse what the program was not exported for."""
        for name, value in self.values.items():
            low, high = self.ranges.get(name, (None, None))
            # torch writes 2 for "not fixed at 0 or 1" as well, and itself runs such programs at 1.
            is_low = low is not None and low > 2 and value < low
            if is_low or (high is not None and value > high):
                low_text = str(low) if low is not None and low > 2 else "1"
                expected = f"{low_text} to {high}" if high is not None else f"{low_text} or more"
                self._complain(
                    f"dimension `{name}` is {value}, the program was exported for {expected}"
                )

    def check_bound(self, hints: Mapping[str, int]) -> None:
        """One error for all that is still open, with the flags that bind it."""
        missing: list[str] = []
        remedies: dict[str, str] = {}
        for value in self.inputs:
            for position, size in enumerate(value.sizes):
                names = sorted(_symbols((size,)) - self.values.keys())
                if not names:
                    continue
                place = f" dim {position}" if value.dtype is not None else ""
                missing.append(f"input `{value.name}`{place} (`{shown(size)}`)")
                if position == 0 and value.dtype is not None:
                    remedies["`--batch N`"] = "batch=N"
                    continue
                for name in names:
                    number = hints.get(name, _DEFAULT_HINT)
                    remedies[f"`--dim {name}={number}`"] = f'dims={{"{name}": {number}}}'
        if missing:
            flags, keywords = " ".join(remedies), ", ".join(dict.fromkeys(remedies.values()))
            raise GraphError(
                f"symbolic dimensions have no value: {listed(missing, 20)}",
                code="PLN205",
                where=self.where,
                hint=f"bind them with {flags}; in Python: `planner.load(…, {keywords})`",
            )


def _symbols(sizes: Iterable[Size]) -> set[str]:
    return {name for size in sizes if isinstance(size, str) for name in symbols_of(size)}


def shown(size: Size) -> str:
    """A size as messages show it: the symbol, or what depends on which symbols."""
    if isinstance(size, int):
        return str(size)
    name = plain_symbol(size)
    return name or f"of {', '.join(sorted(symbols_of(size)))}"


def _declared(value: SizedInput) -> str:
    return f"{value.name}:{value.dtype}[{','.join(shown(size) for size in value.sizes)}]"
