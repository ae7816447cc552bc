"""Older operator sets, for the older runtimes of devices."""

from __future__ import annotations

import onnx
import onnx.defs
import onnx.helper
import onnx.version_converter

from planner.errors import MeasuringError, shorten
from planner.frontends.onnx_model.reading import opset_version
from planner.frontends.onnx_model.types import Knowledge

_HIDDEN = "planner.hidden"
"""A domain that the converter knows nothing of, and so leaves alone."""


def convert_down(
    model: onnx.ModelProto, known: Knowledge, max_opset: int, *, where: str
) -> onnx.ModelProto:
    """`model` in an operator set of at most `max_opset`; operators keep their names.

    Raises:
        MeasuringError: PLN605 with the operator that has no older form.
    """
    opset = opset_version(model)
    if opset <= max_opset:
        return model
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    hidden = _prepare(copy, known, max_opset)
    try:
        converted = onnx.version_converter.convert_version(copy, max_opset)
    except (RuntimeError, ValueError, onnx.version_converter.ConvertError) as error:
        line = (str(error).splitlines() or ["no reason given"])[0]
        reason = shorten(line.rpartition("` failed: ")[2], 300)  # less the place in onnx's source
        raise MeasuringError(
            f"opset {opset} cannot be converted to {max_opset}: {reason}",
            code="PLN605",
            where=where,
            hint=f"export the model with opset {max_opset}, or allow a newer one with `--opset`",
        ) from error
    for node in converted.graph.node:
        if node.domain == _HIDDEN:
            node.op_type, node.domain = hidden[node.op_type]
    _drop_newer_attributes(converted, opset, max_opset, where)
    kept = [entry for entry in converted.opset_import if entry.domain != _HIDDEN]
    del converted.opset_import[:]
    converted.opset_import.extend(kept)
    return converted


def _drop_newer_attributes(model: onnx.ModelProto, opset: int, max_opset: int, where: str) -> None:
    """Leave out attributes that say what is a matter of course in the older operator set.

    Raises:
        MeasuringError: PLN605 if one says something else.
    """
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or not node.attribute:
            continue
        try:
            older = onnx.defs.get_schema(node.op_type, max_opset).attributes
            newer = onnx.defs.get_schema(node.op_type, opset).attributes
        except onnx.defs.SchemaError:
            continue
        for attribute in [a for a in node.attribute if a.name not in older]:
            default = newer[attribute.name].default_value if attribute.name in newer else None
            if default is None or onnx.helper.get_attribute_value(
                attribute
            ) != onnx.helper.get_attribute_value(default):
                raise MeasuringError(
                    f"`{attribute.name}` of `{node.name}` ({node.op_type}) is newer than opset "
                    f"{max_opset}",
                    code="PLN605",
                    where=where,
                    hint=f"export the model with opset {max_opset}",
                )
            node.attribute.remove(attribute)


def lower_ir_version(model: onnx.ModelProto) -> None:
    """Say the oldest file version that has everything in it: runtimes refuse newer ones."""
    needed = onnx.helper.find_min_ir_version_for(
        [entry for entry in model.opset_import if entry.domain in ("", "ai.onnx")],
        ignore_unknown=True,
    )
    model.ir_version = min(model.ir_version, max(needed, 8))


def _prepare(model: onnx.ModelProto, known: Knowledge, target: int) -> dict[str, tuple[str, str]]:
    """Rewrite what the converter cannot, and hide it; returns what to restore."""
    hidden: dict[str, tuple[str, str]] = {}
    contrib = False
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx"):
            continue
        if node.op_type == "Split" and target < 18:
            _split_explicitly(model, node, known)
            hidden["Split"] = ("Split", node.domain)
            node.domain = _HIDDEN
        elif node.op_type == "Gelu" and target < 20:
            # The same kernel, by its name of before.
            is_tanh = any(a.name == "approximate" and a.s == b"tanh" for a in node.attribute)
            node.op_type, node.domain = ("FastGelu" if is_tanh else "Gelu"), "com.microsoft"
            del node.attribute[:]
            contrib = True
    if hidden:
        model.opset_import.add(domain=_HIDDEN, version=1)
    if contrib and all(entry.domain != "com.microsoft" for entry in model.opset_import):
        model.opset_import.add(domain="com.microsoft", version=1)
    return hidden


def _split_explicitly(model: onnx.ModelProto, node: onnx.NodeProto, known: Knowledge) -> None:
    """Give the sizes of the parts instead of their number."""
    kept = [attribute for attribute in node.attribute if attribute.name != "num_outputs"]
    if len(kept) == len(node.attribute):
        return
    axis = next((a.i for a in kept if a.name == "axis"), 0)
    shapes = [known.shape(name) for name in node.output]
    if all(shape is not None for shape in shapes):
        name = f"{node.output[0]}#sizes"
        sizes = [shape[axis] for shape in shapes if shape is not None]
        model.graph.initializer.append(
            onnx.helper.make_tensor(name, onnx.TensorProto.INT64, [len(sizes)], sizes)
        )
        node.input.append(name)
    del node.attribute[:]
    node.attribute.extend(kept)
