"""Reading JSON documents: strictly typed, every problem at its place, nothing guessed.

A document is parsed with a pass of its own for duplicate keys and non-finite numbers, then checked
by a pydantic model; all problems come out together, each with a JSON pointer such as
`$.nodes[3].inputs[1]`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from planner.errors import InputError, PlannerError, name_hint, nearest, raise_all

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]

Items = Annotated[tuple[T, ...], Field(strict=False)]
"""A JSON array, held as a tuple."""

MAX_INTEGER = 2**63 - 1


class StrictModel(BaseModel):
    """Unknown keys, wrong types, NaN and infinities are errors; instances are frozen."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=()
    )


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        InputError: If there is no such file, it is a directory, or it may not be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> InputError:
    """The error for a file that the operating system will not give."""
    where = str(path)
    if isinstance(error, FileNotFoundError):
        try:
            siblings = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        except OSError:
            siblings = []
        close = nearest(path.name, siblings)
        hint = f"did you mean `{path.parent / close}`?" if close else None
        return InputError("there is no such file", code="PLN101", where=where, hint=hint)
    if isinstance(error, IsADirectoryError):
        return InputError("this is a directory, expected a file", code="PLN102", where=where)
    reason = error.strerror or type(error).__name__
    return InputError(f"cannot be read: {reason}", code="PLN103", where=where)


def parse_json(data: bytes, where: str) -> JsonValue:
    """Parse UTF-8 JSON (RFC 8259), refusing duplicate keys, NaN, infinities and huge integers.

    Raises:
        PlannerError: With every such problem of the document.
    """
    if not data.strip():
        raise InputError("the file is empty, expected JSON", code="PLN104", where=where)
    duplicates: list[dict[str, int]] = []

    def pairs(items: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
        found = dict(items)
        if len(found) < len(items):
            counts: dict[str, int] = {}
            for key, _ in items:
                counts[key] = counts.get(key, 0) + 1
            marker = _Duplicated(found)
            marker.keys_twice = [key for key, count in counts.items() if count > 1]
            duplicates.append(counts)
            return marker
        return found

    try:
        document: JsonValue = json.loads(
            data.decode("utf-8-sig"), object_pairs_hook=pairs, parse_constant=_NotFinite
        )
    except UnicodeDecodeError as error:
        text = f"byte {error.start} is not UTF-8, expected JSON text"
        raise InputError(text, code="PLN104", where=where) from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"not valid JSON: {error.msg[:1].lower()}{error.msg[1:]}",
            code="PLN104",
            where=f"{where}:{error.lineno}:{error.colno}",
        ) from error
    except (RecursionError, ValueError) as error:
        is_deep = isinstance(error, RecursionError)
        text = "nested too deeply to be a document of ours" if is_deep else f"not JSON: {error}"
        raise InputError(text, code="PLN104", where=where) from None
    raise_all(list(_lexical_problems(document, where)))
    return document


class _Duplicated(dict[str, JsonValue]):
    """An object in which keys occurred twice; found again, with its place, by a walk."""

    keys_twice: list[str]


class _NotFinite(float):
    """NaN or an infinity; found again, with its place, by a walk."""


def _lexical_problems(document: JsonValue, where: str) -> Iterator[PlannerError]:
    stack: list[tuple[JsonValue, str]] = [(document, "$")]
    while stack:
        value, pointer = stack.pop()
        match value:
            case dict():
                if isinstance(value, _Duplicated):
                    for key in value.keys_twice:
                        text = f"key `{key}` occurs twice in one object"
                        yield InputError(text, code="PLN105", where=f"{where}: {pointer}")
                stack += [(item, pointer + _step(key)) for key, item in reversed(value.items())]
            case list():
                if value and isinstance(value[0], str | bool) and set(map(type, value)) == {str}:
                    continue
                stack += [(item, f"{pointer}[{i}]") for i, item in reversed([*enumerate(value)])]
            case float() if value != value or value in (float("inf"), float("-inf")):
                text = "is not a finite number"
                yield InputError(text, code="PLN106", where=f"{where}: {pointer}")
            case int() if abs(value) > MAX_INTEGER:
                text = "is an integer beyond 64 bits"
                yield InputError(text, code="PLN106", where=f"{where}: {pointer}")


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{key}]"
    return (
        f".{key}" if key.replace("_", "a").replace("-", "a").isalnum() else f"[{json.dumps(key)}]"
    )


