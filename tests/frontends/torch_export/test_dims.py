"""Symbolic sizes of `.pt2` archives: expressions, and how their symbols get values."""

from __future__ import annotations

from typing import Any

import pytest

import planner
from planner.drafts.frontend import LoadOptions
from planner.errors import PlannerError
from planner.frontends.torch_export import read_file
from planner.frontends.torch_export.sizes import BadExpression, UnknownSymbols, compute
from tests.support.torch_nets.torch_export_files import (
    archive,
    model,
    node,
    read,
    size,
    symbol,
    tensor,
)

S, T = symbol("s0"), symbol("t")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (S, 6),
        ("s0", 6),
        ("8*s0", 48),
        ("s0*t", 42),
        ("((s0 + 1)//2)", 3),
        ("-s0 + 7", 1),
        ("s0**2", 36),
        ("Max(1, s0)", 6),
        ("Min(1, s0)", 1),
        ("Mod(t, 4)", 3),
        ("PythonMod(t, 4)", 3),
        ("CeilToInt(IntTrueDiv(t, 2))", 4),
        ("ModularIndexing(t, 2, 2)", 1),
        ("Piecewise((s0, s0 > 7), (t, True))", 7),
        ("Piecewise(ExprCondPair(Symbol('s0'), true))", 6),
        (f"Mul(Integer(2), {S})", 12),
        (f"FloorDiv(Add({T}, Integer(1)), Integer(2))", 4),
        (f"FloatTrueDiv(Float('1.0', precision=53), ToFloat({S}))", 1 / 6),
        (f"GreaterThan({S}, Integer(3))", True),
        (f"Mul(Rational(1, 2), {S})", 3.0),
    ],
)
def test_expressions(text: str, value: float) -> None:
    assert compute(text, {"s0": 6, "t": 7}) == value


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "s0.real",
        "[s0]",
        "s0 +",
        "",
        "(" * 5000,
        "s0//0",
        "2**(2**40)",
        "9**99**99",
        "lambda: 0",
        "Mod(1)",
        "'a'",
        "Abs()",
        "(" + "9" * 5000 + ")",
    ],
)
def test_what_is_no_expression(text: str) -> None:
    with pytest.raises(BadExpression):
        compute(text, {"s0": 6})


def test_unknown_symbols() -> None:
    with pytest.raises(UnknownSymbols, match="b, c"):
        compute("a + b*c", {"a": 1})


def dynamic(batch: int | str = S) -> dict[str, Any]:
    return model(batch)


def shapes(document: object, **options: Any) -> list[tuple[int, ...]]:
    data = archive(document)
    program, _ = read_file(data, where="net.pt2", options=LoadOptions(**options))
    values = [*program.inputs, *(v for call in program.calls for v in call.outputs if v)]
    return [value.shape for value in values]


@pytest.mark.parametrize(
    "options",
    [
        {"batch": 8},
        {"dims": {"s0": 8}},
        {"inputs": ("x:float32[8,3]",)},
        {"inputs": ("float32[8,3]",)},
        {"inputs": ("float32[8,3]",), "batch": 8},
    ],
)
def test_symbols_are_bound(options: dict[str, Any]) -> None:
    assert shapes(dynamic(), **options) == [(8, 3), (8, 5), (8, 5)]


def test_a_batch_of_one_is_allowed_where_torch_writes_two() -> None:
    assert shapes(dynamic(), batch=1)[0] == (1, 3)


