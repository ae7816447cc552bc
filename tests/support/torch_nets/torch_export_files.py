"""Small archives of torch.export made by hand: tests of them need no torch."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any

FLOAT32 = 7


def size(value: int | str) -> dict[str, Any]:
    """A size as torch writes it; text is an expression."""
    return {"as_int": value} if isinstance(value, int) else {"as_expr": {"expr_str": value}}


def symbol(name: str) -> str:
    """A symbol as torch writes it."""
    return f"Symbol('{name}', positive=True, integer=True)"


def tensor(*sizes: int | str, dtype: int = FLOAT32, requires_grad: bool = False) -> dict[str, Any]:
    """Type and shape of a tensor; strides do not matter here."""
    return {
        "dtype": dtype,
        "sizes": [size(value) for value in sizes],
        "requires_grad": requires_grad,
        "device": {"type": "cpu", "index": None},
        "strides": [size(1) for _ in sizes],
        "storage_offset": {"as_int": 0},
        "layout": 7,
    }


def read(name: str) -> dict[str, Any]:
    """A tensor argument."""
    return {"as_tensor": {"name": name}}


def node(name: str, target: str, **inputs: Any) -> dict[str, Any]:
    """A node that writes one tensor of its own name; inputs are arguments as torch writes them."""
    return {
        "target": target,
        "inputs": [{"name": key, "arg": value, "kind": 1} for key, value in inputs.items()],
        "outputs": [read(name)],
        "metadata": {
            "nn_module_stack": f"L__self__,,m.Net;L__self__{name},{name},m.Layer",
            "stack_trace": f'  File "/home/user/net.py", line 7, in forward\n    {name}\n',
        },
        "name": name,
    }


def model(batch: int | str = 2) -> dict[str, Any]:
    """`relu(x @ w)`, with a batch that may be a symbol."""
    nodes = [
        node("fc", "torch.ops.aten.linear.default", input=read("x"), weight=read("p_w")),
        node("act", "torch.ops.aten.relu.default", self=read("fc")),
    ]
    graph = {
        "inputs": [read("p_w"), read("x")],
        "outputs": [read("act")],
        "nodes": nodes,
        "tensor_values": {
            "p_w": tensor(5, 3, requires_grad=True),
            "x": tensor(batch, 3),
            "fc": tensor(batch, 5),
            "act": tensor(batch, 5),
        },
        "sym_int_values": {},
        "sym_bool_values": {},
        "sym_float_values": {},
    }
    inputs = [
        {"parameter": {"arg": {"name": "p_w"}, "parameter_name": "fc.weight"}},
        {"user_input": {"arg": read("x")}},
    ]
    module = {
        "graph": graph,
        "signature": {
            "input_specs": inputs,
            "output_specs": [{"user_output": {"arg": read("act")}}],
        },
        "module_call_graph": [{"fqn": "", "signature": {"forward_arg_names": ["x"]}}],
    }
    return {
        "graph_module": module,
        "range_constraints": {"s0": {"min_val": 2, "max_val": 64}} if batch != 2 else {},
        "schema_version": {"major": 8, "minor": 20},
        "torch_version": "2.13.0",
    }


def weights() -> dict[str, Any]:
    """The record of the one weight of `model`."""
    meta = {"path_name": "weight_0", "is_param": True, "tensor_meta": tensor(5, 3)}
    return {"config": {"fc.weight": meta}}


def archive(
    document: object | bytes,
    *,
    config: object | None = None,
    more: Mapping[str, bytes] | None = None,
    compression: int = zipfile.ZIP_DEFLATED,
) -> bytes:
    """A `.pt2` file with this model."""
    entries = {
        "net/data/weights/model_weights_config.json": json.dumps(config or weights()).encode(),
        "net/models/model.json": (
            document if isinstance(document, bytes) else json.dumps(document).encode()
        ),
        "net/archive_format": b"pt2",
        **(more or {}),
    }
    return zipped(entries, compression)


def zipped(entries: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in entries.items():
            file.writestr(name, content)
    return buffer.getvalue()
