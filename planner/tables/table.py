"""A plan table: every plan that is best in some state of a box, and which one is best where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple

import numpy.typing as npt

from planner.arrays import FloatArray, IntArray
from planner.files.values import JsonValue
from planner.tables.table_file import (
    ParameterEntry,
    PlanEntry,
    ProofEntry,
    TableCrossing,
    TableFile,
    read_table_file,
)


@dataclass(frozen=True, kw_only=True)
class TablePlan:
    """One plan of a table.

    Attributes:
        index: Its position in the table.
        entry: What the file says of it.
        table: The file that it is part of.
    """

    index: int
    entry: PlanEntry = field(repr=False)
    table: TableFile = field(repr=False)

    @property
    def constant_s(self) -> float:
        """Seconds of a round that do not depend on the parameters."""
        return self.entry.constant_s

    @property
    def slopes(self) -> tuple[float, ...]:
        """Seconds of a round per unit of 1 / parameter, for each parameter."""
        return self.entry.slopes

    @cached_property
    def placement(self) -> Mapping[str, str]:
        """Host name of every operator, in graph order."""
        hosts = self.table.hosts
        return {n: hosts[h] for n, h in zip(self.table.nodes, self.entry.placement, strict=True)}

    @property
    def crossing(self) -> tuple[TableCrossing, ...]:
        """What crosses the links."""
        return self.entry.crossing

    @property
    def region(self) -> tuple[tuple[float, ...], ...]:
        """Corners of where the plan is best: its convex hull, in 1 / parameter."""
        return tuple(self.table.proof.vertices[k].state for k in self.entry.region)

    @property
    def bounds(self) -> tuple[tuple[float, float], ...]:
        """The lowest and the highest value of each parameter in the region."""
        return tuple((min(values), max(values)) for values in zip(*self.region, strict=True))

    def total_s(self, *state: float) -> float:
        """Seconds of a round in a state, its values in the order of the table's parameters."""
        return self.constant_s + sum(s / x for s, x in zip(self.slopes, state, strict=True))


@dataclass(frozen=True, slots=True)
class Choice:
    """The best plan of one state, and what a round then takes."""

    plan: TablePlan
    total_s: float

    @property
    def index(self) -> int:
        """The plan's position in the table."""
        return self.plan.index

    @property
    def placement(self) -> Mapping[str, str]:
        """Host name of every operator, in graph order."""
        return self.plan.placement


class Choices(NamedTuple):
    """The best plans of many states: positions in `Table.plans`, and seconds of a round."""

    indices: IntArray
    totals_s: FloatArray


@dataclass(frozen=True, kw_only=True)
class Table:
    """A plan table; made by `planner.table`, read by `planner.read_table`.

    In every state of the box the least `total_s` of the plans is the least of all placements.

    Attributes:
        file: Everything that is saved.
    """

    file: TableFile

    def __repr__(self) -> str:
        over = ", ".join(parameter.name for parameter in self.parameters)
        return f"<Table of {self.file.graph!r}: {len(self.plans)} plans over {over}>"

    def __reduce__(self) -> tuple[object, ...]:
        """What is saved, and not what look-ups made of it."""
        return partial(Table, file=self.file), ()

    @property
    def parameters(self) -> tuple[ParameterEntry, ...]:
        """What varies, with `name`, `low` and `high`."""
        return self.file.parameters

    @cached_property
    def plans(self) -> tuple[TablePlan, ...]:
        """Every plan that is best somewhere."""
        entries = enumerate(self.file.plans)
        return tuple(TablePlan(index=i, entry=entry, table=self.file) for i, entry in entries)

    @property
    def proof(self) -> ProofEntry:
        """Why no plan is missing."""
        return self.file.proof

    def best(self, /, **state: float) -> Choice:
        """The best plan of one state.

        Args:
            state: A value for each of the table's parameters, such as `uplink_bps=2e7`.

        Raises:
            PlanError: If a parameter is missing or unknown, or a value is outside of the table.
        """
        return self._find(state)

    def best_many(self, /, **states: npt.ArrayLike) -> Choices:
        """The best plans of many states.

        Args:
            states: An array, or one number, for each of the table's parameters; they are
                broadcast together.

        Raises:
            PlanError: If a parameter is missing or unknown, or a value is outside of the table.
        """
        from planner.tables.lookup import find_many

        return Choices(*find_many(self.file, states))

    @cached_property
    def _find(self) -> Callable[[dict[str, float]], Choice]:
        from planner.tables.lookup import finder

        find = finder(self.file)
        plans = self.plans

        def choose(state: dict[str, float]) -> Choice:
            index, total = find(state)
            return Choice(plans[index], total)

        return choose

    def to_dict(self) -> dict[str, JsonValue]:
        """The content of a table file, as JSON values."""
        return self.file.model_dump(mode="json")


def read_table(path: str | Path) -> Table:
    """Read a saved table.

    Raises:
        PlannerError: With every problem of the file at its place.
    """
    return Table(file=read_table_file(path))
