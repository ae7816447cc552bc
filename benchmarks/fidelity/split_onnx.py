"""Halves of an ONNX model in onnxruntime, and what crosses between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from benchmarks.fidelity.split_link import Array
from benchmarks.fidelity.split_run import Cut, Spec
from planner.frontends.onnx_model.running.parts import extract_part, named_nodes

LEVELS = {
    "disabled": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


@dataclass(frozen=True, kw_only=True)
class HostSettings:
    """How a host runs what it is given: on one thread, at this optimisation level."""

    core: int
    optimization: str


@dataclass(frozen=True, kw_only=True)
class SessionPlan:
    """A half as its host has to load it.

    Attributes:
        file: The model; None if nothing is computed here.
        optimization: A key of `LEVELS`.
        feeds: What it reads that is neither received nor computed: the input of the model.
        receives: Names of what is received, in order.
        sends: Names of what is sent, in order.
        returns: Names of the model's outputs that are computed here.
    """

    file: Path | None
    optimization: str
    feeds: Mapping[str, Array] = field(default_factory=dict)
    receives: tuple[str, ...] = ()
    sends: tuple[str, ...] = ()
    returns: tuple[str, ...] = ()


class OnnxHalf:
    """A half in onnxruntime; satisfies `split_run.Half`."""

    def __init__(self, plan: SessionPlan) -> None:
        import onnxruntime  # in the host's process only

        self._plan = plan
        self._returned: list[Array] = []
        self._session = None
        if plan.file is not None:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = options.inter_op_num_threads = 1
            level = LEVELS[plan.optimization]
            options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
            options.log_severity_level = 3
            providers = ["CPUExecutionProvider"]
            self._session = onnxruntime.InferenceSession(str(plan.file), options, providers)
            self._inputs = {item.name for item in self._session.get_inputs()}
            self._outputs = [item.name for item in self._session.get_outputs()]

    def start(self, received: Sequence[Array]) -> Sequence[Array]:
        """Compute what crosses, and the outputs."""
        plan = self._plan
        values = dict(plan.feeds) | dict(zip(plan.receives, received, strict=True))
        if self._session is not None:
            feeds = {name: array for name, array in values.items() if name in self._inputs}
            values |= dict(zip(self._outputs, self._session.run(None, feeds), strict=True))
        self._returned = [values[name] for name in plan.returns]
        return [values[name] for name in plan.sends]

    def finish(self, received: Sequence[Array]) -> None:
        """Nothing: inference has no way back."""

    def result(self) -> dict[str, Array]:
        """The outputs that are computed here."""
        return dict(zip(self._plan.returns, self._returned, strict=True))


def inference_cut(
    name: str,
    model: onnx.ModelProto,
    on_device: frozenset[str],
    *,
    folder: Path,
    feeds: Mapping[str, Array],
    levels: tuple[str, str],
) -> Cut:
    """Write both halves of a cut into `folder`, where the weights of the model are.

    Args:
        name: Of the cut; the files are called after it.
        model: With the types of all tensors.
        on_device: Names of the operators before the cut.
        folder: Where the weights are that the model names.
        feeds: The model's inputs.
        levels: Optimisation levels of the device and the server.
    """
    rest = [node.name for node in named_nodes(model) if node.name not in on_device]
    first, second = extract_part(model, on_device), extract_part(model, rest)
    crossing = tuple(value.name for value in second.graph.input)
    returned = [value.name for value in model.graph.output]
    made_first = {value.name for value in first.graph.output}
    made_second = {value.name for value in second.graph.output}
    device = SessionPlan(
        file=_written(first, folder / f"{name}.device.onnx"),
        optimization=levels[0],
        feeds=feeds,
        sends=crossing if second.graph.node else (),
        returns=tuple(n for n in returned if n in made_first and n not in made_second),
    )
    server = SessionPlan(
        file=_written(second, folder / f"{name}.server.onnx"),
        optimization=levels[1],
        receives=crossing,
        returns=tuple(n for n in returned if n in made_second),
    )
    return Cut(
        name=name,
        device=partial(OnnxHalf, device),
        server=partial(OnnxHalf, server) if second.graph.node else None,
        up=tuple(_spec(value) for value in second.graph.input) if second.graph.node else (),
    )


def _written(part: onnx.ModelProto, path: Path) -> Path | None:
    if not part.graph.node:
        return None
    path.write_bytes(part.SerializeToString())
    return path


def _spec(value: onnx.ValueInfoProto) -> Spec:
    kind = value.type.tensor_type
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(kind.elem_type))
    return dtype.str, tuple(dim.dim_value for dim in kind.shape.dim)
