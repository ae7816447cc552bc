"""What every operator costs on every host, as arrays aligned with a graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from pydantic import BaseModel

from planner.arrays import BoolArray, FloatArray, IntArray
from planner.graphs.graph import Graph
from planner.registry import Registry


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HostCosts:
    """One host's costs: seconds per iteration; shape [operators]. Notes are for people.

    `together` are sets of operators that the host runs as one: what one of them costs alone is not
    known, so they are kept on one host, whichever it is.
    """

    forward_s: FloatArray
    backward_s: FloatArray
    notes: tuple[str, ...] = ()
    together: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostTable:
    """All costs that do not depend on the links.

    Attributes:
        forward_s: Seconds per iteration; shape [hosts, operators].
        backward_s: The same for the backward pass; zero in inference.
        activation_bytes: What a tensor takes on the wire, up; shape [tensors].
        gradient_bytes: What its gradient takes, down; zero where there is none.
        has_backward: Whether an operator has a backward pass; shape [operators].
        parameter_bytes: What a parameter takes in an exchange; zero unless trainable.
        notes: What a person should know about the numbers.
        kernels: (host, operators) pairs: what a host runs as one.
    """

    forward_s: FloatArray
    backward_s: FloatArray
    activation_bytes: IntArray
    gradient_bytes: IntArray
    has_backward: BoolArray
    parameter_bytes: IntArray
    notes: tuple[str, ...] = ()
    kernels: tuple[tuple[int, tuple[int, ...]], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CostContext:
    """What a cost model is told beside the graph.

    Attributes:
        host: The host's name.
        where: Place of the host in the costs file, for errors.
        is_training: Whether backward seconds are asked for.
        needs_gradient: Per tensor, whether a gradient is computed for it; shape [tensors].
    """

    host: str
    where: str
    is_training: bool
    needs_gradient: BoolArray

    def has_backward(self, graph: Graph) -> BoolArray:
        """Per operator, whether one of its outputs needs a gradient; shape [operators]."""
        return has_backward(graph, self.needs_gradient & self.is_training)


def has_backward(graph: Graph, needs_gradient: BoolArray) -> BoolArray:
    """Per operator, whether one of its outputs needs a gradient; shape [operators]."""
    found = np.zeros(len(graph.operators), np.bool_)
    found[graph.producers[needs_gradient & (graph.producers >= 0)]] = True
    return found


class CostModel(Protocol):
    """The contract of a cost model plug-in (entry-point group `planner.costmodels`)."""

    @property
    def name(self) -> str:
        """What a costs file calls it in `model`."""

    @property
    def requires(self) -> Sequence[str]:
        """Modules that must be installed; checked without importing them."""

    @property
    def options(self) -> type[BaseModel]:
        """The keys of a host that uses it, beside `name` and `model`; strict."""

    def cost(self, graph: Graph, options: BaseModel, context: CostContext) -> HostCosts:
        """Price every operator of `graph` on one host.

        Raises:
            PlannerError: Listing every operator that has no price.
        """


COST_MODELS: Registry[CostModel] = Registry(
    "planner.costmodels",
    "cost model",
    {
        "table": "planner.costmodels.table:COST_MODEL",
        "analytical": "planner.costmodels.analytical:COST_MODEL",
        "measured": "planner.costmodels.measured:COST_MODEL",
    },
    "PLN314",
)
