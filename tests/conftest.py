"""What every test needs: an editable install, and where the shared files are."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("planner") is None or find_spec("planner.frontends") is None:
    pytest.exit("run `pip install -e .[dev]` first: the folders are installed under one name", 4)

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of real model files; skips where it is absent."""
    folder = ROOT.parent / "shared" / "models"
    if not folder.is_dir():
        pytest.skip("the folder of shared model files is absent")
    return folder
