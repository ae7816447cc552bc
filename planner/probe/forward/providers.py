"""Execution providers by their short names: `cpu`, `cuda`, `tensorrt`, …"""

from __future__ import annotations

from ..errors import ProbeError

_SUFFIX = "ExecutionProvider"
_REMOTE = frozenset({"azure"})
"""Listed, but it runs nothing on this machine."""

SYNCHRONOUS = frozenset({"cpu"})
"""Providers whose kernels are finished when their event in the trace ends."""


def present() -> list[str]:
    """Short names of the providers that this onnxruntime was built with, best first."""
    import onnxruntime

    names = [short_name(name) for name in onnxruntime.get_available_providers()]
    return [name for name in names if name not in _REMOTE]


def short_name(provider: str) -> str:
    """What people call a provider."""
    name = provider[: -len(_SUFFIX)] if provider.endswith(_SUFFIX) else provider
    return name.lower()


def full_name(provider: str) -> str:
    """What onnxruntime calls it.

    Raises:
        ProbeError: PLN601 if this onnxruntime has no such provider.
    """
    import onnxruntime

    for name in onnxruntime.get_available_providers():
        if short_name(name) == short_name(provider) and short_name(name) not in _REMOTE:
            return str(name)
    listed = ", ".join(f"`{name}`" for name in present())
    raise ProbeError(
        f"provider `{provider}` is not in this onnxruntime ({onnxruntime.__version__})",
        code="PLN601",
        where="--provider",
        hint=f"present: {listed}",
    )


def fallbacks(provider: str) -> list[str]:
    """`provider` (its full name), and what runs the operators that it cannot."""
    chain = [provider]
    if "ensorrt" in provider.lower() or "TensorRT" in provider:
        chain.append("CUDAExecutionProvider")
    if provider != "CPUExecutionProvider":
        chain.append("CPUExecutionProvider")
    return chain
