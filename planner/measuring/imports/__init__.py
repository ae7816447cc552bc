"""Measurements from elsewhere as profiles: `trtexec`, traces of onnxruntime, PipeDream.

A file is recognised by its content (`recognition`), its kernels are laid to operators of a graph
(`tensorrt_layers`, `runtime_traces`), and `attribution` makes a measurement of that. PipeDream's
files are graphs of their own: `pipedream` makes a graph spec and a costs file.
"""

from __future__ import annotations

from pathlib import Path

from planner.costs.profile_file import Measurement, Profile, check_profile
from planner.errors import MeasuringError
from planner.files.values import JsonValue
from planner.graphs.graph import Graph
from planner.measuring.imports.recognition import Source, recognise

__all__ = ["UNKNOWN_MACHINE", "import_measurement", "import_profile", "profile_of", "recognise"]

UNKNOWN_MACHINE = "unknown"
"""What a machine is called that a file says nothing about; merging asks for a name."""


def import_profile(
    path: str | Path,
    graph: Graph,
    *,
    format: str | None = None,
    machine: str = UNKNOWN_MACHINE,
) -> Profile:
    """Read per-layer times of NVIDIA `trtexec`, or a trace of onnxruntime, as a profile.

    Args:
        path: What `trtexec --exportProfile` or onnxruntime's `end_profiling()` wrote.
        graph: The model that was measured, at the batch that was measured.
        format: `trtexec` or `onnxruntime`, where the content should not decide.
        machine: What the machine is called that was measured.

    Raises:
        PlannerError: If the file is damaged, of another kind or of another model, or says nothing
            about some operators.
    """
    return profile_of(recognise(Path(path), format), graph, machine=machine)


def profile_of(source: Source, graph: Graph, *, machine: str) -> Profile:
    """`import_profile` for a file that was recognised already.

    Raises:
        PlannerError: As `import_profile`.
    """
    from planner.registry import tool_version

    document: JsonValue = {
        "kind": "profile",
        "version": 1,
        "tool": f"dnn-partition-planner {tool_version()}",
        "machine": {"name": machine},
        "measurements": [import_measurement(source, graph).model_dump(mode="json", by_alias=True)],
    }
    return check_profile(document, source.where)


def import_measurement(source: Source, graph: Graph) -> Measurement:
    """What a recognised file says about the operators of a graph.

    Raises:
        MeasuringError: As `import_profile`.
    """
    match source.format:
        case "trtexec":
            from planner.measuring.imports.tensorrt_layers import read_layers

            return read_layers(source.document, source.where, graph)
        case "onnxruntime":
            from planner.measuring.imports.runtime_traces import read_trace

            return read_trace(source.document, source.where, graph)
    raise MeasuringError(
        "a PipeDream profile is a graph of its own, from which no profile of another is made",
        code="PLN616",
        where=source.where,
        hint="`--graph-out FILE`, not `--graph`, is where its graph is written to",
    )
