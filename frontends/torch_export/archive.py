"""The JSON in a `.pt2` archive: found, bounded and parsed. Weights are never read."""

from __future__ import annotations

import hashlib
import io
import json
import re
import zipfile
import zlib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from planner.errors import InputError, shorten
from planner.files.documents import unreadable
from planner.frontends.torch_export.places import Place

MAX_ENTRIES = 1_000_000
MAX_JSON_BYTES = 256 * 2**20
MAX_RATIO = 300
"""Deflate makes torch's JSON some 30 times smaller; only from `_FREE_BYTES` is this looked at."""

DIGEST_BYTES = 64 * 2**20
"""Above this size the digest covers the JSON and the file's length, not the weights."""

_FREE_BYTES = 16 * 2**20
_CHUNK = 2**20
_MAJOR = 8

_READ_WITH_TORCH = (
    "load it with the torch that wrote it and give that to the planner, "
    "`planner.load(torch.export.load(path))`, or export the model again with torch 2.13"
)
_EXPORT = 'export the model with `torch.export.save(torch.export.export(model, args), "model.pt2")`'


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """What an archive says; `digest` is of the file's bytes."""

    name: str
    model: Place
    weights: Place | None
    constants: Place | None
    digest: str


def looks_exported(head: bytes) -> bool:
    """Whether a file starts like a zip archive that torch.export wrote.

    >>> looks_exported(b"PK\\x03\\x04" + bytes(22) + b"\\x1a\\0\\0\\0model/data/weights/weight_0")
    True
    """
    if not head.startswith(b"PK\x03\x04"):
        return False
    length = int.from_bytes(head[26:28], "little")
    entry = head[30 : 30 + length]
    return bool(re.match(rb"[^/]*/(?:data/(?:weights|constants|sample_inputs)/|models/)", entry))


def read_archive(data: bytes | Path, *, where: str) -> Archive:
    """Find and parse the JSON of an archive.

    Raises:
        InputError: PLN140 no such archive, or a damaged one; PLN141 a version that is not read.
    """
    try:
        with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as file:
            size = file.seek(0, io.SEEK_END)
            try:
                with zipfile.ZipFile(file) as archive:
                    return _read(archive, file, size, where)
            except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
                raise _no_zip(file, str(error), where) from error
            except (ValueError, OverflowError, UnicodeError, IndexError) as error:
                raise _damaged(str(error), where) from error  # fields of the zip's directory
    except InputError:
        raise
    except OSError as error:
        if isinstance(data, Path) and error.errno is not None:
            raise unreadable(data, error) from error
        raise _damaged(str(error), where) from error


def _read(archive: zipfile.ZipFile, file: io.IOBase, size: int, where: str) -> Archive:
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES:
        raise _damaged(f"it has {len(entries)} entries", where)
    names = [entry.filename for entry in entries]
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise _damaged(f"the entry `{shorten(twice[0])}` occurs twice", where)
    model_entry = _model_entry(names, where)
    folder, _, file_name = model_entry.rpartition("models/")
    name = file_name.removesuffix(".json")
    wanted = {
        "model": model_entry,
        "weights": f"{folder}data/weights/{name}_weights_config.json",
        "constants": f"{folder}data/constants/{name}_constants_config.json",
    }
    present = set(names)
    texts = {
        key: _content(archive, entry, where) for key, entry in wanted.items() if entry in present
    }
    if folder + "archive_format" not in present:
        raise _damaged("it has no entry `archive_format`", where)
    documents = {key: _parsed(text, f"{where}: {wanted[key]}") for key, text in texts.items()}
    _check_version(documents["model"])
    return Archive(
        name=Path(where).stem,
        model=documents["model"],
        weights=documents.get("weights"),
        constants=documents.get("constants"),
        digest=_digest(file, size, texts),
    )


