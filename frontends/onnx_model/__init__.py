"""ONNX files, as exporters really write them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from planner.drafts.frontend import LoadOptions
from planner.errors import InputError, raise_all
from planner.graphs.graph import Graph

if TYPE_CHECKING:
    from planner.drafts.runnable import RunnableModel


class OnnxFrontend:
    """Reads `.onnx` files without their weights; see `planner.drafts.frontend` for the contract."""

    name = "onnx"
    suffixes = (".onnx",)
    requires = ("onnx",)

    def recognizes(self, head: bytes) -> bool:
        """Whether `head` starts like a serialized ModelProto."""
        from planner.frontends.onnx_model.wire import looks_like_model

        return looks_like_model(head)

    def load(self, data: bytes | Path, *, where: str, options: LoadOptions) -> Graph:
        """Read an ONNX model; external data files are never opened.

        Raises:
            PlannerError: With every independent problem of the file.
        """
        if options.shapes not in ("onnx", "onnxruntime"):
            text = f"`{options.shapes}` cannot infer shapes, expected `onnx` or `onnxruntime`"
            raise InputError(text, code="PLN117", where="shapes")
        with _no_collection():
            return _load(data, where, options)

    def runnable(
        self, data: bytes | Path, *, where: str, options: LoadOptions, max_opset: int | None = None
    ) -> RunnableModel:
        """The model without its weights; see `planner.drafts.runnable.RunnableFrontend`."""
        from planner.frontends.onnx_model.running.runnable import make_runnable

        with _no_collection():
            return make_runnable(data, where=where, options=options, max_opset=max_opset)


FRONTEND = OnnxFrontend()


@contextmanager
def _no_collection() -> Iterator[None]:
    """Importing makes millions of objects and no cycles: collecting would cost a third of it."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _load(data: bytes | Path, where: str, options: LoadOptions) -> Graph:
    # onnx is imported here and below only: `planner --help` has no need of it.
    from planner.drafts.assembly import assemble
    from planner.drafts.batches import at_batch
    from planner.frontends.onnx_model.dims import bind_dimensions
    from planner.frontends.onnx_model.draft import build_draft, check_sized
    from planner.frontends.onnx_model.nodes import read_nodes
    from planner.frontends.onnx_model.parameters import classify, freeze, read_initializers
    from planner.frontends.onnx_model.reading import opset_version, read_model
    from planner.frontends.onnx_model.shapes import check_consistency, infer
    from planner.frontends.onnx_model.tensors import TensorChecker
    from planner.frontends.onnx_model.ties import TieSeparator
    from planner.frontends.onnx_model.values import tensor_value

    model, digest = read_model(data, where=where, options=options)
    opset = opset_version(model)
    checker = TensorChecker(where)
    initializers = read_initializers(model.graph, checker, where=where)
    nodes, notes = read_nodes(model.graph, initializers, checker, where=where)
    raise_all(checker.problems)
    binding = bind_dimensions(model, options, where=where)
    outputs = [value.name for value in model.graph.output]
    weights = classify(initializers, nodes, outputs)
    constants = {}
    for name, item in weights.constants.items():
        value = tensor_value(item.proto) if item.proto is not None else None
        if value is not None:
            constants[name] = value
    known = infer(model, nodes, initializers.values(), constants, opset=opset, where=where)
    if options.shapes == "onnxruntime":
        from planner.frontends.onnx_model.runtime_shapes import add_runtime_shapes

        add_runtime_shapes(model, nodes, known, opset=opset, where=where)
    check_consistency(nodes, known, binding, where=where)
    builder = build_draft(model.graph, nodes, known, weights, opset=opset, where=where)
    freeze(builder.parameters, options.frozen)
    draft = builder.draft
    draft.notes[:0] = [*notes, *binding.notes]
    if known.contradicted:
        count, first = len(known.contradicted), known.contradicted[0]
        draft.warnings.append(
            f"the file declares shapes that its operators do not compute ({count}, the first for "
            f"`{first}`): the computed ones are used"
        )
    separate = TieSeparator(tied=options.tied, untied=options.untied)
    graph = assemble(draft, separate_ties=separate, digest=digest)
    check_sized(graph, builder.unsized, where=where)
    return at_batch(graph, options.batch, where=where, is_bound=binding.is_batch_bound)
