"""The fallback for shapes that ONNX's own inference cannot find: ask onnxruntime.

It optimises a copy of the model whose weights are zeros (a sparse file in a temporary folder), and
only the shapes of tensors that survived are taken from the result: its optimiser also removes
Dropout and folds transposed weights, so operators, parameters and ties stay those of the file.
"""

from __future__ import annotations

import importlib.util
import tempfile
from pathlib import Path

import onnx

from planner.errors import GraphError, PlannerError, PluginError
from planner.frontends.onnx_model.evaluation import Evaluator
from planner.frontends.onnx_model.nodes import Node
from planner.frontends.onnx_model.shapes import declare_types, refine, run_inference
from planner.frontends.onnx_model.tensors import DTYPES, graph_tensors
from planner.frontends.onnx_model.types import Knowledge, has_unknown
from planner.graphs.dtypes import size_in_bytes

_WEIGHTS = "weights.bin"


def require_onnxruntime(where: str) -> None:
    """Check, without importing it, that onnxruntime is installed.

    Raises:
        PluginError: PLN302 with the command that installs it.
    """
    try:
        is_installed = importlib.util.find_spec("onnxruntime") is not None
    except ValueError:  # a module without a spec, such as None in sys.modules
        is_installed = False
    if not is_installed:
        raise PluginError(
            "`--shapes onnxruntime` needs `onnxruntime`, which is not installed",
            code="PLN302",
            where=where,
            hint="pip install 'dnn-partition-planner[measure]'",
            exit_code=4,
        )


def add_runtime_shapes(
    model: onnx.ModelProto, nodes: list[Node], known: Knowledge, *, opset: int, where: str
) -> None:
    """Complete `known.types` with what onnxruntime finds out, if anything is missing.

    Raises:
        PlannerError: PLN212 if onnxruntime cannot load the model, PLN302 if it is not installed.
    """
    require_onnxruntime(where)
    if not has_unknown(nodes, known):
        return
    with tempfile.TemporaryDirectory(prefix="planner-shapes-") as folder:
        optimised = _optimised(model, Path(folder), where)
    found = run_inference(optimised, where)
    new = {name: kind for name, kind in found.items() if kind.shape is not None and kind.dtype}
    new = {name: kind for name, kind in new.items() if known.shape(name) is None}
    known.merge(new)
    declare_types(model, new)
    known.merge(run_inference(model, where))
    refine(model, nodes, known, Evaluator(opset), where=where)


def _optimised(model: onnx.ModelProto, folder: Path, where: str) -> onnx.ModelProto:
    """What onnxruntime's basic optimisations make of `model`, weights left out."""
    # Imported here, because it takes long and most users of this frontend do not have it.
    import onnxruntime

    source, result = folder / "model.onnx", folder / "optimised.onnx"
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    _hydrate(copy, folder)
    source.write_bytes(copy.SerializeToString())
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(result)
    options.log_severity_level = 4
    options.add_session_config_entry(
        "session.optimized_model_external_initializers_file_name", "optimised.bin"
    )
    # Its exceptions share no base class, and a model may fail it in any way.
    try:
        onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        return onnx.load(str(result), load_external_data=False)
    except Exception as error:
        raise _refused(error, where) from error


def _refused(error: BaseException, where: str) -> PlannerError:
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    return GraphError(f"onnxruntime cannot load the model: {reason}", code="PLN212", where=where)


def _hydrate(model: onnx.ModelProto, folder: Path) -> None:
    """Give every tensor without values zeros from one sparse file, which takes no disk space."""
    longest = 1
    for tensor in graph_tensors(model.graph):
        if tensor.data_location != onnx.TensorProto.EXTERNAL or tensor.data_type not in DTYPES:
            continue
        length = size_in_bytes(DTYPES[tensor.data_type], tensor.dims)
        longest = max(longest, length)
        del tensor.external_data[:]
        for key, value in (("location", _WEIGHTS), ("offset", "0"), ("length", str(length))):
            tensor.external_data.add(key=key, value=value)
    with (folder / _WEIGHTS).open("wb") as file:
        file.truncate(longest)
