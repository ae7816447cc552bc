"""What a frontend hands out so that a model can be run: files with and without training form.

A frontend that can do so has a method `runnable`; see `RunnableFrontend`. Names are those of the
graph that the same frontend makes of the same file.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from planner.drafts.frontend import LoadOptions
from planner.graphs.operators import Shape

Array: TypeAlias = npt.NDArray[np.generic]
Json: TypeAlias = "int | float | str | bool | Sequence[Json] | Mapping[str, Json] | None"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnableInput:
    """An input to be fed; whole numbers are drawn from `low` to below `high`."""

    name: str
    dtype: str
    shape: Shape
    low: int | None = None
    high: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnableWeight:
    """A weight without values: whoever runs the model makes them up."""

    name: str
    dtype: str
    shape: Shape


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnableNode:
    """A node of the ONNX file; `inputs` and `outputs` hold "" where an optional one is left out.

    `captured` are tensors that its bodies (If, Loop, Scan) read.
    """

    name: str
    op: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    captured: tuple[str, ...]
    attributes: Mapping[str, Json]
    is_floating: bool


class RunnableModel(Protocol):
    """A model in ONNX, without its weights.

    Attributes:
        inputs: All that have to be fed.
        outputs: Names of the outputs.
        weights: Initializers that the files lack.
        constants: Other initializers, and results of Constant nodes, by name.
        nodes: In a topological order.
        opset: Of the default operator set.
        is_training_export: Whether the file is in training form itself.
        inference: The ONNX file as it is deployed; None if it is in training form.
        training: The same with BatchNormalization and Dropout in training form; None if there is
            no such form.
        notes: What a person should know, in sentences.
    """

    @property
    def inputs(self) -> Sequence[RunnableInput]: ...
    @property
    def outputs(self) -> Sequence[str]: ...
    @property
    def weights(self) -> Sequence[RunnableWeight]: ...
    @property
    def constants(self) -> Mapping[str, Array]: ...
    @property
    def nodes(self) -> Sequence[RunnableNode]: ...
    @property
    def opset(self) -> int: ...
    @property
    def is_training_export(self) -> bool: ...
    @property
    def inference(self) -> bytes | None: ...
    @property
    def training(self) -> bytes | None: ...
    @property
    def notes(self) -> Sequence[str]: ...

    def part(self, names: Collection[str]) -> bytes:
        """The nodes of these names as an ONNX file of their own.

        Raises:
            PlannerError: If a type at its boundary is not known.
        """


@runtime_checkable
class RunnableFrontend(Protocol):
    """A frontend whose models can be run."""

    def runnable(
        self, data: bytes | Path, *, where: str, options: LoadOptions, max_opset: int | None = None
    ) -> RunnableModel:
        """The model in a form that onnxruntime can run, at `options.batch`.

        Args:
            data: The file's path, or its content.
            where: What messages call the file.
            options: What the user says about the model.
            max_opset: Newest operator set allowed; newer models are converted down.

        Raises:
            PlannerError: PLN605 if it cannot be had, PLN608 if the batch cannot be set.
        """
