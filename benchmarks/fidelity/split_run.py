"""Two hosts on one machine: a process each, pinned to a core each, and a link between them.

The device feeds the input, computes its half and sends what crosses through a token bucket; the
server computes the other half. In training, it sends gradients back, and the device goes on. The
delay is from feeding the input to the end of whatever ends last. Both hosts read the same clock:
`time.perf_counter` is CLOCK_MONOTONIC on Linux, which is one for all processes.
"""

from __future__ import annotations

import gc
import multiprocessing
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Protocol

import numpy as np

from benchmarks.fidelity.split_link import Array, receive, send

Spec = tuple[str, tuple[int, ...]]
"""Type and shape of an array that crosses."""


class Half(Protocol):
    """What one host does in one iteration of one cut."""

    def start(self, received: Sequence[Array]) -> Sequence[Array]:
        """Compute and return what is sent to the other host; the device receives nothing."""

    def finish(self, received: Sequence[Array]) -> None:
        """On the device, in training: go on with the gradients that came back."""

    def result(self) -> dict[str, Array]:
        """The model's outputs of the last iteration that are on this host."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """One cut, ready to be run.

    Attributes:
        name: What it is called.
        device: Makes the device's half in the device's process.
        server: The same of the server; None if it has no part in it.
        up: What crosses to the server, in order.
        down: What comes back, in order.
    """

    name: str
    device: Callable[[], Half]
    server: Callable[[], Half] | None
    up: tuple[Spec, ...] = ()
    down: tuple[Spec, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to run: a cut by its position, at these rates (None: a link that takes no time)."""

    cut: int
    uplink_bps: float | None = None
    downlink_bps: float | None = None


@dataclass(frozen=True, kw_only=True)
class Run:
    """Seconds of one iteration: all of it, and those of its parts.

    `lost_s` is what the hosts' threads spent computing without having the processor.
    """

    delay_s: float
    device_s: float
    uplink_s: float
    server_s: float
    downlink_s: float
    lost_s: float


@dataclass(frozen=True, kw_only=True)
class Stamps:
    """When a host began, was done with what it sends, had received, and ended; what it lost."""

    begin: float
    computed: float
    received: float
    end: float
    lost_s: float


class Hosts:
    """Both processes, with all cuts loaded."""

    def __init__(self, pipes: Sequence[Connection], cuts: Sequence[Cut]) -> None:
        self._pipes = pipes
        self._cuts = cuts

    def run(self, order: Order) -> Run:
        """One iteration.

        Raises:
            RuntimeError: If a host fails.
        """
        cut = self._cuts[order.cut]
        device, server = self._pipes
        if cut.server is None:
            device.send(order)
            stamps: Stamps = _answer(device)
            took = stamps.end - stamps.begin
            return Run(
                delay_s=took,
                device_s=took,
                uplink_s=0.0,
                server_s=0.0,
                downlink_s=0.0,
                lost_s=stamps.lost_s,
            )
        server.send(order)
        device.send(order)
        there, here = _answer(server), _answer(device)
        end = max(here.end, there.end)
        return Run(
            delay_s=end - here.begin,
            device_s=here.computed - here.begin + (here.end - here.received if cut.down else 0),
            uplink_s=there.received - here.computed,
            server_s=there.computed - there.received,
            downlink_s=here.received - there.computed if cut.down else 0.0,
            lost_s=here.lost_s + there.lost_s,
        )

    def outputs(self, cut: int) -> dict[str, Array]:
        """The model's outputs after an iteration of a cut, wherever they are."""
        found: dict[str, Array] = {}
        for pipe in self._pipes:
            pipe.send(cut)
            found |= _answer(pipe)
        return found


@contextmanager
def hosts(
    cores: tuple[int, int],
    cuts: Sequence[Cut],
    environments: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {}),
) -> Iterator[Hosts]:
    """Start the device and the server and load all cuts.

    Args:
        cores: Of the device and of the server.
        cuts: What to load.
        environments: What either finds in its environment beside what is there.

    Raises:
        RuntimeError: If a host fails.
    """
    context = multiprocessing.get_context("spawn")
    pipes, processes = [], []
    try:
        both = zip((True, False), _connection(), cores, environments, strict=True)
        for role, end, core, variables in both:
            ours, theirs = context.Pipe()
            arguments = (role, core, end, theirs, list(cuts))
            process = context.Process(target=_host, args=arguments, daemon=True)
            with environment(variables):
                process.start()
            theirs.close()
            end.close()
            pipes.append(ours)
            processes.append(process)
        for pipe in pipes:
            _answer(pipe)
        yield Hosts(pipes, cuts)
    finally:
        for pipe, process in zip(pipes, processes, strict=False):
            with suppress(OSError):
                pipe.send(None)
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()
            pipe.close()


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """What processes that are started meanwhile find in their environment beside the rest."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _connection() -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        first = socket.create_connection(listener.getsockname())
        second, _ = listener.accept()
    for end in (first, second):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return first, second


def _answer(pipe: Connection) -> Any:
    try:
        found = pipe.recv()
    except EOFError as error:
        raise RuntimeError("a host ended without a word") from error
    if isinstance(found, str):
        raise RuntimeError(f"a host failed:\n{found}")
    return found


def _host(
    is_device: bool, core: int, link: socket.socket, pipe: Connection, cuts: Sequence[Cut]
) -> None:
    """The process of a host: load, then do what it is told until there is nothing more."""
    try:
        os.sched_setaffinity(0, {core})
        halves = [
            make() if (make := cut.device if is_device else cut.server) else None for cut in cuts
        ]
        buffers = [
            [np.empty(shape, dtype) for dtype, shape in (cut.down if is_device else cut.up)]
            for cut in cuts
        ]
        gc.collect()
        gc.freeze()
        gc.disable()
        pipe.send(True)
        while (order := pipe.recv()) is not None:
            if isinstance(order, int):
                half = halves[order]
                pipe.send(half.result() if half else {})
                continue
            run = _run_device if is_device else _run_server
            pipe.send(run(halves[order.cut], link, buffers[order.cut], order))
    except BaseException:
        with suppress(OSError):
            pipe.send(traceback.format_exc())
        raise


def _run_device(half: Half, link: socket.socket, buffers: list[Array], order: Order) -> Stamps:
    begin, used = time.perf_counter(), time.thread_time()
    crossing = half.start(())
    computed = received = end = time.perf_counter()
    lost_s = computed - begin - (time.thread_time() - used)
    send(link, crossing, order.uplink_bps)
    if buffers:
        receive(link, buffers)
        received, used = time.perf_counter(), time.thread_time()
        half.finish(buffers)
        end = time.perf_counter()
        lost_s += end - received - (time.thread_time() - used)
    return Stamps(begin=begin, computed=computed, received=received, end=end, lost_s=lost_s)


def _run_server(half: Half, link: socket.socket, buffers: list[Array], order: Order) -> Stamps:
    begin = time.perf_counter()
    receive(link, buffers)
    received, used = time.perf_counter(), time.thread_time()
    crossing = half.start(buffers)
    computed = time.perf_counter()
    lost_s = computed - received - (time.thread_time() - used)
    send(link, crossing, order.downlink_bps)
    return Stamps(begin=begin, computed=computed, received=received, end=computed, lost_s=lost_s)
