"""Documents that show what a benchmark printed, between two comments."""

from __future__ import annotations

from pathlib import Path


def update(path: Path, text: str, begin: str, end: str) -> None:
    """Put `text` between two comments of the document at `path`.

    Raises:
        ValueError: If it lacks one of them.
    """
    document = path.read_text(encoding="utf-8")
    path.write_text(updated(document, text, begin, end), encoding="utf-8")


def updated(document: str, text: str, begin: str, end: str) -> str:
    """`document` with `text` between two comments.

    Raises:
        ValueError: If it lacks one of them.
    """
    before, has_begin, rest = document.partition(begin)
    _, has_end, after = rest.partition(end)
    if not (has_begin and has_end):
        raise ValueError(f"the document lacks `{begin}` or `{end}`")
    return f"{before}{begin}\n{text}\n{end}{after}"
