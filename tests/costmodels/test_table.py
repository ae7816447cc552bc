"""The cost model `table`: numbers charged as given, and every gap reported at once."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from planner.costmodels.table import COST_MODEL
from planner.costs.cost_file import TableHost
from planner.costs.cost_table import HostCosts
from planner.errors import PlannerError
from planner.files.documents import validate
from planner.files.values import JsonValue
from planner.graphs.graph import Graph
from tests.support.nets import Net, context_of

Row = tuple[str, float, float | None]


def chain(length: int = 3, *, stem_is_frozen: bool = False) -> Graph:
    """Layers in a row, `n0`, `n1`, …; a row for the folded `unread` is a note."""
    net = Net(x=(4, 4))
    for number in range(length):
        is_trainable = number > 0 or not stem_is_frozen
        reads = f"n{number - 1}" if number else "x"
        net.add("Linear", reads, (4, 4), weights=((4, 4),), trainable=is_trainable)
    last = f"n{length - 1}"
    net.add("Relu", "x", (4, 4))
    return net.graph(last)


def price_rows(
    graph: Graph, rows: Sequence[Row], *, training: bool = True, default: JsonValue = None
) -> HostCosts:
    nodes: list[JsonValue] = [
        {"name": name, "forward_s": forward}
        | ({} if backward is None else {"backward_s": backward})
        for name, forward, backward in rows
    ]
    document: dict[str, JsonValue] = {"name": "device", "model": "table", "nodes": nodes}
    if default is not None:
        document["default"] = default
    options = validate(TableHost, document, "costs.json")
    return COST_MODEL.cost(graph, options, context_of(graph, training=training))


def problems_of(graph: Graph, rows: Sequence[Row], **kwargs: bool) -> list[PlannerError]:
    with pytest.raises(PlannerError) as caught:
        price_rows(graph, rows, **kwargs)
    return list(caught.value.problems)


def test_numbers_are_charged_as_given_in_any_order() -> None:
    costs = price_rows(chain(), [("n2", 3.0, 0.5), ("n0", 1.0, 0.0), ("n1", 2.0, 9.0)])
    assert costs.forward_s.tolist() == [1.0, 2.0, 3.0]
    assert costs.backward_s.tolist() == [0.0, 9.0, 0.5]
    assert costs.notes == ()


def test_backward_numbers_are_ignored_in_inference() -> None:
    rows = [("n0", 1.0, 4.0), ("n1", 2.0, None), ("n2", 3.0, 9.0)]
    costs = price_rows(chain(), rows, training=False)
    assert costs.forward_s.tolist() == [1.0, 2.0, 3.0]
    assert costs.backward_s.tolist() == [0.0, 0.0, 0.0]


def test_backward_numbers_may_be_left_out_where_there_is_no_backward_pass() -> None:
    rows = [("n0", 1.0, None), ("n1", 2.0, 4.0), ("n2", 3.0, 6.0)]
    costs = price_rows(chain(stem_is_frozen=True), rows)
    assert costs.backward_s.tolist() == [0.0, 4.0, 6.0]
    # Given where the graph needs none, it is charged all the same.
    rows = [("n0", 1.0, 2.0), *rows[1:]]
    assert price_rows(chain(stem_is_frozen=True), rows).backward_s.tolist() == [2.0, 4.0, 6.0]


def test_missing_backward_numbers_are_listed_together() -> None:
    rows = [("n0", 1.0, None), ("n1", 2.0, 4.0), ("n2", 3.0, None)]
    (problem,) = problems_of(chain(), rows)
    assert (problem.code, problem.where) == ("PLN307", "costs.json: $.hosts[0].nodes")
    assert "`n0`, `n2`" in problem.message
    assert "`n1`" not in problem.message


def test_missing_rows_are_listed_in_the_graphs_order_up_to_twenty() -> None:
    (problem,) = problems_of(chain(35), [("n1", 1.0, 1.0), ("n33", 1.0, 1.0)])
    listed = ", ".join(f"`n{number}`" for number in (0, *range(2, 21)))
    assert problem.message == f"host `device` has no cost for {listed} and 13 more"
    assert (problem.code, problem.where) == ("PLN306", "costs.json: $.hosts[0].nodes")


def test_a_default_prices_what_has_no_row() -> None:
    default: JsonValue = {"forward_s": 0.25, "backward_s": 0.5}
    costs = price_rows(chain(), [("n1", 2.0, 4.0)], default=default)
    assert costs.forward_s.tolist() == [0.25, 2.0, 0.25]
    assert costs.backward_s.tolist() == [0.5, 4.0, 0.5]


def test_rows_for_folded_operators_are_noted_and_rows_for_nothing_refused() -> None:
    rows: list[Row] = [("n0", 1.0, 1.0), ("n1", 1.0, 1.0), ("n2", 1.0, 1.0), ("n3", 5.0, 5.0)]
    costs = price_rows(chain(), rows)
    assert costs.forward_s.tolist() == [1.0, 1.0, 1.0]
    assert costs.notes == ("1 row is for an operator that was folded away: `n3`",)
    (problem,) = problems_of(chain(), [*rows, ("n1x", 1.0, 1.0)])
    assert (problem.code, problem.where) == ("PLN308", "costs.json: $.hosts[0].nodes[4].name")
    assert problem.hint == "did you mean `n1`?"


def test_all_problems_of_a_table_come_out_together() -> None:
    problems = problems_of(chain(), [("n0", 1.0, None), ("n1", 1.0, 1.0), ("nn2", 1.0, 1.0)])
    assert [problem.code for problem in problems] == ["PLN306", "PLN307", "PLN308"]
    # The row that is misspelt is most likely meant for the operator that lacks one.
    assert problems[2].hint == "did you mean `n2`?"
