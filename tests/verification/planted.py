"""Plans that are made, edited and rebuilt, and what a verification says of them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

import planner
from planner.costs.cost_file import Costs, check_costs
from planner.errors import SolverError
from planner.graphs.graph import Graph
from planner.plans.plan_file import Plan, PlanFile, PlanHead
from planner.problems.ticks import in_ticks
from planner.verification.ledger import Finding
from planner.verification.verifying import Verification
from tests.support.toys import costs_document, graph_of, operator


def costs_of(graph: Graph, n_hosts: int = 2, **changes: object) -> Costs:
    return check_costs(costs_document(graph, n_hosts, **changes), "costs")


def made(graph: Graph, n_hosts: int = 2, solver: str = "auto", **changes: object) -> Plan:
    return planner.plan(graph, costs_of(graph, n_hosts, **changes), solver)


def rebuilt(document: dict[str, Any]) -> Plan:
    """A plan as a file with this content would be read."""
    file = PlanFile.model_validate(document)
    head = PlanHead(**{name: getattr(file, name) for name in PlanHead.model_fields})
    return Plan(head=head, placement={entry.node: entry.host for entry in file.placement})


def edited(plan: Plan, **changes: object) -> Plan:
    """A plan with other certificate entries, or others of its head."""
    document: dict[str, Any] = copy.deepcopy(plan.to_dict())
    for name, value in changes.items():
        place = document["certificate"] if name in document["certificate"] else document
        place[name] = value
    return rebuilt(document)


def texts(found: Verification, check: str) -> str:
    return "\n".join(d.text for d in found.differences if d.check == check)


def disagreeing(found: Verification) -> set[str]:
    assert found.ok == (not found.differences)
    named = {check.name for check in found.checks if check.finding is Finding.DIFFERS}
    assert named == {difference.check for difference in found.differences}
    return named


def limited(graph: Graph, sizes: tuple[int | None, ...], **changes: object) -> Costs:
    document: dict[str, Any] = costs_document(graph, len(sizes), **changes)
    for host, size in zip(document["hosts"], sizes, strict=True):
        if size is not None:
            host["memory_bytes"] = size
    return check_costs(document, "costs")


def wide() -> Graph:
    """A tensor with three readers, which a network without its auxiliary vertex charges thrice."""
    return graph_of(
        [
            operator("stem", ["x"], 600_000, ["stem.weight"]),
            *(operator(f"branch{i}", ["stem_out"], 1000) for i in range(3)),
            operator("join", [f"branch{i}_out" for i in range(3)], 10),
        ],
        ["join_out"],
        parameters=[("stem.weight", 1000)],
        input_bytes=6_000_000,
    )


PRICES = {
    "stem": (1.0, 0.5), "branch0": (1.0, 0.5), "branch1": (1.0, 0.5), "branch2": (1.0, 0.5),
    "join": (1.0, 0.5),
}  # fmt: skip


def priced_costs(prices: dict[str, tuple[float, float]], bps: float) -> Costs:
    hosts = [
        {
            "name": name,
            "model": "table",
            "nodes": [
                {"name": node, "forward_s": both[position], "backward_s": 0.0}
                for node, both in prices.items()
            ],
        }
        for position, name in enumerate(("h0", "h1"))
    ]
    links = [{"uplink_bps": bps, "downlink_bps": bps}]
    document = {"kind": "costs", "version": 1, "hosts": hosts, "links": links}
    return check_costs(document, "costs")


CASES = {
    # Cut after the stem: its output crosses once, in 0.96 s, not thrice.
    "missing auxiliary vertex": priced_costs(PRICES, 1e7),
    # Everything on the server: the stem costs half a second there, not two.
    "wrong arc": priced_costs(PRICES | {"stem": (2.0, 0.5)}, 1e8),
}


def truncating(flat: Any, paid: Any) -> tuple[Any, float, int]:
    """`in_ticks` that cuts what is behind the point of the costliest term."""
    ticks, quantum_s, bound = in_ticks(flat, paid)
    worst = int(np.argmax(np.where(paid[0], flat, 0)))
    ticks[worst] = int(flat[worst] / quantum_s) - 1
    return ticks, quantum_s, bound


def late(*_: Any, **__: Any) -> Any:
    raise SolverError("no placement within 60 s", code="PLN501")
