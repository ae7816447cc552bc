"""What profiles are worth, from three stored runs: `python benchmarks/predictions.py`.

docs/profiles.md shows what this prints, between two comments; a test compares.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import fidelity_report
import profiling
import repeatability
from report import updated
from results import LATEST

BEGIN = (
    "<!-- predictions: written by `python benchmarks/predictions.py --update docs/profiles.md` -->"
)
END = "<!-- predictions: end -->"
FOLDER = LATEST.parent


def main() -> None:
    """Print the tables, or write them into a document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", type=Path, metavar="FILE")
    options = parser.parse_args()
    text = render()
    if options.update is None:
        print(text)
        return
    document = options.update.read_text(encoding="utf-8")
    options.update.write_text(updated(document, text, BEGIN, END), encoding="utf-8")


def render() -> str:
    """Markdown: the tables of the three runs, what was missed, the machine."""
    found = fidelity_report.read(FOLDER / "fidelity.json")
    repeated = repeatability.Repeatability.model_validate_json(
        (FOLDER / "repeatability.json").read_bytes()
    )
    taken = profiling.Profiling.model_validate_json((FOLDER / "profiling.json").read_bytes())
    misses = [text for model in found.models for text in model.misses]
    misses += [*repeated.misses, *taken.misses]
    return "\n".join(
        [
            "*Delay of split models*, predicted and measured (`python benchmarks/fidelity.py`):",
            "",
            *fidelity_report.summary(found),
            "",
            "*Two profiles of one model, minutes apart* (`python benchmarks/repeatability.py`):",
            "",
            *repeatability.table(list(repeated.models)),
            "",
            "*Sum of the operators before it is scaled, against the whole model*, forward, one "
            "thread (`python benchmarks/profiling.py --threads 1`):",
            "",
            *profiling.table(taken),
            "",
            f"Missed: {'; '.join(misses) or 'none of the figures that were set beforehand'}.",
        ]
    )


if __name__ == "__main__":
    main()
