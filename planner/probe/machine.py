"""What the operating system tells about the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any, Sequence

from .errors import ProbeError

MIN_LIMIT, PER_CORE = 16, 4
"""Threads that are accepted on any machine, and for each core of a large one."""


def describe_machine(provider: str = "cpu") -> dict[str, Any]:
    """The machine in the form of the profile's `Machine`; `provider` as in the settings."""
    needs_gpu = provider not in ("cpu", "xnnpack", "dnnl", "openvino", "coreml")
    return {
        "name": platform.node() or "unknown",
        "processor": _processor(),
        "accelerator": _accelerator() if needs_gpu else "",
        "n_cores": len(_cores()),
        "memory_bytes": _memory_bytes(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "power_mode": _power_mode(),
    }


def default_threads() -> int:
    """As many threads as onnxruntime takes when it is not told: one for each physical core."""
    allowed = _cores()
    physical: set[tuple[str, str]] = set()
    processor, package = -1, ""
    for line in _text("/proc/cpuinfo").splitlines():
        key, _, value = (part.strip() for part in line.partition(":"))
        if key == "processor" and value.isdigit():
            processor, package = int(value), ""
        elif key == "physical id":
            package = value
        elif key == "core id" and processor in allowed:
            physical.add((package, value))
    return len(physical) or len(allowed)


def check_threads(threads: int) -> None:
    """Refuse so many threads that they would only wait for each other, for hours.

    Raises:
        ProbeError: PLN119.
    """
    n_cores = os.cpu_count() or 1
    limit = max(MIN_LIMIT, PER_CORE * n_cores)
    if threads > limit:
        raise ProbeError(
            f"{threads} threads on {n_cores} cores, expected {limit} at most",
            code="PLN119",
            where="--threads",
            hint=f"`--threads {n_cores}` is one for each core",
        )


def _cores() -> set[int]:
    """Cores that this process may use."""
    try:
        return set(os.sched_getaffinity(0))
    except AttributeError:  # only Linux has it
        return set(range(os.cpu_count() or 1))


def _processor() -> str:
    board = _text("/proc/device-tree/model").strip("\0\n ")
    names = [
        line.partition(":")[2].strip()
        for line in _text("/proc/cpuinfo").splitlines()
        if line.lower().startswith(("model name", "hardware"))
    ]
    chip = names[0] if names else platform.processor() or platform.machine()
    return f"{board} ({chip})" if board else chip


def _memory_bytes() -> int:
    try:
        return int(os.sysconf("SC_PHYS_PAGES")) * int(os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return 0


def _accelerator() -> str:
    found = _output(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"])
    return ", ".join(line.strip() for line in (found or "").splitlines() if line.strip())


def _power_mode() -> str:
    """The Jetson's power mode, else the governor of the first core."""
    for line in (_output(["nvpmodel", "-q"]) or "").splitlines():
        if "power mode" in line.lower():
            return line.partition(":")[2].strip()
    return _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip()


def _output(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(
            list(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout if done.returncode == 0 else None


def _text(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
