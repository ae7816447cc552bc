"""What the planner is worth: how fast it is, how well it predicts, what its processes take.

Every script is run as a module from the root: `python -m benchmarks.speed.bench --quick`.
"""

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""
