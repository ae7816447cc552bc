"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import json
import os
import stat
import tempfile
from pathlib import Path

from planner.errors import InputError, nearest


def json_text(document: object) -> str:
    """Stable JSON text: keys in the document's order, no NaN, a newline at the end."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str, *, force: bool) -> None:
    """Write a text file in UTF-8, atomically: all of it or nothing.

    Raises:
        InputError: If the file exists and `force` is not given, or it cannot be written.
    """
    write_bytes(path, text.encode("utf-8"), force=force)


def write_bytes(path: Path, data: bytes, *, force: bool) -> None:
    """`write_text` for what is no text.

    Raises:
        InputError: If the file exists and `force` is not given, or it cannot be written.
    """
    check_writable(path, force=force)
    temporary: str | None = None
    try:
        # What a link points to is replaced, not the link.
        target = path.resolve()
        # Not the file's own name as a prefix, which may be as long as names can be already.
        handle, temporary = tempfile.mkstemp(prefix=".planner-", dir=target.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        # mkstemp makes private files; a plan is as readable as any file its user makes.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(target)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def check_writable(path: Path, *, force: bool) -> None:
    """Refuse an output before any work is done for it.

    Raises:
        InputError: If the file exists and `force` is not given, it is no regular file (which would
            be replaced by one, even `/dev/null`), or its folder does not exist. Links are
            followed.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        _check_folder(path.resolve() if path.is_symlink() else path)
        return
    except (OSError, ValueError) as error:
        raise _unwritable(path, error) from error
    if stat.S_ISDIR(mode):
        raise InputError("this is a directory, expected a file", code="PLN121", where=str(path))
    if not stat.S_ISREG(mode):
        raise InputError(
            "this is a pipe or a device, expected a file",
            code="PLN121",
            where=str(path),
            hint="give the name of a file",
        )
    if not force:
        raise InputError(
            "the file exists already", code="PLN120", where=str(path), hint="add `--force`"
        )
    _check_folder(path.resolve())


def _check_folder(path: Path) -> None:
    folder = path.parent
    if folder.is_dir():
        if not os.access(folder, os.W_OK):
            text = f"cannot be written: the folder `{folder}` is read-only"
            hint = "choose another folder"
            raise InputError(text, code="PLN121", where=str(path), hint=hint)
        return
    siblings = [p.name for p in folder.parent.iterdir()] if folder.parent.is_dir() else []
    close = nearest(folder.name, siblings)
    raise InputError(
        f"cannot be written: there is no folder `{folder}`",
        code="PLN121",
        where=str(path),
        hint=f"did you mean `{folder.parent / close}`?" if close else f"mkdir -p {folder}",
    )


def _unwritable(path: Path, error: OSError | ValueError) -> InputError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return InputError(f"cannot be written: {reason}", code="PLN121", where=str(path))