def test_expressions_of_inputs_are_solved() -> None:
    document = dynamic(f"Mul(Integer(2), {S})")
    assert shapes(document, batch=8) == [(8, 3), (8, 5), (8, 5)]
    assert shapes(document, inputs=("float32[6,3]",))[0] == (6, 3)
    assert shapes(document, dims={"s0": 5})[0] == (10, 3)


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        ({}, "PLN205", "input `x` dim 0 (`s0`)"),
        ({"dims": {"s9": 8}}, "PLN208", "no input has a dimension `s9`"),
        ({"dims": {"s0": 65}}, "PLN115", "exported for 1 to 64"),
        ({"dims": {"s0": 0}}, "PLN115", "expected a whole number > 0"),
        ({"batch": 0}, "PLN115", "expected a whole number > 0"),
        ({"inputs": ("y:float32[8,3]",)}, "PLN208", "no input `y`"),
        ({"inputs": ("float32[8,3]", "float32[8,3]")}, "PLN208", "one too many"),
        ({"inputs": ("float32[8,3]", "x:float32[8,3]")}, "PLN115", "specified twice"),
        ({"inputs": ("float32[8,4]",)}, "PLN115", "dimension 1 is fixed at 3"),
        ({"inputs": ("int64[8,3]",)}, "PLN115", "its type is float32"),
        ({"inputs": ("float32[8,3,1]",)}, "PLN115", "it has 2 dimensions"),
        ({"inputs": ("float32[8,3]",), "dims": {"s0": 4}}, "PLN115", "`s0` is 4 already"),
        ({"inputs": ("x[8]",)}, "PLN115", "is no element type"),
    ],
)
def test_what_cannot_be_bound(options: dict[str, Any], code: str, text: str) -> None:
    with pytest.raises(PlannerError) as caught:
        shapes(dynamic(), **options)
    assert caught.value.code == code
    assert text in str(caught.value)


def test_the_hint_names_the_flags() -> None:
    document = dynamic()
    document["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][1] = size(T)
    with pytest.raises(PlannerError) as caught:
        shapes(document)
    assert "`--batch N` `--dim t=128`" in str(caught.value.hint)
    wrong = dynamic(f"Mul(Integer(2), {S})")
    with pytest.raises(PlannerError, match="cannot be 7") as caught:
        shapes(wrong, batch=7)
    assert caught.value.code == "PLN209"


def test_a_file_of_fixed_size_contradicts_other_sizes() -> None:
    with pytest.raises(PlannerError, match="fixed at 2 in the file"):
        shapes(model(), inputs=("float32[8,3]",))


def test_a_batch_that_was_bound_is_the_graphs() -> None:
    assert planner.load(archive(dynamic()), batch=8).summary()["batch"] == 8


def test_shapes_that_depend_on_data_are_refused_with_their_place() -> None:
    document = model()
    graph = document["graph_module"]["graph"]
    graph["nodes"].append(node("nz", "torch.ops.aten.nonzero.default", self=read("act")))
    graph["tensor_values"]["nz"] = tensor("Symbol('u0', integer=True)", 2, dtype=5)
    document["range_constraints"]["u0"] = {"min_val": 0, "max_val": 10}
    with pytest.raises(PlannerError, match="depends on data") as caught:
        shapes(document)
    assert caught.value.code == "PLN205"
    assert "node `nz` at net.py:7" in caught.value.message
    assert shapes(document, dims={"u0": 4})[-1] == (4, 2)


def test_numbers_that_are_symbols_become_arguments() -> None:
    document = dynamic()
    graph = document["graph_module"]["graph"]
    graph["sym_int_values"] = {"n": size(S)}
    number = node("n", "torch.ops.aten.sym_size.int", self=read("x"), dim={"as_int": 0})
    number["outputs"] = [{"as_sym_int": {"as_name": "n"}}]
    check = node("a", "torch.ops.aten._assert_scalar.default", self={"as_string": "text"})
    check["outputs"] = []
    sizes = {"as_sym_ints": [{"as_name": "n"}, {"as_int": 5}]}
    view = node("v", "torch.ops.aten.view.default", self=read("act"), size=sizes)
    graph["nodes"] += [number, check, view]
    graph["tensor_values"]["v"] = tensor(S, 5)
    program, _ = read_file(archive(document), where="n", options=LoadOptions(batch=8))
    assert [call.name for call in program.calls] == ["fc", "act", "v"]
    assert program.calls[-1].arguments["size"] == (8, 5)


def test_an_input_that_is_a_number_is_bound_by_its_symbol() -> None:
    document = dynamic()
    module = document["graph_module"]
    module["graph"]["sym_int_values"] = {"k": size(T)}
    spec = {"user_input": {"arg": {"as_sym_int": {"as_name": "k"}}}}
    module["signature"]["input_specs"].append(spec)
    with pytest.raises(PlannerError, match=r"input `k` \(`t`\)"):
        shapes(document, batch=8)
    assert shapes(document, batch=8, dims={"t": 3})[0] == (8, 3)
