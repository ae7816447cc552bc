"""The plug-ins of this package keep their contracts: `python -m pytest contracts.py`."""

from __future__ import annotations

from planner_chain.costmodel import COST_MODEL
from planner_chain.frontend import FRONTEND
from planner_chain.solver import SOLVER

from planner.testing import branches, check_cost_model, check_frontend, check_solver


def test_contracts() -> None:
    """Each raises an AssertionError that says what does not hold."""
    check_frontend(FRONTEND, b"input 600\nfc Gemm 40 2400\n")
    check_cost_model(COST_MODEL, {"model": "per-byte", "seconds_per_byte": 1e-9}, branches())
    check_solver(SOLVER)
