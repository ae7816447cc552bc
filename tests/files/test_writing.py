"""Outputs through links: what a link points to is written, never the link itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from planner.errors import InputError
from planner.files.writing import write_text


def test_a_link_stays_and_what_it_points_to_is_written(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target.json", tmp_path / "link.json"
    link.symlink_to(target)
    write_text(link, "one", force=False)  # it points to nothing yet
    assert (link.is_symlink(), target.read_text()) == (True, "one")
    with pytest.raises(InputError, match="exists already"):
        write_text(link, "two", force=False)
    write_text(link, "two", force=True)
    assert (link.is_symlink(), target.read_text()) == (True, "two")


@pytest.mark.parametrize("force", [False, True])
def test_a_link_to_a_device_or_to_no_folder_is_refused(tmp_path: Path, force: bool) -> None:
    device, lost, loop = (tmp_path / name for name in ("device", "lost", "loop"))
    device.symlink_to("/dev/null")
    lost.symlink_to(tmp_path / "absent" / "file")
    loop.symlink_to("loop")
    for link in (device, lost, loop):
        with pytest.raises(InputError) as caught:
            write_text(link, "text", force=force)
        assert caught.value.code == "PLN121"
        assert link.is_symlink()
