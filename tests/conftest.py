"""What every test needs: an editable install, and where the shared files are."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import pytest

if find_spec("planner") is None or find_spec("planner.frontends") is None:
    pytest.exit("run `pip install -e .[dev]` first: the folders are installed under one name", 4)

from tests.support.verify_mode import MODE  # only once it is sure that there is a planner

ROOT = Path(__file__).resolve().parent.parent


MODE.install()


def pytest_configure(config: pytest.Config) -> None:
    """Make the markers known."""
    for text in (
        "plants_errors: plans that this test makes are wrong on purpose, and not verified",
        "partly_verified: not every check of the plans that this test makes can be made",
    ):
        config.addinivalue_line("markers", text)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Verify the plans of every test but those that plant errors, in full unless it says so."""
    MODE.is_on = item.get_closest_marker("plants_errors") is None
    MODE.is_lenient = item.get_closest_marker("partly_verified") is not None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many plans were verified, and what that took; workers of xdist do not report it."""
    if MODE.n_plans:
        text = (
            f"verify mode: {MODE.n_verified} of {MODE.n_plans} plans, {MODE.n_incomplete} of them "
            f"not in full, {MODE.seconds:.1f} s"
        )
        terminalreporter.write_line(text)


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """The folder of real model files; skips where it is absent."""
    folder = ROOT.parent / "shared" / "models"
    if not folder.is_dir():
        pytest.skip("the folder of shared model files is absent")
    return folder
