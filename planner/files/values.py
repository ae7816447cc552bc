"""Values of a JSON document, and how messages show them."""

from __future__ import annotations

import json

from planner.errors import shorten

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]


def pointer_step(key: str | int) -> str:
    """One step of a JSON pointer as we write them: `.nodes`, `[3]`, `["a b"]`."""
    if isinstance(key, int):
        return f"[{key}]"
    is_plain = key.isascii() and key.replace("_", "a").replace("-", "a").isalnum()
    return f".{shorten(key)}" if is_plain else f"[{json.dumps(shorten(key))}]"


def show_value(value: JsonValue) -> str:
    """A value in a message: short, and as JSON."""
    match value:
        case dict():
            return "an object"
        case list():
            return f"a list of {len(value)}" if value else "an empty list"
    return shorten(json.dumps(value), 60)
