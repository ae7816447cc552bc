"""The model with a loss, from which onnxruntime-training builds the graph of a training step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx.numpy_helper

from planner.drafts.runnable import Json, RunnableModel, RunnableNode
from planner.graphs.graph import Graph

LOSS = "planner#loss"
LEARNING_RATE = 1e-9
"""So small that hundreds of steps change no weight by much."""

_MICROSOFT = "com.microsoft"
_RATE = "planner#rate"
_HIDDEN_OUTPUTS = {"Dropout": 2, "LayerNormalization": 3}
"""How many outputs an operator needs for its gradient, which reads them."""

_CONTROL = frozenset({"If", "Loop", "Scan"})


def write_loss_model(folder: Path, model: RunnableModel, graph: Graph) -> Json:
    """Write the training form with a scalar loss, and the update of the weights.

    The loss is the sum over all elements of all floating-point outputs: gradients of it start as
    ones. Nodes keep their names. The weights that need a gradient are inputs with a default, since
    what changes with every step must not be folded or laid out anew in advance. `update.onnx` holds
    nodes alone: added to the gradient graph, they are one step of gradient descent. Each is called
    `<node>_Grad/update/<weight>` by the first node that reads the weight.

    Args:
        folder: The bundle's.
        model: What to write.
        graph: The same.

    Returns:
        For the manifest: `file`, `update`, `output` (name of the loss) and `weights` (names); None
        where the model has no such form, and nothing is written.
    """
    if model.training is None or any(node.op in _CONTROL for node in model.nodes):
        return None
    proto = onnx.ModelProto.FromString(model.training)
    kinds = {value.name: value.type.tensor_type.elem_type for value in proto.graph.output}
    outputs = [name for name, kind in kinds.items() if kind == onnx.TensorProto.FLOAT]
    readers = _readers(model.nodes, outputs)
    trainable = {p.name.partition("#")[0] for p in graph.parameters if p.trainable}
    weights = [t for t in proto.graph.initializer if t.name in trainable and t.name in readers]
    if not weights or any(t.data_type != onnx.TensorProto.FLOAT for t in weights):
        return None
    if not all([_complete(node) for node in proto.graph.node]):
        return None
    _add_loss(proto, [name for name in outputs if name in _computed(model.nodes, weights)])
    inputs = [onnx.helper.make_tensor_value_info(t.name, t.data_type, t.dims) for t in weights]
    given = {value.name for value in proto.graph.input}
    proto.graph.input.extend(value for value in inputs if value.name not in given)
    (folder / "loss.onnx").write_bytes(proto.SerializeToString())
    update = _update({t.name: readers[t.name] for t in weights})
    (folder / "update.onnx").write_bytes(update.SerializeToString())
    names = [t.name for t in weights]
    return {"file": "loss.onnx", "update": "update.onnx", "output": LOSS, "weights": names}


def _readers(nodes: Sequence[RunnableNode], outputs: Sequence[str]) -> dict[str, str]:
    """By tensor from which `outputs` are computed, the first node that reads it."""
    found = dict.fromkeys(outputs, "")
    for node in reversed(nodes):
        if node.is_floating and any(name in found for name in node.outputs):
            found.update(dict.fromkeys(filter(None, node.inputs), node.name))
    return found


def _computed(nodes: Sequence[RunnableNode], weights: Sequence[onnx.TensorProto]) -> set[str]:
    """The weights and every tensor that depends on one."""
    found = {tensor.name for tensor in weights}
    for node in nodes:
        if node.is_floating and found.intersection(node.inputs):
            found.update(node.outputs)
    return found


def _complete(node: onnx.NodeProto) -> bool:
    """Give a node the outputs that its gradient reads; False if it has no form with a gradient."""
    if node.domain not in ("", "ai.onnx"):
        return True
    name = node.output[0] if node.output else ""
    if node.op_type == "BatchNormalization":
        if not any(a.name == "training_mode" and a.i for a in node.attribute):
            return False
        node.op_type, node.domain = "BatchNormInternal", _MICROSOFT
        node.output.extend([f"{name}#saved_mean", f"{name}#saved_deviation"])
    for index in range(len(node.output), _HIDDEN_OUTPUTS.get(node.op_type, 0)):
        node.output.append(f"{name}#{index}")
    return True


def _add_loss(model: onnx.ModelProto, outputs: Sequence[str]) -> None:
    graph = model.graph
    for name in outputs:
        total = onnx.helper.make_node(
            "ReduceSum", [name], [f"{LOSS}#{name}"], f"{LOSS}#{name}", keepdims=0
        )
        graph.node.append(total)
    totals = [f"{LOSS}#{name}" for name in outputs]
    op = "Identity" if len(totals) == 1 else "Sum"
    graph.node.append(onnx.helper.make_node(op, totals, [LOSS], LOSS))
    del graph.output[:]
    loss = onnx.helper.make_tensor_value_info(LOSS, onnx.TensorProto.FLOAT, [])
    graph.output.append(loss)
    if all(entry.domain != _MICROSOFT for entry in model.opset_import):
        model.opset_import.append(onnx.helper.make_opsetid(_MICROSOFT, 1))


def _update(readers: Mapping[str, str]) -> onnx.ModelProto:
    """Gradient descent on weights, each in the name of the node that reads it."""
    found = onnx.ModelProto()
    for name, reader in readers.items():
        node = onnx.helper.make_node(
            "SGDOptimizer",
            [_RATE, name, f"{name}_grad"],
            [f"{name}#updated"],
            f"{reader}_Grad/update/{name}",
            domain=_MICROSOFT,
        )
        found.graph.node.append(node)
    rate = onnx.numpy_helper.from_array(np.array([LEARNING_RATE], np.float32), _RATE)
    found.graph.initializer.append(rate)
    return found
