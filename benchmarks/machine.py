"""What a benchmark ran on, without saying whose machine it is."""

from __future__ import annotations

import gc
import os
import platform
import resource
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("networkx", "numpy", "onnx", "ortools")


def processor() -> str:
    """The processor's model, as the operating system calls it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def libraries() -> dict[str, str]:
    """Versions of the libraries that matter."""
    return {name: version(name) for name in LIBRARIES}


def describe() -> str:
    """One line: processor, cores, Python, and the libraries that matter."""
    listed = ", ".join(f"{name} {found}" for name, found in libraries().items())
    python = platform.python_version()
    return f"{processor()}, {os.cpu_count()} cores, Python {python}, {listed}"


def resident_kib() -> int:
    """What this process holds in memory now, after a collection."""
    gc.collect()
    status = Path("/proc/self/status")
    if not status.is_file():
        return peak_kib()
    fields = dict(line.split(":", 1) for line in status.read_text("utf-8").splitlines())
    return int(fields["VmRSS"].split()[0])


def peak_kib() -> int:
    """The most that this process has held in memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
