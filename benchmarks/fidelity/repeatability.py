"""Whether two profiles of a model, taken minutes apart, lead to the same plans.

`python -m benchmarks.fidelity.repeatability`: every model is profiled once, then every model once
more. Plans are made for many link states with the profile as the device, beside servers that are
the same machine some times as fast; the plan by the first profile is priced by the second.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Literal

import planner
from benchmarks.fidelity.forward import SEQUENCE, Setting, pinned
from benchmarks.fidelity.run import machine_record
from benchmarks.records import Machine, Record, rounded
from planner import zoo
from planner.costs.cost_file import Costs, LinkEntry, check_costs
from planner.costs.profile_file import Profile, read_profile
from planner.drafts.frontend import LoadOptions
from planner.files.values import JsonValue
from planner.graphs.graph import Graph
from planner.measuring.taking import MeasureOptions, take_profile

MODELS = ("resnet18", "resnet50", "mobilenet_v2", "googlenet", "gpt2")
SERVERS = (2.0, 10.0)
"""How many times as fast as the device the server is."""
RATES = 1e6, 1e9
WANTED = 0.95
TOLERANCE = 0.01


class Repeated(Record):
    """One model: what two profiles of it lead to.

    Attributes:
        model: Its name.
        states: Link states by servers that were planned.
        same: In so many, the plan is the same.
        near: In so many others, the first plan is within 1 % of the best by the second profile.
        worst: How much slower it is where it is slowest, relative.
        whole_s: Of both profiles.
        apart_s: Seconds between them.
    """

    model: str
    states: int
    same: int
    near: int
    worst: float
    whole_s: tuple[float, float]
    apart_s: float

    @property
    def share(self) -> float:
        """Of states in which the plan is the same or nearly as fast."""
        return (self.same + self.near) / self.states


class Repeatability(Record):
    """One run of the benchmark."""

    kind: Literal["repeatability"] = "repeatability"
    version: Literal[1] = 1
    machine: Machine
    models: tuple[Repeated, ...]

    @property
    def misses(self) -> list[str]:
        """The figures that are not reached, in words."""
        return [f"{m.model}: {m.share:.1%} < {WANTED:.0%}" for m in self.models if m.share < WANTED]


def main() -> int:
    """Measure, print a table; exit status 1 if the figure is checked and missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="*", default=MODELS, choices=zoo.names())
    parser.add_argument("--states", type=int, default=200)
    parser.add_argument("--profile-repeat", type=int)
    parser.add_argument("--apart", type=float, default=120, metavar="S", help="at least")
    parser.add_argument("--core", type=int, default=0)
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    setting = Setting(cores=(options.core, options.core), profile_repeat=options.profile_repeat)
    with tempfile.TemporaryDirectory(prefix="repeatability-") as folder:
        models = _measure(options.models, Path(folder), setting, options.apart, options.states)
    found = Repeatability(machine=machine_record(), models=tuple(models))
    print("\n".join(table(models)))
    if options.json:
        text = json.dumps(found.model_dump(mode="json"), indent=1, ensure_ascii=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    return 1 if options.check and found.misses else 0


def table(models: list[Repeated]) -> list[str]:
    """Markdown: a row for each model."""
    lines = [
        f"| model | states | same plan | within {TOLERANCE:.0%} | together | worst | whole ms |",
        "|---|--:|--:|--:|--:|--:|---|",
    ]
    for m in models:
        whole = " / ".join(f"{seconds * 1e3:.2f}" for seconds in m.whole_s)
        lines.append(
            f"| {m.model} | {m.states} | {m.same / m.states:.1%} | {m.near / m.states:.1%} "
            f"| {m.share:.1%} | {m.worst:.2%} | {whole} |"
        )
    return lines


def _measure(
    names: list[str], folder: Path, setting: Setting, apart_s: float, n_states: int
) -> list[Repeated]:
    """Both profiles of all models, the second of each at least `apart_s` after the first."""
    taken: dict[str, float] = {}
    later: dict[str, float] = {}
    for name in names:
        zoo.write(name, folder / f"{name}.onnx", sequence=SEQUENCE)
        taken[name] = _profile(folder, name, 1, setting)
    for name in names:
        time.sleep(max(0.0, taken[name] + apart_s - time.monotonic()))
        later[name] = _profile(folder, name, 2, setting)
    found = []
    for name in names:
        graph = planner.load(folder / f"{name}.onnx")
        first, second = (read_profile(folder / f"{name}.{number}.json") for number in (1, 2))
        found.append(compare(name, graph, first, second, n_states, later[name] - taken[name]))
    return found


def _profile(folder: Path, name: str, number: int, setting: Setting) -> float:
    with pinned(setting.cores[0]):
        take_profile(
            folder / f"{name}.onnx",
            folder / f"{name}.{number}.json",
            load_options=LoadOptions(),
            options=MeasureOptions(
                threads=1, repeat=setting.profile_repeat, optimization="all", mode="inference"
            ),
        )
    return time.monotonic()


def compare(
    name: str, graph: Graph, first: Profile, second: Profile, n_states: int, apart_s: float
) -> Repeated:
    """Plans by both profiles, state by state."""
    generator = random.Random(0)
    low, high = RATES
    same = near = 0
    worst = 0.0
    # The server is the same for both profiles: it does not know how the device was measured.
    ours, theirs = (
        [_costs(name, profile, _server(graph, first, speed)) for speed in SERVERS]
        for profile in (first, second)
    )
    for index in range(n_states):
        up, down = (low * (high / low) ** generator.random() for _ in range(2))
        link = {"links": (LinkEntry(uplink_bps=up, downlink_bps=down),)}
        one, other = (c[index % len(SERVERS)].model_copy(update=link) for c in (ours, theirs))
        plan, best = planner.plan(graph, one), planner.plan(graph, other)
        if plan.placement == best.placement:
            same += 1
            continue
        loss = planner.evaluate(graph, other, plan.placement).total_s / best.total_s - 1
        worst = max(worst, loss)
        near += loss <= TOLERANCE
    return Repeated(
        model=name,
        states=n_states,
        same=same,
        near=near,
        worst=rounded(worst),
        whole_s=(rounded(_seconds(first)), rounded(_seconds(second))),
        apart_s=round(apart_s, 1),
    )


def _server(graph: Graph, profile: Profile, speed: float) -> JsonValue:
    """A server that takes `speed` times less than the device for everything."""
    rows = {row.node: row.forward.typical_s for row in profile.measurements[0].nodes}
    nodes: list[JsonValue] = [
        {"name": operator.name, "forward_s": rows.get(operator.name, 0.0) / speed}
        for operator in graph.operators
    ]
    return {"name": "server", "model": "table", "nodes": nodes}


def _costs(name: str, profile: Profile, server: JsonValue) -> Costs:
    """The device by its profile; small outputs are sent back."""
    content = profile.model_dump(by_alias=True)
    return check_costs(
        {
            "kind": "costs",
            "version": 1,
            "workload": {"mode": "inference", "return_outputs": name != "gpt2"},
            "hosts": [{"name": "device", "model": "measured", "profile": content}, server],
            "links": [{"uplink_bps": 1e6, "downlink_bps": 1e6}],
        },
        "repeatability",
    )


def _seconds(profile: Profile) -> float:
    return sum(row.forward.typical_s for row in profile.measurements[0].nodes)


if __name__ == "__main__":
    sys.exit(main())
