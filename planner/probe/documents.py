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
        reason = error.strerror or str(error)
        raise ProbeError(f"cannot write: {reason}", code="PLN121", where=str(path)) from error
    finally:
        if temporary is not None and Path(temporary).exists():
            Path(temporary).unlink()


def check_output(path: Path, source: Path, *, is_replaced: bool) -> None:
    """Refuse what cannot be written before anything is measured for it.

    Args:
        path: The profile.
        source: The bundle's folder or archive.
        is_replaced: Whether an existing one is replaced or gone on with.

    Raises:
        ProbeError: PLN121.
    """
    folder = path.resolve().parent
    text, hint = "", None
    if str(path) == "-":
        text, hint = "`-` is no file name here", "give the name of a file"
    elif path.exists() and not path.is_file():
        text = "this is no file"
    elif path.exists() and source.is_file() and path.samefile(source):
        text, hint = "this is what measures, which it would replace", "choose another name"
    elif path.exists() and not is_replaced:
        text, hint = "the file exists", "`--force` replaces it, `--resume` goes on with it"
    elif not folder.is_dir():
        text, hint = f"there is no folder `{folder}`", f"mkdir -p {folder}"
    elif not os.access(str(folder), os.W_OK):
        text, hint = f"nothing can be written in `{folder}`", "choose another folder"
    if text:
        raise ProbeError(text, code="PLN121", where=str(path), hint=hint)


def read_measurements(path: Path, bundle: Bundle) -> list[dict[str, Any]]:
    """The measurements of a profile that is to be gone on with.

    Raises:
        ProbeError: PLN606 if there is none, or it is of another model or batch.
    """
    hint = "leave out `--resume`"
    try:
        document = json.loads(path.read_text("utf-8"))
        found = list(document["measurements"])
        keys = [
            (item["digest"], item["batch"], _shapes(item["inputs"]), item.get("gradients", ""))
            for item in found
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProbeError(
            f"there is no profile to go on with: {error}", code="PLN606", where=str(path), hint=hint
        ) from error
    model = bundle.manifest["model"]
    for digest, batch, shapes, gradients in keys:
        if digest != model["digest"]:
            text = "the profile is of another model"
        elif batch != model["batch"]:
            text = f"the profile is of batch {batch}, not {model['batch']}"
        elif shapes != _shapes(bundle.manifest["inputs"]):
            text = "the profile is of inputs of other shapes"
        elif gradients not in ("", model["gradients"]):
            text = "the profile is of a training step with other parameters frozen"
        else:
            continue
        raise ProbeError(text, code="PLN606", where=str(path), hint=hint)
    if not all(_is_sound(item.get("unfinished")) for item in found):
        text = "what was measured is damaged"
        raise ProbeError(text, code="PLN606", where=str(path), hint=hint)
    return found


def _is_sound(state: Any) -> bool:
    """Whether an unfinished measurement has what all of them have."""
    if state is None or state == {}:
        return True
    return (
        isinstance(state, dict)
        and isinstance(state.get("settings"), dict)
        and isinstance(state.get("rounds_left"), int)
        and isinstance(state.get("whole"), list)
        and all(isinstance(item, (float, list)) for item in state["whole"])
    )


def _shapes(inputs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {item["name"]: (item["dtype"], list(item["shape"])) for item in inputs}
