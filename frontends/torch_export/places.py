"""A JSON document whose every value knows its place, so that what is wrong can be pointed at."""

from __future__ import annotations

from collections.abc import Iterator

from planner.errors import InputError, shorten

_MAX_WHOLE = 2**63

_KINDS = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a truth value",
    int: "a whole number",
    float: "a number",
    type(None): "null",
}


class Place:
    """A value in a document of torch.export; every accessor checks the type.

    Args:
        value: What `json.loads` gave.
        where: What messages call the file.
        parent: The place that this one is in; None for the document.
        step: The key or index that leads here from there.
    """

    __slots__ = ("parent", "step", "value", "where")

    def __init__(
        self, value: object, where: str, parent: Place | None = None, step: str | int = ""
    ) -> None:
        self.value = value
        self.where = where
        self.parent = parent
        self.step = step

    def __str__(self) -> str:
        steps: list[str] = []
        place: Place | None = self
        while place is not None and place.parent is not None:
            step = place.step
            if isinstance(step, int):
                steps.append(f"[{step}]")
            elif step.isidentifier():
                steps.append(f".{step}")
            else:
                steps.append(f'["{shorten(step)}"]')
            place = place.parent
        return "".join(reversed(steps)).removeprefix(".") or "the document"

    def error(self, text: str, *, code: str = "PLN140") -> InputError:
        """An error about this place."""
        return InputError(text, code=code, where=f"{self.where}: {self}")

    def expected(self, what: str) -> InputError:
        """The error for a value of the wrong type."""
        kind = _KINDS.get(type(self.value), "something else")
        return self.error(f"is {kind}, expected {what}: the archive is damaged or not torch's")

    def member(self, key: str) -> Place:
        """The value of a key that has to be there."""
        value = self.value
        if not isinstance(value, dict):
            raise self.expected("an object")
        if key not in value:
            raise self.error(f"has no key `{key}`: the archive is damaged or not torch's")
        return Place(value[key], self.where, self, key)

    def optional(self, key: str) -> Place | None:
        """The value of a key, None where it is absent or null."""
        value = self.value
        if not isinstance(value, dict):
            raise self.expected("an object")
        found = value.get(key)
        return None if found is None else Place(found, self.where, self, key)

    def items(self) -> Iterator[Place]:
        """The members of a list."""
        if not isinstance(self.value, list):
            raise self.expected("a list")
        for index, item in enumerate(self.value):
            yield Place(item, self.where, self, index)

    def entries(self) -> Iterator[tuple[str, Place]]:
        """The keys and values of an object."""
        if not isinstance(self.value, dict):
            raise self.expected("an object")
        for key, item in self.value.items():
            yield key, Place(item, self.where, self, key)

    def variant(self) -> tuple[str, Place]:
        """The one key of a union, `{"as_int": 3}`, and its value."""
        if isinstance(self.value, dict):
            keys = list(self.value)
            if len(keys) > 1:
                keys = [key for key in keys if self.value[key] is not None]
            if len(keys) == 1:
                return keys[0], Place(self.value[keys[0]], self.where, self, keys[0])
        raise self.expected("an object with one key")

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            raise self.expected("a string")
        return self.value

    def name(self) -> str:
        """The key `name`, which most of torch's objects have."""
        return self.member("name").text()

    def whole(self) -> int:
        """An integer of 64 bits."""
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self.expected("a whole number")
        if abs(self.value) > _MAX_WHOLE:
            raise self.error("is a whole number beyond 64 bits")
        return self.value

    def number(self) -> float:
        """A number; JSON has no infinities, torch writes them as strings."""
        if isinstance(self.value, str) and self.value in ("Infinity", "-Infinity", "NaN"):
            return float(self.value)
        if isinstance(self.value, float):
            return self.value
        return float(self.whole())

    def flag(self) -> bool:
        """True or false."""
        if not isinstance(self.value, bool):
            raise self.expected("a truth value")
        return self.value
