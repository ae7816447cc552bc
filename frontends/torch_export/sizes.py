"""Expressions of symbolic sizes, as torch writes them; computed without sympy and without `eval`.

Archives have `Mul(Integer(2), Symbol('s77', positive=True, integer=True))`, older ones and messages
`2*s77`; both are read.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from functools import lru_cache, reduce

Number = int | float | bool

_MAX_TEXT = 20_000
_MAX_NUMBER = 2**63
_MAX_EXPONENT = 256


class UnknownSymbols(Exception):  # noqa: N818 (a question, answered by whoever knows the place)
    """The expression depends on symbols that have no value."""

    def __init__(self, names: set[str]) -> None:
        super().__init__(", ".join(sorted(names)))
        self.names = names


class BadExpression(Exception):  # noqa: N818 (as above)
    """The expression cannot be understood or computed."""


def _power(base: Number, exponent: Number) -> Number:
    if abs(exponent) > _MAX_EXPONENT or abs(base) > _MAX_NUMBER:
        raise BadExpression("a power beyond all sizes")
    result: Number = base**exponent
    return result


def _round(value: Number, digits: Number = 0) -> Number:
    return round(float(value), int(digits)) if digits else round(value)


def _where(condition: Number, then: Number, otherwise: Number) -> Number:
    return then if condition else otherwise


def _shift(value: Number, by: Number) -> int:
    if not 0 <= by <= 64:
        raise BadExpression("a shift beyond all sizes")
    return int(value) << int(by)


def _fold(function: Callable[[Number, Number], Number]) -> Callable[..., Number]:
    return lambda *values: reduce(function, values)


_BINARY: dict[type[ast.operator], Callable[..., Number]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_COMPARE: dict[type[ast.cmpop], Callable[..., Number]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_FUNCTIONS: dict[str, Callable[..., Number]] = {
    "Abs": abs,
    "Add": _fold(operator.add),
    "And": lambda *values: all(values),
    "CeilDiv": lambda a, b: -(-a // b),
    "CeilToInt": math.ceil,
    "CleanDiv": operator.floordiv,
    "Equality": operator.eq,
    "Eq": operator.eq,
    "Float": float,
    "FloatPow": lambda a, b: _power(float(a), b),
    "FloatTrueDiv": operator.truediv,
    "FloorDiv": operator.floordiv,
    "FloorToInt": math.floor,
    "GreaterThan": operator.ge,
    "Ge": operator.ge,
    "Gt": operator.gt,
    "Identity": lambda value: value,
    "IntTrueDiv": operator.truediv,
    "Integer": int,
    "LShift": _shift,
    "Le": operator.le,
    "LessThan": operator.le,
    "Lt": operator.lt,
    "Max": max,
    "Min": min,
    "Mod": operator.mod,
    "ModularIndexing": lambda base, divisor, modulus: base // divisor % modulus,
    "Mul": _fold(operator.mul),
    "Ne": operator.ne,
    "Not": operator.not_,
    "Or": lambda *values: any(values),
    "Pow": _power,
    "PowByNatural": _power,
    "PythonMod": operator.mod,
    "RShift": lambda value, by: int(value) >> int(by),
    "Rational": operator.truediv,
    "RoundDecimal": _round,
    "RoundToInt": round,
    "StrictGreaterThan": operator.gt,
    "StrictLessThan": operator.lt,
    "ToFloat": float,
    "TruncToFloat": lambda value: float(math.trunc(value)),
    "TruncToInt": math.trunc,
    "Unequality": operator.ne,
    "Where": _where,
    "ceiling": math.ceil,
    "floor": math.floor,
    "OpaqueUnaryFn_sqrt": math.sqrt,
    "OpaqueUnaryFn_exp": math.exp,
    "OpaqueUnaryFn_log": math.log,
    "OpaqueUnaryFn_log2": math.log2,
    "sqrt": math.sqrt,
}
_CONSTANTS: dict[str, Number] = {"true": True, "false": False, "True": True, "False": False}


@lru_cache(maxsize=4096)
def _parsed(text: str) -> ast.expr:
    if len(text) > _MAX_TEXT:
        raise BadExpression("longer than any that torch writes")
    try:
        return ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise BadExpression("no expression") from error


@lru_cache(maxsize=4096)
def symbols_of(text: str) -> frozenset[str]:
    """Names of the symbols in an expression.

    >>> sorted(symbols_of("Mul(Integer(2), Symbol('s77', positive=True), s0)"))
    ['s0', 's77']
    """
    found: set[str] = set()
    todo: list[ast.AST] = [_parsed(text)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Call):
            name = _symbol(node)
            if name is not None:
                found.add(name)
            else:
                todo += node.args
        elif isinstance(node, ast.Name):
            if node.id not in _CONSTANTS:
                found.add(node.id)
        else:
            todo += ast.iter_child_nodes(node)
    return frozenset(found)


def plain_symbol(text: str) -> str | None:
    """The symbol that an expression is, if it is nothing else."""
    node = _parsed(text)
    if isinstance(node, ast.Call):
        return _symbol(node)
    return node.id if isinstance(node, ast.Name) and node.id not in _CONSTANTS else None


def compute(text: str, values: Mapping[str, int]) -> Number:
    """The value of an expression.

    Raises:
        UnknownSymbols: If symbols without a value are in it.
        BadExpression: If it is none, or has no value.

    >>> compute("FloorDiv(Add(Symbol('s27'), Integer(1)), Integer(2))", {"s27": 6})
    3
    >>> compute("((s77 + 1)//2)", {"s77": 6})
    3
    """
    unknown = symbols_of(text) - values.keys()
    if unknown:
        raise UnknownSymbols(set(unknown))
    try:
        return _compute(_parsed(text), values)
    except (ArithmeticError, ValueError, TypeError, RecursionError) as error:
        raise BadExpression(f"no value: {error}") from error


def _symbol(node: ast.Call) -> str | None:
    is_symbol = isinstance(node.func, ast.Name) and node.func.id in ("Symbol", "Dummy")
    if not is_symbol or not node.args or not isinstance(node.args[0], ast.Constant):
        return None
    return str(node.args[0].value)


def _compute(node: ast.expr, values: Mapping[str, int]) -> Number:
    result: Number
    match node:
        case ast.Constant(value=bool() | int() | float() as result):
            pass
        case ast.Name(id=name):
            result = _CONSTANTS[name] if name in _CONSTANTS else values[name]
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            result = _BINARY[type(op)](_compute(left, values), _compute(right, values))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            result = -_compute(operand, values)
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARE:
            result = _COMPARE[type(op)](_compute(left, values), _compute(right, values))
        case ast.Call():
            result = _called(node, values)
        case _:
            raise BadExpression("it has something that sizes do not have")
    if abs(result) > _MAX_NUMBER:
        raise BadExpression("beyond all sizes")
    return result


def _called(node: ast.Call, values: Mapping[str, int]) -> Number:
    symbol = _symbol(node)
    if symbol is not None:
        return values[symbol]
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name == "Piecewise":
        return _piecewise(node, values)
    if name == "Float" and node.args and isinstance(node.args[0], ast.Constant):
        return float(str(node.args[0].value))
    if name not in _FUNCTIONS or not node.args:
        raise BadExpression(f"`{name}` is not known")
    return _FUNCTIONS[name](*(_compute(argument, values) for argument in node.args))


def _piecewise(node: ast.Call, values: Mapping[str, int]) -> Number:
    """The first value whose condition holds; pairs are `(value, condition)` or `ExprCondPair`."""
    for pair in node.args:
        parts = pair.args if isinstance(pair, ast.Call) else getattr(pair, "elts", [])
        if len(parts) != 2:
            raise BadExpression("a case without condition")
        if _compute(parts[1], values):
            return _compute(parts[0], values)
    raise BadExpression("no case applies")
