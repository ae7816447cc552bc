"""The CBC that PuLP carries, whoever runs it."""

from __future__ import annotations

from pathlib import Path

from planner.solvers.milp.engines import without_highspy

with without_highspy():  # PuLP would import it, to see whether it can
    import pulp


def bundled_cbc() -> Path | None:
    """The CBC that PuLP carries for this platform, if it does."""
    path = Path(pulp.PULP_CBC_CMD.pulp_cbc_path).resolve()
    return path if path.is_file() else None
