"""The graph spec, `graph.v1`: a model written by hand or by another tool."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue, model_validator

from planner.files.documents import WHOLE, Items, StrictModel, one_of_keys
from planner.graphs.dtypes import BITS, size_in_bytes

Name = Annotated[str, Field(min_length=1)]
Dimension = Annotated[int, Field(ge=0, le=2**53), WHOLE]
ByteCount = Annotated[int, Field(ge=0, le=2**53), WHOLE]
if TYPE_CHECKING:
    Dtype = str
else:
    Dtype = Literal[tuple(BITS)]


class SizedEntry(StrictModel):
    """Something with a size: `dtype` and `shape`, or `bytes`, or all three if they agree."""

    model_config = ConfigDict(json_schema_extra=one_of_keys(["bytes"], ["dtype", "shape"]))

    name: Name
    dtype: Dtype | None = None
    shape: Items[Dimension] | None = None
    size_bytes: Annotated[ByteCount | None, Field(alias="bytes")] = None

    @model_validator(mode="after")
    def _has_one_size(self) -> SizedEntry:
        if self.shape is None:
            if self.size_bytes is None:
                raise ValueError(f"`{self.name}` needs `dtype` and `shape`, or `bytes`")
            return self
        if self.dtype is None:
            if self.size_bytes is None:
                raise ValueError(f"`{self.name}` has a `shape` but neither `dtype` nor `bytes`")
            return self
        computed = size_in_bytes(self.dtype, self.shape)
        if computed > 2**53:
            raise ValueError(f"`{self.name}` has {computed} bytes, expected at most 2^53")
        if self.size_bytes is not None and self.size_bytes != computed:
            raise ValueError(
                f"`{self.name}` gives {self.size_bytes} `bytes`, "
                f"but its `dtype` and `shape` make {computed}"
            )
        return self

    @property
    def n_bytes(self) -> int:
        """The size, however it was given."""
        if self.size_bytes is not None:
            return self.size_bytes
        if self.dtype is None or self.shape is None:
            raise ValueError("checked when read: a size is always given")
        return size_in_bytes(self.dtype, self.shape)


class TensorEntry(SizedEntry):
    """A graph input, or an output of a node."""

    requires_grad: bool | None = None


class ParameterEntry(SizedEntry):
    """A weight or a buffer."""

    trainable: bool = True


class NodeEntry(StrictModel):
    """One operator."""

    name: Name
    op: Name
    inputs: Items[Name] = ()
    parameters: Items[Name] = ()
    parameter_bytes: ByteCount | None = None
    attributes: dict[str, JsonValue] = Field(default_factory=dict)
    outputs: Annotated[Items[TensorEntry], Field(min_length=1)]
    forward_flops: Annotated[float, Field(ge=0, le=1e30)] | None = None


class GraphFile(StrictModel):
    """A graph spec. The order of `nodes` is free."""

    kind: Literal["graph"]
    version: Annotated[Literal[1], WHOLE]
    name: str = "graph"
    inputs: Items[TensorEntry] = ()
    outputs: Annotated[Items[Name], Field(min_length=1)]
    parameters: Items[ParameterEntry] = ()
    nodes: Annotated[Items[NodeEntry], Field(min_length=1)]
