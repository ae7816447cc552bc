"""Reading JSON documents: strictly typed, every problem at its place, nothing guessed.

A document is parsed with a pass of its own for duplicate keys and non-finite numbers, then checked
by a pydantic model; all problems come out together, each with a JSON pointer such as
`$.nodes[3].inputs[1]`.
"""

from __future__ import annotations

import errno
import json
import math
import re
import stat
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic import JsonValue as JsonSchema

from planner.errors import InputError, PlannerError, name_hint, nearest, raise_all, shorten
from planner.files.values import JsonValue, pointer_step, show_value

T = TypeVar("T")
Model = TypeVar("Model", bound=BaseModel)

Items = Annotated[tuple[T, ...], Field(strict=False)]
"""A JSON array, held as a tuple."""

MAX_INTEGER = 2**63 - 1

MAX_DEPTH = 100
"""Objects and lists within one another; the formats have six, attributes may have more."""


def _as_whole(value: object) -> object:
    if isinstance(value, bool):
        return str(value)  # to Python, but not to JSON, true is the integer 1
    return int(value) if isinstance(value, float) and value.is_integer() else value


WHOLE = BeforeValidator(_as_whole)
"""To JSON, and so to a JSON Schema, `1e3` and `1000.0` are integers like `1000`."""


def one_of_keys(*groups: list[str]) -> dict[str, JsonSchema]:
    """JSON Schema for "all keys of one of these groups", where null is as good as no key."""
    present: JsonSchema = {"not": {"type": "null"}}
    return {
        "anyOf": [
            {"required": [*group], "properties": dict.fromkeys(group, present)} for group in groups
        ]
    }


class StrictModel(BaseModel):
    """Unknown keys, wrong types, NaN and infinities are errors; instances are frozen."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        # Most models are only read as parts of another: not built alone, start-up is shorter.
        defer_build=True,
    )


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        InputError: If there is no such file, it is a directory or a device, or may not be read.
    """
    check_regular(path)
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from error


