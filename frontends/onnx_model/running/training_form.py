"""BatchNormalization and Dropout as they are in training."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.numpy_helper
import onnx.version_converter

from planner.frontends.onnx_model.reading import opset_version

_NORMALISING = "BatchNormalization"
_FLAG = "planner#training"
_FIRST_OPSET = 14
"""From here on both have a training mode that is an attribute or an input."""


def training_form(model: onnx.ModelProto) -> onnx.ModelProto | None:
    """A copy of `model` in training mode; itself if nothing is different there.

    Returns:
        None if the operator set is too old and the model cannot be converted.
    """
    graph = model.graph
    affected = [node for node in graph.node if _is_affected(node)]
    if not affected:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    if opset_version(model) < _FIRST_OPSET:
        try:
            copy = onnx.version_converter.convert_version(copy, _FIRST_OPSET)
        except (RuntimeError, ValueError, onnx.version_converter.ConvertError):
            return None
    needs_flag = False
    for node in copy.graph.node:
        if not _is_affected(node):
            continue
        if node.op_type == _NORMALISING:
            _normalise_in_training(node)
        else:
            needs_flag = True
            node.input.extend([""] * (2 - len(node.input)))
            del node.input[2:]
            node.input.append(_FLAG)
    if needs_flag:
        flag = onnx.numpy_helper.from_array(np.array(True), _FLAG)
        copy.graph.initializer.append(flag)
    return copy


def _is_affected(node: onnx.NodeProto) -> bool:
    return node.op_type in (_NORMALISING, "Dropout") and node.domain in ("", "ai.onnx")


def _normalise_in_training(node: onnx.NodeProto) -> None:
    kept = [a for a in node.attribute if a.name not in ("training_mode", "spatial")]
    del node.attribute[:]
    node.attribute.extend(kept)
    node.attribute.append(onnx.helper.make_attribute("training_mode", 1))
    outputs = [name for name in node.output if name][:3]
    outputs += [f"{node.output[0]}#{what}" for what in ("mean", "variance")][len(outputs) - 1 :]
    del node.output[:]
    node.output.extend(outputs)
