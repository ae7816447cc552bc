"""What torch modules compute, against torch itself: dependencies, gradients, ties, counts."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

import planner  # noqa: E402
from planner.graphs.gradients import needs_gradient  # noqa: E402
from planner.graphs.graph import Graph  # noqa: E402
from planner.graphs.operations import rule_of  # noqa: E402
from tests.support.torch_nets.programs import Script, edges  # noqa: E402

SQUARE = (4, 4)


class Computed(nn.Module):
    """A linear layer, and what is done with its result."""

    def __init__(self, rest: Callable[..., Any]) -> None:
        super().__init__()
        self.l = nn.Linear(4, 4)
        self.rest = rest

    def forward(self, x: Any) -> Any:
        return self.rest(self.l(x), x)


def graph_of(rest: Callable[..., Any]) -> Graph:
    return planner.load(Computed(rest), (torch.randn(SQUARE),))


def loaded(module: nn.Module, inputs: tuple[Any, ...], form: str, folder: Path) -> Graph:
    """The graph of a live module, of its `.pt2` file, or of its trace."""
    if form == "live":
        return planner.load(module, inputs)
    if form == "pt2":
        path = folder / "model.pt2"
        torch.export.save(torch.export.export(module, inputs, strict=False), path)
        return planner.load(path)
    path = folder / "model.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(module, inputs, check_trace=False), path)
    return planner.load(path, [f"float32[{','.join(map(str, x.shape))}]" for x in inputs])


def rule_macs(graph: Graph) -> int:
    """Multiply-accumulates of every operator, those of families that are not published as well."""
    total = 0
    for operator in graph.operators:
        count = rule_of(operator.op).macs
        shapes = [graph.tensors[t].shape for t in operator.outputs]
        if count is not None:
            total += count(operator.operand_shapes, shapes, operator.attributes)
    return total


def has_gradient(graph: Graph) -> dict[str, bool]:
    flags = needs_gradient(graph)
    return {t.name: bool(flag) for t, flag in zip(graph.tensors, flags, strict=True)}


def test_views_of_different_layout_are_not_one_after_a_write() -> None:
    def rest(y: Any, x: Any) -> Any:
        turned, same = y.t(), y.view(4, 4)
        y.relu_()
        return turned.tanh(), same.tanh()

    assert [o.op for o in graph_of(rest).operators].count("Tanh") == 2


def test_parts_that_are_cut_out_again_are_not_one() -> None:
    def rest(y: Any, x: Any) -> Any:
        first, second = y[0], y[1]
        y.relu_()
        return first.tanh(), second.tanh()

    read = edges(graph_of(rest))
    assert read["tanh"] == ["slice"]
    assert read["tanh_1"] == ["slice_1"]


def test_a_view_that_is_handed_on_keeps_its_layout() -> None:
    def rest(y: Any, x: Any) -> Any:
        turned = y.t()
        turned.relu_()
        return functional.dropout(y, 0.5, False).tanh(), functional.dropout(
            turned, 0.5, False
        ).tanh()

    assert [o.op for o in graph_of(rest).operators].count("Tanh") == 2


def test_operators_of_one_type_and_other_functions_are_not_one() -> None:
    def rest(y: Any, x: Any) -> Any:
        pooled = y.view(1, 1, 4, 4)
        halves = (
            functional.avg_pool2d(pooled, 2),
            functional.avg_pool2d(pooled, 2, divisor_override=3),
        )
        return (y.exp().sin(), y.expm1().sin(), *(half.sin() for half in halves))

    assert [o.op for o in graph_of(rest).operators].count("Sin") == 4


def test_a_copy_is_no_view() -> None:
    def rest(y: Any, x: Any) -> Any:
        other = y.to(torch.float32, copy=True)
        other.relu_()
        return y.tanh(), other

    assert edges(graph_of(rest))["tanh"] == ["l"]


def test_the_real_part_is_a_part() -> None:
    def rest(y: Any, x: Any) -> Any:
        z = torch.fft.fft(y)
        z.real.mul_(2)
        return z.abs()

    assert edges(graph_of(rest))["abs"] == ["overwrite"]


@pytest.mark.parametrize("name", ["expand_as", "view_as", "reshape_as", "type_as"])
def test_what_only_lends_its_shape_is_not_read(name: str) -> None:
    graph = graph_of(lambda y, x: (getattr(x, name)(y).sin(), y))
    assert not has_gradient(graph)["sin"]


def changed_without_gradient(y: Any, x: Any) -> Any:
    with torch.no_grad():
        y.mul_(2)
    return y.tanh()


def changed_when_detached(y: Any, x: Any) -> Any:
    y.detach().mul_(2)
    return y.tanh()


def part_changed_without_gradient(y: Any, x: Any) -> Any:
    with torch.no_grad():
        y[0].mul_(2)
    return y.tanh()


def buffer_changed_without_gradient(y: Any, x: Any) -> Any:
    mean = torch.zeros_like(y)
    with torch.no_grad():
        mean.mul_(0.9).add_(y * 0.1)
    return mean.tanh(), y


@pytest.mark.parametrize(
    "rest",
    [
        changed_without_gradient,
        changed_when_detached,
        part_changed_without_gradient,
        buffer_changed_without_gradient,
    ],
)
def test_a_write_without_gradient_leaves_it_as_it_was(rest: Callable[..., Any]) -> None:
    result = Computed(rest)(torch.randn(SQUARE))
    first = result[0] if isinstance(result, tuple) else result
    assert has_gradient(graph_of(rest))["tanh"] == first.requires_grad


def test_an_embedding_of_bounded_norm_is_trained() -> None:
    module = nn.Sequential(nn.Embedding(10, 4, max_norm=1.0), nn.Linear(4, 3))
    graph = planner.load(module, (torch.randint(10, (2, 3)),))
    assert has_gradient(graph)["0.embedding"]


@pytest.mark.parametrize(
    "draw",
    [
        lambda y: torch.poisson(y.abs()),
        lambda y: functional.rrelu(y, training=True),
        lambda y: torch.empty(4, 4).geometric_(0.5) + y,
        lambda y: torch.empty(4, 4).log_normal_() + y,
        lambda y: torch.empty(4, 4).cauchy_() + y,
    ],
)
def test_what_is_drawn_twice_is_not_one(draw: Callable[[Any], Any]) -> None:
    once = graph_of(lambda y, x: draw(y).sin())
    twice = graph_of(lambda y, x: (draw(y).sin(), draw(y).sin()))
    assert [o.op for o in twice.operators].count("Sin") == 2
    assert len(twice.operators) > len(once.operators) + 1


def test_recurrent_layers_with_dropout_are_not_one() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.l = nn.LSTM(4, 5, 2, dropout=0.5)

        def forward(self, x: Any) -> Any:
            return self.l(x)[0] + self.l(x)[0]

    kinds = [
        [o.op for o in planner.load(Twice().train(mode), (torch.randn(3, 2, 4),)).operators]
        for mode in (True, False)
    ]
    assert [ops.count("aten.recurrent") for ops in kinds] == [2, 1]


class Turned(nn.Module):
    """Two layers whose weights are one memory, the second one's transposed."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.randn(4, width))
        self.b = nn.Parameter(self.a.detach().t())

    def forward(self, x: Any) -> Any:
        return (x @ self.a, x @ self.b) if self.a.shape[1] == 4 else x @ self.a @ self.b


