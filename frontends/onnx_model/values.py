"""Values that the planner looks into: small constants, and names that tell equal ones apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from planner.frontends.onnx_model.nodes import Node
from planner.frontends.onnx_model.tensors import DTYPES
from planner.graphs.dtypes import count_elements

Array: TypeAlias = npt.NDArray[np.generic]

MAX_ELEMENTS = 2**16
"""Values above this are never computed nor looked at; shapes and indices are far below."""


def tensor_value(tensor: onnx.TensorProto) -> Array | None:
    """The values of a small tensor that are in the file, else None."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL or tensor.data_type not in DTYPES:
        return None
    shape = tuple(tensor.dims)
    # A dimension may be huge beside one of 0: numpy refuses that, or tries.
    if any(not 0 <= d <= MAX_ELEMENTS for d in shape) or count_elements(shape) > MAX_ELEMENTS:
        return None
    try:
        return numpy_helper.to_array(tensor)
    except (ValueError, TypeError, OverflowError):  # fewer or more values than its shape says
        return None


def constant_value(node: Node) -> Array | None:
    """The value of a `Constant` operator if it is small and in the file."""
    for attribute in node.proto.attribute:
        match attribute.name:
            case "value":
                return tensor_value(attribute.t)
            case "value_int":
                return np.array(attribute.i, np.int64)
            case "value_ints" if len(attribute.ints) <= MAX_ELEMENTS:
                return np.array(attribute.ints, np.int64)
            case "value_float":
                return np.array(attribute.f, np.float32)
            case "value_floats" if len(attribute.floats) <= MAX_ELEMENTS:
                return np.array(attribute.floats, np.float32)
    return None


def array_name(array: Array) -> str:
    """A name that two arrays share iff type, shape and bytes are equal."""
    return f"{array.dtype}{list(array.shape)}#{hashlib.sha256(array.tobytes()).hexdigest()[:32]}"


def opaque_name(tensor: onnx.TensorProto) -> str | None:
    """The same for a tensor that is large or of strings; None if its bytes are not in the file."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return None
    digest = hashlib.sha256(f"{tensor.data_type}{list(tensor.dims)}".encode())
    if tensor.HasField("raw_data"):
        digest.update(tensor.raw_data)
    else:
        unnamed = onnx.TensorProto()
        unnamed.CopyFrom(tensor)
        unnamed.ClearField("name")
        unnamed.ClearField("doc_string")
        digest.update(unnamed.SerializeToString(deterministic=True))
    return f"opaque#{digest.hexdigest()[:32]}"


def computed_name(node: Node, operands: Iterable[str], output: int) -> str:
    """A name for a constant that is not computed: equal iff the computations are equal."""
    text = repr((node.domain, node.op, sorted(node.attributes.items()), list(operands), output))
    return f"computed#{hashlib.sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()[:32]}"


def constant_node_name(node: Node) -> str | None:
    """A name for a `Constant` whose value is not looked into; None if it cannot be compared."""
    for attribute in node.proto.attribute:
        if attribute.name == "value":
            return opaque_name(attribute.t)
    content = b"".join(a.SerializeToString(deterministic=True) for a in node.proto.attribute)
    return f"attribute#{hashlib.sha256(content).hexdigest()[:32]}"
