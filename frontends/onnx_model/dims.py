"""Symbolic dimensions of the inputs: what the user binds, and what is left to complain about."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import onnx

from planner.drafts.frontend import InputSpec, LoadOptions, parse_input_spec
from planner.errors import GraphError, InputError, PlannerError, listed, name_hint, raise_all
from planner.frontends.onnx_model.tensors import DTYPES

_CODES = {name: code for code, name in DTYPES.items()}


@dataclass(slots=True, kw_only=True)
class Binding:
    """What was bound.

    Attributes:
        values: Value of each named dimension.
        is_any_bound: Whether any dimension of the file was changed.
        is_batch_bound: Whether `batch=` gave a dimension its value.
        expected: Output name and position, the dimension's name there, and what it has to be.
        notes: For the person who reads what was imported.
    """

    values: dict[str, int] = field(default_factory=dict)
    is_any_bound: bool = False
    is_batch_bound: bool = False
    expected: list[tuple[str, int, str, int]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def bind_dimensions(model: onnx.ModelProto, options: LoadOptions, *, where: str) -> Binding:
    """Give symbolic input dimensions their values, in `model` itself.

    Raises:
        PlannerError: PLN115 for a specification that contradicts the file, PLN205 for dimensions
            that are still symbolic, PLN208 for unknown names.
    """
    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    weights.update(sparse.values.name for sparse in graph.sparse_initializer)
    inputs = [value for value in graph.input if value.name not in weights]
    binding = Binding()
    problems: list[PlannerError] = []
    _bind_names(inputs, options, binding, problems, where)
    _apply_specs(inputs, options.inputs, binding, problems, where)
    _bind_batch(inputs, options.batch, binding, problems, where)
    raise_all(problems)
    for value in inputs:
        for dim in _dims(value):
            if _is_symbolic(dim) and dim.dim_param in binding.values:
                dim.dim_value = binding.values[dim.dim_param]
                binding.is_any_bound = True
    open_inputs = [value for value in inputs if _is_open(value)]
    if open_inputs:
        read = _names_read(graph)
        _check_bound([value for value in open_inputs if value.name in read], where)
    if binding.is_any_bound:
        _forget_stale(graph, binding)
    return binding


def _dims(value: onnx.ValueInfoProto) -> list[onnx.TensorShapeProto.Dimension]:
    return list(value.type.tensor_type.shape.dim)


def _is_symbolic(dim: onnx.TensorShapeProto.Dimension) -> bool:
    """Whether a dimension has no value; -1 is how some exporters write that."""
    return not dim.HasField("dim_value") or dim.dim_value < 0


def _bind_names(
    inputs: Iterable[onnx.ValueInfoProto],
    options: LoadOptions,
    binding: Binding,
    problems: list[PlannerError],
    where: str,
) -> None:
    known = {dim.dim_param for value in inputs for dim in _dims(value) if dim.dim_param}
    for name, value in options.dims.items():
        if name not in known:
            problems.append(
                InputError(
                    f"no input has a dimension `{name}`",
                    code="PLN208",
                    where=where,
                    hint=name_hint(name, known, "symbolic dimensions"),
                )
            )
        elif value < 1:
            text = f"dimension `{name}` is {value}, expected a whole number > 0"
            problems.append(InputError(text, code="PLN115", where=where))
        else:
            binding.values[name] = value


def _apply_specs(
    inputs: list[onnx.ValueInfoProto],
    texts: tuple[str, ...],
    binding: Binding,
    problems: list[PlannerError],
    where: str,
) -> None:
    by_name = {value.name: value for value in inputs}
    done: set[str] = set()
    for position, text in enumerate(texts):
        spec = parse_input_spec(text)
        if spec.name is None:
            value = inputs[position] if position < len(inputs) else None
            missing = (
                f"input specification {position + 1} is one too many: the model has {len(inputs)}"
            )
        else:
            value = by_name.get(spec.name)
            missing = f"the model has no input `{spec.name}`"
        if value is None:
            hint = name_hint(spec.name or "", by_name, "inputs")
            problems.append(InputError(missing, code="PLN208", where=where, hint=hint))
        elif value.name in done:
            twice = f"input `{value.name}` is specified twice"
            problems.append(InputError(twice, code="PLN115", where=where))
        else:
            done.add(value.name)
            reason = _apply_spec(value, spec, binding)
            if reason:
                contradiction = f"`{text}` contradicts input `{value.name}`: {reason}"
                problems.append(InputError(contradiction, code="PLN115", where=where))


def _apply_spec(value: onnx.ValueInfoProto, spec: InputSpec, binding: Binding) -> str | None:
    """Set the symbolic dimensions of `value`; return what contradicts the file, if anything."""
    tensor = value.type.tensor_type
    if tensor.elem_type and tensor.elem_type != _CODES[spec.dtype]:
        return f"its type is {DTYPES.get(tensor.elem_type, tensor.elem_type)}"
    tensor.elem_type = _CODES[spec.dtype]
    if not tensor.HasField("shape"):
        tensor.shape.SetInParent()
        for _ in spec.shape:
            tensor.shape.dim.add()
    if len(tensor.shape.dim) != len(spec.shape):
        return f"it has {len(tensor.shape.dim)} dimensions"
    for position, (dim, wanted) in enumerate(zip(tensor.shape.dim, spec.shape, strict=True)):
        if not _is_symbolic(dim):
            if dim.dim_value != wanted:
                return f"dimension {position} is fixed at {dim.dim_value} in the file"
        elif dim.dim_param:
            if binding.values.setdefault(dim.dim_param, wanted) != wanted:
                return f"`{dim.dim_param}` is {binding.values[dim.dim_param]} already"
        else:
            dim.dim_value = wanted
            binding.is_any_bound = True
    return None


def _bind_batch(
    inputs: Iterable[onnx.ValueInfoProto],
    batch: int | None,
    binding: Binding,
    problems: list[PlannerError],
    where: str,
) -> None:
    if batch is None:
        return
    if batch < 1:
        text = f"batch is {batch}, expected a whole number > 0"
        problems.append(InputError(text, code="PLN115", where=where))
        return
    names: dict[str, None] = {}
    for value in inputs:
        dims = _dims(value)
        if not dims or not _is_symbolic(dims[0]) or dims[0].dim_param in binding.values:
            continue
        binding.is_batch_bound = True
        if dims[0].dim_param:
            names[dims[0].dim_param] = None
        else:
            dims[0].dim_value = batch
            binding.is_any_bound = True
    binding.values.update(dict.fromkeys(names, batch))
    if len(names) > 1:
        listed = ", ".join(f"`{name}`" for name in names)
        binding.notes.append(f"batch {batch} is bound to the leading dimensions {listed}")


def _names_read(graph: onnx.GraphProto) -> set[str]:
    """Everything that operators read, bodies included, or that is an output."""
    read = {value.name for value in graph.output}
    for node in graph.node:
        read.update(node.input)
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                read |= _names_read(attribute.g)
            for body in attribute.graphs:
                read |= _names_read(body)
    return read


def _is_open(value: onnx.ValueInfoProto) -> bool:
    """Whether a tensor input has no shape, or one with a symbolic dimension."""
    if value.type.WhichOneof("value") not in (None, "tensor_type"):
        return False
    tensor = value.type.tensor_type
    return not tensor.HasField("shape") or any(_is_symbolic(dim) for dim in tensor.shape.dim)


def _check_bound(inputs: Iterable[onnx.ValueInfoProto], where: str) -> None:
    """One error for all that is still symbolic, with the flags that bind it."""
    missing: list[str] = []
    remedies: dict[str, str] = {}
    for value in inputs:
        tensor = value.type.tensor_type
        if not tensor.HasField("shape"):
            missing.append(f"input `{value.name}` has no shape")
            dtype = DTYPES.get(tensor.elem_type, "float32")
            remedies[f"`--input '{value.name}:{dtype}[1,…]'`"] = "inputs=[…]"
            continue
        for position, dim in enumerate(tensor.shape.dim):
            if not _is_symbolic(dim):
                continue
            label = f" (`{dim.dim_param}`)" if dim.dim_param else ""
            missing.append(f"input `{value.name}` dim {position}{label}")
            if position == 0:
                remedies["`--batch N`"] = "batch=N"
            if dim.dim_param and position:
                remedies[f"`--dim {dim.dim_param}=128`"] = f'dims={{"{dim.dim_param}": 128}}'
            elif position:
                dtype = DTYPES.get(tensor.elem_type, "float32")
                shape = ",".join(
                    str(d.dim_value) if not _is_symbolic(d) else "N" for d in tensor.shape.dim
                )
                remedies[f"`--input '{value.name}:{dtype}[{shape}]'`"] = "inputs=[…]"
    if missing:
        flags, keywords = " ".join(remedies), ", ".join(dict.fromkeys(remedies.values()))
        raise GraphError(
            f"symbolic dimensions have no value: {listed(missing, 20)}",
            code="PLN205",
            where=where,
            hint=f"bind them with {flags}; in Python: `planner.load(…, {keywords})`",
        )


def _forget_stale(graph: onnx.GraphProto, binding: Binding) -> None:
    """Drop shapes that were recorded for the symbolic model; inference fills them in again.

    Shapes of operators from other domains stay, because nobody else knows them.
    """
    foreign = {
        name for node in graph.node if node.domain not in ("", "ai.onnx") for name in node.output
    }
    kept = [value for value in graph.value_info if value.name in foreign]
    del graph.value_info[:]
    graph.value_info.extend(kept)
    for value in graph.value_info:
        for dim in _dims(value):
            if _is_symbolic(dim) and dim.dim_param in binding.values:
                dim.dim_value = binding.values[dim.dim_param]
    for value in graph.output:
        for position, dim in enumerate(_dims(value)):
            if not _is_symbolic(dim):
                continue
            name = dim.dim_param
            if name in binding.values:
                binding.expected.append((value.name, position, name, binding.values[name]))
            dim.Clear()