@pytest.mark.parametrize("form", ["live", "pt2", "traced"])
@pytest.mark.parametrize("width", [4, 6])
def test_a_transposed_tie_is_one_parameter(width: int, form: str, tmp_path: Path) -> None:
    graph = loaded(Turned(width), (torch.randn(SQUARE),), form, tmp_path)
    assert [(p.name, p.size_bytes) for p in graph.parameters] == [("a", 16 * width)]
    assert [o.op for o in graph.operators].count("MatMul") == 2


def test_rows_apart_are_no_tie() -> None:
    class Rows(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            whole = torch.randn(4, 4)
            self.a, self.b = nn.Parameter(whole[:2]), nn.Parameter(whole[::2])
            self.c = nn.Parameter(whole[2:])

        def forward(self, x: Any) -> Any:
            return self.a @ x, self.b @ x, self.c @ x

    graph = planner.load(Rows(), (torch.randn(SQUARE),))
    assert [p.name for p in graph.parameters] == ["a", "b", "c"]
    assert len(graph.operators) == 3


@pytest.mark.parametrize("form", ["live", "pt2", "traced"])
def test_convolutions_are_counted_with_padding_in_words(form: str, tmp_path: Path) -> None:
    module = nn.Conv2d(8, 16, 3, groups=4, dilation=2, padding="valid")
    graph = loaded(module, (torch.randn(2, 8, 9, 9),), form, tmp_path)
    assert graph.summary()["forward_macs"] == 2 * 5 * 5 * 16 * 2 * 9


@pytest.mark.parametrize(("rows", "inner", "columns"), [(3, 4, 5), (5, 7, 3), (4, 4, 4)])
def test_products_that_add_something_are_counted(rows: int, inner: int, columns: int) -> None:
    class Sum(nn.Module):
        def forward(self, added: Any, a: Any, b: Any) -> Any:
            return torch.baddbmm(added, a, b)

    shapes = (2, rows, columns), (2, rows, inner), (2, inner, columns)
    graph = planner.load(Sum(), tuple(torch.randn(shape) for shape in shapes))
    assert graph.summary()["forward_macs"] == 2 * rows * inner * columns


@pytest.mark.parametrize(
    ("cell", "gates"), [(nn.LSTMCell, 4), (nn.GRUCell, 3), (nn.RNNCell, 1)], ids=str
)
def test_cells_are_counted(cell: Callable[..., Any], gates: int) -> None:
    graph = planner.load(cell(4, 6), (torch.randn(2, 4),))
    assert rule_macs(graph) == 2 * gates * 6 * (4 + 6)


@pytest.mark.parametrize(
    ("product", "expected"),
    [
        (lambda y: torch.einsum("...ij,...jk->...ik", y.expand(7, 4, 4), y), 7 * 64),
        (lambda y: torch.einsum("ij,...j->i...", y, y.expand(3, 4, 4)), 3 * 64),
        (lambda y: torch.tensordot(y, y.expand(3, 4, 4), ([0], [1])), 3 * 64),
    ],
)
def test_contractions_are_counted(product: Callable[[Any], Any], expected: int) -> None:
    graph = graph_of(lambda y, x: product(y))
    assert rule_macs(graph) == 64 + expected


def test_what_writes_unseen_is_said() -> None:
    script = Script(x=SQUARE)
    y = script.call("relu", SQUARE, "x")
    script.call("mylib.change.default", None, y)
    script.call("_assert_async", None, y)
    (warning,) = script.graph(script.call("tanh", SQUARE, y)).warnings
    assert "`mylib.change.default`" in warning
