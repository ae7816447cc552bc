"""Reading a model: the frontend is found by suffix, then by content."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from planner.drafts.frontend import FRONTENDS, Frontend, LiveFrontend, LoadOptions
from planner.errors import InputError, PlannerError, PluginError, raise_all
from planner.files.documents import check_regular, unreadable
from planner.graphs.graph import Graph

_HEAD_BYTES = 256


def load(
    source: str | os.PathLike[str] | bytes | object,
    inputs: Sequence[object] | Mapping[str, object] | None = None,
    *,
    batch: int | None = None,
    dims: Mapping[str, int] | None = None,
    frozen: Sequence[str] = (),
    tied: Sequence[str] = (),
    untied: Sequence[str] = (),
    shapes: str = "onnx",
    torchscript: bool = True,
    frontend: str | None = None,
) -> Graph:
    """Read a model into a graph.

    Args:
        source: A path, the file's content, or a model in memory, such as a `torch.nn.Module`.
        inputs: Types and shapes of inputs, such as `"x:float32[32,3,224,224]"`; for a model in
            memory example inputs as well.
        batch: The batch to plan at.
        dims: Values of named symbolic dimensions, such as `{"seq": 128}`.
        frozen: Globs of parameters that are not trained, such as `"layer1*"`.
        tied: Globs of parameters that stay one however many operators read them.
        untied: Globs of parameters of which every reader has a copy of its own.
        shapes: `onnx`, or `onnxruntime` to have shapes inferred by it.
        torchscript: Whether TorchScript archives may be loaded, which runs code from them.
        frontend: A registered name, where suffix and content should not decide.

    Raises:
        PlannerError: With every independent problem of the file and the options.

    >>> op = '{"name": "f", "op": "Relu", "inputs": ["x"], "outputs": [{"name": "y", "bytes": 4}]}'
    >>> text = '{"kind": "graph", "version": 1, "inputs": [{"name": "x", "bytes": 4}],'
    >>> load((text + f'"outputs": ["y"], "nodes": [{op}]}}').encode()).summary()["operators"]
    1
    """
    is_file = isinstance(source, (str, bytes, os.PathLike))
    options = LoadOptions(
        inputs=_strings("inputs", inputs or ()) if is_file else (),
        batch=batch,
        dims=dict(dims or {}),
        frozen=_strings("frozen", frozen),
        tied=_strings("tied", tied),
        untied=_strings("untied", untied),
        shapes=shapes,
        torchscript=torchscript,
    )
    if isinstance(source, (str, bytes, os.PathLike)):
        data = source if isinstance(source, bytes) else Path(source)
        return load_file(data, options, frontend=frontend)
    _check_options(options)
    live = live_frontend_of(source, name=frontend)
    return live.load_live(source, inputs=() if inputs is None else inputs, options=options)


def load_file(data: bytes | Path, options: LoadOptions, *, frontend: str | None = None) -> Graph:
    """`load` for a file, or its content, with options that are made.

    Raises:
        PlannerError: As `load`.
    """
    _check_options(options)
    where = str(data) if isinstance(data, Path) else "bytes"
    chosen = frontend_of(data, where=where, name=frontend)
    return chosen.load(data, where=where, options=options)


def frontend_of(data: bytes | Path, *, where: str, name: str | None = None) -> Frontend:
    """The frontend that reads a model: the one called `name`, else by suffix and content.

    Raises:
        PlannerError: If there is no such file or frontend, or the file is empty.
    """
    head = _head(data)
    if not head.strip():
        what = "empty" if not head else "blank"
        raise InputError(f"the file is {what}, expected a model", code="PLN104", where=where)
    return FRONTENDS.get(name, where="frontend") if name else _find(data, head, where)


def live_frontend_of(source: object, *, name: str | None = None) -> LiveFrontend:
    """The frontend that reads a model in memory.

    Raises:
        PlannerError: If there is none, or what it needs is not installed.
    """
    for candidate in [name] if name else FRONTENDS.names():
        found = FRONTENDS.peek(candidate)
        if isinstance(found, LiveFrontend) and found.accepts(source):
            FRONTENDS.get(candidate)
            return found
    kind = type(source).__qualname__
    raise InputError(
        f"`source` is a {kind}, expected a path, bytes or a model in memory",
        code="PLN118",
        where="source",
        hint="models in memory are `torch.nn.Module` and `torch.export.ExportedProgram`",
    )


def _strings(what: str, values: Iterable[object]) -> tuple[str, ...]:
    if isinstance(values, str):  # which is a sequence of strings as well, of one letter each
        text = f"`{what}` is {values!r}, expected a list of strings"
        raise InputError(text, code="PLN117", where=what, hint=f"{what}=[{values!r}]")
    texts = list(values)
    odd = next((text for text in texts if not isinstance(text, str)), None)
    if odd is not None:
        text = f"`{what}` holds a {type(odd).__qualname__}, expected strings"
        hint = 'inputs=["x:float32[1,3,224,224]"]' if what == "inputs" else None
        raise InputError(text, code="PLN117", where=what, hint=hint)
    return tuple(text for text in texts if isinstance(text, str))


def _check_options(options: LoadOptions) -> None:
    problems: list[PlannerError] = []
    numbers = {"batch": options.batch, **{f"dims[{k!r}]": v for k, v in options.dims.items()}}
    for what, value in numbers.items():
        if value is not None and not (type(value) is int and 1 <= value <= 2**31):
            text = f"`{what}` is {value!r}, expected a whole number from 1 to 2^31"
            problems.append(InputError(text, code="PLN117", where=what))
    if options.shapes not in ("onnx", "onnxruntime"):
        text = f"`shapes` is {options.shapes!r}, expected `onnx` or `onnxruntime`"
        problems.append(InputError(text, code="PLN117", where="shapes"))
    raise_all(problems)


def _head(data: bytes | Path) -> bytes:
    if isinstance(data, bytes):
        return data[:_HEAD_BYTES]
    check_regular(data)
    try:
        with data.open("rb") as file:
            return file.read(_HEAD_BYTES)
    except OSError as error:
        raise unreadable(data, error) from error


def _find(data: bytes | Path, head: bytes, where: str) -> Frontend:
    """The frontend for a suffix; for an unknown one or for bytes, one that knows the content."""
    suffix = data.suffix.lower() if isinstance(data, Path) else ""
    suffixes: list[str] = []
    recognised: str | None = None
    broken: PluginError | None = None
    for name in FRONTENDS.names():
        try:
            found = FRONTENDS.peek(name)
        except PluginError as error:
            # Another one may read the file: a broken plug-in must not keep it from that.
            broken = broken or error
            continue
        if suffix in found.suffixes:
            return FRONTENDS.get(name)
        suffixes += found.suffixes
        if recognised is None and found.recognizes(head):
            recognised = name
    if recognised is not None:
        return FRONTENDS.get(recognised)
    if broken is not None:
        raise broken
    from planner.files.kinds import guess_kind  # only once nothing reads the file

    named = f"its suffix is `{suffix}` and " if suffix else ""
    kind = guess_kind(head)
    seen = f"it looks like {kind}" if kind else f"{named}its content is not recognised"
    raise InputError(
        f"no frontend reads this: {seen}",
        code="PLN118",
        where=where,
        hint=f"suffixes that are read: {', '.join(f'`{suffix}`' for suffix in suffixes)}",
    )
