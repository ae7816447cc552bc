"""What profiles say that graphs cost, by the cost model `measured` alone."""

from __future__ import annotations

from typing import Any

import pytest

from planner.costmodels.measured import COST_MODEL
from planner.costs.cost_file import MeasuredHost
from planner.costs.cost_table import HostCosts
from planner.costs.profile_file import check_profile
from planner.errors import PlannerError, PluginError
from planner.graphs.graph import Graph
from tests.support.nets import Net, context_of
from tests.support.profiles import profile_document

PLACE = "bench.json: $.measurements"


def host(*measurements: dict[str, Any], by_signature: bool = False) -> MeasuredHost:
    profile = check_profile(profile_document(*measurements), "bench.json")
    return MeasuredHost(name="device", model="measured", profile=profile, by_signature=by_signature)


def price(
    graph: Graph, *measurements: dict[str, Any], training: bool = False, by_signature: bool = False
) -> HostCosts:
    options = host(*measurements, by_signature=by_signature)
    return COST_MODEL.cost(graph, options, context_of(graph, training=training))


def refused(graph: Graph, *measurements: dict[str, Any], **how: bool) -> PlannerError:
    with pytest.raises(PlannerError) as caught:
        price(graph, *measurements, **how)
    (problem,) = caught.value.problems
    assert isinstance(problem, PluginError)
    assert str(problem.where).startswith(PLACE)
    assert problem.hint
    return problem


def layers(length: int = 3, *, width: int = 4, batch: int = 2, op: str = "Linear") -> Graph:
    """Layers in a row, `n0`, `n1`, …, each with a parameter, and a Relu at the end."""
    net = Net(x=(batch, width))
    for number in range(length):
        reads = f"n{number - 1}" if number else "x"
        net.add(op, reads, (batch, width), weights=((width, width),))
    net.add("Relu", f"n{length - 1}", (batch, width))
    return net.graph()


def upsampled(factor: int, *, batch: int = 2) -> Graph:
    """A graph of which a constant, which is not in it, tells how large what it writes is."""
    net = Net(x=(batch, 8))
    net.add("Resize", "x", (batch, 8 * factor))
    net.add("Relu", "n0", (batch, 8 * factor))
    return net.graph()
