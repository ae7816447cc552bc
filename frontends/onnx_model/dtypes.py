"""Element types by their number in ONNX."""

from __future__ import annotations

import onnx

from planner.graphs.dtypes import BITS

_ODD_NAMES = {"FLOAT": "float32", "DOUBLE": "float64"}
DTYPES: dict[int, str] = {
    code: name
    for label, code in onnx.TensorProto.DataType.items()
    if (name := _ODD_NAMES.get(label, label.lower())) in BITS
}
"""Names of the element types by their number in ONNX; strings are not among them."""
