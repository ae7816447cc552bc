"""What a run of the benchmark found, as it is stored: figures, and no opinion about them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from benchmarks.records import RESULTS, Machine, Record, rounded
from benchmarks.speed.contest import quartiles

LATEST = RESULTS / "latest.json"


class Spread(Record):
    """Quartiles of `count` measurements, and what one in twenty of them is above."""

    low: float
    median: float
    high: float
    top: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Of at least one value, with four significant digits: more would be noise."""
        low, median, high = (rounded(value) for value in quartiles(list(values)))
        top = rounded(sorted(values)[-1 - len(values) // 20])
        return cls(low=low, median=median, high=high, top=top, count=len(values))


class Agreement(Record):
    """A solver against the reference, in ticks and in placement.

    Attributes:
        solver: Its name.
        states: How many states both solved.
        other_values: In so many, the value or the tick is another.
        other_placements: In so many, the placement is another.
        unproved: In so many, it gave no certificate.
    """

    solver: str
    states: int
    other_values: int
    other_placements: int
    unproved: int

    @property
    def is_perfect(self) -> bool:
        """Whether nothing differs."""
        return not (self.other_values or self.other_placements or self.unproved)


class Exactness(Record):
    """Whether the exact solvers agree.

    Attributes:
        reference: The solver that the others are compared with.
        states: How many random states.
        boundary_states: States that close in on where the best plan changes.
        distinct_placements: Of the reference, over all states and setups.
        split_states: Random states in which the best plan uses both hosts.
        agreements: One for each other solver.
    """

    reference: str
    states: int
    boundary_states: int
    distinct_placements: int
    split_states: int
    agreements: tuple[Agreement, ...]


class Memory(Record):
    """A fresh process that made the graph and the problem and solved it once with `auto`."""

    resident_kib: int
    peak_kib: int


class TableCheck(Record):
    """A plan table against the exact solver.

    Attributes:
        parameters: What varies.
        plans: So many plans are in it.
        solves: Exact solves that it took to build it.
        build_s: Seconds to build it.
        states: Random states inside the box that were compared.
        wrong: In so many, the value is off by more than 1e-9.
        largest_error: Relative, over all states.
        lookup_s: Seconds of one look-up.
        million_s: Seconds of a million at once.
    """

    parameters: tuple[str, ...]
    plans: int
    solves: int
    build_s: float
    states: int
    wrong: int
    largest_error: float
    lookup_s: float
    million_s: float


class GraphResult(Record):
    """Everything about one graph.

    Attributes:
        name, title, group, family, batches, workloads: As in `cases.Case`.
        operators: Of the graph.
        tensors: Of the graph.
        seconds: Of each competitor.
        ratios: `a / b`: how many times as long a took as b, state by state.
        ratios_by_workload: Those of `networkx` and `maxflow`, for each workload alone.
        numpy_pass_s: One numpy pass over the cost arrays.
        exactness: Whether the exact solvers agree on it.
        memory: Of a fresh process.
        tables: One for each choice of parameters.
        notes: What was left out, and why.
    """

    name: str
    title: str
    group: str
    family: str
    batches: tuple[int, ...]
    workloads: tuple[str, ...]
    operators: int
    tensors: int
    seconds: dict[str, Spread]
    ratios: dict[str, Spread]
    ratios_by_workload: dict[str, dict[str, Spread]]
    numpy_pass_s: float
    exactness: Exactness
    memory: Memory
    tables: tuple[TableCheck, ...]
    notes: tuple[str, ...]


class Results(Record):
    """One run."""

    kind: Literal["benchmark"] = "benchmark"
    version: Literal[1] = 1
    is_quick: bool
    machine: Machine
    graphs: tuple[GraphResult, ...]
    notes: tuple[str, ...]

    def graph(self, name: str) -> GraphResult | None:
        """The graph of this name, if it was part of the run."""
        return next((graph for graph in self.graphs if graph.name == name), None)


def read(path: Path) -> Results:
    """A stored run."""
    return Results.model_validate_json(path.read_bytes())


def write(results: Results, path: Path) -> None:
    """Store a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results.model_dump(mode="json"), indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
