"""Model inputs in a costs file: where each is produced, and what type and shape it has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue, model_validator

from planner.files.documents import WHOLE, Items, StrictModel, one_of_keys
from planner.graphs.dtypes import BITS

Name = Annotated[str, Field(min_length=1)]
Dimension = Annotated[int, Field(ge=1, le=2**31), WHOLE]
if TYPE_CHECKING:
    Dtype = str
else:
    Dtype = Literal[tuple(BITS)]

_NONE: dict[str, JsonValue] = {"type": "null"}


class InputEntry(StrictModel):
    """A model input: the host that produces it, what type and shape it has, or both."""

    model_config = ConfigDict(
        json_schema_extra={
            "allOf": [
                one_of_keys(["host"], ["dtype", "shape"]),
                {"anyOf": [
                    one_of_keys(["dtype", "shape"]),
                    {"properties": {"dtype": _NONE, "shape": _NONE}},
                ]},
            ]
        }
    )  # fmt: skip

    name: Name
    host: Name | None = None
    dtype: Dtype | None = None
    shape: Items[Dimension] | None = None

    @model_validator(mode="after")
    def _says_something(self) -> InputEntry:
        if (self.dtype is None) != (self.shape is None):
            given, other = ("shape", "dtype") if self.dtype is None else ("dtype", "shape")
            raise ValueError(f"`{self.name}` has a `{given}` but no `{other}`")
        if self.host is None and self.dtype is None:
            raise ValueError(f"`{self.name}` needs a `host`, or `dtype` and `shape`")
        return self

    @property
    def spec(self) -> str | None:
        """Type and shape as `planner.load` takes them; None if they are not given."""
        if self.shape is None:
            return None
        return f"{self.name}:{self.dtype}[{','.join(map(str, self.shape))}]"
