"""Live modules and exported programs: the same program as their archive, without copies."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import planner
from planner.drafts.frontend import LoadOptions
from planner.errors import PlannerError
from planner.frontends.torch_export import FRONTEND, canonical_text, read_file
from planner.frontends.torch_programs.program import Program

torch = pytest.importorskip("torch", reason="live modules need torch")

from planner.frontends.torch_export.module import (  # noqa: E402 (these import torch)
    export_module,
    read_exported,
)
from tests.support.torch_nets import torch_export_modules as modules  # noqa: E402

ROOT = Path(__file__).resolve().parents[3]


def exported(module: Any, inputs: tuple[Any, ...], **more: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.export.export(module, inputs, strict=False, **more)


def both(
    program: Any, tmp_path: Path, options: LoadOptions | None = None
) -> tuple[Program, Program]:
    path = tmp_path / "net.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(program, path)
    options = options or LoadOptions()
    saved, _ = read_file(path, where="net.pt2", options=options)
    return saved, read_exported(program, options=options)


def assert_equal(saved: Program, live: Program) -> None:
    assert saved.inputs == live.inputs
    assert saved.weights == live.weights
    assert saved.calls == live.calls
    assert saved.outputs == live.outputs
    assert canonical_text(saved) == canonical_text(live)


@pytest.mark.parametrize("name", list(modules.CASES))
def test_an_archive_and_the_live_program_are_equal(name: str, tmp_path: Path) -> None:
    module, inputs = modules.CASES[name]()
    assert_equal(*both(exported(module, inputs), tmp_path))


def test_a_real_archive_is_what_torch_loads(shared_models: Path) -> None:
    path = shared_models / "resnet18.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.load(path)
    saved, _ = read_file(path, where="r", options=LoadOptions())
    assert_equal(saved, read_exported(program))


def test_dynamic_sizes_are_bound_alike(tmp_path: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=64)
    dims = {"x": {0: batch, 1: torch.export.Dim.AUTO}, "mask": {0: batch, 1: torch.export.Dim.AUTO}}
    inputs = (torch.ones(2, 6, 4), torch.ones(2, 6))
    program = exported(modules.Dynamic(), inputs, dynamic_shapes=dims)
    options = LoadOptions(inputs=("x:float32[4,8,4]",))
    saved, live = both(program, tmp_path, options)
    assert_equal(saved, live)
    shapes = {call.name: call.outputs[0].shape for call in live.calls if call.outputs[0]}
    assert shapes["view"] == (32, 4)
    assert shapes["slice_2"] == (4, 4, 4)
    with pytest.raises(PlannerError) as caught:
        read_exported(program)
    assert caught.value.code == "PLN205"
    assert "=6`" in str(caught.value.hint)  # what the length was when it was exported
    with pytest.raises(PlannerError) as caught:
        read_exported(program, options=LoadOptions(inputs=("x:float32[65,8,4]",)))
    assert caught.value.code == "PLN115"


def test_the_calls_of_a_repeated_module_have_paths_of_their_own() -> None:
    for strict in (False, True):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.export.export(
                modules.Repeated().eval(), (torch.ones(1, 3, 4, 4),), strict=strict
            )
        paths = [call.path for call in read_exported(program).calls]
        assert paths == [
            *("block", "block.relu", "block.conv", "block.relu@1"),
            *("block@1", "block@1.relu", "block@1.conv", "block@1.relu@1"),
        ]


def test_in_place_operators_write_values_of_their_own() -> None:
    module, inputs = modules.CASES["repeated"]()
    calls = {call.name: call for call in read_exported(exported(module, inputs)).calls}
    relu = calls["relu_"]
    assert relu.target == "aten.relu_.default"
    assert relu.outputs[0] is not None
    assert relu.outputs[0].name == "relu_"
    assert calls["conv2d"].arguments["input"] == ("relu_",)


def test_bodies_that_always_run_are_inlined() -> None:
    module, inputs = modules.CASES["no_grad"]()
    calls = read_exported(exported(module, inputs)).calls
    assert [call.has_grad for call in calls if call.operator == "linear"] == [False, True, True]
    inner = next(call for call in calls if call.operator == "max")
    assert "." in inner.name
    assert not inner.has_grad
    assert all(call.where.startswith("torch_export_modules.py:") for call in calls)
    module, inputs = modules.CASES["autocast"]()
    (call,) = read_exported(exported(module, inputs)).calls
    assert call.outputs[0] is not None
    assert (call.path, call.outputs[0].dtype) == ("fc", "bfloat16")


def test_a_branch_is_one_call() -> None:
    module, inputs = modules.CASES["branch"]()
    call = read_exported(exported(module, inputs)).calls[-1]
    assert call.target == "higher_order.cond"
    names = {ref.name for ref in call.arguments["operands"]}
    assert {"x", "p_fc_weight", "p_fc_bias"} <= names


def test_several_outputs_of_one_operator() -> None:
    module, inputs = modules.CASES["several"]()
    program = read_exported(exported(module, inputs))
    split = next(call for call in program.calls if call.operator == "split")
    assert [value.shape for value in split.outputs if value] == [(2, 2), (2, 2)]
    top = next(call for call in program.calls if call.operator == "topk")
    assert [value.dtype for value in top.outputs if value] == ["float32", "int64"]
    assert program.outputs[0] == "add"


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_ties(device: str, tmp_path: Path) -> None:
    with torch.device(device):
        module = modules.Tied()
        program = exported(module, (torch.ones(2, 4),))
    storages = {w.path: w.storage for w in read_exported(program).weights}
    assert storages["a.weight"] == storages["c.weight"] == "a.weight"
    assert storages["other.weight"] == "other.weight"
    trained = {w.path: w.requires_grad for w in read_exported(program).weights}
    assert trained["a.weight"]
    assert not trained["frozen"]
    assert not trained["buffer"]
    saved, live = both(program, tmp_path)
    assert saved.calls == live.calls
    if device == "meta":  # the archive does not say what is tied, but only one of the two is read
        assert len({w.storage for w in saved.weights}) == len(saved.weights)
        read = {ref for call in saved.calls for ref in call.arguments.values()}
        assert len({("p_a_weight",), ("p_c_weight",)} & read) == 1
    else:
        assert_equal(saved, live)


def test_numbers_of_data_keep_their_dependency() -> None:
    class Scaled(torch.nn.Module):
        def forward(self, x: Any, y: Any) -> Any:
            return y * x.sum().item()

    program = read_exported(exported(Scaled(), (torch.ones(3), torch.ones(3))))
    assert program.calls[-1].arguments["other"] == ("sum_1",)


def test_shapes_of_data_are_refused() -> None:
    class Nonzero(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            return x.nonzero() + 1

    with pytest.raises(PlannerError, match="depends on data") as caught:
        planner.load(Nonzero(), [torch.ones(2, 3)])
    assert caught.value.code == "PLN205"
    assert "test_torch_export_live.py:" in caught.value.message


@pytest.mark.parametrize(
    "inputs",
    [
        [torch.ones(2, 4)],
        (torch.ones(2, 4),),
        {"x": torch.ones(2, 4)},
        ["float32[2,4]"],
        ["x:float32[2,4]"],
        {"x": "float32[2,4]"},
    ],
)
def test_inputs_of_a_module(inputs: Any) -> None:
    summary = planner.load(modules.Tied(), inputs).summary()
    assert (summary["batch"], summary["inputs"]) == (2, ["x"])


def test_inputs_of_an_exported_program() -> None:
    batch = torch.export.Dim("batch", min=1, max=64)
    program = exported(modules.Tied(), (torch.ones(2, 4),), dynamic_shapes=({0: batch},))
    for inputs in (["x:float32[8,4]"], [torch.ones(8, 4)], {"x": "float32[8,4]"}):
        assert planner.load(program, inputs).summary()["batch"] == 8
    assert planner.load(program, batch=8).summary()["batch"] == 8


@pytest.mark.parametrize(
    ("inputs", "code", "text"),
    [
        ([], "PLN115", "`forward` takes `x`"),
        (["float32[2,4]", "float32[2,4]"], "PLN115", "2 inputs are given"),
        (["z:float32[2,4]"], "PLN208", "no input `z`"),
        (["x:float32[2,4]", "x:float32[2,4]"], "PLN115", "specified twice"),
        (["x:float32[2,5]"], "PLN142", "torch_export_modules.py:"),
        (["x:float4e2m1[2,4]"], "PLN115", "no tensors of type `float4e2m1`"),
        (["x"], "PLN115", "no input specification"),
        ("x:float32[2,4]", "PLN117", "expected a list"),
        ([np.ones((2, 4))], "PLN117", "torch.from_numpy"),
        ([f"x:float32[{10**14},{10**14}]"], "PLN115", "cannot be made"),
    ],
)
def test_inputs_that_do_not_fit(inputs: Any, code: str, text: str) -> None:
    with pytest.raises(PlannerError) as caught:
        planner.load(modules.Tied(), inputs)
    assert caught.value.code == code
    assert text in str(caught.value)


def test_inputs_that_an_exported_program_does_not_take() -> None:
    program = exported(modules.Tied(), (torch.ones(2, 4),))
    for inputs, code in (([3], "PLN117"), (["y:float32[2,4]"], "PLN208")):
        with pytest.raises(PlannerError) as caught:
            planner.load(program, inputs)
        assert caught.value.code == code
    with pytest.raises(PlannerError, match="tied"):
        planner.load(program, tied=["*"])


def test_control_flow_on_data_is_refused_with_its_place() -> None:
    with pytest.raises(PlannerError, match=r"torch_export_modules\.py:\d+") as caught:
        planner.load(modules.OnData(), ["float32[2,4]"])
    assert caught.value.code == "PLN142"
    assert "\n" not in caught.value.message


def test_the_module_stays_as_it_was() -> None:
    module = modules.Tied().train()
    before = {name: (p, p.clone()) for name, p in module.named_parameters()}
    export_module(module, ["float32[2,4]"])
    assert module.training
    for name, parameter in module.named_parameters():
        assert parameter is before[name][0]
        assert torch.equal(parameter, before[name][1])
    with torch.no_grad():
        first = planner.load(module, ["float32[2,4]"])
    assert first.digest == planner.load(module, ["float32[2,4]"]).digest
    assert first.digest != planner.load(module.double(), ["float64[2,4]"]).digest


def test_what_is_accepted() -> None:
    module = modules.Tied()
    assert FRONTEND.accepts(module)
    assert FRONTEND.accepts(exported(module, (torch.ones(2, 4),)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(module, torch.ones(2, 4))
        scripted = torch.jit.script(torch.nn.ReLU())
    for other in (traced, scripted, torch.ones(1), 3, "x"):
        assert not FRONTEND.accepts(other)


def test_a_billion_parameters_on_the_meta_device_are_planned_in_little_memory() -> None:
    if not Path("/proc/self/status").is_file():
        pytest.skip("peak memory is read from /proc, which is not here")
    # `ru_maxrss` would begin at what this process holds, which a child inherits.
    code = """
import pathlib, re, torch, planner
from planner.costs.cost_file import check_costs
from tests.support.torch_nets.zoo_llama import Llama, LlamaConfig
with torch.device("meta"):
    module = Llama(LlamaConfig())
graph = planner.load(module, ["input_ids:int64[1,128]"])
assert graph.summary()["trainable_parameters"] == 1_235_814_400
hosts = {"device": "jetson-orin-nx", "server": "a100"}
costs = {
    "kind": "costs",
    "version": 1,
    "hosts": [{"name": n, "model": "analytical", "hardware": h} for n, h in hosts.items()],
    "links": [{"uplink_bps": 1e8, "downlink_bps": 1e8}],
}
assert planner.plan(graph, check_costs(costs, where="costs")).certificate.holds
print(re.search(r"VmHWM:\\s+(\\d+)", pathlib.Path("/proc/self/status").read_text())[1])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) <= 1.5 * 2**20


def test_writes_that_return_nothing_are_warned_of() -> None:
    class Scaled(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x + 1
            torch._foreach_mul_([y], 2.0)
            return y.relu()

    graph = planner.load(Scaled(), ["float32[2,4]"])
    assert any("_foreach_mul_" in warning for warning in graph.warnings)
