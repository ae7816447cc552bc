"""Which initializers are weights, which are buffers, and which are mere constants.

ONNX does not say. A floating-point initializer counts as a trainable weight unless all its readers
use it where no weight goes, as the tables below tell; an integer one is a constant unless it is
read where a quantised weight goes. Reading through Transpose, Reshape, Identity … counts as the
reading of what comes after.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum

import onnx

from planner.drafts.draft import DraftParameter
from planner.errors import GraphError, InputError
from planner.files.globs import matching
from planner.frontends.onnx_model.nodes import Node
from planner.frontends.onnx_model.tensors import DTYPES, TensorChecker
from planner.graphs.dtypes import BITS, count_elements, is_floating, size_in_bytes
from planner.graphs.operations import REARRANGING
from planner.graphs.operators import Shape


class Role(IntEnum):
    """What an initializer is for; where readers differ, the highest wins."""

    CONSTANT = 0
    BUFFER = 1
    WEIGHT = 2


def _positions(role: Role, text: str) -> dict[tuple[str, int], Role]:
    table = {}
    for entry in text.split():
        op, _, numbers = entry.partition(":")
        table.update({(op, int(number)): role for number in numbers.split(",")})
    return table


# Operator:positions of floating-point operands that no optimiser changes.
_NOT_WEIGHTS: dict[tuple[str, int], Role] = {
    **_positions(
        Role.CONSTANT,
        "Clip:1,2 Resize:1,2,3 Upsample:1 Pad:2 Dropout:1 OneHot:1,2 CastLike:1 Range:0,1,2 "
        "Mod:0,1 "
        "NonMaxSuppression:3,4 Equal:0,1 Greater:0,1 GreaterOrEqual:0,1 Less:0,1 LessOrEqual:0,1 "
        "Attention:3 QuantizeLinear:1,2 DequantizeLinear:1,2 QLinearConv:1,2,4,5,6,7 "
        "QLinearMatMul:1,2,4,5,6,7 ConvInteger:2,3 MatMulInteger:2,3 QLinearAdd:1,2,4,5,6,7 "
        "QLinearMul:1,2,4,5,6,7 QGemm:1,2,4,5,7,8 QAttention:3,4,6,7 DynamicQuantizeMatMul:2,3 "
        "MatMulIntegerToFloat:2,3,4,5 QLinearSigmoid:1,2,3,4 QLinearLeakyRelu:1,2,3,4 "
        "QLinearGlobalAveragePool:1,2,3,4 QLinearAveragePool:1,2,3,4 QLinearSoftmax:1,2,3,4",
    ),
    **_positions(
        Role.BUFFER,
        "BatchNormalization:3,4 LSTM:5,6 GRU:5 RNN:5 STFT:2 RotaryEmbedding:1,2,3 "
        "GroupQueryAttention:7,8 MatMulNBits:2,3 MelWeightMatrix:3,4",
    ),
}
_NOT_WEIGHTS_IF_SINGLE = frozenset({("Pow", 1), ("Where", 1), ("Where", 2), ("Max", 1), ("Min", 1)})
_INTEGER_WEIGHTS = _positions(
    Role.WEIGHT,
    "QLinearConv:0,3,8 QLinearMatMul:0,3 ConvInteger:0,1 MatMulInteger:0,1 DequantizeLinear:0 "
    "Gather:0 QGemm:0,3,6 QAttention:1,2",
)


@dataclass(slots=True)
class Initializer:
    """One initializer of the graph; `size_bytes` differs from dense only where it is sparse."""

    name: str
    code: int
    dtype: str | None
    shape: Shape
    size_bytes: int
    proto: onnx.TensorProto | None


@dataclass(slots=True, kw_only=True)
class Parameters:
    """Initializers by what they are: parameters in the order of the file, and constants."""

    parameters: dict[str, DraftParameter] = field(default_factory=dict)
    constants: dict[str, Initializer] = field(default_factory=dict)


def read_initializers(
    graph: onnx.GraphProto, checker: TensorChecker, *, where: str
) -> dict[str, Initializer]:
    """All initializers of `graph` by name; what is wrong with them goes to `checker`."""
    found: dict[str, Initializer] = {}
    for tensor in graph.initializer:
        checker.check(tensor)
        _add(found, checker, tensor.name, tensor.data_type, tuple(tensor.dims), tensor, where)
    for sparse in graph.sparse_initializer:
        values, indices = sparse.values, sparse.indices
        checker.check_all((values, indices))
        if len(values.dims) == 1 and min((*sparse.dims, *values.dims, *indices.dims)) >= 0:
            name = values.name
            _add(found, checker, name, values.data_type, tuple(sparse.dims), None, where)
            if name in found and found[name].dtype is not None:
                stored = size_in_bytes(str(found[name].dtype), values.dims)
                found[name].size_bytes = stored + 8 * count_elements(indices.dims)
        else:
            text = f"sparse initializer `{values.name}` has no valid dimensions"
            checker.problems.append(GraphError(text, code="PLN204", where=where))
    return found


def _add(
    found: dict[str, Initializer],
    checker: TensorChecker,
    name: str,
    code: int,
    shape: Shape,
    proto: onnx.TensorProto | None,
    where: str,
) -> None:
    if not isinstance(name, str):  # what protobuf makes of text that is no UTF-8
        text = "not an ONNX model: a name is no UTF-8"
        checker.problems.append(InputError(text, code="PLN112", where=where))
    elif shape and min(shape) < 0:
        text = f"initializer `{name}` has shape {list(shape)}, expected dimensions >= 0"
        checker.problems.append(GraphError(text, code="PLN204", where=where))
    elif name in found:
        text = f"initializer `{name}` is defined twice"
        checker.problems.append(GraphError(text, code="PLN201", where=where))
    else:
        dtype = DTYPES.get(code)
        size = size_in_bytes(dtype, shape) if dtype else 0
        found[name] = Initializer(name, code, dtype, shape, size, proto)


def classify(
    initializers: Mapping[str, Initializer],
    nodes: Iterable[Node],
    outputs: Iterable[str],
) -> Parameters:
    """Tell weights from buffers from constants.

    Args:
        initializers: What `read_initializers` found.
        nodes: The operators in topological order.
        outputs: Names of the graph's outputs: an initializer among them is a weight.
    """
    roles = _roles(initializers, nodes)
    roles.update((name, Role.WEIGHT) for name in outputs if name in initializers)
    result = Parameters()
    for name, item in initializers.items():
        role = roles.get(name)
        floating = item.dtype is not None and is_floating(item.dtype)
        if item.dtype is None or not item.shape:
            role = Role.CONSTANT
        elif role is None:
            role = Role.WEIGHT if floating else Role.CONSTANT
        if role is Role.CONSTANT:
            result.constants[name] = item
        else:
            result.parameters[name] = DraftParameter(
                name=name,
                size_bytes=item.size_bytes,
                trainable=floating and role is Role.WEIGHT,
                dtype=item.dtype,
                shape=item.shape,
            )
    return result


def freeze(parameters: Mapping[str, DraftParameter], frozen: tuple[str, ...]) -> None:
    """Mark the parameters that a glob matches as not trainable.

    Raises:
        InputError: PLN208 for a glob that matches no parameter.
    """
    for name in matching(frozen, parameters, "frozen"):
        parameters[name].trainable = False


def _roles(initializers: Mapping[str, Initializer], nodes: Iterable[Node]) -> dict[str, Role]:
    """The highest role in which anything reads each initializer."""
    roles: dict[str, Role] = {}
    source = {name: name for name in initializers}
    for node in nodes:
        for position, name in enumerate(node.inputs):
            root = source.get(name)
            if root is None:
                continue
            if position == 0 and node.op in REARRANGING and len(node.outputs) == 1:
                source[node.outputs[0]] = root
                if node.op != "DequantizeLinear":
                    continue
            item = initializers[root]
            role = role_at(node.op, node.domain, position, item.dtype, item.shape)
            if role > roles.get(root, -1):
                roles[root] = role
        for name in node.captured:
            if name in initializers:
                floating = is_floating(initializers[name].dtype)
                roles[name] = Role.WEIGHT if floating else roles.get(name, Role.CONSTANT)
    return roles


def role_at(op: str, domain: str, position: int, dtype: str | None, shape: Shape | None) -> Role:
    """What an initializer is for to an operator that reads it at `position`."""
    key = (op, position)
    if dtype is not None and is_floating(dtype):
        if key in _NOT_WEIGHTS_IF_SINGLE and shape is not None and count_elements(shape) == 1:
            return Role.CONSTANT
        return _NOT_WEIGHTS.get(key, Role.WEIGHT)
    if key in _NOT_WEIGHTS:
        return Role.CONSTANT
    is_narrow = dtype not in (None, "bool") and BITS[str(dtype)] <= 8
    if domain == "com.microsoft" and is_narrow:
        return Role.WEIGHT
    if key not in _INTEGER_WEIGHTS or (op == "Gather" and not is_narrow):
        return Role.CONSTANT
    return Role.WEIGHT
