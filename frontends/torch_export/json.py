"""From the JSON of a `.pt2` archive to a `RawProgram`, every value checked at its place."""

from __future__ import annotations

from planner.frontends.torch_export.archive import Archive
from planner.frontends.torch_export.arguments import (
    LEFT_OUT,
    argument_of,
    dtype_of,
    name_of,
    size_of,
)
from planner.frontends.torch_export.places import Place
from planner.frontends.torch_export.raw import (
    RawArgument,
    RawGraph,
    RawNode,
    RawProgram,
    RawTensor,
    RawWeight,
    Size,
    Symbol,
)
from planner.frontends.torch_export.sizes import plain_symbol
from planner.frontends.torch_programs.program import Ref, WeightKind

_WEIGHTS = {
    "parameter": (WeightKind.PARAMETER, "parameter_name"),
    "buffer": (WeightKind.BUFFER, "buffer_name"),
    "tensor_constant": (WeightKind.CONSTANT, "tensor_constant_name"),
}
_STRIDED = (0, 7)


def read_json(archive: Archive) -> RawProgram:
    """What an archive says.

    Raises:
        InputError: PLN140 with the place in the JSON.
    """
    module = archive.model.member("graph_module")
    graph = _graph(module.member("graph"))
    program = RawProgram(
        name=archive.name,
        graph=graph,
        inputs=[],
        forward_names=_forward_names(module),
        weights=[],
        outputs=[],
        ranges=_ranges(archive.model),
        hints=_hints(module.member("graph")),
    )
    signature = module.member("signature")
    _read_inputs(signature, program, _storages(archive))
    for spec in signature.member("output_specs").items():
        kind, body = spec.variant()
        if kind == "user_output":
            program.outputs.append(name_of(body.member("arg")))
        elif kind == "loss_output":
            program.outputs.append(Ref(body.member("arg").name()))
    return program


def _read_inputs(signature: Place, program: RawProgram, storages: dict[str, str]) -> None:
    tensors = program.graph.tensors
    for spec in signature.member("input_specs").items():
        kind, body = spec.variant()
        ref: Ref | Symbol | None = None
        if kind in _WEIGHTS:
            weight_kind, key = _WEIGHTS[kind]
            ref, path = Ref(body.member("arg").name()), body.member(key).text()
            storage = storages.get(path, f"own:{path}")
            program.weights.append(
                RawWeight(name=ref.name, path=path, kind=weight_kind, storage=storage)
            )
        elif kind == "user_input":
            ref = name_of(body.member("arg"))
            program.inputs.append(ref)
        elif kind == "constant_input":
            program.inputs.append(None)
        if isinstance(ref, Ref) and ref.name not in tensors:
            raise spec.error(f"names `{ref.name}`, which is no key of `tensor_values`")


def _forward_names(module: Place) -> list[str]:
    entry = next(iter(module.member("module_call_graph").items()), None)
    signature = entry.optional("signature") if entry else None
    names = signature.optional("forward_arg_names") if signature else None
    return [item.text() for item in names.items()] if names else []


def _ranges(model: Place) -> dict[str, tuple[int | None, int | None]]:
    ranges: dict[str, tuple[int | None, int | None]] = {}
    for name, place in model.member("range_constraints").entries():
        low, high = place.optional("min_val"), place.optional("max_val")
        ranges[name] = (low.whole() if low else None, high.whole() if high else None)
    return ranges


def _storages(archive: Archive) -> dict[str, str]:
    """What the weights share memory with, by path: the record that holds them, and the offset.

    Weights without memory, on the meta device, are left out. torch.export has already replaced
    those that are tied by one of them wherever they are read.
    """
    storages: dict[str, str] = {}
    for kind, document in (("weights", archive.weights), ("constants", archive.constants)):
        if document is None:
            continue
        for path, place in document.member("config").entries():
            meta = place.optional("tensor_meta")
            if meta is None or meta.member("device").member("type").text() == "meta":
                continue  # torch writes one record for all of them, so it says nothing
            offset = size_of(meta.member("storage_offset"))
            storages[path] = f"{kind}:{place.member('path_name').text()}+{offset}"
    return storages


def _hints(graph: Place) -> dict[str, int]:
    """What symbols were when the program was exported."""
    hints: dict[str, int] = {}
    for _, tensor in graph.member("tensor_values").entries():
        for size in tensor.member("sizes").items():
            kind, body = size.variant()
            hint = body.optional("hint") if kind == "as_expr" else None
            value = hint.value.get("as_int") if hint and isinstance(hint.value, dict) else None
            name = plain_symbol(body.member("expr_str").text()) if type(value) is int else None
            if name is not None and type(value) is int and value > 0:
                hints.setdefault(name, value)
    return hints


def _graph(place: Place) -> RawGraph:
    scalars: dict[str, Size | float] = {}
    for key in ("sym_int_values", "sym_float_values", "sym_bool_values"):
        values = place.optional(key)
        for name, value in values.entries() if values else ():
            scalars[name] = _scalar(value)
    return RawGraph(
        inputs=tuple(name_of(item) for item in place.member("inputs").items()),
        outputs=tuple(name_of(item) for item in place.member("outputs").items()),
        tensors={name: _tensor(item) for name, item in place.member("tensor_values").entries()},
        scalars=scalars,
        nodes=[_node(item) for item in place.member("nodes").items()],
    )


def _scalar(place: Place) -> Size | float:
    kind, body = place.variant()
    if kind == "as_float":
        return body.number()
    return body.flag() if kind == "as_bool" else size_of(place)


def _tensor(place: Place) -> RawTensor:
    layout = place.optional("layout")
    is_strided = layout is None or layout.whole() in _STRIDED
    return RawTensor(
        dtype=dtype_of(place.member("dtype")),
        sizes=_sizes(place.member("sizes")),
        strides=_sizes(place.member("strides")) if is_strided else None,
        requires_grad=place.member("requires_grad").flag(),
    )


def _sizes(place: Place) -> tuple[Size, ...]:
    return tuple(size_of(item) for item in place.items())


def _node(place: Place) -> RawNode:
    target = place.member("target").text().removeprefix("torch.ops.")
    arguments: list[tuple[str, RawArgument]] = []
    for item in place.member("inputs").items():
        value = argument_of(item.member("arg"), _graph)
        if value is not LEFT_OUT:
            arguments.append((item.name(), value))
    outputs = tuple(ref for item in place.member("outputs").items() for ref in _outputs(item))
    name = place.optional("name")  # torch 2.6 did not write it yet
    metadata = place.optional("metadata")
    stack = metadata.optional("nn_module_stack") if metadata else None
    trace = metadata.optional("stack_trace") if metadata else None
    return RawNode(
        name=name.text() if name else _name_from(outputs, place),
        target=target,
        arguments=tuple(arguments),
        outputs=outputs,
        stack=_stack(stack.text()) if stack else (),
        trace=trace.text() if trace else "",
        at=str(place),
    )


def _name_from(outputs: tuple[Ref | Symbol | None, ...], place: Place) -> str:
    first = next((ref for ref in outputs if ref is not None), None)
    return first.name if first else f"node_{place.step}"


def _outputs(place: Place) -> tuple[Ref | Symbol | None, ...]:
    kind, body = place.variant()
    if kind == "as_tensors":
        return tuple(Ref(item.name()) for item in body.items())
    return (name_of(place),)


def _stack(text: str) -> tuple[tuple[str, str], ...]:
    """Keys and paths of `key,path,class;key,path,class`."""
    entries = (entry.split(",") for entry in text.split(";") if entry)
    return tuple((parts[0], parts[1]) for parts in entries if len(parts) > 1)
