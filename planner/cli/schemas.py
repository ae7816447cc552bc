"""The JSON Schemas of the file formats, generated from the types that read them.

`python -m planner.cli.schemas FOLDER` writes them; a test compares what is committed.
"""

from __future__ import annotations

import sys
from importlib.resources import files
from pathlib import Path

from pydantic import BaseModel

from planner.costs.cost_file import Costs
from planner.costs.profile_file import Profile
from planner.drafts.spec_file import GraphFile
from planner.errors import InputError, name_hint
from planner.files.writing import json_text
from planner.plans.plan_file import PlanFile
from planner.tables.table_file import TableFile

FORMATS: dict[str, type[BaseModel]] = {
    "graph.v1": GraphFile,
    "costs.v1": Costs,
    "profile.v1": Profile,
    "plan.v1": PlanFile,
    "table.v1": TableFile,
}


def generate(name: str) -> str:
    """The schema of one format as JSON text."""
    schema = FORMATS[name].model_json_schema(by_alias=True)
    head = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:dnn-partition-planner:{name}",
    }
    return json_text(head | schema)


def schema_names() -> list[str]:
    """The formats there are."""
    return list(FORMATS)


def schema_text(name: str) -> str:
    """The shipped schema of a format, named `costs` or `costs.v1`.

    Raises:
        InputError: If there is no such format.
    """
    full = name.removesuffix(".json")
    full = full if full in FORMATS else f"{full}.v1"
    if full not in FORMATS:
        raise InputError(
            f"there is no file format `{name}`",
            code="PLN123",
            where="planner schema",
            hint=name_hint(name, [f.removesuffix(".v1") for f in FORMATS], "formats"),
        )
    return files("planner.schemas").joinpath(f"{full}.json").read_text(encoding="utf-8")


def write_all(folder: Path) -> None:
    """Write every schema into `folder`."""
    for name in FORMATS:
        (folder / f"{name}.json").write_text(generate(name), encoding="utf-8")


if __name__ == "__main__":
    write_all(Path(sys.argv[1]))
