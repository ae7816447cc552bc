"""Small modules as TorchScript: control flow, lists, views, ties, and what is refused."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

import planner
from planner.errors import PlannerError
from planner.frontends.torch_programs.program import Ref, WeightKind
from tests.support.torch_nets.torchscript import (
    frozen,
    live,
    operators,
    program_of,
    scripted,
    traced,
)

torch = pytest.importorskip("torch", reason="TorchScript is read with torch")

Tensor = torch.Tensor
F = torch.nn.functional
HERE = Path(__file__).name


def line_of(text: str) -> int:
    lines = Path(__file__).read_text(encoding="utf-8").splitlines()
    return next(i for i, line in enumerate(lines, 1) if line.strip().startswith(text))


class Folding(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, x):
        if x.size(0) > 1 and x.dim() == 2:
            x = self.linear(x)
        if self.training:
            x = self.dropout(x)
        if x.size(1) == 7:
            raise ValueError("seven")
        flags = torch.ones(3)
        if flags.sum() > 2:
            x = torch.relu(x)
        return x


class OnData(torch.nn.Module):
    def forward(self, x):
        y = x * 2
        if x.sum() > 0:
            y = y + 1
        return y


class Inner(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.data = OnData()

    def forward(self, x):
        return self.data(x)


class Rows(torch.nn.Module):
    def forward(self, x):
        return x[x > 0]


class InPlace(torch.nn.Module):
    def forward(self, x):
        y = x + 1
        z = y.view(-1)
        y.relu_()
        return z * 2, y


class Lists(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = torch.nn.ModuleList([torch.nn.Linear(4, 4) for _ in range(3)])

    def forward(self, x):
        results: list[Tensor] = []
        for i, layer in enumerate(self.layers):
            results.append(layer(x) * i)
        total = results[0]
        for k in range(1, len(results)):
            total = total + results[k]
        while len(results) > 1:
            results.pop()
        first, second = total.split([1, 3], dim=1)
        return {"sum": total, "parts": torch.cat([first, second], 1)}


class Optionals(torch.nn.Module):
    def forward(self, x, mask: Tensor | None = None, scale: float = 2.0):
        if mask is not None:
            x = x * mask
        return x * scale


class Several(torch.nn.Module):
    def forward(self, many: list[Tensor], pair: tuple[Tensor, Tensor]):
        return torch.cat(many), pair[0] + pair[1]


class Named(torch.nn.Module):
    def forward(self, xs: dict[str, Tensor]):
        return xs["a"]


class Tied(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.a = torch.nn.Linear(4, 4)
        self.b = torch.nn.Linear(4, 4)
        self.b.weight = self.a.weight
        self.register_buffer("scale", torch.ones(4))
        self.table = torch.arange(4)

    def forward(self, x):
        return self.b(self.a(x)) * self.scale + self.table


class Shared(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.block = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())

    def forward(self, x):
        return self.block(self.block(x))


class Filled(torch.nn.Module):
    def forward(self, x):
        y = torch.zeros(4)
        y[0] = x.sum()
        if y[1] > 0:
            y = y + 1
        return y


class Masked(torch.nn.Module):
    def forward(self, x):
        keep = torch.arange(4) > 1
        return x[:, keep], x.to("cpu").contiguous(), torch.rand(2) + x.sum()


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = torch.nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class NoGradients(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 4)

    def forward(self, x):
        with torch.no_grad():
            x = self.linear(x)
        return self.linear(x)


class NativeOnData(torch.nn.Module):
    def forward(self, x):
        with torch.no_grad():
            x = x + 1
        if x.mean() > 0:
            x = x * 2
        return x


class Recurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(4, 5, batch_first=True)

    def forward(self, x):
        return self.lstm(x)[0]


def test_control_flow_that_folds_is_folded() -> None:
    archive = scripted(Folding().train())
    program = program_of(archive, "x:float32[2,4]")
    kept = [name for name in operators(program) if name in ("linear", "dropout", "relu")]
    assert kept == ["linear", "dropout", "relu"]
    assert program.calls[-1].where == f"{HERE}:{line_of('x = torch.relu(x)')}"
    program = program_of(scripted(Folding().eval()), "x:float32[1,4]")
    assert "linear" not in operators(program)
    assert "dropout" not in operators(program)


def test_what_a_module_raises_is_an_error_with_its_place() -> None:
    with pytest.raises(PlannerError, match="seven") as caught:
        program_of(scripted(Folding()), "x:float32[1,7]")
    assert caught.value.code == "PLN148"
    assert f"{HERE}:{line_of('raise ValueError')}" in caught.value.message


@pytest.mark.parametrize("module", [OnData(), Inner()])
def test_control_flow_on_data_is_refused_with_its_place(module: object) -> None:
    with pytest.raises(PlannerError) as caught:
        program_of(scripted(module), "x:float32[2,4]")
    assert caught.value.code == "PLN147"
    assert f"{HERE}:{line_of('if x.sum() > 0:')}" in caught.value.message
    assert ("module `data`" in caught.value.message) == isinstance(module, Inner)


def test_what_torch_itself_interprets_is_refused_with_its_place() -> None:
    with pytest.raises(PlannerError) as caught:
        program_of(scripted(NativeOnData()), "x:float32[2,4]")
    assert caught.value.code == "PLN147"
    assert f"{HERE}:{line_of('if x.mean() > 0:')}" in caught.value.message


def test_shapes_that_depend_on_data_are_refused() -> None:
    with pytest.raises(PlannerError) as caught:
        program_of(scripted(Rows()), "x:float32[2,4]")
    assert caught.value.code == "PLN147"
    assert f"{HERE}:{line_of('return x[x > 0]')}" in caught.value.message


def test_a_constant_that_was_written_to_is_data() -> None:
    with pytest.raises(PlannerError) as caught:
        program_of(scripted(Filled()), "x:float32[4]")
    assert caught.value.code == "PLN147"


def test_in_place_operators_write_values_of_their_own() -> None:
    program = program_of(scripted(InPlace()), "x:float32[2,3]")
    add, view, relu, double = program.calls
    assert [call.operator for call in program.calls] == ["add", "view", "relu_", "mul"]
    assert view.arguments["self"] == Ref(add.name) == relu.arguments["self"]
    assert double.arguments["self"] == Ref(view.name)
    assert program.outputs == [double.name, relu.name]


def test_loops_lists_and_dictionaries() -> None:
    program = program_of(scripted(Lists()), "x:float32[2,4]")
    paths = [call.path for call in program.calls if call.operator == "linear"]
    assert paths == ["layers.0", "layers.1", "layers.2"]
    assert operators(program).count("add") == 2
    split = next(call for call in program.calls if call.operator.startswith("split"))
    assert [output.shape for output in split.outputs if output] == [(2, 1), (2, 3)]
    assert len(program.outputs) == 2


def test_optional_inputs_may_be_left_out() -> None:
    archive = scripted(Optionals())
    assert operators(program_of(archive, "x:float32[2]")) == ["mul"]
    program = program_of(archive, "mask:float32[2]", "x:float32[2]")
    assert operators(program) == ["mul", "mul"]
    assert [value.name for value in program.inputs] == ["x", "mask"]


def test_lists_and_tuples_of_tensors_take_several_specifications() -> None:
    program = program_of(scripted(Several()), *["float32[2,3]"] * 5)
    names = [value.name for value in program.inputs]
    assert names == ["many.0", "many.1", "many.2", "pair.0", "pair.1"]
    first = program.calls[0].outputs[0]
    assert first is not None
    assert first.shape == (6, 3)


def test_tied_parameters_share_a_storage() -> None:
    program = program_of(scripted(Tied()), "x:float32[2,4]")
    weights = {weight.path: weight for weight in program.weights}
    assert weights["a.weight"].storage == weights["b.weight"].storage
    assert weights["a.bias"].storage != weights["b.bias"].storage
    assert weights["scale"].kind is WeightKind.BUFFER
    assert weights["a.weight"].requires_grad
    assert not weights["scale"].requires_grad


@pytest.mark.parametrize("make", [scripted, lambda m: traced(m, torch.zeros(2, 4))])
def test_a_module_that_runs_twice_is_told_apart(make: Callable[[object], bytes]) -> None:
    program = program_of(make(Shared()), "x:float32[2,4]")
    assert [call.path for call in program.calls] == [
        "block.0",
        "block.1",
        "block.0@1",
        "block.1@1",
    ]


def test_masks_moves_and_random_numbers() -> None:
    program = program_of(scripted(Masked()), "x:float32[3,4]")
    shapes = {v.name: v.shape for call in program.calls for v in call.outputs if v is not None}
    assert [shapes[name] for name in program.outputs] == [(3, 2), (3, 4), (2,)]


def test_attention_is_one_operator_or_its_products() -> None:
    program = program_of(scripted(Attention().train()), "x:float32[2,5,8]")
    assert program.calls[-1].path == "attention"
    assert "scaled_dot_product_attention" in operators(program)
    parts = {call.path for call in program.calls}
    assert parts == {"attention"}


def test_gradients_are_off_where_the_source_says_so() -> None:
    program = program_of(scripted(NoGradients()), "x:float32[2,4]")
    calls = [call for call in program.calls if call.operator in ("linear", "addmm")]
    assert [call.has_grad for call in calls] == [False, True]


def test_recurrent_layers_are_one_operator() -> None:
    program = program_of(traced(Recurrent(), torch.zeros(2, 3, 4)), "x:float32[2,3,4]")
    assert "lstm" in operators(program)
    names = [weight.path for weight in program.weights]
    assert "lstm.weight_ih_l0" in names


def test_frozen_modules_warn_that_nothing_is_trained() -> None:
    program = program_of(frozen(Shared()), "x:float32[2,4]")
    assert "frozen" in program.warnings[0]
    assert operators(program).count("linear") == 2


@pytest.mark.parametrize(
    ("specs", "message", "hint"),
    [
        ((), "`x` (Tensor)", "--input x:float32"),
        (("y:float32[2,4]",), "no input `y`", "inputs: `mask`, `x`"),
        (("float32[2]", "float32[2]", "float32[2]"), "expected at most 2", "`mask`"),
        (("x:float32[2]", "x:float32[2]"), "twice", None),
        (("x:int4[2]",), "int4", None),
        (("x=float32",), "no input specification", "for example"),
    ],
)
def test_bad_input_specifications(specs: tuple[str, ...], message: str, hint: str | None) -> None:
    with pytest.raises(PlannerError) as caught:
        program_of(scripted(Optionals()), *specs)
    assert caught.value.code == "PLN115"
    assert message in caught.value.message
    assert hint is None or hint in (caught.value.hint or "")


def test_hints_say_what_a_trace_was_made_with() -> None:
    with pytest.raises(PlannerError) as caught:
        program_of(traced(Shared(), torch.zeros(2, 4)))
    assert caught.value.hint == "--input x:float32[2,4]"


def test_dictionaries_of_tensors_are_refused() -> None:
    with pytest.raises(PlannerError, match="Dict") as caught:
        program_of(scripted(Named()))
    assert caught.value.code == "PLN115"


@pytest.mark.parametrize("spec", ["float64[2,4]", "float32[2,5]", "int64[2,4]"])
def test_inputs_that_do_not_fit_are_an_error_with_the_module(spec: str) -> None:
    with pytest.raises(PlannerError) as caught:
        program_of(scripted(Shared()), spec)
    assert caught.value.code == "PLN148"
    assert "module `block.0`" in caught.value.message


def test_live_modules_are_read_as_if_they_were_saved() -> None:
    graph = planner.load(live(Tied()), inputs=(torch.zeros(2, 4),))
    assert graph.summary()["trainable_parameters"] == 16 + 4 + 4


def test_parts_of_one_storage_are_no_tie(tmp_path: Path) -> None:
    class Halves(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            whole = torch.randn(8, 4)
            self.a = torch.nn.Parameter(whole[:4])
            self.b = torch.nn.Parameter(whole[4:])

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x @ self.a) @ self.b

    path = tmp_path / "halves.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(Halves(), torch.randn(2, 4)).save(str(path))
    graph = planner.load(path, ["float32[2,4]"])
    assert [(p.name, len(p.readers)) for p in graph.parameters] == [("a", 1), ("b", 1)]
