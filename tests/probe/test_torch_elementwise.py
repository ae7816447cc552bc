"""ONNX operators in torch: arithmetic, activations, reductions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from tests.probe.torch_checks import RANDOM, check, floats, ints

UNARY = """
    Abs Acos Asin Asinh Atan Atanh Ceil Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid HardSwish
    IsInf IsNaN LeakyRelu LogSoftmax Mish Neg Relu Round Selu Sigmoid Sign Sin Sinh
    Softmax Softplus Softsign Tan Tanh ThresholdedRelu Celu Identity GlobalAveragePool
    GlobalMaxPool Shape Size Flatten Transpose LpNormalization
"""


@pytest.mark.parametrize("op", UNARY.split())
def test_operators_of_one_input(op: str) -> None:
    x = floats(2, 3, 4, 5)
    check(op, [np.clip(x, -0.9, 0.9) if op in ("Acos", "Asin", "Atanh") else x])


@pytest.mark.parametrize("op", ["Sqrt", "Log", "Reciprocal", "Acosh"])
def test_operators_of_positive_numbers(op: str) -> None:
    check(op, [np.abs(floats(3, 4)) + 1])


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Pow", "Min", "Max", "Sum", "Mean"])
def test_arithmetic_broadcasts(op: str) -> None:
    check(op, [np.abs(floats(2, 3, 1)) + 0.1, np.abs(floats(4)) + 0.1])


@pytest.mark.parametrize("op", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_comparisons(op: str) -> None:
    check(op, [RANDOM.integers(0, 3, (2, 3)), RANDOM.integers(0, 3, (3,))])


@pytest.mark.parametrize("op", ["And", "Or", "Xor"])
def test_logic(op: str) -> None:
    check(op, [floats(2, 3) > 0, floats(3) > 0])
    check("Not", [floats(2, 3) > 0])


def test_whole_numbers_divide_towards_zero() -> None:
    check("Div", [ints(-7, 7, 9), ints(2, -2, 3)])
    check("Mod", [ints(-7, 7, 9), ints(2, -2, 3)])
    check("Mod", [floats(5), floats(5)], fmod=1)


def test_powers_of_a_number() -> None:
    for exponent in (2.0, 3.0, 0.5):
        check("Pow", [np.abs(floats(2, 3)), np.array(exponent, np.float32)], constants=[1])
    check("Pow", [floats(2, 3), np.array([2.0], np.float32)], constants=[1])


def test_selection_and_types() -> None:
    check("Where", [floats(2, 3) > 0, floats(2, 3), floats(3)])
    check("Cast", [floats(2, 3)], to=TensorProto.INT64)
    check("Cast", [floats(2, 3)], to=TensorProto.BOOL)
    check("Cast", [ints(1, 2)], to=TensorProto.FLOAT16)
    check("CastLike", [floats(3), ints(1)])


def test_clip() -> None:
    low, high = np.array(-0.5, np.float32), np.array(0.5, np.float32)
    check("Clip", [floats(9), low, high])
    check("Clip", [floats(9), low, high], constants=[1, 2])
    check("Clip", [floats(9), None, high], constants=[2])
    check("Clip", [floats(9), low], constants=[1])
    check("Clip", [floats(9), np.array(0, np.float32), np.array(6, np.float32)], constants=[1, 2])
    check("Clip", [floats(9)], opset=10, min=-0.1, max=0.2)


def test_activations_with_parameters() -> None:
    check("LeakyRelu", [floats(9)], alpha=0.3)
    check("Elu", [floats(9)], alpha=0.7)
    check("Selu", [floats(9)], alpha=0.7, gamma=1.3)
    check("HardSigmoid", [floats(9)], alpha=0.3, beta=0.4)
    check("Gelu", [floats(9)], approximate="tanh")
    check("PRelu", [floats(2, 3, 4), floats(3, 1)])
    check("PRelu", [floats(2, 3, 4), floats(4)])
    check("Softmax", [floats(2, 3, 4)], axis=1)
    check("Softmax", [floats(2, 3, 4)], opset=11)
    check("LogSoftmax", [floats(2, 3, 4)], opset=11, axis=2)


@pytest.mark.parametrize("op", ["Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare"])
def test_reductions(op: str) -> None:
    x = floats(2, 3, 4)
    check(f"Reduce{op}", [x, ints(1)], constants=[1])
    check(f"Reduce{op}", [x, ints(-1, 0)], keepdims=0)
    check(f"Reduce{op}", [x])
    check(f"Reduce{op}", [x], noop_with_empty_axes=1)
    check(f"Reduce{op}", [x], opset=11, axes=[1, 2])


def test_reductions_of_logarithms() -> None:
    check("ReduceLogSum", [np.abs(floats(2, 3)), ints(1)])
    check("ReduceLogSumExp", [floats(2, 3), ints(1)])
    check("ArgMax", [floats(2, 3)], axis=1)
    check("ArgMin", [floats(2, 3)], axis=0, keepdims=0)


@given(st.booleans(), st.booleans(), st.integers(0, 1))
@settings(max_examples=8, deadline=None)
def test_running_sums(is_reverse: bool, is_exclusive: bool, axis: int) -> None:
    x = [floats(3, 4), np.array(axis)]
    check("CumSum", x, constants=[1], reverse=int(is_reverse), exclusive=int(is_exclusive))
