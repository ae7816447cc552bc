"""Sums of variables with whole coefficients, exact until a solver's file needs floats."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

Term = tuple[Any, int]
"""A variable, of whatever library, and its coefficient."""
Linear = tuple[tuple[Term, ...], int]
"""Terms and a constant."""
ZERO: Linear = ((), 0)
ONE: Linear = ((), 1)


def times(form: Linear, factor: int) -> Linear:
    """A multiple of a form."""
    terms, constant = form
    return tuple((variable, factor * c) for variable, c in terms), factor * constant


def added(*forms: Linear) -> Linear:
    """The sum of some forms."""
    terms = [term for part, _ in forms for term in part]
    return tuple(joined(terms)), sum(constant for _, constant in forms)


def joined(terms: Iterable[Term]) -> list[Term]:
    """The same with every variable once, and none whose coefficient is 0."""
    found: dict[int, Term] = {}
    for variable, factor in terms:
        known = found.get(id(variable), (variable, 0))[1]
        found[id(variable)] = (variable, known + factor)
    return [term for term in found.values() if term[1]]
