"""Looking a state up in a table: one in a microsecond or two, a million in a fraction of a second.

The total of a plan is linear in 1 / parameter. Over one parameter the regions are intervals, and
the plan is found by bisection; over more, all plans are evaluated.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from decimal import Decimal
from math import inf
from numbers import Real

import numpy as np
import numpy.typing as npt

from planner.arrays import FloatArray, IntArray
from planner.errors import PlanError, name_hint, shorten
from planner.tables.table_file import TableFile

Find = Callable[[dict[str, float]], tuple[int, float]]

CHUNK = 1 << 14
"""States at a time: what is computed for them stays in the processor's cache."""


def finder(table: TableFile) -> Find:
    """A function from a state, by name of parameter, to the best plan and its seconds."""
    return {1: _by_bisection, 2: _by_two, 3: _by_three}[len(table.parameters)](table)


def _by_bisection(table: TableFile) -> Find:
    (parameter,) = table.parameters
    name, low, high = parameter.name, parameter.low, parameter.high
    breaks = breakpoints(table)
    lines = [(plan.constant_s, plan.slopes[0]) for plan in table.plans]

    def find(state: dict[str, float]) -> tuple[int, float]:
        try:
            value = real_number(state[name])
            is_inside = low <= value <= high and len(state) == 1
        except (KeyError, TypeError, ValueError, ArithmeticError):
            is_inside = False
        if not is_inside:
            raise _refusal(table, state)
        index = bisect_right(breaks, value)
        constant, slope = lines[index]
        return index, constant + slope * (1.0 / value)

    return find


def _by_two(table: TableFile) -> Find:
    one, other = table.parameters
    low, high, least, most = one.low, one.high, other.low, other.high
    first, second = one.name, other.name
    lines: list[tuple[int, float, float, float]] = [
        (i, plan.constant_s, plan.slopes[0], plan.slopes[1]) for i, plan in enumerate(table.plans)
    ]

    def find(state: dict[str, float]) -> tuple[int, float]:
        try:
            x, y = real_number(state[first]), real_number(state[second])
            is_inside = low <= x <= high and least <= y <= most and len(state) == 2
        except (KeyError, TypeError, ValueError, ArithmeticError):
            is_inside = False
        if not is_inside:
            raise _refusal(table, state)
        u, v = 1.0 / x, 1.0 / y
        index, best = 0, inf
        for i, constant, a, b in lines:
            total = constant + a * u + b * v
            if total < best:
                best, index = total, i
        return index, best

    return find


def _by_three(table: TableFile) -> Find:
    names = [parameter.name for parameter in table.parameters]
    (a0, a1), (b0, b1), (c0, c1) = ((p.low, p.high) for p in table.parameters)
    lines: list[tuple[int, float, float, float, float]] = [
        (i, plan.constant_s, plan.slopes[0], plan.slopes[1], plan.slopes[2])
        for i, plan in enumerate(table.plans)
    ]

    def find(state: dict[str, float]) -> tuple[int, float]:
        try:
            x, y, z = (real_number(state[name]) for name in names)
            is_inside = a0 <= x <= a1 and b0 <= y <= b1 and c0 <= z <= c1 and len(state) == 3
        except (KeyError, TypeError, ValueError, ArithmeticError):
            is_inside = False
        if not is_inside:
            raise _refusal(table, state)
        u, v, w = 1.0 / x, 1.0 / y, 1.0 / z
        index, best = 0, inf
        for i, constant, a, b, c in lines:
            total = constant + a * u + b * v + c * w
            if total < best:
                best, index = total, i
        return index, best

    return find


def real_number(value: object) -> float:
    """A real number as a float64.

    Raises:
        TypeError: If it is none; neither is text, nor what is true or false.
        OverflowError: If it is beyond float64.
        ValueError: If it is a signalling NaN.
    """
    if type(value) is float:
        return value
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool) or not isinstance(value, (Real, Decimal)):
        raise TypeError(f"{type(value).__name__} is no real number")
    return float(value)


def shown(value: object) -> str:
    """What was given, as messages show it."""
    try:
        return shorten(repr(value))
    except ValueError:  # a whole number of thousands of digits
        return "a number of too many digits"


