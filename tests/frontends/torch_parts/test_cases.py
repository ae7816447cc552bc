"""Modules that are hard to cut: what a part must not lose, and what is refused in words."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
from torch import nn  # noqa: E402

import planner  # noqa: E402
from tests.frontends.torch_parts.test_split_module import check_equal, code_of, plan_of  # noqa: E402

EXAMPLE = Path(__file__).parents[3] / "examples" / "split_training.py"
PINS = {"first": "device", "second": "server"}


class Two(nn.Module):
    """Two linear layers, and what a test puts around them."""

    def __init__(self, body: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
        self.register_buffer("scale", torch.ones(8))
        self.register_buffer("hidden", torch.ones(8), persistent=False)
        self.body = body

    def forward(self, x: Any) -> Any:
        return self.body(self, x)


def cut(body: Callable[[Any, Any], Any], pins: dict[str, str] = PINS) -> tuple[Any, Any, Any]:
    """A module, its input and its two parts."""
    torch.manual_seed(1)
    module, x = Two(body), torch.randn(4, 8)
    plan = plan_of(planner.load(module, (x,)), pins)
    return module, x, planner.split_module(plan, module)


def compared(self: Any, x: Any) -> Any:
    mask = self.first(x) * 1
    mask.gt_(0)  # keeps its type, which `gt` does not
    return self.second(x) * mask


def written_twice(self: Any, x: Any) -> Any:
    y = self.first(x)
    self.scale.mul_(0.5).add_(3)
    return self.second(y) * self.scale


def read_before_written(self: Any, x: Any) -> Any:
    y = self.second(self.first(x)) * self.scale
    self.scale = self.scale * 0.9 + y.detach().mean(0)
    return y


def in_autocast(self: Any, x: Any) -> Any:
    y = self.first(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z = self.second(y)
    return z * 2


def another_layout(self: Any, x: Any) -> Any:
    y = self.first(x).view(4, 2, 4)
    zeros = torch.zeros_like(y.permute(0, 2, 1)).permute(0, 2, 1).view(4, 8)
    return self.second(y.view(4, 8)) + zeros


def transposed(self: Any, x: Any) -> Any:
    y = self.first(x) * 2
    y.t_()
    return self.second(y.t()) * y.t()


@pytest.mark.parametrize(
    "body",
    [compared, written_twice, in_autocast, another_layout, transposed],
    ids=lambda body: body.__name__,
)
def test_parts_compute_what_the_module_does(body: Callable[[Any, Any], Any]) -> None:
    module, x, parts = cut(body)
    output = copy.deepcopy(module)(x)
    assert copy.deepcopy(parts)[1](*copy.deepcopy(parts)[0](x)).dtype == output.dtype
    check_equal(module, parts, (x,))


def test_a_buffer_that_is_read_before_it_is_set_has_its_old_value() -> None:
    module, x, (device, server) = cut(read_before_written)
    whole = copy.deepcopy(module)  # setting its buffer makes that another tensor
    for _ in range(2):
        expected, found = whole(x), server(*device(x))
        expected.sum().backward()
        found.sum().backward()
        assert torch.allclose(found, expected)
        assert torch.allclose(module.scale, whole.scale)
    for mine, theirs in zip(module.parameters(), whole.parameters(), strict=True):
        assert torch.allclose(mine.grad, theirs.grad)


def taken_number(self: Any, x: Any) -> Any:
    y = self.first(x)
    return self.second(y) * y.sum().item()


def changed_list(self: Any, x: Any) -> Any:
    y = self.first(x) * 2
    torch._foreach_mul_([y], 2.0)
    return self.second(y)


def changed_view_of_a_buffer(self: Any, x: Any) -> Any:
    self.scale.detach().mul_(0.5)
    return self.second(self.first(x))


def buffer_of_both(self: Any, x: Any) -> Any:
    y = self.second(self.first(x * self.scale))
    self.scale = y.detach().mean(0)
    return y


class Reversed(torch.autograd.Function):  # type: ignore[misc, unused-ignore]
    """Gradients the other way round."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        return -gradient


def own_gradient(self: Any, x: Any) -> Any:
    return self.second(Reversed.apply(self.first(x)))


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (taken_number, "PLN430"),
        (changed_list, "PLN430"),
        (changed_view_of_a_buffer, "PLN432"),
        (buffer_of_both, "PLN433"),
        (own_gradient, "PLN430"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_what_would_be_lost_is_refused(body: Callable[[Any, Any], Any], code: str) -> None:
    assert code_of(lambda: cut(body)) == code


NAMES = [
    "takes",
    "gives",
    "graph",
    "code",
    "class",
    "self",
    "torch",
    "recompile",
    "0",
    "a b",
    "_run",
]


@pytest.mark.parametrize("name", NAMES)
def test_modules_may_have_any_name(name: str) -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8)
            self._modules[name] = nn.Linear(8, 8)

        def forward(self, x: Any) -> Any:
            odd: Any = self._modules[name]
            return self.second(odd(self.first(x)).tanh())

    module, x = Odd(), torch.randn(4, 8)
    graph = planner.load(module, (x,))
    for pins in ({"first": "device", name: "server"}, {name: "device", "second": "server"}):
        parts = planner.split_module(plan_of(graph, pins), module)
        module.zero_grad()
        assert {n for part in parts for n, _ in part.named_parameters()} == set(
            dict(module.named_parameters())
        )
        check_equal(module, parts, (x,))


