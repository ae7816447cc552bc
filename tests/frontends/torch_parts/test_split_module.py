"""The parts of a split module compute what the whole one does, gradients included."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
from hypothesis import given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from torch import nn  # noqa: E402

import planner  # noqa: E402
from planner.costs.cost_file import Costs, check_costs  # noqa: E402
from planner.errors import PlannerError  # noqa: E402
from planner.graphs.graph import Graph  # noqa: E402
from tests.support.torch_nets.zoo import build, example_inputs  # noqa: E402

TOLERANCE = 1e-6


def costs(pins: dict[str, str], hosts: Sequence[str] = ("device", "server"), **more: Any) -> Costs:
    """Equal hosts and a fast link: what is not pinned goes where that is cheapest."""
    link = {"uplink_bps": 1e9, "downlink_bps": 1e9}
    document = {
        "kind": "costs",
        "version": 1,
        "hosts": [{"name": h, "model": "analytical", "hardware": "jetson-orin-nx"} for h in hosts],
        "links": [link] * (len(hosts) - 1),
        "pins": [{"node": node, "host": host} for node, host in pins.items()],
        **more,
    }
    return check_costs(document, where="costs")


def plan_of(graph: Graph, pins: dict[str, str], **more: Any) -> planner.Plan:
    return planner.plan(graph, costs(pins, **more), baselines=())


def run_whole(module: nn.Module, inputs: Sequence[Any]) -> tuple[Any, dict[str, Any]]:
    torch.manual_seed(3)
    output = module(*inputs)
    loss_of(output).backward()
    found = {n: p.grad.clone() for n, p in module.named_parameters() if p.grad is not None}
    return output, found


def loss_of(output: Any) -> Any:
    outputs = output if isinstance(output, tuple) else (output,)
    return sum((o.float() ** 2).mean() for o in outputs if o.is_floating_point())


def run_parts(parts: Sequence[nn.Module], inputs: Sequence[Any]) -> Any:
    """Forward through all parts, then backward from the last to the first, as hosts would."""
    torch.manual_seed(3)
    given_to: list[tuple[Any, ...]] = []
    made: list[Any] = []
    values = tuple(inputs)
    for part in parts:
        leaves = tuple(
            v.detach().requires_grad_(v.requires_grad) if torch.is_tensor(v) else v for v in values
        )
        given_to.append(leaves)
        output = part(*leaves)
        made.append(output)
        values = output if isinstance(output, tuple) else (output,)
    loss_of(made[-1]).backward()
    for number in range(len(parts) - 2, -1, -1):
        pairs = [
            (sent, leaf.grad)
            for sent, leaf in zip(made[number], given_to[number + 1], strict=True)
            if sent.requires_grad and leaf.grad is not None
        ]
        torch.autograd.backward([sent for sent, _ in pairs], [grad for _, grad in pairs])
    return made[-1]


def check_equal(module: nn.Module, parts: Sequence[nn.Module], inputs: Sequence[Any]) -> None:
    """Outputs, gradients and buffers of the parts are those of the whole module."""
    before = copy.deepcopy(module.state_dict())
    output, gradients = run_whole(module, inputs)
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    module.zero_grad()
    module.load_state_dict(before)
    split_output = run_parts(parts, inputs)
    for mine, theirs in zip(as_tuple(split_output), as_tuple(output), strict=True):
        assert (mine - theirs).abs().max() <= TOLERANCE
    found = {n: p.grad for n, p in module.named_parameters() if p.grad is not None}
    assert found.keys() == gradients.keys()
    for name, gradient in gradients.items():
        assert (found[name] - gradient).abs().max() <= TOLERANCE, name
    for name, buffer in module.named_buffers():
        assert torch.equal(buffer, buffers[name]), name


def as_tuple(output: Any) -> tuple[Any, ...]:
    return output if isinstance(output, tuple) else (output,)


CUTS = {
    # name -> what is on the device and what on the server; between them the solver chooses.
    "resnet18": ({"layer2.0.downsample.0": "device"}, {"layer2.0.conv1": "server"}),
    "googlenet": (
        {"inception4a.branch2.0.conv": "device"},
        {"inception4a.branch2.1.conv": "server", "inception4a.branch1.conv": "server"},
    ),
    "densenet121": ({"transition1.pool": "device"}, {"transition2.conv": "server"}),
    "gpt2": ({"h.1.mlp.c_fc": "device"}, {"h.2.attn.c_proj": "server"}),
}


def inputs_of(name: str) -> tuple[Any, ...]:
    shape = example_inputs(name, batch=2, sequence=4, device="cpu")[0].shape
    torch.manual_seed(2)
    if name != "gpt2":
        shape = (2, 3, 64, 64)
    return (torch.randint(50257, shape),) if name == "gpt2" else (torch.randn(shape),)


@pytest.mark.parametrize("name", CUTS)
def test_parts_of_a_real_network_compute_what_it_does(name: str) -> None:
    torch.manual_seed(1)
    module, inputs = build(name).train(), inputs_of(name)
    graph = planner.load(module, inputs)
    plan = plan_of(graph, {k: v for pins in CUTS[name] for k, v in pins.items()})
    parts = planner.split_module(plan, module, ties="share")
    assert set(plan.placement.values()) == {"device", "server"}
    if name in ("googlenet", "resnet18"):
        assert len(plan.crossing) > 1
    assert [e.tensor for e in plan.crossing] == sorted(
        parts[0].gives, key=[e.tensor for e in plan.crossing].index
    )
    assert parts[1].takes == parts[0].gives
    check_equal(module, parts, inputs)


class Tricky(nn.Module):
    """In-place changes of what crosses, shapes that are only lent, no_grad, several results."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.norm = nn.BatchNorm1d(8)
        self.second = nn.Linear(8, 8)
        self.register_buffer("scale", torch.full((8,), 2.0))

    def forward(self, x: Any) -> tuple[Any, Any]:
        y = self.first(x)
        kept = y * 2
        y.relu_()
        y = self.norm(y)
        y += self.scale
        with torch.no_grad():
            weight = y.sigmoid()
        mask = torch.zeros_like(kept).masked_fill_(x > 0, 1.0)
        z = self.second(y * weight) + kept * mask
        return z.detach().mean(), nn.functional.dropout(z, 0.5, self.training)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), training=st.booleans())
