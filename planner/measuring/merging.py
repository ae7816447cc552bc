"""Several profiles of one machine as one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from planner.costs.profile_file import Machine, Measurement, Profile, check_profile
from planner.errors import MeasuringError, PlannerError, raise_all, shorten
from planner.measuring.imports import UNKNOWN_MACHINE

_TELLING = ("name", "processor", "accelerator", "n_cores", "power_mode")
"""What tells machines apart; system and Python are updated now and then."""


def merge_profiles(profiles: Sequence[Profile], *, replace: bool = False) -> Profile:
    """All measurements of profiles that were taken on one machine, with the same settings.

    Args:
        profiles: In order; the machine is described as the first does.
        replace: Let a later measurement take the place of an earlier one of the same model, batch
            and mode, fed the same shapes, instead of refusing it.

    Raises:
        PlannerError: If there are none, the machines, engines or settings differ, a measurement
            was not finished, or two are of the same model, shapes and mode.
    """
    if not profiles:
        raise MeasuringError("there is no profile to merge", code="PLN617")
    raise_all([problem for profile in profiles for problem in _unfinished(profile)])
    raise_all([problem for p in profiles[1:] for problem in _other_machine(profiles[0], p)])
    raise_all(_other_engines(profiles))
    kept = _kept(profiles, replace=replace)
    from planner.registry import tool_version

    document: dict[str, Any] = {
        "kind": "profile",
        "version": 1,
        "tool": f"dnn-partition-planner {tool_version()}",
        "machine": profiles[0].machine.model_dump(mode="json", by_alias=True),
        "measurements": [m.model_dump(mode="json", by_alias=True) for m in kept],
    }
    return check_profile(document, "the merged profile")


def _unfinished(profile: Profile) -> list[PlannerError]:
    return [
        MeasuringError(
            f"measuring `{shorten(measurement.model, 60)}` ({measurement.mode}) was interrupted",
            code="PLN619",
            where=f"{profile.place}.measurements[{position}]",
            hint="finish it with `planner profile --resume`",
        )
        for position, measurement in enumerate(profile.measurements)
        if not measurement.is_complete
    ]


def _other_machine(first: Profile, other: Profile) -> list[PlannerError]:
    one, two = first.machine, other.machine
    differing = [key for key in _TELLING if getattr(one, key) != getattr(two, key)]
    if differing:
        key = differing[0]
        text = (
            f"was taken on another machine than `{_file(first)}`: "
            f"`{key}` is {_shown(two, key)}, there {_shown(one, key)}"
        )
        hint = "a profile is one machine's; give each host of the costs file its own"
    elif one.name == UNKNOWN_MACHINE:
        text = f"neither this nor `{_file(first)}` says on which machine it was taken"
        hint = "import them with `planner import-profile --machine NAME`"
    else:
        return []
    return [MeasuringError(text, code="PLN617", where=f"{other.place}.machine", hint=hint)]


def _file(profile: Profile) -> str:
    return shorten(profile.place.removesuffix(": $"), 80)


def _shown(machine: Machine, key: str) -> str:
    return f"`{shorten(str(getattr(machine, key)), 60)}`"


def _other_engines(profiles: Sequence[Profile]) -> list[PlannerError]:
    """In each mode, every measurement must have been taken with the same settings."""
    problems: list[PlannerError] = []
    seen: dict[str, tuple[str, dict[str, str]]] = {}
    for profile, position, measurement in _rows(profiles):
        place = f"{profile.place}.measurements[{position}].engine"
        settings = _settings(measurement)
        before, first = seen.setdefault(measurement.mode, (place, settings))
        differing = [
            k for k in sorted({*settings, *first}) if settings.get(k, "") != first.get(k, "")
        ]
        if differing:
            key = differing[0]
            text = (
                f"`{key}` is `{shorten(settings.get(key, ''), 60)}`, but "
                f"`{shorten(first.get(key, ''), 60)}` at {shorten(before, 120)}"
            )
            hint = "measure all with the same settings, or keep them in profiles of their own"
            problems.append(MeasuringError(text, code="PLN617", where=place, hint=hint))
    return problems


def _settings(measurement: Measurement) -> dict[str, str]:
    engine = measurement.engine
    known = ("name", "version", "provider", "threads", "optimization")
    own = {f"settings.{key}": value for key, value in engine.settings.items()}
    return {key: str(getattr(engine, key)) for key in known} | own


def _rows(profiles: Sequence[Profile]) -> list[tuple[Profile, int, Measurement]]:
    return [(p, i, m) for p in profiles for i, m in enumerate(p.measurements)]


def _kept(profiles: Sequence[Profile], *, replace: bool) -> list[Measurement]:
    kept: dict[tuple[object, ...], tuple[str, Measurement]] = {}
    problems: list[PlannerError] = []
    for profile, position, measurement in _rows(profiles):
        place = f"{profile.place}.measurements[{position}]"
        model = measurement.digest or measurement.model
        shapes = tuple(sorted((i.name, i.dtype, i.shape) for i in measurement.inputs))
        key = (model, measurement.gradients, shapes, measurement.batch, measurement.mode)
        if key in kept and not replace:
            at = "" if measurement.batch is None else f" at batch {measurement.batch}"
            text = (
                f"`{shorten(measurement.model, 60)}`{at} in mode {measurement.mode} was measured "
                f"already, at {shorten(kept[key][0], 120)}"
            )
            hint = "`--replace` keeps the later one"
            problems.append(MeasuringError(text, code="PLN618", where=place, hint=hint))
            continue
        kept[key] = (place, measurement)
    raise_all(problems)
    return [measurement for _, measurement in kept.values()]
