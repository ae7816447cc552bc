"""From bytes to a ModelProto that is worth looking at: parse, versions, local functions."""

from __future__ import annotations

import contextlib
import hashlib
import mmap
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
import onnx.defs
import onnx.inliner
from google.protobuf.message import DecodeError

from planner.drafts.frontend import LoadOptions
from planner.errors import GraphError, InputError, PlannerError, raise_all
from planner.files.documents import unreadable
from planner.frontends.onnx_model.wire import WireError, strip_payloads

DIRECT_BYTES = 4 * 1024 * 1024
"""Files up to this size are parsed as they are."""

DIGEST_BYTES = 64 * 1024 * 1024
"""Above this size the digest covers the file without its weights, and its length."""

MAX_INLINED_NODES = 1_000_000
"""Local functions that call each other can multiply without bound; no model comes near this."""


def read_model(
    data: bytes | Path, *, where: str, options: LoadOptions
) -> tuple[onnx.ModelProto, str]:
    """Parse an ONNX file without its weights, local functions inlined.

    Returns:
        The model and its digest: SHA-256 over the file (above `DIGEST_BYTES`: over what is left of
        it without large tensors, and its length) and the options.

    Raises:
        InputError: PLN112 not an ONNX model, PLN113 unsupported version.
    """
    with _opened(data, where) as content:
        size = len(content)
        try:
            message = bytes(content) if size <= DIRECT_BYTES else strip_payloads(content)
            model = onnx.ModelProto.FromString(message)
        except (WireError, DecodeError, RecursionError) as error:
            raise not_a_model(content, where, str(error)) from error
        digest = hashlib.sha256(content if size <= DIGEST_BYTES else message)
        head = bytes(content[:64])
    if size > DIGEST_BYTES:
        digest.update(str(size).encode())
    digest.update(options.fingerprint().encode())
    if not model.HasField("graph") or not model.graph.node:
        raise not_a_model(head, where, "it has no graph with operators")
    _check_text(model, where)
    raise_all(_version_problems(model, where))
    if model.functions:
        model = _inlined(model, where)
    if b"num_outputs" in message:
        raise_all(list(_split_problems(model.graph, where)))
    return model, digest.hexdigest()


def _split_problems(graph: onnx.GraphProto, where: str) -> Iterator[PlannerError]:
    """A Split whose `num_outputs` is not the number of its outputs, in `graph` or a body.

    onnx's inference allocates a type for every output that the attribute promises, 2^31 if it says
    so; and like this walk it does not look at an attribute's declared kind.
    """
    for node in graph.node:
        for attribute in node.attribute:
            promised = attribute.i if attribute.name == "num_outputs" else len(node.output)
            if node.op_type == "Split" and promised != len(node.output):
                text = f"Split `{node.name}` promises {promised} outputs, has {len(node.output)}"
                yield GraphError(text, code="PLN204", where=where)
            for body in (attribute.g, *attribute.graphs):
                yield from _split_problems(body, where)


@contextlib.contextmanager
def _opened(data: bytes | Path, where: str) -> Iterator[bytes | mmap.mmap]:
    if isinstance(data, bytes):
        yield data
        return
    try:
        with data.open("rb") as file:
            if not data.stat().st_size:
                yield b""
                return
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                yield mapped
    except OSError as error:
        raise unreadable(data, error) from error


def not_a_model(content: bytes | mmap.mmap, where: str, detail: str) -> InputError:
    """PLN112, with a guess at what the file is instead."""
    head = bytes(content[:512])
    from planner.files.kinds import guess_kind  # only once something is wrong

    kind = guess_kind(head)
    if not head:
        reason = "it is empty"
    elif kind is not None:
        reason = f"it looks like {kind}"
    else:
        reason = detail or "the protobuf message is malformed or cut off"
    return InputError(f"not an ONNX model: {reason}", code="PLN112", where=where)


def _check_text(model: onnx.ModelProto, where: str) -> None:
    """Names of inputs, outputs and domains are text: protobuf hands on what is no UTF-8 as bytes.

    Raises:
        InputError: PLN112 if one is not.
    """
    graph = model.graph
    texts: list[str] = [graph.name, *(entry.domain for entry in model.opset_import)]
    for value in (*graph.input, *graph.output):
        texts.append(value.name)
        texts += (dim.dim_param for dim in value.type.tensor_type.shape.dim)
    if not all(isinstance(text, str) for text in texts):
        raise InputError("not an ONNX model: a name is no UTF-8", code="PLN112", where=where)


def _version_problems(model: onnx.ModelProto, where: str) -> list[PlannerError]:
    problems: list[PlannerError] = []
    upgrade = (
        f"export with an older version, or `pip install -U onnx` (installed: {onnx.__version__})"
    )
    if not 0 < model.ir_version <= onnx.IR_VERSION:
        text = f"IR version {model.ir_version} is unsupported, expected 1 to {onnx.IR_VERSION}"
        problems.append(InputError(text, code="PLN113", where=where, hint=upgrade))
    newest = onnx.defs.onnx_opset_version()
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not versions:
        text = "`opset_import` names no version of the default operator set"
        problems.append(InputError(text, code="PLN113", where=where))
    elif not all(0 < version <= newest for version in versions):
        text = f"opset {max(versions)} is unsupported, expected 1 to {newest}"
        problems.append(InputError(text, code="PLN113", where=where, hint=upgrade))
    return problems


def opset_version(model: onnx.ModelProto) -> int:
    """Version of the default operator set; `read_model` has checked that there is one."""
    return max(int(o.version) for o in model.opset_import if o.domain in ("", "ai.onnx"))


def _inlined(model: onnx.ModelProto, where: str) -> onnx.ModelProto:
    """The model with the bodies of its local functions in place of the calls.

    Raises:
        InputError: PLN112 if functions call themselves or multiply beyond `MAX_INLINED_NODES`.
    """
    sizes: dict[tuple[str, str], int] = {}
    bodies = {(f.domain, f.name): f for f in model.functions}

    def size_of(nodes: Iterable[onnx.NodeProto], calling: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            total += 1
            key = (node.domain, node.op_type)
            if key in bodies:
                if key in calling or len(calling) > 100:
                    text = f"the local function `{key[1]}` calls itself"
                    raise InputError(text, code="PLN112", where=where)
                if key not in sizes:
                    sizes[key] = size_of(bodies[key].node, (*calling, key))
                total += sizes[key]
            for attribute in node.attribute:
                for graph in (
                    *attribute.graphs,
                    *([attribute.g] if attribute.HasField("g") else []),
                ):
                    total += size_of(graph.node, calling)
        return total

    if size_of(model.graph.node, ()) > MAX_INLINED_NODES:
        text = f"its local functions make more than {MAX_INLINED_NODES} operators"
        raise InputError(text, code="PLN112", where=where)
    try:
        return onnx.inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, DecodeError) as error:
        text = f"its local functions cannot be inlined: {str(error).splitlines()[0]}"
        raise InputError(text, code="PLN112", where=where) from error