def test_any_placement_of_a_tricky_module_is_computed_right(
    data: st.DataObject, training: bool
) -> None:
    torch.manual_seed(1)
    module, inputs = Tricky().train(training), (torch.randn(4, 8),)
    graph = planner.load(module, inputs)
    names = [operator.name for operator in graph.operators]
    chosen = data.draw(st.sampled_from(names))
    other = data.draw(st.sampled_from(names[names.index(chosen) :]))
    pins = {chosen: "device"} if chosen == other else {chosen: "device", other: "server"}
    try:
        plan = plan_of(graph, pins)
    except PlannerError:
        return  # pinned against the flow of data
    check_equal(module, planner.split_module(plan, module), inputs)


def test_three_hosts_hand_tensors_through() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.c = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, x: Any) -> Any:
            y = self.a(x)
            return self.c(self.b(y).relu()) + y

    module, inputs = Skip(), (torch.randn(2, 4),)
    graph = planner.load(module, inputs)
    pins = {"a": "phone", "b": "edge", "c": "cloud"}
    plan = plan_of(graph, pins, hosts=("phone", "edge", "cloud"))
    parts = planner.split_module(plan, module)
    assert [part.takes for part in parts] == [("x",), ("a",), parts[1].gives]
    assert "a" in parts[2].takes
    check_equal(module, parts, inputs)


def test_parameters_and_buffers_are_those_of_the_module() -> None:
    module, inputs = build("lenet5"), example_inputs("lenet5", device="cpu")
    plan = plan_of(planner.load(module, inputs), {"conv1": "device", "conv2": "server"})
    device, server = planner.split_module(plan, module)
    mine = dict(device.named_parameters()) | dict(server.named_parameters())
    theirs = dict(module.named_parameters())
    assert mine.keys() == theirs.keys()
    assert all(mine[name] is theirs[name] for name in mine)
    optimizer = torch.optim.SGD(module.parameters(), 0.1)
    before = device.get_parameter("conv1.weight").clone()
    loss_of(server(*device(*inputs))).backward()
    optimizer.step()
    assert not torch.equal(before, device.get_parameter("conv1.weight"))


