"""What pydantic found wrong with a document, in our words, at its place in the document."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from planner.errors import InputError, PlannerError, name_hint, nearest, shorten
from planner.files.values import JsonValue, pointer_step, show_value


def validation_problems(
    error: ValidationError, model: type[BaseModel], document: JsonValue, where: str
) -> list[PlannerError]:
    """What pydantic found, in our words, with places in the document as its writer knows it."""
    problems: list[PlannerError] = []
    seen: set[tuple[str, str]] = set()
    for detail in error.errors(include_url=False):
        pointer, value, parent = _locate(document, detail)
        if _is_echo(detail, value):
            continue
        text, hint = _words(detail, model, value, parent)
        if (pointer, text) not in seen:
            seen.add((pointer, text))
            place = f"{where}: {pointer}"
            problems.append(InputError(text, code=_code(detail), where=place, hint=hint))
    return problems


def _is_echo(detail: ErrorDetails, value: JsonValue) -> bool:
    """pydantic calls a list too short when it is long enough but has items that are wrong."""
    if detail["type"] != "too_short" or not isinstance(value, list):
        return False
    return len(value) >= int(detail.get("ctx", {}).get("min_length", 0))


def _locate(document: JsonValue, detail: ErrorDetails) -> tuple[str, JsonValue, JsonValue]:
    """Follow the location in the document; pydantic mixes the names of union members in."""
    pointer, value = "$", document
    parent: JsonValue = None
    loc = detail["loc"]
    for position, step in enumerate(loc):
        is_missing = detail["type"] == "missing" and position == len(loc) - 1
        if isinstance(value, dict) and isinstance(step, str) and (step in value or is_missing):
            parent, value = value, value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            parent, value = value, value[step]
        else:
            continue
        pointer += pointer_step(step)
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
            known = _keys(_model_at(model, detail["loc"]))
            return f"unknown key `{shorten(key)}`", name_hint(key, known, "keys here")
        case "missing":
            absent = f"key `{key}` is missing"
            known = _keys(_model_at(model, detail["loc"]))
            strange = (
                [name for name in parent if name not in known] if (isinstance(parent, dict)) else []
            )
            close = nearest(key, strange)
            return absent, f"is `{close}` meant to be `{key}`?" if close else None
        case "value_error":
            return str(context.get("error", detail["msg"])), None
        case "literal_error" | "union_tag_invalid":
            expected = str(context.get("expected") or context.get("expected_tags"))
            options = [option.strip("'") for option in expected.replace(" or ", ", ").split(", ")]
            text = f"is {show_value(value)}, expected {expected.replace(chr(39), '`')}"
            close = nearest(value, options) if isinstance(value, str) else None
            return text, f"did you mean `{close}`?" if close else None
    return f"is {show_value(value)}, expected {_expected(detail)}", None


_EXPECTED = {
    "model_type": "an object",
    "dict_type": "an object",
    "tuple_type": "a list",
    "string_type": "a string",
    "string_too_short": "a string that is not empty",
    "string_unicode": "a string of whole characters",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "bool_type": "`true` or `false`",
    "greater_than": "a number > {gt}",
    "greater_than_equal": "a number ≥ {ge}",
    "less_than": "a number < {lt}",
    "less_than_equal": "a number ≤ {le}",
    "too_short": "{min_length} or more",
}


def _expected(detail: ErrorDetails) -> str:
    known = _EXPECTED.get(detail["type"])
    if known is not None:
        return known.format(**detail.get("ctx", {}))
    message = detail["msg"].removeprefix("Input should be ")
    return f"{message[:1].lower()}{message[1:]}"


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> type[BaseModel]:
    """The model that holds the last step of `loc`, which starts in `model`."""
    here = [model]
    for step in loc[:-1]:
        fields = [
            field
            for holder in here
            for name, field in holder.model_fields.items()
            if step == (field.alias or name)
        ]
        within = [
            found for field in fields for found in (*_models_in(field.annotation), *_late(field))
        ]
        # A step that is no key is the tag of a union's member: the value of a Literal field.
        tagged = [holder for holder in here if _has_tag(holder, step)]
        here = within or tagged or here
    return here[0]


def _has_tag(model: type[BaseModel], tag: int | str) -> bool:
    return any(tag in getattr(f.annotation, "__args__", ()) for f in model.model_fields.values())


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for item in getattr(annotation, "__args__", ()) for m in _models_in(item)]


def _late(field: FieldInfo) -> list[type[BaseModel]]:
    """Models that are loaded only with the first document that has one."""
    late = [getattr(item, "late_model", None) for item in field.metadata]
    return [model() for model in late if model is not None]
