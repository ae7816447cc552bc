"""Writing files so that nobody ever sees half of one."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from planner.errors import InputError


def json_text(document: object) -> str:
    """Stable JSON text: keys in the document's order, no NaN, a newline at the end."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def write_text(path: Path, text: str, *, force: bool) -> None:
    """Write a file atomically: all of it or nothing.

    Raises:
        InputError: If the file exists and `force` is not given, or it cannot be written.
    """
    check_writable(path, force=force)
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        # mkstemp makes private files; a plan is as readable as any file its user makes.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"cannot be written: {reason}", code="PLN121", where=str(path)) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def check_writable(path: Path, *, force: bool) -> None:
    """Refuse an output before any work is done for it.

    Raises:
        InputError: If the file exists and `force` is not given, or its folder does not.
    """
    if path.is_dir():
        raise InputError("this is a directory, expected a file", code="PLN121", where=str(path))
    if path.exists() and not force:
        raise InputError(
            "the file exists already", code="PLN120", where=str(path), hint="add `--force`"
        )
    if not path.parent.is_dir():
        text = f"cannot be written: there is no folder `{path.parent}`"
        raise InputError(text, code="PLN121", where=str(path))
