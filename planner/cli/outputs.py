"""Files that commands write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def check_output(
    output: Path, inputs: Sequence[Path], *, force: bool, has_format: bool = True
) -> None:
    """Refuse an output before any work is done for it.

    Args:
        output: Where to write.
        inputs: Files that are read, and kept.
        force: Replace an existing file.
        has_format: Whether the command has `--format`.

    Raises:
        InputError: If it cannot be written, exists without `force`, or is one of the inputs.
    """
    from planner.errors import InputError
    from planner.files.writing import check_writable

    if str(output) == "-":
        text = "`-` is no file name here"
        printing = "`--format json` prints to standard output"
        hint = printing if has_format else "give the name of a file"
        raise InputError(text, code="PLN121", where="--output", hint=hint)
    check_writable(output, force=force)
    for source in inputs:
        if source.exists() and output.exists() and output.samefile(source):
            text = "this is what it is made from, which it would replace"
            raise InputError(text, code="PLN121", where=str(output), hint="choose another name")
