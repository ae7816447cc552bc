"""The cost model `table`: seconds given operator by operator, charged as given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel

from planner.costs.cost_file import TableHost
from planner.costs.cost_table import CostContext, HostCosts
from planner.errors import MAX_LISTED, PlannerError, PluginError, named, nearest, raise_all

if TYPE_CHECKING:
    from planner.graphs.graph import Graph


class TableModel:
    """See the module; satisfies `planner.costs.cost_table.CostModel`."""

    name = "table"
    requires: tuple[str, ...] = ()
    options: type[BaseModel] = TableHost

    def cost(self, graph: Graph, options: BaseModel, context: CostContext) -> HostCosts:
        """Look every operator of `graph` up.

        Raises:
            PlannerError: Listing every operator without a row, every row without backward seconds
                where a backward pass exists, and every row that names nothing.
        """
        if not isinstance(options, TableHost):
            raise TypeError(f"expected TableHost, got {type(options).__name__}")
        raise_all(list(_problems(graph, options, context)))
        rows = {row.node: row for row in options.nodes}
        count = len(graph.operators)
        forward, backward = np.zeros(count), np.zeros(count)
        for index, operator in enumerate(graph.operators):
            row = rows.get(operator.name, options.default)
            if row is None:
                raise AssertionError(f"no row for {operator.name!r}")
            forward[index] = row.forward_s
            backward[index] = row.backward_s or 0.0
        if not context.is_training:
            backward[:] = 0.0
        return HostCosts(forward_s=forward, backward_s=backward, notes=_notes(graph, options))


COST_MODEL = TableModel()


def _problems(graph: Graph, options: TableHost, context: CostContext) -> Iterator[PlannerError]:
    where = f"{context.where}.nodes"
    rows = {row.node: row for row in options.nodes}
    absent = [operator.name for operator in graph.operators if operator.name not in rows]
    if absent and options.default is None:
        yield PluginError(
            f"host `{context.host}` has no cost for {named(absent, MAX_LISTED)}",
            code="PLN306",
            where=where,
            hint='`"default": {"forward_s": 0, "backward_s": 0}` prices what has no row',
        )
    has_backward = context.has_backward(graph)
    one_way = [
        operator.name
        for operator, is_priced in zip(graph.operators, has_backward, strict=True)
        if is_priced and operator.name in rows and rows[operator.name].backward_s is None
    ]
    if one_way:
        yield PluginError(
            f"host `{context.host}` has no `backward_s` for {named(one_way, MAX_LISTED)}, "
            "expected one wherever training runs a backward pass",
            code="PLN307",
            where=where,
        )
    yield from _strangers(graph, options, absent, where)


def _strangers(
    graph: Graph, options: TableHost, absent: Sequence[str], where: str
) -> Iterator[PlannerError]:
    """Rows that name nothing; most likely each is meant for an operator that lacks one."""
    candidates = absent or tuple(graph.operator_index)
    found = 0
    for position, row in enumerate(options.nodes):
        if row.node in graph.operator_index or row.node in graph.folded:
            continue
        # A search through a large graph takes a while, and no more than these are shown.
        close = nearest(row.node, candidates) if found < MAX_LISTED else None
        found += 1
        yield PluginError(
            f"a row is for `{row.node}`, which is no operator of `{graph.name}`",
            code="PLN308",
            where=f"{where}[{position}].name",
            hint=f"did you mean `{close}`?" if close else None,
        )


def _notes(graph: Graph, options: TableHost) -> tuple[str, ...]:
    folded = [row.node for row in options.nodes if row.node in graph.folded]
    if not folded:
        return ()
    if len(folded) == 1:
        return (f"1 row is for an operator that was folded away: `{folded[0]}`",)
    shown = named(folded, MAX_LISTED)
    return (f"{len(folded)} rows are for operators that were folded away: {shown}",)
