"""What a file looks like that nothing here reads, by its first bytes, and what to do with it."""

from __future__ import annotations

import re

_STARTS = (
    (b"PK\x03\x04", "a TorchScript / torch.export archive (a zip file); name it `.pt` or `.pt2`"),
    (b"version https://git-lfs", "a Git LFS pointer; run `git lfs pull`"),
    (b"\x89HDF\r\n", "an HDF5 (Keras) file; convert it to ONNX"),
    (b"\x80\x02", "a Python pickle (a PyTorch state dict); export the module with torch.export"),
    (b"\x1f\x8b", "a gzip file"),
)


def guess_kind(head: bytes) -> str | None:
    """A guess in words, or None.

    >>> guess_kind(b"PK\\x03\\x04...")
    'a TorchScript / torch.export archive (a zip file); name it `.pt` or `.pt2`'
    """
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[4:8] == b"ORTM":
        return "an onnxruntime `.ort` file; plan the `.onnx` file it was made from"
    if head[4:8] == b"TFL3":
        return "a TensorFlow Lite file; convert it to ONNX"
    if re.match(rb"\s*[{\[]", head):
        return "JSON"
    if re.fullmatch(rb"[\t\n\r\x20-\x7e]+", head):
        return "text"
    return None
