"""What a placement costs, as plan files hold it: the evaluator's answers, written once."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from planner.files.documents import WHOLE, Items, StrictModel

Seconds = Annotated[float, Field(ge=0)]
ByteCount = Annotated[int, Field(ge=0), WHOLE]
Count = Annotated[int, Field(ge=0, le=2**63 - 1), WHOLE]


class HostSeconds(StrictModel):
    """Seconds on one host."""

    host: str
    seconds: Seconds


class DelayEntry(StrictModel):
    """Every term of the delay: per iteration, and `exchange_s` per round."""

    forward_s: Items[HostSeconds]
    backward_s: Items[HostSeconds]
    uplink_s: Seconds
    downlink_s: Seconds
    latency_s: Seconds
    sync_s: Seconds
    exchange_s: Seconds


class CrossingEntry(StrictModel):
    """What crosses one link: a tensor (or `labels`), once, however many consumers are behind it.

    `producer` is the operator that makes it; null for graph inputs and labels.
    """

    kind: Literal["tensor", "labels"]
    tensor: str
    link: Count
    up_bytes: Count
    down_bytes: Count
    up_s: Seconds
    down_s: Seconds
    producer: str | None
    consumers: Items[str]


class MemoryEntry(StrictModel):
    """What one host holds, and what it has; `limit_bytes` is null where that is not limited.

    `tensor_bytes` are, in training, what a backward pass reads again; in inference the inputs and
    outputs of the operator that has most of them.
    """

    host: str
    parameter_bytes: ByteCount
    gradient_bytes: ByteCount
    optimizer_bytes: ByteCount
    tensor_bytes: ByteCount
    total_bytes: ByteCount
    limit_bytes: ByteCount | None


class StageEntry(StrictModel):
    """What one mini-batch keeps busy for some seconds: a host, or a link from `host`, up or down.

    `next_host` is at the other end of the link; null for a host.
    """

    kind: Literal["host", "uplink", "downlink"]
    host: str
    next_host: str | None
    seconds: Seconds


class PipelineEntry(StrictModel):
    """Hosts and links at work on consecutive mini-batches: the slowest stage sets the rate.

    Rates are null where nothing takes any time, `samples_per_s` also where the batch is unknown.
    """

    stages: Items[StageEntry]
    slowest_s: Seconds
    mini_batches_per_s: Seconds | None
    samples_per_s: Seconds | None