def check_regular(path: Path) -> None:
    """Refuse what is no ordinary file before it is opened: a pipe blocks, a device never ends.

    Raises:
        InputError: If it is no regular file, or there is none.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise unreadable(path, error) from error
    except ValueError as error:
        raise unreadable(path, OSError(errno.EINVAL, str(error))) from error
    if stat.S_ISDIR(mode):
        raise unreadable(path, IsADirectoryError())
    if not stat.S_ISREG(mode):
        raise InputError(
            "this is a pipe or a device, expected a regular file",
            code="PLN102",
            where=str(path),
            hint="save its content to a file first",
        )


def unreadable(path: Path, error: OSError) -> InputError:
    """The error for a file that the operating system will not give."""
    where = str(path)
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            target = path.readlink()
            text = f"this is a link to `{target}`, which does not exist"
            return InputError(text, code="PLN101", where=where)
        try:
            siblings = [p.name for p in islice(path.parent.iterdir(), 1_000)]
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
        what = "empty" if not data else "blank"
        raise InputError(f"the file is {what}, expected JSON", code="PLN104", where=where)
    try:
        document: JsonValue = json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=_pairs,
            parse_constant=_NotFinite,
            parse_int=_parse_integer,
        )
    except UnicodeDecodeError as error:
        is_utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))
        text = "is UTF-16" if is_utf16 else f"byte {error.start} is not UTF-8"
        hint = "save it as UTF-8" if is_utf16 else None
        raise InputError(
            f"{text}, expected JSON in UTF-8", code="PLN104", where=where, hint=hint
        ) from error
    except json.JSONDecodeError as error:
        raise InputError(
            f"not valid JSON: {error.msg[:1].lower()}{error.msg[1:]}",
            code="PLN104",
            where=f"{where}:{error.lineno}:{error.colno}",
        ) from error
    except RecursionError:
        raise _too_deep(where) from None
    raise_all(list(_lexical_problems(document, where, may_have_surrogates=_has_surrogate(data))))
    return document


def check_kind(document: JsonValue, kind: str, where: str) -> None:
    """Say so when a document is one of ours, but another than is expected here.

    Raises:
        InputError: If its `kind` is a string other than `kind`.
    """
    found = document.get("kind") if isinstance(document, dict) else None
    if isinstance(found, str) and found != kind:
        raise InputError(
            f"is a document of kind `{shorten(found)}`, expected `{kind}`",
            code="PLN110",
            where=f"{where}: $.kind",
            hint=name_hint(found, _USED_BY, "kinds") if found not in _USED_BY else _USED_BY[found],
        )


_USED_BY = {
    "graph": "a graph spec is what `planner plan GRAPH` plans",
    "costs": "a costs file goes to `--costs`",
    "profile": "a profile goes to `--device`, `--server` or a host of the model `measured`",
    "plan": "a plan is what `planner plan -o` writes",
    "table": "a table is what `planner table -o` writes",
}


class _Duplicated(dict[str, JsonValue]):
    """An object in which keys occurred twice; found again, with its place, by a walk."""

    keys_twice: list[str]


class _NotFinite(float):
    """NaN or an infinity; found again, with its place, by a walk."""


def _pairs(items: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
    found = dict(items)
    if len(found) == len(items):
        return found
    marker = _Duplicated(found)
    counts = Counter(key for key, _ in items)
    marker.keys_twice = [key for key, count in counts.items() if count > 1]
    return marker


def _parse_integer(text: str) -> int:
    """Python refuses to convert thousands of digits; the walk refuses what is beyond 64 bits."""
    return int(text) if len(text) <= 20 else MAX_INTEGER + 1


def _has_surrogate(data: bytes) -> bool:
    return re.search(rb"\\u[dD][89a-fA-F]", data) is not None


def _too_deep(where: str) -> InputError:
    text = f"nested more than {MAX_DEPTH} levels deep, which no document of ours is"
    return InputError(text, code="PLN104", where=where)


Trail = tuple["Trail", int | str] | None
"""The way to a value, last step outermost: made for every value, so it must be cheap."""


def _lexical_problems(
    document: JsonValue, where: str, *, may_have_surrogates: bool
) -> Iterator[PlannerError]:
    stack: list[tuple[JsonValue, Trail, int]] = [(document, None, 0)]
    while stack:
        value, trail, depth = stack.pop()
        if depth > MAX_DEPTH:
            yield _too_deep(where)
            return
        match value:
            case dict():
                stack += [(item, (trail, key), depth + 1) for key, item in reversed(value.items())]
                twice = value.keys_twice if isinstance(value, _Duplicated) else ()
                for key in twice:
                    text = f"key `{shorten(key)}` occurs twice in one object"
                    yield InputError(text, code="PLN105", where=_place(where, trail))
                if may_have_surrogates:
                    stack += [(key, trail, depth) for key in value]
            case list():
                if not may_have_surrogates and set(map(type, value)) == {str}:
                    continue
                stack += [
                    (item, (trail, i), depth + 1) for i, item in reversed([*enumerate(value)])
                ]
            case _:
                complaint = _lexical_problem(value)
                if complaint is not None:
                    code = "PLN104" if isinstance(value, str) else "PLN106"
                    yield InputError(complaint, code=code, where=_place(where, trail))


def _lexical_problem(value: JsonValue) -> str | None:
    match value:
        case str() if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
            return f"is {show_value(value)}, expected whole characters: half of a pair is none"
        case float() if not math.isfinite(value):
            return "is not a finite number"
        case int() if abs(value) > MAX_INTEGER:
            return "is an integer beyond 64 bits"
    return None


def _place(where: str, trail: Trail) -> str:
    steps: list[str] = []
    while trail is not None:
        trail, step = trail
        steps.append(pointer_step(step))
    return f"{where}: ${''.join(reversed(steps))}"


def validate(model: type[Model], document: JsonValue, where: str) -> Model:
    """Check a parsed document against a model.

    Raises:
        PlannerError: With every problem, each at its JSON pointer.
    """
    try:
        return model.model_validate(document)
    except ValidationError as error:
        from planner.files.complaints import validation_problems

        raise_all(validation_problems(error, model, document, where))
        raise AssertionError("a validation error without problems") from error


def read_document(path: str | Path, kind: str, model: type[Model]) -> Model:
    """Read a JSON file of one kind and check it against a model.

    Raises:
        PlannerError: With every problem of the file at its place.
    """
    where = str(path)
    document = parse_json(read_bytes(Path(path)), where)
    check_kind(document, kind, where)
    return validate(model, document, where)
