"""A link of a given rate over a loopback connection: a token bucket in front of the socket."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]
Clock = Callable[[], float]

SPIN_S = 0.0003
"""The end of a wait is spent looking at the clock: a sleep ends a tenth of a millisecond late."""
CHUNKS_PER_S = 500.0
"""So many pieces per second at most."""
BURST_S = 1 / CHUNKS_PER_S
"""What the bucket holds, as time: a sender that comes late catches up with so much."""
CHUNK_BYTES = 1 << 12, 1 << 18


@dataclass(kw_only=True)
class TokenBucket:
    """Lets bytes through at a rate: B of them take 8 B / rate seconds, whatever pieces they are in.

    A piece is let through when its last bit would have been sent, not its first. Of the time in
    which nothing was sent, all but `BURST_S` is lost, and all of it at `begin`.

    Attributes:
        rate_bps: Bits per second; None for a link that takes no time.
        clock: Seconds that only grow.
        sleep: Waits so many seconds, or a little longer.
    """

    rate_bps: float | None
    clock: Clock = time.perf_counter
    sleep: Callable[[float], None] = time.sleep
    _free_at: float = field(default=float("-inf"), init=False)

    def wait(self, n_bytes: int) -> None:
        """Return when `n_bytes` more would have been sent."""
        if self.rate_bps is None:
            return
        earliest = max(self._free_at, self.clock() - BURST_S)
        self._free_at = earliest + 8 * n_bytes / self.rate_bps
        while (left := self._free_at - self.clock()) > 0:
            if left > SPIN_S:
                self.sleep(left - SPIN_S)

    def begin(self) -> None:
        """Sending begins now, at the time that it is said."""
        self._free_at = self.clock()


def chunk_bytes(rate_bps: float | None) -> int:
    """How much is let through at once: little on a slow link, much where calls would cost.

    >>> chunk_bytes(1e6), chunk_bytes(1e8), chunk_bytes(None)
    (4096, 25000, 262144)
    """
    least, most = CHUNK_BYTES
    if rate_bps is None:
        return most
    return min(max(least, int(rate_bps / 8 / CHUNKS_PER_S)), most)


def send(connection: socket.socket, arrays: Sequence[Array], rate_bps: float | None) -> None:
    """Send arrays, one after another, at a rate; returns when the last byte has left."""
    bucket = TokenBucket(rate_bps=rate_bps)
    bucket.begin()
    step = chunk_bytes(rate_bps)
    for array in arrays:
        data = bytes_of(array)
        for start in range(0, len(data), step):
            piece = data[start : start + step]
            bucket.wait(len(piece))
            connection.sendall(piece)


def receive(connection: socket.socket, arrays: Sequence[Array]) -> None:
    """Fill arrays with what `send` sends.

    Raises:
        ConnectionError: If the other side is gone.
    """
    for array in arrays:
        data = bytes_of(array)
        filled = 0
        while filled < len(data):
            count = connection.recv_into(data[filled:])
            if count == 0:
                raise ConnectionError("the other host is gone")
            filled += count


def bytes_of(array: Array) -> memoryview:
    """The bytes of a contiguous array, without a copy."""
    return array.reshape(-1).view(np.uint8).data
