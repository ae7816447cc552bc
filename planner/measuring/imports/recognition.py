"""What wrote a file of measurements, by its content."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path

from planner.errors import InputError, MeasuringError, PlannerError, name_hint
from planner.files.documents import parse_json, read_bytes
from planner.files.kinds import guess_kind
from planner.files.values import JsonValue

FORMATS = ("trtexec", "onnxruntime", "pipedream")

_WRITERS = {
    "trtexec": "`trtexec --exportProfile`",
    "onnxruntime": "a session of onnxruntime with `enable_profiling`",
    "pipedream": "PipeDream's profiler",
}
_AGAIN = {
    "trtexec": "let `trtexec` run to its end",
    "onnxruntime": "only `session.end_profiling()` writes the end: call it before the process ends",
}
_HEAD_BYTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file whose writer is known: `document` is its JSON, or `text` for PipeDream."""

    format: str
    where: str
    document: JsonValue = None
    text: str = ""


def recognise(path: Path, format: str | None = None) -> Source:
    """Read a file of measurements.

    Args:
        path: A regular file.
        format: One of `FORMATS`, where the content should not decide.

    Raises:
        PlannerError: If it cannot be read, is cut off, or nothing here reads such a file.
    """
    if format is not None and format not in FORMATS:
        hint = name_hint(format, FORMATS, "formats")
        text = f"`{format}` is no format of measurements"
        raise InputError(text, code="PLN616", where="--format", hint=hint)
    data = read_bytes(path).removeprefix(b"\xef\xbb\xbf")
    where = str(path)
    head = data[:_HEAD_BYTES].lstrip()
    if not head:
        what = "empty" if not data else "blank"
        text = f"the file is {what}, expected measurements"
        raise InputError(text, code="PLN104", where=where)
    is_json = head[:1] in (b"[", b"{")
    if format == "pipedream" or (format is None and not is_json):
        return _pipedream(data, head, where, is_asked=format is not None)
    if not is_json:
        raise _unknown(head, where, expected=format)
    document = _parse(data, head, where, format)
    found = _kind_of(document, where)
    if found is None or (format is not None and found != format):
        raise _unknown(head, where, expected=format, found=found)
    return Source(format=found, where=where, document=document)


def _pipedream(data: bytes, head: bytes, where: str, *, is_asked: bool) -> Source:
    looks_right = re.search(rb"^\S+ -- .* -- forward_compute_time=", data, re.MULTILINE)
    if not looks_right and not (is_asked and b" -- " in head):
        raise _unknown(head, where, expected="pipedream" if is_asked else None)
    try:
        return Source(format="pipedream", where=where, text=data.decode("utf-8"))
    except UnicodeDecodeError as error:
        text = f"byte {error.start} is not UTF-8, expected the text of a PipeDream profile"
        raise MeasuringError(text, code="PLN611", where=where) from error


def _parse(data: bytes, head: bytes, where: str, format: str | None) -> JsonValue:
    """As `parse_json`, but a list that does not end is a program that did not."""
    try:
        return parse_json(data, where)
    except PlannerError as error:
        is_syntax = isinstance(error.__cause__, json.JSONDecodeError)
        if not is_syntax or data.rstrip()[-1:] == {b"[": b"]", b"{": b"}"}[head[:1]]:
            raise
        writer = format or _guess(head)
        text = "is cut off: the last `]` is missing, so what wrote it was interrupted"
        hint = _AGAIN.get(writer or "", "measure again")
        raise MeasuringError(text, code="PLN611", where=where, hint=hint) from error


def _guess(head: bytes) -> str | None:
    if re.search(rb'"(ph|cat)"\s*:', head):
        return "onnxruntime"
    return "trtexec" if re.search(rb'"(count|timeMs|averageMs)"\s*:', head) else None


def _kind_of(document: JsonValue, where: str) -> str | None:
    """The format of a JSON document; None for an unknown one."""
    match document:
        case {"kind": str(kind)}:
            text = f"is a document of kind `{kind[:60]}`, expected what another program measured"
            hint = "a profile needs no import: merge it with `planner merge-profiles`"
            is_profile = kind == "profile"
            raise MeasuringError(
                text, code="PLN610", where=where, hint=hint if is_profile else None
            )
        case {"traceEvents": list()}:
            return "onnxruntime"
        case {"Layers": list()}:
            raise MeasuringError(
                "describes layers but holds no times: this is what `--exportLayerInfo` writes",
                code="PLN610",
                where=where,
                hint="import the file of `trtexec --exportProfile=FILE`",
            )
        case [{"startComputeMs": _}, *_] | [{"computeMs": _}, *_]:
            raise MeasuringError(
                "holds times of whole runs, not of layers: this is what `--exportTimes` writes",
                code="PLN610",
                where=where,
                hint="import the file of `trtexec --exportProfile=FILE`",
            )
        case [{"ph": _}, *_] | [{"cat": _}, *_]:
            return "onnxruntime"
        case [{"count": _}, *_] | [{"timeMs": _}, *_] | [{"averageMs": _}, *_]:
            return "trtexec"
    return None


def _unknown(
    head: bytes, where: str, *, expected: str | None, found: str | None = None
) -> MeasuringError:
    kind = _WRITERS.get(found or "") or guess_kind(head)
    seen = f"it looks like {kind}" if kind else "its content is not recognised"
    if expected is not None:
        text = f"this is not what {_WRITERS[expected]} writes: {seen}"
        hint = f"leave out `--format {expected}`" if found else None
    else:
        text = f"measurements in no format that is read here: {seen}"
        hint = f"what is read: files of {', '.join(_WRITERS.values())}"
    return MeasuringError(text, code="PLN610", where=where, hint=hint)
