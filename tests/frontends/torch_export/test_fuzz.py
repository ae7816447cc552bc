"""Damaged and hostile `.pt2` archives end in a program or a `PlannerError`, never otherwise."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from planner.drafts.frontend import LoadOptions
from planner.errors import PlannerError
from planner.frontends.torch_export import FRONTEND
from tests.support.torch_nets.torch_export_files import (
    archive,
    model,
    node,
    read,
    size,
    symbol,
    tensor,
    weights,
)

_ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    2**62,
    2**80,
    1.5,
    "",
    "x",
    "Symbol('s0')",
    "2**99999",
    [],
    {},
    [[]],
    {"as_int": 3},
    {"as_none": True},
    {"as_tensor": {"name": "act"}},
    {"as_tensors": [{"name": "x"}]},
    {"as_expr": {"expr_str": "s0/0"}},
    {"as_graph": {"name": "g", "graph": {}}},
]
_OPTIONS = (
    LoadOptions(),
    LoadOptions(batch=4),
    LoadOptions(inputs=("x:float32[4,3]",)),
    LoadOptions(dims={"s0": 4}),
)


def rich_model() -> dict[str, Any]:
    """A model with a symbol, a body that runs in place, a branch and several outputs."""
    document = model(symbol("s0"))
    graph = document["graph_module"]["graph"]
    body = {
        "inputs": [read("a")],
        "outputs": [read("b")],
        "nodes": [node("b", "torch.ops.aten.neg.default", self=read("a"))],
        "tensor_values": {"a": tensor(symbol("s0"), 5), "b": tensor(symbol("s0"), 5)},
        "sym_int_values": {},
    }
    graph_argument = {"as_graph": {"name": "body", "graph": body}}
    wrapped = node("w", "torch.ops.higher_order.wrap_with_set_grad_enabled")
    wrapped["inputs"] = [
        {"name": "", "arg": argument, "kind": 1}
        for argument in ({"as_bool": False}, graph_argument, read("act"))
    ]
    split = node("split", "torch.ops.aten.split.Tensor", self=read("w"), split_size={"as_int": 3})
    split["outputs"] = [{"as_tensors": [{"name": "p"}, {"name": "q"}]}]
    chosen = node("c", "torch.ops.higher_order.cond")
    chosen["inputs"] = [
        {"name": "", "arg": argument, "kind": 1}
        for argument in (read("p"), graph_argument, graph_argument, {"as_tensors": [{"name": "q"}]})
    ]
    graph["nodes"] += [wrapped, split, chosen]
    graph["sym_int_values"] = {"n": size(symbol("s0"))}
    batch = symbol("s0")
    values = {"w": (batch, 5), "p": (batch, 3), "q": (batch, 2), "c": (batch, 2)}
    graph["tensor_values"].update({name: tensor(*sizes) for name, sizes in values.items()})
    return document


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with each of its keys."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        item = todo.pop()
        keys = item.keys() if isinstance(item, dict) else range(len(item))
        for key in list(keys):
            found.append((item, key))
            if isinstance(item[key], (dict, list)):
                todo.append(item[key])
    return found


def load(data: bytes, options: LoadOptions) -> bool:
    """Whether it gave a graph."""
    try:
        FRONTEND.load(data, where="fuzz.pt2", options=options)
    except PlannerError as error:
        return not str(error)
    return True


def test_what_is_damaged_below_is_sound() -> None:
    assert load(archive(rich_model()), LoadOptions(batch=4))


def test_sizes_without_strides_are_refused() -> None:
    document = json.loads(json.dumps(rich_model()))
    values = document["graph_module"]["graph"]["tensor_values"]
    next(v for v in values.values() if len(v["strides"]) > 1)["strides"].pop()
    with pytest.raises(PlannerError, match="strides"):
        FRONTEND.load(archive(document), where="x.pt2", options=LoadOptions(batch=4))


@settings(max_examples=600, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_damaged_documents(data: st.DataObject) -> None:
    documents = [json.loads(json.dumps(rich_model())), json.loads(json.dumps(weights()))]
    for _ in range(data.draw(st.integers(1, 3))):
        document = documents[data.draw(st.sampled_from([0, 0, 0, 0, 1]))]
        found = places(document)
        if not found:
            continue
        container, key = data.draw(st.sampled_from(found))
        if data.draw(st.booleans()):
            container[key] = copy.deepcopy(data.draw(st.sampled_from(_ODD)))
        elif isinstance(container, list) and data.draw(st.booleans()):
            container.append(copy.deepcopy(container[key]))
        else:
            del container[key]
    options = data.draw(st.sampled_from(_OPTIONS))
    load(archive(documents[0], config=documents[1]), options)


@settings(max_examples=300, suppress_health_check=list(HealthCheck), deadline=None)
@given(data=st.data())
def test_damaged_zips(data: st.DataObject) -> None:
    content = bytearray(archive(rich_model()))
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, max(len(content) - 1, 0)))
        match data.draw(st.integers(0, 3)):
            case 0 if content:
                content[place % len(content)] ^= 1 << data.draw(st.integers(0, 7))
            case 1:
                del content[place:]
            case 2:
                del content[place : place + data.draw(st.integers(1, 40))]
            case _:
                content[place:place] = data.draw(st.binary(min_size=1, max_size=8))
    load(bytes(content), LoadOptions(batch=4))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99, 0.9999])
def test_real_archives_that_are_cut_off(shared_models: Path, share: float) -> None:
    content = (shared_models / "resnet18.pt2").read_bytes()
    assert not load(content[: int(len(content) * share)], LoadOptions())


def test_real_archives_with_flipped_bits(shared_models: Path) -> None:
    content = (shared_models / "resnet18.pt2").read_bytes()
    for place in range(0, len(content), len(content) // 150):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        load(bytes(damaged), LoadOptions())
