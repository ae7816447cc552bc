"""Cost model `per-byte`: every byte that an operator writes takes the same time."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import BaseModel, Field

from planner.plugins import CostContext, Graph, HostCosts, StrictModel


class PerByteOptions(StrictModel):
    """The keys of a host that uses it, beside `name`, `model` and `memory_bytes`."""

    seconds_per_byte: Annotated[float, Field(gt=0, le=1)]


class PerByte:
    """Prices outputs by the byte; a backward pass takes twice as long as a forward pass."""

    name = "per-byte"
    requires: tuple[str, ...] = ()
    options: type[BaseModel] = PerByteOptions

    def cost(self, graph: Graph, options: BaseModel, context: CostContext) -> HostCosts:
        """Price every operator of `graph`."""
        if not isinstance(options, PerByteOptions):
            raise TypeError(f"expected PerByteOptions, got {type(options).__name__}")
        written = np.zeros(len(graph.operators))
        produced = graph.producers >= 0
        np.add.at(written, graph.producers[produced], graph.tensor_bytes[produced])
        forward = written * options.seconds_per_byte
        backward = np.where(context.has_backward(graph), 2 * forward, 0.0)
        note = f"{options.seconds_per_byte} s per byte written, not measured"
        return HostCosts(forward_s=forward, backward_s=backward, notes=(note,))


COST_MODEL = PerByte()
