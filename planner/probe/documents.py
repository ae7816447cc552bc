"""The profile's file: written so that nobody sees half of one, and read to be gone on with."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any, Sequence

from .bundle import Bundle
from .errors import ProbeError


def profile_document(
    bundle: Bundle, machine: dict[str, Any], measurements: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    """A profile (`profile.v1`)."""
    return {
        "kind": "profile",
        "version": 1,
        "tool": bundle.manifest.get("tool", ""),
        "machine": machine,
        "measurements": list(measurements),
    }


def write_document(path: Path, document: dict[str, Any]) -> None:
    """Replace `path` by the document, as a whole.

    Raises:
        ProbeError: PLN121 if it cannot be written.
    """
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=".probe-", dir=str(path.resolve().parent))
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path.resolve())
    except OSError as error:
        if temporary is not None and Path(temporary).exists():
            Path(temporary).unlink()
        reason = error.strerror or str(error)
        raise ProbeError(f"cannot write: {reason}", code="PLN121", where=str(path)) from error


def read_measurements(path: Path, bundle: Bundle) -> list[dict[str, Any]]:
    """The measurements of a profile that is to be gone on with.

    Raises:
        ProbeError: PLN606 if there is none, or it is of another model or batch.
    """
    hint = "leave out `--resume`"
    try:
        document = json.loads(path.read_text("utf-8"))
        found = list(document["measurements"])
        keys = [(item["digest"], item["batch"], item["mode"]) for item in found]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProbeError(
            f"there is no profile to go on with: {error}", code="PLN606", where=str(path), hint=hint
        ) from error
    model = bundle.manifest["model"]
    for digest, batch, _ in keys:
        if digest != model["digest"]:
            text = "the profile is of another model"
        elif batch != model["batch"]:
            text = f"the profile is of batch {batch}, not {model['batch']}"
        else:
            continue
        raise ProbeError(text, code="PLN606", where=str(path), hint=hint)
    return found