def _model_entry(names: list[str], where: str) -> str:
    """The entry that holds the one model."""
    found = [name for name in names if re.fullmatch(r"(?:[^/]*/)?models/[^/]+\.json", name)]
    if len(found) == 1:
        return found[0]
    if found:
        models = ", ".join(f"`{name.rpartition('/')[2][:-5]}`" for name in found[:10])
        text = f"the archive holds {len(found)} models: {models}, expected one"
        raise InputError(
            text, code="PLN141", where=where, hint="save each to an archive of its own"
        )
    last = {name.rpartition("/")[2] for name in names}
    if "serialized_exported_program.json" in last:
        text = "an archive of torch.export in the layout of torch 2.6 and older, which is not read"
        raise InputError(text, code="PLN141", where=where, hint=_READ_WITH_TORCH)
    if any("/aotinductor/" in name for name in names) or any(n.endswith(".so") for n in last):
        text = "a package of AOTInductor: compiled code without the program it was made of"
        raise InputError(text, code="PLN140", where=where, hint=_EXPORT)
    if "constants.pkl" in last or any("/code/" in name for name in names):
        text = "a TorchScript archive, expected one of torch.export"
        hint = 'give it the suffix `.pt`; in Python: `planner.load(…, frontend="torchscript")`'
        raise InputError(text, code="PLN140", where=where, hint=hint)
    if "data.pkl" in last:
        text = "a file of `torch.save`: weights without the program that reads them"
        raise InputError(text, code="PLN140", where=where, hint=_EXPORT)
    text = "not an archive of torch.export: it has no entry `models/model.json`"
    raise InputError(text, code="PLN140", where=where, hint=_EXPORT)


def _content(archive: zipfile.ZipFile, entry: str, where: str) -> bytes:
    """An entry's bytes; what the zip says about its size is not trusted."""
    info = archive.getinfo(entry)
    if info.flag_bits & 1:
        raise _damaged(f"the entry `{shorten(entry)}` is encrypted", where)
    limit = min(MAX_JSON_BYTES, max(_FREE_BYTES, info.compress_size * MAX_RATIO))
    chunks: list[bytes] = []
    total = 0
    with archive.open(info) as stream:
        while chunk := stream.read(_CHUNK):
            total += len(chunk)
            if total > limit:
                text = f"the entry `{shorten(entry)}` unpacks to more than {limit:,} bytes"
                raise InputError(text, code="PLN140", where=where)
            chunks.append(chunk)
    return b"".join(chunks)


def _parsed(text: bytes, where: str) -> Place:
    try:
        document = json.loads(text)
        if re.search(rb"\\u[dD][89a-fA-F]", text):
            json.dumps(document, ensure_ascii=False).encode()  # half of a pair is no character
    except RecursionError:
        raise InputError("is nested too deep", code="PLN140", where=where) from None
    except UnicodeError as error:
        raise InputError("is not UTF-8", code="PLN140", where=where) from error
    except ValueError as error:
        text_of = str(error)
        reason = text_of[:1].lower() + text_of[1:]
        raise InputError(f"is not valid JSON: {reason}", code="PLN140", where=where) from error
    return Place(document, where)


def _check_version(model: Place) -> None:
    version = model.member("schema_version")
    major, minor = version.member("major").whole(), version.optional("minor")
    if major == _MAJOR:
        return
    writer = model.optional("torch_version")
    torch = shorten(writer.text(), 40) if writer else "unknown"
    age = "a newer" if major > _MAJOR else "an older"
    number = f"{major}.{minor.whole() if minor else 0}"
    raise InputError(
        f"written by {age} torch ({torch}) in version {number} of its format, expected version "
        f"{_MAJOR}",
        code="PLN141",
        where=model.where,
        hint=_READ_WITH_TORCH,
    )


def _digest(file: io.IOBase, size: int, texts: dict[str, bytes]) -> str:
    digest = hashlib.sha256()
    if size > DIGEST_BYTES:
        for key in sorted(texts):
            digest.update(f"{key} {len(texts[key])}\n".encode())
            digest.update(texts[key])
        digest.update(str(size).encode())
        return digest.hexdigest()
    file.seek(0)
    while chunk := file.read(_CHUNK):
        digest.update(chunk)
    return digest.hexdigest()


def _no_zip(file: io.IOBase, reason: str, where: str) -> InputError:
    file.seek(0)
    head = file.read(512)
    if head.startswith(b"PK\x03\x04"):
        return _damaged(reason[:1].lower() + reason[1:] or "it is cut off", where)
    from planner.files.kinds import guess_kind  # only once something is wrong

    kind = guess_kind(head)
    text = f"it looks like {kind}" if kind else "it is no zip archive"
    return InputError(
        f"not an archive of torch.export: {text}", code="PLN140", where=where, hint=_EXPORT
    )


def _damaged(reason: str, where: str) -> InputError:
    text = f"the archive is damaged or cut off: {reason}"
    return InputError(text, code="PLN140", where=where)
