"""The probe: a bundle and the program that measures it, in one archive that Python runs."""

from __future__ import annotations

import io
import tempfile
import zipfile
from collections.abc import Iterator
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from planner.drafts.frontend import LoadOptions
from planner.files.writing import write_bytes
from planner.measuring.bundles import write_bundle

EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every entry: equal models give equal archives."""

STARTER = '''"""Measures the model in this archive: `python3 probe.zip -o profile.json`."""

import sys

if sys.version_info < (3, 8):
    sys.exit("error: Python 3.8 or newer is needed, this is " + sys.version.split()[0])

from probe.__main__ import main

sys.exit(main())
'''


def export_probe(
    source: Path, output: Path, *, load_options: LoadOptions, max_opset: int = 17, force: bool
) -> int:
    """Write the archive that measures a model on a device.

    Args:
        source: The model.
        output: The archive; also runs when it is unpacked into a folder.
        load_options: How the model is read, and the batch to measure at.
        max_opset: Newest operator set that the device knows; newer models are converted down.
        force: Replace an existing file.

    Returns:
        Its size in bytes.

    Raises:
        PlannerError: If the model cannot be read, run or converted, or the file not be written.
    """
    with tempfile.TemporaryDirectory(prefix="planner-") as folder:
        write_bundle(Path(folder), source, options=load_options, max_opset=max_opset)
        data = _zipped(Path(folder))
    write_bytes(output, data, force=force)
    return len(data)


def _zipped(bundle: Path) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        _add(archive, "__main__.py", STARTER.encode())
        for name, data in _program_files(files("planner.probe"), "probe"):
            _add(archive, name, data)
        for path in sorted(bundle.rglob("*")):
            if path.is_file():
                _add(archive, path.relative_to(bundle).as_posix(), path.read_bytes())
    return buffer.getvalue()


def _program_files(folder: Traversable, name: str) -> Iterator[tuple[str, bytes]]:
    """Every file of the probe with its name in the archive, those of its sub-folders included."""
    for entry in sorted(folder.iterdir(), key=lambda item: item.name):
        inside = f"{name}/{entry.name}"
        if entry.is_dir():
            yield from _program_files(entry, inside)
        elif entry.name.endswith((".py", ".json")):
            yield inside, entry.read_bytes()


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, date_time=EPOCH)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    archive.writestr(entry, data)