@pytest.mark.parametrize("host", ["device", "server"])
def test_all_on_one_host(host: str) -> None:
    module, inputs = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True)), (torch.randn(2, 4),)
    plan = plan_of(planner.load(module, inputs), {"0": host, "1": host})
    device, server = planner.split_module(plan, module)
    assert torch.equal(server(*device(*inputs)), module(*inputs))
    assert device.gives == server.takes == (("1",) if host == "device" else ("input",))
    assert (device.results, server.results) == ((("1",), ()) if host == "device" else ((), ("1",)))


def test_a_plan_from_an_archive_splits_the_module(tmp_path: Any) -> None:
    module, inputs = build("lenet5").eval(), example_inputs("lenet5", device="cpu")
    exported = torch.export.export(module, inputs, strict=False)
    path = tmp_path / "lenet5.pt2"
    torch.export.save(exported, path)
    plan = plan_of(planner.load(path), {"conv1": "device", "fc1": "server"})
    for parts in (
        planner.split_module(plan, module, inputs),
        planner.split_module(plan, module, ["float32[1,1,32,32]"]),
        planner.split_module(plan, exported),
    ):
        device, server = parts
        assert torch.equal(server(*device(*inputs)), module(*inputs))


def test_results_keep_the_structure_of_the_module() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 4)

        def forward(self, x: Any, y: Any) -> dict[str, Any]:
            z = self.fc(x)
            return {"sum": z + y, "pair": (z, z * 2)}

    module, inputs = Named(), (torch.randn(2, 4), torch.randn(2, 4))
    plan = plan_of(planner.load(module, inputs), {"fc": "server"})
    device, server = planner.split_module(plan, module)
    found, expected = server(*device(*inputs)), module(*inputs)
    assert found.keys() == expected.keys()
    assert torch.equal(found["pair"][1], expected["pair"][1])


def code_of(call: Callable[[], object]) -> str:
    with pytest.raises(PlannerError) as caught:
        call()
    assert caught.value.message
    return caught.value.code


def test_a_tie_across_the_cut_is_refused_unless_it_may_be_shared() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(10, 4)
            self.head = nn.Linear(4, 10, bias=False)
            self.head.weight = self.embed.weight

        def forward(self, x: Any) -> Any:
            return self.head(self.embed(x).tanh())

    module, inputs = Tied(), (torch.randint(10, (2, 3)),)
    plan = plan_of(planner.load(module, inputs), {"embed": "device", "head": "server"})
    assert code_of(lambda: planner.split_module(plan, module)) == "PLN433"
    parts = planner.split_module(plan, module, ties="share")
    assert parts[0].ties == parts[1].ties == ("embed.weight",)
    check_equal(module, parts, inputs)


def test_what_cannot_be_split_is_refused_in_words() -> None:
    module, inputs = nn.Sequential(nn.Linear(4, 4), nn.Dropout()), (torch.randn(2, 4),)
    plan = plan_of(planner.load(module, inputs), {})
    other = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.Tanh())
    assert code_of(lambda: planner.split_module(plan, other, inputs)) == "PLN431"
    assert code_of(lambda: planner.split_module(plan, other)) == "PLN430"
    assert code_of(lambda: planner.split_module(plan, "model.pt")) == "PLN118"
    assert code_of(lambda: planner.split_module(plan, module, ties="add")) == "PLN430"  # type: ignore[arg-type]
    module.eval()
    assert code_of(lambda: planner.split_module(plan, module)) == "PLN430"
    dynamic = torch.export.export(
        module, inputs, dynamic_shapes=({0: torch.export.Dim("batch")},), strict=False
    )
    graph = planner.load(dynamic, batch=2)
    assert code_of(lambda: planner.split_module(plan_of(graph, {}), dynamic)) == "PLN430"


def test_a_view_that_is_changed_in_place_is_refused() -> None:
    class Rows(nn.Module):
        def forward(self, x: Any) -> Any:
            y = x * 2
            y[:, 0] = 1.0
            return y + 1

    module, inputs = Rows(), (torch.randn(2, 4),)
    plan = plan_of(planner.load(module, inputs), {})
    assert code_of(lambda: planner.split_module(plan, module)) == "PLN432"


def test_the_mode_of_a_part_cannot_be_changed() -> None:
    module, inputs = nn.Sequential(nn.Linear(4, 4), nn.Dropout()), (torch.randn(2, 4),)
    parts = planner.split_module(plan_of(planner.load(module, inputs), {}), module)
    assert all(part.training for part in parts)
    with pytest.raises(RuntimeError, match="training mode"):
        parts[1].eval()
