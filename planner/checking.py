"""What must hold of a draft before anything is made of it; every violation is reported."""

from __future__ import annotations

from collections.abc import Iterable

from planner.drafts import Draft, DraftOperator, DraftParameter, DraftTensor, OperandKind
from planner.errors import GraphError, PlannerError, name_hint, raise_all
from planner.graphs import MAX_BYTES


def check_names(draft: Draft) -> bool:
    """Every name defined once, everything that is read defined, every size within range.

    Returns:
        Whether every operator stands after those whose outputs it reads.

    Raises:
        PlannerError: With every problem.
    """
    problems: list[PlannerError] = []
    early: list[tuple[DraftOperator, str]] = []
    tensors: dict[str, str] = {}
    operators: dict[str, str] = {}
    parameters: dict[str, str] = {}

    def define(table: dict[str, str], what: str, name: str, where: str) -> None:
        if name in table:
            text = f"{what} `{name}` is defined twice, first at {table[name] or 'the input'}"
            problems.append(GraphError(text, code="PLN201", where=where))
        else:
            table[name] = where

    for tensor in draft.inputs:
        define(tensors, "tensor", tensor.name, tensor.where)
        _check_size(tensor, problems)
    for parameter in draft.parameters:
        define(parameters, "parameter", parameter.name, parameter.where)
        _check_size(parameter, problems)
    for operator in draft.operators:
        define(operators, "operator", operator.name, operator.where)
        for kind, name, _ in operator.operands:
            if kind is OperandKind.TENSOR and name not in tensors:
                early.append((operator, name))
            elif kind is OperandKind.PARAMETER and name not in parameters:
                problems.append(_dangling(operator, "parameter", name, parameters))
        for tensor in operator.outputs:
            define(tensors, "tensor", tensor.name, tensor.where or operator.where)
            _check_size(tensor, problems)
    for operator, name in early:
        if name not in tensors:
            problems.append(_dangling(operator, "tensor", name, tensors))
    problems += _check_outputs(draft, tensors)
    raise_all(problems)
    return not early


def _check_size(item: DraftTensor | DraftParameter, problems: list[PlannerError]) -> None:
    if not 0 <= item.size_bytes <= MAX_BYTES:
        text = f"`{item.name}` has {item.size_bytes} bytes, expected 0 to 2^53"
        problems.append(GraphError(text, code="PLN204", where=item.where or None))


def _dangling(operator: DraftOperator, kind: str, name: str, known: Iterable[str]) -> GraphError:
    return GraphError(
        f"operator `{operator.name}` reads {kind} `{name}`, which nothing defines",
        code="PLN202",
        where=operator.where or f"operator `{operator.name}`",
        hint=name_hint(name, known, f"{kind}s"),
    )


def _check_outputs(draft: Draft, tensors: dict[str, str]) -> list[PlannerError]:
    problems: list[PlannerError] = []
    wheres = draft.output_wheres or [f"output {i}" for i in range(len(draft.outputs))]
    if not draft.outputs:
        text = "the model has no outputs, so no operator is needed; expected at least one"
        problems.append(GraphError(text, code="PLN206", where=draft.name))
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
                    hint=name_hint(name, tensors, "tensors"),
                )
            )
    return problems
