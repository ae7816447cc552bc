"""ONNX operators run by torch and by onnxruntime, which must give the same results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

ort = pytest.importorskip("onnxruntime")
torch = pytest.importorskip("torch")

from planner.probe.torch_ops.program import Program  # noqa: E402

Arrays = Mapping[str, np.ndarray]
RANDOM = np.random.default_rng(0)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def plain(attribute: onnx.AttributeProto) -> Any:
    """An attribute as a manifest holds it."""
    value = helper.get_attribute_value(attribute)
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        array = numpy_helper.to_array(value)
        return {"dtype": str(array.dtype), "shape": list(array.shape), "values": array.tolist()}
    return list(value) if attribute.type in (attribute.INTS, attribute.FLOATS) else value


def program(model: onnx.ModelProto, inputs: Arrays, **options: Any) -> Program:
    """A model whose initializers are constants; every node is an operator, but for Constants."""
    nodes = [
        {
            "name": node.name or node.output[0],
            "op": node.op_type,
            "domain": node.domain,
            "inputs": list(node.input),
            "outputs": list(node.output),
            "attributes": {a.name: plain(a) for a in node.attribute},
            "operator": None if node.op_type == "Constant" else node.name or node.output[0],
        }
        for node in model.graph.node
    ]
    return Program(
        nodes,
        [value.name for value in model.graph.output],
        inputs=inputs,
        weights={},
        trainable=[],
        constants={t.name: numpy_helper.to_array(t) for t in model.graph.initializer},
        opset=model.opset_import[0].version,
        **{"is_training": False, **options},
    )


def compare(model: onnx.ModelProto, inputs: Arrays, tolerance: float = 2e-5) -> None:
    """Run in both and compare every output."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options)
    names = [value.name for value in model.graph.output]
    expected = session.run(names, dict(inputs))
    with torch.no_grad():
        found = program(model, {k: v.copy() for k, v in inputs.items()}).run()
    for name, value in zip(names, expected, strict=True):
        array = found[name].numpy()
        assert array.shape == value.shape, (name, array.shape, value.shape)
        assert array.dtype == value.dtype, name
        np.testing.assert_allclose(array, value, rtol=tolerance, atol=tolerance, err_msg=name)


def check(
    op: str,
    inputs: Sequence[np.ndarray | None],
    *,
    constants: Sequence[int] = (),
    n_outputs: int = 1,
    n_compared: int | None = None,
    opset: int = 20,
    **attributes: Any,
) -> None:
    """One operator; inputs at the positions in `constants` are initializers."""
    names = [f"x{i}" if value is not None else "" for i, value in enumerate(inputs)]
    arrays = {n: v for n, v in zip(names, inputs, strict=True) if v is not None}
    fixed = {names[i] for i in constants}
    outputs = [f"y{i}" for i in range(n_outputs)]
    node = helper.make_node(op, names, outputs, "node", **attributes)
    code = helper.np_dtype_to_tensor_dtype
    graph = helper.make_graph(
        [node],
        "test",
        [
            helper.make_tensor_value_info(n, code(v.dtype), v.shape)
            for n, v in arrays.items()
            if n not in fixed
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs[:n_compared]],
        [numpy_helper.from_array(arrays[n], n) for n in fixed],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model)
    compare(inferred, {n: v for n, v in arrays.items() if n not in fixed})
