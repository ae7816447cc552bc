"""What must hold of a draft before anything is made of it; every violation is reported."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from planner.drafts.draft import Draft, DraftOperator, DraftParameter, DraftTensor, OperandKind
from planner.errors import GraphError, PlannerError, name_hint, raise_all
from planner.graphs.operators import MAX_BYTES


def check_names(draft: Draft) -> bool:
    """Every name defined once, everything that is read defined, every size within range.

    Returns:
        Whether every operator stands after those whose outputs it reads.

    Raises:
        PlannerError: With every problem.
    """
    problems: list[PlannerError] = []
    early: list[tuple[DraftOperator, str]] = []
    tensors: dict[str, DraftTensor] = {}
    operators: dict[str, DraftOperator] = {}
    parameters: dict[str, DraftParameter] = {}
    for tensor in draft.inputs:
        if tensors.setdefault(tensor.name, tensor) is not tensor:
            problems.append(_defined_twice("tensor", tensors[tensor.name], tensor))
        _check_size(tensor, problems)
    for parameter in draft.parameters:
        if parameters.setdefault(parameter.name, parameter) is not parameter:
            problems.append(_defined_twice("parameter", parameters[parameter.name], parameter))
        _check_size(parameter, problems)
    for operator in draft.operators:
        if operators.setdefault(operator.name, operator) is not operator:
            problems.append(_defined_twice("operator", operators[operator.name], operator))
        for kind, name, _ in operator.operands:
            if kind is OperandKind.TENSOR and name not in tensors:
                early.append((operator, name))
            elif kind is OperandKind.PARAMETER and name not in parameters:
                problems.append(_dangling(operator, "parameter", name, parameters))
        for tensor in operator.outputs:
            if tensors.setdefault(tensor.name, tensor) is not tensor:
                problems.append(_defined_twice("tensor", tensors[tensor.name], tensor))
            _check_size(tensor, problems)
    for operator, name in early:
        if name not in tensors:
            problems.append(_dangling(operator, "tensor", name, tensors))
    problems += _check_outputs(draft, tensors)
    raise_all(problems)
    return not early


Item = DraftTensor | DraftParameter | DraftOperator


def _place(item: Item) -> str:
    return item.where or f"`{item.name}`"


def _defined_twice(what: str, first: Item, again: Item) -> GraphError:
    text = f"{what} `{again.name}` is defined twice"
    if first.where:
        text += f", first at {first.where}"
    return GraphError(text, code="PLN201", where=_place(again))


def _check_size(item: DraftTensor | DraftParameter, problems: list[PlannerError]) -> None:
    if not 0 <= item.size_bytes <= MAX_BYTES:
        text = f"`{item.name}` has {item.size_bytes} bytes, expected 0 to 2^53"
        problems.append(GraphError(text, code="PLN204", where=_place(item)))


def _dangling(operator: DraftOperator, kind: str, name: str, known: Iterable[str]) -> GraphError:
    return GraphError(
        f"operator `{operator.name}` reads {kind} `{name}`, which nothing defines",
        code="PLN202",
        where=_place(operator),
        hint=partial(name_hint, name, known, f"{kind}s"),
    )


def _check_outputs(draft: Draft, tensors: Mapping[str, DraftTensor]) -> list[PlannerError]:
    problems: list[PlannerError] = []
    wheres = draft.output_wheres or [f"output {i}" for i in range(len(draft.outputs))]
    if not draft.outputs:
        text = "the model has no outputs, so no operator is needed; expected at least one"
        problems.append(GraphError(text, code="PLN206", where=draft.where or draft.name))
    seen: set[str] = set()
    for name, where in zip(draft.outputs, wheres, strict=True):
        if name in seen:
            problems.append(
                GraphError(f"output `{name}` is listed twice", code="PLN201", where=where)
            )
        seen.add(name)
        if name not in tensors:
            problems.append(
                GraphError(
                    f"output `{name}` is produced by no operator and is no input",
                    code="PLN202",
                    where=where,
                    hint=partial(name_hint, name, tensors, "tensors"),
                )
            )
    return problems