def breakpoints(table: TableFile) -> list[float]:
    """Over one parameter: where each plan but the first takes over."""
    return [min(table.proof.vertices[k].state[0] for k in plan.region) for plan in table.plans[1:]]


def find_many(table: TableFile, states: Mapping[str, npt.ArrayLike]) -> tuple[IntArray, FloatArray]:
    """Best plans and their seconds for arrays of states, in the shape of the arrays.

    Raises:
        PlanError: If a parameter is missing or unknown, or a value is outside of the table.
    """
    _check_names(table, states)
    try:
        given = [_numbers(states[parameter.name]) for parameter in table.parameters]
        arrays = np.broadcast_arrays(*given)
    except (TypeError, ValueError) as error:
        raise PlanError(
            f"the states are no arrays of numbers that fit together: {error}",
            code="PLN413",
            where="best_many",
        ) from error
    for parameter, values in zip(table.parameters, given, strict=True):
        is_outside = ~((values >= parameter.low) & (values <= parameter.high))
        if is_outside.any():
            raise _outside(table, parameter.name, float(values[is_outside][0]))
    flat = [array.reshape(-1) for array in arrays]
    indices, totals = np.empty(arrays[0].size, np.int64), np.empty(arrays[0].size)
    solve = _chunk_by_bisection if len(flat) == 1 else _chunk_by_all
    for start in range(0, len(totals), CHUNK):
        part = slice(start, start + CHUNK)
        solve(table, [values[part] for values in flat], indices[part], totals[part])
    return indices.reshape(arrays[0].shape), totals.reshape(arrays[0].shape)


def _numbers(values: npt.ArrayLike) -> FloatArray:
    array = np.asarray(values)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"an array of {array.dtype}")
    return array.astype(np.float64)


def _chunk_by_bisection(
    table: TableFile, states: list[FloatArray], indices: IntArray, totals: FloatArray
) -> None:
    (values,) = states
    indices[:] = np.searchsorted(breakpoints(table), values, side="right")
    constants = np.array([plan.constant_s for plan in table.plans])
    slopes = np.array([plan.slopes[0] for plan in table.plans])
    totals[:] = constants[indices] + slopes[indices] * (1.0 / values)


def _chunk_by_all(
    table: TableFile, states: list[FloatArray], indices: IntArray, totals: FloatArray
) -> None:
    inverses = [1.0 / values for values in states]
    indices[:], totals[:] = 0, np.inf
    for i, plan in enumerate(table.plans):
        total = plan.constant_s + plan.slopes[0] * inverses[0]
        for slope, inverse in zip(plan.slopes[1:], inverses[1:], strict=True):
            total += slope * inverse
        is_better = total < totals
        np.copyto(totals, total, where=is_better)
        np.copyto(indices, i, where=is_better)


def _refusal(table: TableFile, state: Mapping[str, float]) -> PlanError:
    """What is wrong with a state that was not looked up."""
    try:
        _check_names(table, state)
    except PlanError as error:
        return error
    for parameter in table.parameters:
        value = state[parameter.name]
        try:
            is_inside = parameter.low <= real_number(value) <= parameter.high
        except (TypeError, ValueError, ArithmeticError):
            is_inside = False
        if not is_inside:
            return _outside(table, parameter.name, value)
    raise AssertionError("a state that is refused without a reason")


def _outside(table: TableFile, name: str, value: float) -> PlanError:
    (parameter,) = (p for p in table.parameters if p.name == name)
    return PlanError(
        f"`{name}` is {shown(value)}, expected a number from {parameter.low!r} to "
        f"{parameter.high!r}",
        code="PLN413",
        where=name,
        hint="make a table over a wider range; nothing is known outside of this one",
    )


def _check_names(table: TableFile, state: Mapping[str, object]) -> None:
    """Raises PlanError unless there is a value for each parameter, and no other."""
    names = [parameter.name for parameter in table.parameters]
    expected = f"the table is over {' and '.join(f'`{name}`' for name in names)}"
    for name in state:
        if name not in names:
            raise PlanError(
                f"there is no parameter `{name}`: {expected}",
                code="PLN414",
                where=name,
                hint=name_hint(name, names, "parameters"),
            )
    for name in names:
        if name not in state:
            raise PlanError(f"`{name}` is missing: {expected}", code="PLN414", where=name)
