"""What a frontend is: the whole manual for writing one.

A frontend turns one kind of model file into a `planner.graphs.graph.Graph`. It is an object with
the members of `Frontend`, named by an entry point of the group `planner.frontends`:

    [project.entry-points."planner.frontends"]
    tflite = "my_package.tflite:FRONTEND"

It is chosen by the file's suffix and, where that says nothing, by `recognizes`. The usual course of
`load` is: read the file, fill a `planner.drafts.draft.Draft` in the order of the file, and hand
that to `planner.drafts.assembly.assemble`, which checks it and folds away what is not part of the
problem. So a frontend need not sort, fold constants, merge duplicates or drop dead ends, and every
frontend gives the same graph for the same model.

A frontend imports its framework only inside `load`: listing plug-ins must stay cheap.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from planner.errors import InputError, name_hint
from planner.graphs.dtypes import BITS
from planner.graphs.graph import Graph
from planner.graphs.operators import Shape
from planner.registry import Registry

if TYPE_CHECKING:
    from torch import nn

_SPEC = r"(?s:(?P<name>.+):)?(?P<dtype>[a-z][a-z0-9]*)\[(?P<dims>[^\[\]]*)\]"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadOptions:
    """What the user says about a model beside naming its file.

    A frontend that has no use for an option ignores it, unless ignoring it would change the answer:
    then it raises a `PlannerError`.

    Attributes:
        inputs: Types and shapes of the model's inputs, each in the syntax of `parse_input_spec`, by
            name or by position.
        batch: The batch to plan at; None keeps that of the file.
        dims: Values of named symbolic dimensions.
        frozen: Globs of parameter names that are not trained.
        tied: Globs of parameters that stay one however many operators read them.
        untied: Globs of parameters of which every reader has a copy of its own.
        shapes: Who infers shapes: `onnx`, or `onnxruntime` where that does not suffice.
        torchscript: Whether TorchScript archives may be loaded, which runs code from them.
    """

    inputs: tuple[str, ...] = ()
    batch: int | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    frozen: tuple[str, ...] = ()
    tied: tuple[str, ...] = ()
    untied: tuple[str, ...] = ()
    shapes: str = "onnx"
    torchscript: bool = True

    def fingerprint(self) -> str:
        """What of the options shapes a graph, as a text for its digest."""
        dims = sorted(self.dims.items())
        return repr(
            (self.inputs, self.batch, dims, self.frozen, self.tied, self.untied, self.shapes)
        )


class Frontend(Protocol):
    """A reader of one kind of model file.

    Equal bytes and options give an equal graph and digest, every deliberate error is a
    `PlannerError`, and `load` writes nothing beside the user's files.
    """

    @property
    def name(self) -> str:
        """How the frontend is called on the command line: lower case, `-` between words."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """File suffixes that it reads, each with its dot, lower case."""

    @property
    def requires(self) -> tuple[str, ...]:
        """Top-level modules that it needs; checked, without importing them, before `load`."""

    def recognizes(self, head: bytes) -> bool:
        """Whether a file that starts with `head` (at least 64 bytes, or all of it) looks readable.

        Cheap and without imports; a guess, since `load` finds out.
        """

    def load(self, data: bytes | Path, *, where: str, options: LoadOptions) -> Graph:
        """Read a model.

        Args:
            data: The file's path, or its content.
            where: What messages call the file.
            options: What the user says about the model.

        Returns:
            The graph, planned at `options.batch`. Its `digest` depends on the bytes and on the
            options that shaped it, and on nothing else.

        Raises:
            PlannerError: With every independent problem of the file.
        """


ExampleInputs = Sequence[object] | Mapping[str, object]
"""What the user passes to a model in memory: tensors of its framework, or specifications."""


@runtime_checkable
class LiveFrontend(Protocol):
    """A frontend that also reads models that live in the user's process, such as a torch module."""

    def accepts(self, source: object) -> bool:
        """Whether `source` is such a model; nothing is imported to find out."""

    def load_live(self, source: object, *, inputs: ExampleInputs, options: LoadOptions) -> Graph:
        """Read a model.

        Args:
            source: What `accepts` accepts; it is not changed.
            inputs: Example inputs of the framework, or specifications as in `LoadOptions.inputs`.
            options: What else the user says; its `inputs` are empty.

        Raises:
            PlannerError: If the model cannot be read.
        """


class CrossingTensor(Protocol):
    """What a split must know of one thing that crosses a link: `PlanHead.crossing` has them."""

    @property
    def kind(self) -> str:
        """`tensor` or `labels`."""

    @property
    def tensor(self) -> str:
        """Its name in the graph."""

    @property
    def link(self) -> int:
        """The link, counted from the first host."""

    @property
    def producer(self) -> str | None:
        """The operator that makes it; None for inputs and labels."""


class SplitPlan(Protocol):
    """What a split must know of a plan, and a `Plan` has."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of the hosts, in route order."""

    @property
    def placement(self) -> Mapping[str, str]:
        """Host name of every operator."""

    @property
    def crossing(self) -> Sequence[CrossingTensor]:
        """What crosses the links."""


@runtime_checkable
class SplittingFrontend(LiveFrontend, Protocol):
    """A frontend that can also cut the models that it reads."""

    def split(
        self, source: object, plan: SplitPlan, *, inputs: ExampleInputs | None, shares_ties: bool
    ) -> tuple[nn.Module, ...]:
        """The parts of `source`, one for each host of the plan, in the order of the route."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSpec:
    """One model input as the user describes it; `name` is None where the position says which."""

    name: str | None
    dtype: str
    shape: Shape


def parse_input_spec(text: str) -> InputSpec:
    """Read `name:dtype[d0,d1,…]`, or `dtype[d0,d1,…]` for the input at that position.

    Raises:
        InputError: PLN115 if the syntax, the type or a dimension is wrong.

    >>> parse_input_spec("x:float32[32,3,224,224]")
    InputSpec(name='x', dtype='float32', shape=(32, 3, 224, 224))
    >>> parse_input_spec("int64[1, 128]").name is None
    True
    """
    match = re.fullmatch(_SPEC, text.strip())
    if match is None:
        raise InputError(
            f"`{text}` is no input specification, expected `name:dtype[d0,d1,…]`",
            code="PLN115",
            where="inputs",
            hint="for example `x:float32[32,3,224,224]`",
        )
    if match["dtype"] not in BITS:
        raise InputError(
            f"`{match['dtype']}` in `{text}` is no element type",
            code="PLN115",
            where="inputs",
            hint=name_hint(match["dtype"], BITS, "types"),
        )
    return InputSpec(
        name=match["name"], dtype=match["dtype"], shape=_dimensions(match["dims"], text)
    )


def _dimensions(text: str, spec: str) -> Shape:
    parts = [part.strip() for part in text.split(",")] if text.strip() else []
    if all(part.isascii() and part.isdigit() and 0 < len(part) <= 15 for part in parts):
        shape = tuple(int(part) for part in parts)
        if 0 not in shape:
            return shape
    raise InputError(
        f"the dimensions in `{spec}` are `[{text}]`, expected whole numbers > 0 between commas",
        code="PLN115",
        where="inputs",
    )


FRONTENDS: Registry[Frontend] = Registry(
    "planner.frontends",
    "frontend",
    {
        "onnx": "planner.frontends.onnx_model:FRONTEND",
        "json": "planner.frontends.json_spec:FRONTEND",
        "torch-export": "planner.frontends.torch_export:FRONTEND",
        "torchscript": "planner.frontends.torchscript:FRONTEND",
    },
    "PLN313",
)
