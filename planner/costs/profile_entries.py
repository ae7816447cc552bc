"""Where a costs file names a profile: its path, or all of it. Profiles' types are loaded late."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel
from pydantic_core import PydanticCustomError, core_schema

from planner.errors import PlannerError

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

    from planner.costs.profile_file import Profile


class ProfileOrPath:
    """How such a value is checked: building the types of profiles takes a while."""

    def late_model(self) -> type[BaseModel]:
        """What an object here is checked against."""
        from planner.costs.profile_file import Profile

        return Profile

    def _check(self, value: object) -> object:
        if isinstance(value, str) and value:
            return value
        model = self.late_model()
        if isinstance(value, model | dict):
            return model.model_validate(value)
        raise PydanticCustomError("profile_type", "a path or a profile")

    def __get_pydantic_core_schema__(self, source: object, handler: object) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._check)

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        model = self.late_model()
        model.model_rebuild()
        path: JsonSchemaValue = {"type": "string", "minLength": 1}
        return {"anyOf": [path, handler(model.__pydantic_core_schema__)]}


if TYPE_CHECKING:
    ProfileEntry = str | Profile
else:
    ProfileEntry = Annotated[Any, ProfileOrPath()]


def settled(entry: ProfileEntry, place: str, folder: Path) -> Profile:
    """The profile that is meant, knowing where it is from.

    Args:
        entry: A path or a profile.
        place: Where it is named: file and pointer.
        folder: Where relative paths start.

    Raises:
        PlannerError: With every problem of the profile.
    """
    from planner.costs.profile_file import read_profile, settle

    if isinstance(entry, str):
        with _named_at(place, str(folder / entry)):
            return read_profile(folder / entry)
    if not entry.is_settled:
        settle(entry, place)
    return entry


@contextmanager
def _named_at(place: str, path: str) -> Iterator[None]:
    """Errors about a file as a whole also say where it is named."""
    try:
        yield
    except PlannerError as error:
        for problem in error.problems:
            if problem.where == path:
                problem.message = f"profile `{path}`: {problem.message}"
                problem.where = place
        raise
