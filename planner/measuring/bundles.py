"""A model in a folder that the measuring program runs: files, weights to be made up, and names.

The folder holds `manifest.json`, ONNX files without weights and `constants.npz`; the program that
reads it is `planner.probe`, which knows nothing else of the planner.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from planner.costs.cost_table import has_backward
from planner.drafts.frontend import Frontend, LoadOptions
from planner.drafts.loading import frontend_of
from planner.drafts.runnable import (
    Json,
    RunnableFrontend,
    RunnableInput,
    RunnableModel,
    RunnableNode,
)
from planner.errors import GraphError, InputError, MeasuringError, ProblemReport
from planner.graphs.gradients import needs_gradient
from planner.graphs.graph import Graph
from planner.graphs.operators import Operator
from planner.graphs.signatures import (
    gradient_digest,
    model_digest,
    operator_signature,
    output_bytes,
)
from planner.measuring.gradient_models import write_gradient_models
from planner.measuring.loss_models import write_loss_model
from planner.registry import OWN_DISTRIBUTION, tool_version

VERSION = 1
LONG_WAY = 24
"""A tensor that is read this many operators later does not keep a segment from ending."""

Manifest = dict[str, Json]


def write_bundle(
    folder: Path, source: Path, *, options: LoadOptions, max_opset: int | None = None
) -> Manifest:
    """Write a model so that `planner.probe` can run it.

    Args:
        folder: An existing folder; files in it are replaced.
        source: The model.
        options: How it is read, and the batch to measure at.
        max_opset: Newest operator set that the device knows; newer models are converted down.

    Returns:
        The manifest, as in `manifest.json`.

    Raises:
        PlannerError: If the model cannot be read, PLN605 if it cannot be run, PLN608 if its batch
            cannot be set, PLN121 if the folder cannot be written.
    """
    where = str(source)
    frontend = frontend_of(source, where=where)
    if not isinstance(frontend, RunnableFrontend):
        raise MeasuringError(
            f"a model that frontend `{frontend.name}` reads cannot be run",
            code="PLN605",
            where=where,
            hint="measure an ONNX file of the same model",
        )
    graph = frontend.load(source, where=where, options=options)
    try:
        model = frontend.runnable(source, where=where, options=options, max_opset=max_opset)
        if graph.batch_scale != 1:
            graph = _at_batch(frontend, model, graph, options, where)
    except (GraphError, ProblemReport) as error:
        if graph.batch_scale == 1:
            raise
        raise _no_such_batch(options, error.problems[0].message, where) from error
    manifest = _manifest(model, graph)
    try:
        _write_files(folder, model, graph, manifest)
        text = json.dumps(manifest, indent=1, ensure_ascii=False)
        (folder / "manifest.json").write_text(text, encoding="utf-8")
    except OSError as error:
        reason = f"cannot be written: {error.strerror or error}"
        hint = "make room there, or name another folder for temporary files in `TMPDIR`"
        raise InputError(reason, code="PLN121", where=str(folder), hint=hint) from error
    return manifest


def _at_batch(
    frontend: Frontend, model: RunnableModel, scaled: Graph, options: LoadOptions, where: str
) -> Graph:
    """The graph of the file whose batch was rewritten; everything in it has to have followed.

    Raises:
        MeasuringError: PLN608 if something has not.
    """
    plain = replace(options, batch=None, inputs=(), dims={})
    content = model.inference or model.training or b""
    graph = frontend.load(content, where=where, options=plain)
    differing = _differing(graph, scaled)
    if differing:
        raise _no_such_batch(options, differing, where)
    return replace(graph, name=scaled.name)


def _no_such_batch(options: LoadOptions, reason: str, where: str) -> MeasuringError:
    return MeasuringError(
        f"the file is made for another batch than {options.batch}: {reason}",
        code="PLN608",
        where=where,
        hint="export the model with a dynamic batch, or with the one to measure at",
    )


def _differing(graph: Graph, scaled: Graph) -> str | None:
    """The first difference between a graph at a batch and one that was scaled to it."""
    if model_digest(graph) != model_digest(scaled):
        return "its operators are others at that batch"
    statistics = {
        index
        for operator in graph.operators
        if operator.op == "BatchNormalization"
        for index in operator.outputs[1:]
    }
    for index, (mine, wanted) in enumerate(zip(graph.tensors, scaled.tensors, strict=True)):
        if mine.size_bytes != wanted.size_bytes and index not in statistics:
            return f"`{mine.name}` does not follow it"
    return None


def _manifest(model: RunnableModel, graph: Graph) -> Manifest:
    trainable = {p.name.partition("#")[0] for p in graph.parameters if p.trainable}
    names = [node.name for node in model.nodes]
    known = set(names)
    backward = has_backward(graph, needs_gradient(graph))
    returned = set(graph.outputs)
    return {
        "kind": "bundle",
        "version": VERSION,
        "tool": f"{OWN_DISTRIBUTION} {tool_version()}",
        "model": {
            "name": graph.name,
            "digest": model_digest(graph),
            "gradients": gradient_digest(graph),
            "batch": graph.batch,
            "is_training_export": model.is_training_export,
            "opset": model.opset,
        },
        "inputs": [_input(item) for item in model.inputs],
        "weights": [
            {
                "name": item.name,
                "dtype": item.dtype,
                "shape": list(item.shape),
                "trainable": item.name in trainable,
            }
            for item in model.weights
        ],
        "constants": list(model.constants),
        "outputs": list(model.outputs),
        "operators": [
            {
                "name": operator.name,
                "op": operator.op,
                "signature": operator_signature(graph, index),
                "output_bytes": output_bytes(graph, index),
                "has_backward": bool(backward[index]),
                "readers": _readers(graph, operator),
                "is_returned": not returned.isdisjoint(operator.outputs),
            }
            for index, operator in enumerate(graph.operators)
        ],
        "nodes": [
            {
                "name": node.name,
                "op": node.op,
                "domain": node.domain,
                "inputs": list(node.inputs),
                "outputs": list(node.outputs),
                "captured": list(node.captured),
                "attributes": node.attributes,
                "operator": node.name if node.name in graph.operator_index else None,
            }
            for node in model.nodes
        ],
        "gradient_inputs": _gradient_inputs(model.nodes, graph, trainable),
        "notes": list(model.notes),
        "unmeasured": [o.name for o in graph.operators if o.name not in known],
    }


def _readers(graph: Graph, operator: Operator) -> list[Json]:
    """The operators that read what this one computes."""
    found = {reader for t in operator.outputs for reader in graph.tensors[t].consumers}
    return [graph.operators[index].name for index in sorted(found)]


def _input(item: RunnableInput) -> Manifest:
    found: Manifest = {"name": item.name, "dtype": item.dtype, "shape": list(item.shape)}
    if item.low is not None:
        found.update(low=item.low, high=item.high)
    return found


def _gradient_inputs(
    nodes: Sequence[RunnableNode], graph: Graph, trainable: set[str]
) -> dict[str, Json]:
    """Per operator, what it reads and gives a gradient to, weights included."""
    needed = needs_gradient(graph)
    wanted = {
        tensor.name for tensor, is_needed in zip(graph.tensors, needed, strict=True) if is_needed
    }
    wanted |= trainable
    found: dict[str, Json] = {}
    for node in nodes:
        inputs = [name for name in dict.fromkeys(node.inputs) if name in wanted]
        if node.name in graph.operator_index:
            found[node.name] = inputs
        elif inputs and node.is_floating:  # only re-arranges a weight, or is a second copy
            wanted.update(node.outputs)
    return found


def _write_files(folder: Path, model: RunnableModel, graph: Graph, manifest: Manifest) -> None:
    files: dict[str, Json] = {"inference": None, "training": None}
    if model.inference is not None:
        (folder / "inference.onnx").write_bytes(model.inference)
        files["inference"] = "inference.onnx"
    if model.training is not None:
        if model.training == model.inference:
            files["training"] = "inference.onnx"
        else:
            (folder / "training.onnx").write_bytes(model.training)
            files["training"] = "training.onnx"
    files["loss"] = write_loss_model(folder, model, graph)
    files["segments"] = list(_write_segments(folder, model, graph))
    files["gradients"] = list(write_gradient_models(folder, graph))
    manifest["files"] = files
    with zipfile.ZipFile(folder / "constants.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for index, array in enumerate(model.constants.values()):
            if array.dtype.kind in "biufc":
                with archive.open(f"{index}.npy", "w") as file:
                    np.lib.format.write_array(
                        file, np.ascontiguousarray(array).reshape(array.shape)
                    )


def _write_segments(
    folder: Path, model: RunnableModel, graph: Graph
) -> Iterator[Mapping[str, Json]]:
    """The model in consecutive parts; between two of them crosses one tensor."""
    (folder / "segments").mkdir(exist_ok=True)
    owners = _owners(model.nodes, graph)
    for number, names in enumerate(segments_of(graph)):
        chosen = set(names)
        nodes = [name for name, owner in owners.items() if owner in chosen]
        if not nodes:
            continue
        file = f"segments/{number:03}.onnx"
        (folder / file).write_bytes(model.part(nodes))
        yield {"file": file, "operators": list(names)}


def segments_of(graph: Graph) -> list[tuple[str, ...]]:
    """Operators by segment, in graph order.

    A segment ends where all that goes on is one tensor, beside those that go a long way, such as
    masks.
    """
    n_operators = len(graph.operators)
    last_use = [max(tensor.consumers, default=-1) for tensor in graph.tensors]
    for index in graph.outputs:
        last_use[index] = n_operators
    long_way = max(LONG_WAY, n_operators // 10)
    short = [last - t.producer <= long_way for last, t in zip(last_use, graph.tensors, strict=True)]
    segments: list[tuple[str, ...]] = []
    current: list[str] = []
    crossing = {t for t in graph.inputs if short[t]}
    for index, operator in enumerate(graph.operators):
        current.append(operator.name)
        crossing.update(t for t in operator.outputs if short[t])
        crossing = {t for t in crossing if last_use[t] > index}
        if len(crossing) <= 1:
            segments.append(tuple(current))
            current = []
    return [*segments, tuple(current)] if current else segments


def _owners(nodes: Sequence[RunnableNode], graph: Graph) -> dict[str, str]:
    """The operator that each node is measured with: itself, or the first that reads its result."""
    operators = graph.operator_index
    owners: dict[str, str] = {}
    reader: dict[str, str] = {}
    for node in reversed(nodes):
        found = [reader[name] for name in node.outputs if name in reader]
        owner = node.name if node.name in operators else (found[0] if found else None)
        if owner is None:
            continue
        owners[node.name] = owner
        for name in node.inputs:
            if name:
                reader[name] = owner
    return {node.name: owners[node.name] for node in nodes if node.name in owners}
