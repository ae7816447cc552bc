"""The catalogue, the code, the page and the tests agree on what errors there are."""

from __future__ import annotations

import re

from tests.conftest import ROOT
from tools.error_page import CATALOGUE, page

CODE = re.compile(r"PLN\d{3}")


def codes_in(*folders: str) -> set[str]:
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return {
        code
        for path in files
        if path.name != "test_error_codes.py"
        for code in CODE.findall(path.read_text(encoding="utf-8"))
    }


def test_every_code_that_is_raised_is_in_the_catalogue_and_no_other() -> None:
    assert codes_in("planner", "frontends", "costmodels", "solvers") == set(CATALOGUE)


def test_every_code_is_provoked_by_a_test() -> None:
    # A solver's contradiction of itself is a defect; the tests plant one and look for 502.
    assert set(CATALOGUE) - codes_in("tests") == set()


def test_page_is_current() -> None:
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == page()
