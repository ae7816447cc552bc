"""Every docstring example runs; pytest's own collection would import under the wrong names."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.packaging.test_package import module_names


@pytest.mark.parametrize("name", module_names())
def test_examples(name: str) -> None:
    module = importlib.import_module(name)
    assert doctest.testmod(module).failed == 0
