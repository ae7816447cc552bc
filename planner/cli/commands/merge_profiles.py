"""`planner merge-profiles`: several profiles of one machine as one."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("merge-profiles")
@click.argument("paths", metavar="PROFILE...", type=Path, nargs=-1, required=True)
@click.option("-o", "--output", type=Path, required=True, metavar="FILE",
              help="The merged profile (profile.v1).")  # fmt: skip
@click.option("--replace", is_flag=True,
              help="Keep the later of two measurements of one model, batch and mode.")  # fmt: skip
@click.option("--force", is_flag=True, help="Replace an existing file.")
def command(paths: tuple[Path, ...], output: Path, replace: bool, force: bool) -> None:
    """Put the measurements of profiles of one machine, taken with the same settings, into one file.

    So two batches of a model can be planned between, and many models price a new one.

    \b
      planner merge-profiles batch1.json batch8.json -o jetson.json
    """
    from planner.cli.console import say, write_out
    from planner.cli.outputs import check_output
    from planner.costs.profile_file import Profile, read_profile
    from planner.errors import PlannerError, raise_all
    from planner.files.writing import json_text, write_text
    from planner.measuring.merging import merge_profiles

    check_output(output, list(paths), force=force, has_format=False)
    profiles: list[Profile] = []
    problems: list[PlannerError] = []
    for path in paths:
        try:
            profiles.append(read_profile(path))
        except PlannerError as error:
            problems += error.problems
    raise_all(problems)
    merged = merge_profiles(profiles, replace=replace)
    text = json_text(merged.model_dump(mode="json", by_alias=True))
    write_text(output, text, force=force)
    say(f"wrote {output}")
    for measurement in merged.measurements:
        batch = "" if measurement.batch is None else f", batch {measurement.batch}"
        write_out(f"{measurement.model}: {measurement.mode}{batch}\n")
