"""From a finished graph of the zoo to an ONNX model whose weights lie in another file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx
from onnx import TensorProto, helper

from planner.zoo.graph import Attribute, DType, GraphBuilder, Node, Tensor
from planner.zoo.weights import Placement

OPSET = 17
IR_VERSION = 8
"""Both as old as LayerNormalization allows: the runtimes of a Jetson are years behind."""

_ELEMENT_TYPES: dict[DType, int] = {
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}


def to_onnx(
    graph: GraphBuilder,
    name: str,
    *,
    description: str,
    placements: Sequence[Placement],
    location: str,
) -> onnx.ModelProto:
    """The ONNX model of a graph.

    Args:
        graph: The finished graph.
        name: Of the ONNX graph.
        description: What the model is, for people.
        placements: Where in the weights file each parameter lies.
        location: Name of the weights file, relative to the model's folder.
    """
    renamed = {tensor.name: output for output, tensor in graph.outputs.items()}
    inner = (
        tensor for node in graph.nodes for tensor in node.outputs if tensor.name not in renamed
    )
    proto = helper.make_graph(
        [_node(node, renamed) for node in graph.nodes],
        name,
        _value_infos(graph.inputs),
        [_value_info(output, tensor) for output, tensor in graph.outputs.items()],
        initializer=[
            *(_external(placement, location) for placement in placements),
            *(_inline(item.tensor, item.values) for item in graph.constants),
        ],
        value_info=_value_infos(inner),
        doc_string=description,
    )
    return helper.make_model(
        proto,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="dnn-partition-planner",
    )


def _node(node: Node, renamed: dict[str, str]) -> onnx.NodeProto:
    proto = helper.make_node(
        node.op_type,
        [renamed.get(tensor.name, tensor.name) for tensor in node.inputs],
        [renamed.get(tensor.name, tensor.name) for tensor in node.outputs],
        name=node.name,
    )
    proto.attribute.extend(_attribute(key, node.attributes[key]) for key in sorted(node.attributes))
    return proto


def _attribute(key: str, value: Attribute) -> onnx.AttributeProto:
    if key == "value" and isinstance(value, float):
        # Of the ways to state a constant, the only one that every reader of ONNX knows.
        return helper.make_attribute(key, helper.make_tensor("", TensorProto.FLOAT, (), [value]))
    return helper.make_attribute(key, value)


def _value_info(name: str, tensor: Tensor) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, _ELEMENT_TYPES[tensor.dtype], tensor.shape)


def _value_infos(tensors: Iterable[Tensor]) -> list[onnx.ValueInfoProto]:
    return [_value_info(tensor.name, tensor) for tensor in tensors]


def _inline(tensor: Tensor, values: Sequence[int]) -> TensorProto:
    return helper.make_tensor(tensor.name, _ELEMENT_TYPES[tensor.dtype], tensor.shape, values)


def _external(placement: Placement, location: str) -> TensorProto:
    parameter = placement.parameter
    proto = TensorProto(
        name=parameter.name,
        data_type=TensorProto.FLOAT,
        dims=parameter.shape,
        data_location=TensorProto.EXTERNAL,
    )
    for key, value in (
        ("location", location),
        ("offset", str(placement.offset)),
        ("length", str(placement.n_bytes)),
    ):
        proto.external_data.add(key=key, value=value)
    return proto
