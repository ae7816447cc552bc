"""What profiles are worth, from three stored runs: `python -m benchmarks.fidelity.predictions`.

docs/profiles.md shows what this prints, between two comments; a test compares.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.fidelity import profiling, repeatability, report
from benchmarks.pages import update
from benchmarks.records import RESULTS

BEGIN = (
    "<!-- predictions: written by `python -m benchmarks.fidelity.predictions"
    " --update docs/profiles.md` -->"
)
END = "<!-- predictions: end -->"


def main() -> None:
    """Print the tables, or write them into a document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", type=Path, metavar="FILE")
    options = parser.parse_args()
    text = render()
    if options.update is None:
        print(text)
        return
    update(options.update, text, BEGIN, END)


def render() -> str:
    """Markdown: the tables of the three runs, what was missed, the machine."""
    found = report.read(RESULTS / "fidelity.json")
    repeated = repeatability.Repeatability.model_validate_json(
        (RESULTS / "repeatability.json").read_bytes()
    )
    taken = profiling.Profiling.model_validate_json((RESULTS / "profiling.json").read_bytes())
    misses = [text for model in found.models for text in model.misses]
    misses += [*repeated.misses, *taken.misses]
    return "\n".join(
        [
            "*Delay of split models*, predicted and measured "
            "(`python -m benchmarks.fidelity.run`):",
            "",
            *report.summary(found),
            "",
            "*Two profiles of one model, minutes apart* "
            "(`python -m benchmarks.fidelity.repeatability`):",
            "",
            *repeatability.table(list(repeated.models)),
            "",
            "*Sum of the operators before it is scaled, against the whole model*, forward, one "
            "thread (`python -m benchmarks.fidelity.profiling --threads 1`):",
            "",
            *profiling.table(taken),
            "",
            f"Missed: {'; '.join(misses) or 'none of the figures that were set beforehand'}.",
        ]
    )


if __name__ == "__main__":
    main()
