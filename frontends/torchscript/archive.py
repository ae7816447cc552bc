"""What is in a `.pt` file, before torch sees it, and a copy of it without weights.

Archives are zip files that anyone may have written: everything that is read out of one is bounded.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import BinaryIO

from planner.errors import InputError
from planner.files.documents import check_regular, unreadable
from planner.frontends.torchscript.pickle import Contents, PickleError, read_contents

MAX_ENTRIES = 200_000
MAX_CODE_BYTES = 64 * 1024 * 1024
"""Code and pickles of an archive together; those of the largest models are below a tenth of it."""
MAX_CONSTANT_BYTES = 512 * 1024 * 1024
"""Tensors that the code names: they are loaded, since the code may depend on their values."""

_EXPORT_HINT = (
    "load the weights into their module in Python and export that: "
    '`torch.export.save(torch.export.export(model, (x,)), "model.pt2")`'
)
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, ValueError, KeyError, OSError)


class Kind(Enum):
    """What the archive is."""

    TORCHSCRIPT = "TorchScript"
    TORCH_EXPORT = "torch.export"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archive:
    """An archive that was looked at.

    Attributes:
        kind: Of which program.
        version: The number in the record `version`, if it is one.
        skeleton: Of TorchScript a copy of which every weight is on the meta device, one byte long.
        traced: Type and shape of the tensors that a traced program was traced with.
        is_frozen: Whether there are constants, but no tensor in any module.
    """

    kind: Kind
    version: int | None = None
    skeleton: bytes = b""
    traced: tuple[tuple[str, tuple[int, ...]], ...] = ()
    is_frozen: bool = False


def not_torchscript(where: str, reason: str, hint: str | None = None) -> InputError:
    """PLN145."""
    text = f"not a TorchScript archive: {reason}"
    return InputError(text, code="PLN145", where=where, hint=hint)


def file_digest(data: bytes | Path) -> bytes:
    """SHA-256 of the content."""
    if isinstance(data, bytes):
        return hashlib.sha256(data).digest()
    try:
        with data.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest()
    except OSError as error:
        raise unreadable(data, error) from error


def read_archive(data: bytes | Path, *, where: str) -> Archive:
    """Find out what a file is, without torch and without unpickling anything.

    Raises:
        InputError: PLN145 for everything but archives of TorchScript and torch.export.
    """
    with _opened(data) as file:
        head = file.read(4)
        if head[:2] == b"\x80\x02":
            reason = "it holds pickled weights or a pickled module, expected a program"
            raise not_torchscript(where, reason, _EXPORT_HINT)
        if head[:2] != b"PK":
            from planner.files.kinds import guess_kind  # only once something is wrong

            file.seek(0)
            kind = guess_kind(file.read(512))
            reason = f"it looks like {kind}" if kind else "it is no zip file"
            raise not_torchscript(where, reason)
        try:
            with zipfile.ZipFile(file) as archive:
                return _look(archive, where)
        except (*_DAMAGED, NotImplementedError, RuntimeError) as error:
            text = str(error).splitlines()[0] if str(error) else "it is cut off"
            raise not_torchscript(where, f"the zip file is damaged: {text}") from error


@contextlib.contextmanager
def _opened(data: bytes | Path) -> Iterator[BinaryIO]:
    if isinstance(data, bytes):
        yield io.BytesIO(data)
        return
    check_regular(data)
    try:
        file = data.open("rb")
    except OSError as error:
        raise unreadable(data, error) from error
    with file:
        yield file


def _look(archive: zipfile.ZipFile, where: str) -> Archive:
    entries = {info.filename: info for info in archive.infolist()}
    if len(entries) > MAX_ENTRIES:
        raise not_torchscript(where, f"it has more than {MAX_ENTRIES} entries")
    for name in entries:
        if name.endswith(("models/model.json", "serialized_exported_program.json")):
            return Archive(kind=Kind.TORCH_EXPORT)
    roots = [name.removesuffix("data.pkl") for name in entries if name.endswith("/data.pkl")]
    root = min(roots, key=len, default="")
    tails = {name[len(root) :]: info for name, info in entries.items() if name.startswith(root)}
    if "data.pkl" not in tails:
        raise _other_zip(entries, where)
    if not ("constants.pkl" in tails and any(tail.startswith("code/") for tail in tails)):
        reason = "it holds a state dict or a pickled module, no program"
        raise not_torchscript(where, reason, _EXPORT_HINT)
    return _Skeleton(archive, tails, root, where).build()


def _other_zip(entries: dict[str, zipfile.ZipInfo], where: str) -> InputError:
    if any(name.split("/")[-1] == "model.json" and name.count("/") <= 1 for name in entries):
        reason = "it is TorchScript of a torch before 1.4, which is no longer read"
        hint = "load it with torch 1.x, and save it again with `torch.jit.save`"
        return not_torchscript(where, reason, hint)
    return not_torchscript(where, "it is a zip file without `data.pkl`")


class _Skeleton:
    """Makes the copy without weights."""

    def __init__(
        self, archive: zipfile.ZipFile, tails: dict[str, zipfile.ZipInfo], root: str, where: str
    ) -> None:
        self._archive, self._tails = archive, tails
        self._root, self._where = root or "archive/", where
        self._left = {"code": MAX_CODE_BYTES, "constants": MAX_CONSTANT_BYTES}

    def build(self) -> Archive:
        output = io.BytesIO()
        with zipfile.ZipFile(output, "w") as copy:
            for tail in self._tails:
                if tail.startswith("code/") or tail in ("version", "byteorder", ".data/version"):
                    copy.writestr(self._root + tail, self._read(tail))
            data, contents = self._pickle("data.pkl")
            copy.writestr(self._root + "data.pkl", _moved(data, contents, "meta"))
            for key in dict.fromkeys(record.key for record in contents.records):
                copy.writestr(f"{self._root}data/{key}", b"\0")
            data, constants = self._pickle("constants.pkl")
            copy.writestr(self._root + "constants.pkl", _moved(data, constants, "cpu"))
            for key, n_bytes in _sizes(constants).items():
                content = self._read(f"constants/{key}") if n_bytes else b""
                if len(content) < n_bytes:
                    # torch does not compare: it would read what lies behind the constant.
                    reason = f"the constant `{key}` is shorter than its type and shape say"
                    raise not_torchscript(self._where, reason)
                copy.writestr(f"{self._root}constants/{key}", content)
            is_frozen = bool(constants.records) and not contents.records
        return Archive(
            kind=Kind.TORCHSCRIPT,
            version=self._version(),
            skeleton=output.getvalue(),
            traced=self._traced(),
            is_frozen=is_frozen,
        )

    def _read(self, tail: str) -> bytes:
        info = self._tails.get(tail)
        if info is None:
            raise not_torchscript(self._where, f"`{tail}` is missing")
        kind = "constants" if tail.startswith("constants/") else "code"
        self._left[kind] -= info.file_size
        if self._left[kind] < 0:
            limit = (MAX_CONSTANT_BYTES if kind == "constants" else MAX_CODE_BYTES) >> 20
            what = "tensors in its code" if kind == "constants" else "code and pickles"
            reason = f"its {what} have more than {limit} MiB"
            hint = "export it with `torch.export.save(…)` as `.pt2`"
            raise not_torchscript(self._where, reason, hint)
        return self._archive.read(info)

    def _pickle(self, tail: str) -> tuple[bytes, Contents]:
        data = self._read(tail)
        try:
            return data, read_contents(data)
        except PickleError as error:
            reason = f"`{tail}` is damaged: {error}"
            raise not_torchscript(self._where, reason) from error

    def _version(self) -> int | None:
        tail = "version" if "version" in self._tails else ".data/version"
        text = self._read(tail).strip() if tail in self._tails else b""
        return int(text) if text.isdigit() and len(text) < 10 else None

    def _traced(self) -> tuple[tuple[str, tuple[int, ...]], ...]:
        """Only for hints: what was wrong with it does not matter."""
        if "traced_inputs.pkl" not in self._tails:
            return ()
        try:
            return tuple(self._pickle("traced_inputs.pkl")[1].tensors)
        except (InputError, *_DAMAGED):
            return ()


def _sizes(contents: Contents) -> dict[str, int]:
    """Bytes that each file of tensors must have."""
    sizes: dict[str, int] = {}
    for record in contents.records:
        sizes[record.key] = max(sizes.get(record.key, 0), record.n_bytes)
    return sizes


def _moved(data: bytes, contents: Contents, device: str) -> bytes:
    """The pickle with every storage on another device."""
    text = device.encode()
    location = b"X" + len(text).to_bytes(4, "little") + text
    pieces: list[bytes] = []
    last = 0
    for record in contents.records:
        pieces += [data[last : record.start], location]
        last = record.end
    return b"".join([*pieces, data[last:]])