def validate(model: type[Model], document: JsonValue, where: str) -> Model:
    """Check a parsed document against a model.

    Raises:
        PlannerError: With every problem, each at its JSON pointer.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise_all(validation_problems(error, model, document, where))
        raise AssertionError("a validation error without problems") from error


def validation_problems(
    error: ValidationError, model: type[BaseModel], document: JsonValue, where: str
) -> list[PlannerError]:
    """What pydantic found, in our words, with places in the document as its writer knows it."""
    problems: list[PlannerError] = []
    seen: set[tuple[str, str]] = set()
    for detail in error.errors(include_url=False):
        pointer, value, parent = _locate(document, detail["loc"])
        text, hint = _words(detail, model, value, parent)
        if (pointer, text) not in seen:
            seen.add((pointer, text))
            place = f"{where}: {pointer}"
            problems.append(InputError(text, code=_code(detail), where=place, hint=hint))
    return problems


def _locate(document: JsonValue, loc: tuple[int | str, ...]) -> tuple[str, JsonValue, JsonValue]:
    """Follow `loc` as far as the document goes; pydantic mixes the names of union members in."""
    pointer, value, parent = "$", document, None
    for position, step in enumerate(loc):
        is_last = position == len(loc) - 1
        if isinstance(value, dict) and isinstance(step, str) and (step in value or is_last):
            parent, value = value, value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            parent, value = value, value[step]
        else:
            continue
        pointer += _step(step)
    return pointer, value, parent


def _code(detail: ErrorDetails) -> str:
    return {"extra_forbidden": "PLN107", "missing": "PLN108"}.get(detail["type"], "PLN109")


def _words(
    detail: ErrorDetails, model: type[BaseModel], value: JsonValue, parent: JsonValue
) -> tuple[str, str | None]:
    key = str(detail["loc"][-1]) if detail["loc"] else ""
    context = detail.get("ctx", {})
    match detail["type"]:
        case "extra_forbidden":
            known = _known_keys(model, parent, key)
            return f"unknown key `{key}`", name_hint(key, known, "keys here")
        case "missing":
            return f"key `{key}` is missing", None
        case "value_error":
            return str(context.get("error", detail["msg"])), None
        case "union_tag_not_found":
            return f"key {context.get('discriminator')} is missing".replace("'", "`"), None
        case "literal_error" | "union_tag_invalid":
            expected = str(context.get("expected") or context.get("expected_tags"))
            return f"is {_show(value)}, expected {expected.replace(chr(39), '`')}", None
    message = detail["msg"]
    for prefix in ("Input should be ", "Value should have ", "List should have ", "Tuple should "):
        message = message.removeprefix(prefix)
    message = message.replace("a valid list", "a list").replace("a valid tuple", "a list")
    message = message.replace("a valid dictionary", "an object")
    message = message.replace("or an instance of", "or").replace("greater than", ">")
    return f"is {_show(value)}, expected {message[:1].lower()}{message[1:]}", None


def _show(value: JsonValue) -> str:
    match value:
        case dict():
            return "an object"
        case list():
            return f"a list of {len(value)}"
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _known_keys(model: type[BaseModel], parent: JsonValue, key: str) -> list[str]:
    """The keys of the model within `model` that fits `parent` best: most of its keys are known."""
    keys = set(parent) - {key} if isinstance(parent, dict) else set()
    models = _models_in(model)
    best = max(models, key=lambda m: (len(keys & set(m.model_fields)), -len(m.model_fields)))
    return list(best.model_fields)


def _models_in(model: type[BaseModel]) -> Sequence[type[BaseModel]]:
    found: dict[type[BaseModel], None] = {}
    pending: list[Any] = [model]
    while pending:
        item = pending.pop()
        if isinstance(item, type) and issubclass(item, BaseModel):
            if item not in found:
                found[item] = None
                pending += [field.annotation for field in item.model_fields.values()]
        else:
            pending += getattr(item, "__args__", ())
    return list(found)