def test_names_that_look_alike_are_told_apart() -> None:
    class Alike(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a_b, self.c = nn.Linear(8, 8), nn.Linear(8, 8)
            self.a = nn.ModuleDict({"b": nn.Linear(8, 8)})

        def forward(self, x: Any) -> Any:
            return self.c(self.a_b(x)) * self.a["b"](x)

    module, x = Alike(), torch.randn(4, 8)
    pins = {"a_b": "device", "a.b": "device", "c": "server"}
    parts = planner.split_module(plan_of(planner.load(module, (x,)), pins), module)
    assert set(parts[0].gives) == {"a_b", "a.b"}
    check_equal(module, parts, (x,))


def test_parts_can_be_copied_and_saved() -> None:
    module, x, parts = cut(lambda self, x: {"y": self.second(self.first(x) * torch.rand(8))})
    saved = io.BytesIO()
    torch.save(parts, saved)
    saved.seek(0)
    for copied in (
        copy.deepcopy(parts),
        pickle.loads(pickle.dumps(parts)),
        torch.load(saved, weights_only=False),
    ):
        outputs = []
        for device, server in (parts, copied, copied):
            torch.manual_seed(len(outputs) // 2)
            outputs.append(server(*device(x))["y"])
        assert torch.equal(outputs[0], outputs[1])
        assert not torch.equal(outputs[1], outputs[2])  # what is random stays random
        assert copied[0].takes == parts[0].takes
        assert copied[0].first.weight is not module.first.weight


def test_state_of_the_parts_is_that_of_the_module() -> None:
    module, _, parts = cut(
        lambda self, x: self.second(self.first(x) * self.hidden) + torch.tensor([1.0] * 8)
    )
    held = {name: tensor for part in parts for name, tensor in part.state_dict().items()}
    assert held.keys() == module.state_dict().keys() - {"scale"}


def test_statistics_are_updated_as_often_as_the_module_does() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.bn = nn.Linear(8, 8), nn.BatchNorm1d(8)

        def forward(self, x: Any) -> Any:
            y = self.fc(x)
            return self.bn(y) + self.bn(y)

    module, x = Twice(), torch.randn(4, 8)
    graph = planner.load(module, (x,))
    assert [o.op for o in graph.operators].count("BatchNormalization") == 2
    parts = planner.split_module(plan_of(graph, {"fc": "device", "bn": "server"}), module)
    check_equal(module, parts, (x,))


def test_an_archive_with_constants_is_split(tmp_path: Path) -> None:
    module, x, _ = cut(lambda self, x: self.second(self.first(x)) + torch.tensor([1.0] * 8))
    torch.export.save(torch.export.export(module, (x,), strict=False), tmp_path / "two.pt2")
    exported = torch.export.load(tmp_path / "two.pt2")
    device, server = planner.split_module(plan_of(planner.load(exported), PINS), exported)
    assert torch.allclose(server(*device(x)), module(x))


def test_parts_refuse_other_tensors() -> None:
    _, x, (device, _) = cut(lambda self, x: self.second(self.first(x)))
    with pytest.raises(ValueError, match=r"`x` has shape \[3, 8\], expected \[4, 8\]"):
        device(x[:3])
    with pytest.raises(TypeError, match="takes 1 tensors"):
        device(x, x)


def test_results_that_are_no_tensors_are_kept() -> None:
    _, x, (device, server) = cut(lambda self, x: (self.second(self.first(x)), None, 3))
    output = server(*device(x))
    assert len(output) == 3
    assert output[1:] == (None, 3)


def test_a_module_that_changed_since_it_was_loaded_is_refused() -> None:
    module, _, _ = cut(lambda self, x: self.second(self.first(x)))
    plan = plan_of(planner.load(module, (torch.randn(4, 8),)), PINS)
    module.double()
    assert code_of(lambda: planner.split_module(plan, module)) == "PLN430"
    module.float().first = nn.Identity()
    assert code_of(lambda: planner.split_module(plan, module)) == "PLN430"


def test_a_program_that_returns_its_changes_is_refused() -> None:
    module, x = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)), torch.randn(4, 8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about torch's own code
        exported = torch.export.export(module, (x,), strict=False).run_decompositions()
    plan = plan_of(planner.load(exported), {})
    assert code_of(lambda: planner.split_module(plan, exported)) == "PLN430"


def test_the_example_trains_as_in_one_piece() -> None:
    command = [sys.executable, str(EXAMPLE), "--steps", "3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last.startswith("largest difference from training in one piece: ")
    assert float(last.rpartition(" ")[2]) <= 1e-5
