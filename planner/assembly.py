"""From a draft, by name and unchecked, to a `Graph`: check, sort, fold, merge, index.

Every frontend ends here, so that what is folded away is the same for all of them (design, "Not in
the problem"): what constants alone produce, what only re-arranges one parameter, second copies of
identical operators, and what nobody reads. Each pass is one walk over the operators.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable

from planner.drafts import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.errors import GraphError, PlannerError, name_hint, raise_all
from planner.graphs import MAX_BYTES, Graph
from planner.indexing import index_draft
from planner.operations import REARRANGING


def assemble(
    draft: Draft,
    *,
    separate_ties: Callable[[Draft], None] | None = None,
    digest: str = "",
) -> Graph:
    """Check and normalise `draft` (which is used up) and build the graph.

    Args:
        draft: What a frontend read.
        separate_ties: Called once parameters are resolved to their readers and before identical
            operators are merged; may give readers a copy of a parameter of their own.
        digest: What the plan files call this graph.

    Raises:
        PlannerError: With every problem of the draft: names defined twice or not at all, cycles,
            sizes out of range, no outputs.
    """
    check_names(draft)
    sort_operators(draft)
    fold_constants(draft)
    fold_rearrangements(draft)
    if separate_ties is not None:
        separate_ties(draft)
    merge_duplicates(draft)
    drop_dead_ends(draft)
    return index_draft(draft, digest)


def check_names(draft: Draft) -> None:
    """Every name defined once, every tensor that is read produced, every size within range."""
    problems: list[PlannerError] = []
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
        for tensor in operator.outputs:
            define(tensors, "tensor", tensor.name, tensor.where or operator.where)
            _check_size(tensor, problems)
    for operator in draft.operators:
        for kind, name, _ in operator.operands:
            if kind is OperandKind.TENSOR and name not in tensors:
                problems.append(_dangling(operator, "tensor", name, tensors))
            elif kind is OperandKind.PARAMETER and name not in parameters:
                problems.append(_dangling(operator, "parameter", name, parameters))
    problems += _check_outputs(draft, tensors)
    raise_all(problems)


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


def sort_operators(draft: Draft) -> None:
    """Order the operators topologically, keeping the file's order wherever it is one (Kahn, heap).

    Raises:
        GraphError: If there is a cycle, with its operators.
    """
    operators = draft.operators
    producer = {t.name: i for i, operator in enumerate(operators) for t in operator.outputs}
    needs = [
        {
            producer[o.name]
            for o in op.operands
            if o.kind is OperandKind.TENSOR and o.name in producer
        }
        for op in operators
    ]
    if all(not need or max(need) < index for index, need in enumerate(needs)):
        return
    followers: list[list[int]] = [[] for _ in operators]
    waiting = [len(need) for need in needs]
    for index, need in enumerate(needs):
        for earlier in need:
            followers[earlier].append(index)
    ready = [index for index, count in enumerate(waiting) if count == 0]
    order: list[int] = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for follower in followers[index]:
            waiting[follower] -= 1
            if waiting[follower] == 0:
                heapq.heappush(ready, follower)
    if len(order) < len(operators):
        raise _cycle_error(operators, needs, {i for i, count in enumerate(waiting) if count})
    draft.operators = [operators[index] for index in order]


def _cycle_error(
    operators: list[DraftOperator], needs: list[set[int]], stuck: set[int]
) -> GraphError:
    """Walk back from any stuck operator until one repeats: that stretch is a cycle."""
    path: list[int] = []
    position: dict[int, int] = {}
    index = min(stuck)
    while index not in position:
        position[index] = len(path)
        path.append(index)
        index = min(needs[index] & stuck)
    cycle = path[position[index] :][::-1]
    start = cycle.index(min(cycle))
    names = [operators[i].name for i in cycle[start:] + cycle[:start]]
    shown = names if len(names) <= 6 else [*names[:3], f"… {len(names) - 5} more …", *names[-2:]]
    text = " -> ".join(f"`{name}`" if "…" not in name else name for name in [*shown, names[0]])
    return GraphError(
        f"the operators form a cycle: {text}",
        code="PLN203",
        where=operators[cycle[start]].where or None,
        hint="a model is a directed acyclic graph; unroll the loop or put it into one operator",
    )


def fold_constants(draft: Draft) -> None:
    """Drop operators that read neither an input nor a parameter, and all they alone feed.

    Every host computes them for itself, so they cost nothing and cross nothing.
    """
    constants: set[str] = set()
    kept: list[DraftOperator] = []
    for operator in draft.operators:
        operands = operator.operands
        if constants and any(o.name in constants for o in operands):
            operands = tuple(
                o._replace(kind=OperandKind.CONSTANT)
                if o.kind is OperandKind.TENSOR and o.name in constants
                else o
                for o in operands
            )
            operator.operands = operands
        if all(o.kind in (OperandKind.CONSTANT, OperandKind.ABSENT) for o in operands):
            constants.update(tensor.name for tensor in operator.outputs)
            draft.folded[operator.name] = "constant: computed from constants alone"
        else:
            kept.append(operator)
    draft.operators = kept
    for name in draft.outputs:
        if name in constants:
            draft.notes.append(f"output `{name}` is a constant: every host has it")
    draft.outputs = [name for name in draft.outputs if name not in constants]


def fold_rearrangements(draft: Draft) -> None:
    """Let the readers of a transposed, reshaped, cast … parameter read the parameter itself."""
    alias: dict[str, str] = {}
    outputs = set(draft.outputs)
    kept: list[DraftOperator] = []
    for operator in draft.operators:
        if alias and any(o.name in alias for o in operator.operands):
            operator.operands = tuple(
                Operand(OperandKind.PARAMETER, alias[o.name], o.shape)
                if o.kind is OperandKind.TENSOR and o.name in alias
                else o
                for o in operator.operands
            )
        source = _rearranged_parameter(operator)
        if source is None or operator.outputs[0].name in outputs:
            kept.append(operator)
            continue
        alias[operator.outputs[0].name] = source
        draft.folded[operator.name] = f"rearranged parameter: only re-arranges `{source}`"
    draft.operators = kept


def _rearranged_parameter(operator: DraftOperator) -> str | None:
    """The one parameter that `operator` hands on with another shape, order or type, if it does.

    Scales and zero points of a DequantizeLinear are parameters or constants beside the first.
    """
    if operator.op not in REARRANGING or len(operator.outputs) != 1 or not operator.operands:
        return None
    first, *rest = operator.operands
    if first.kind is not OperandKind.PARAMETER:
        return None
    allowed = {OperandKind.CONSTANT, OperandKind.ABSENT}
    if operator.op == "DequantizeLinear":
        allowed.add(OperandKind.PARAMETER)
    return first.name if all(o.kind in allowed for o in rest) else None


def merge_duplicates(draft: Draft) -> None:
    """Keep the first of several operators with the same op, attributes and operands."""
    alias: dict[str, str] = {}
    first: dict[tuple[object, ...], DraftOperator] = {}
    outputs = set(draft.outputs)
    kept: list[DraftOperator] = []
    for operator in draft.operators:
        if alias and any(o.name in alias for o in operator.operands):
            operator.operands = tuple(
                o._replace(name=alias[o.name])
                if o.kind is OperandKind.TENSOR and o.name in alias
                else o
                for o in operator.operands
            )
        if not operator.is_mergeable:
            kept.append(operator)
            continue
        key = (
            operator.domain,
            operator.op,
            tuple(sorted(operator.attributes.items())),
            operator.operands,
            len(operator.outputs),
        )
        twin = first.setdefault(key, operator)
        if twin is operator or not outputs.isdisjoint(t.name for t in operator.outputs):
            kept.append(operator)
            continue
        for mine, theirs in zip(operator.outputs, twin.outputs, strict=True):
            alias[mine.name] = theirs.name
        draft.folded[operator.name] = f"duplicate: same as `{twin.name}`"
    draft.operators = kept


def drop_dead_ends(draft: Draft) -> None:
    """Drop operators whose results nobody reads, and parameters without a reader."""
    needed = set(draft.outputs)
    read: set[str] = set()
    kept: list[DraftOperator] = []
    for operator in reversed(draft.operators):
        if needed.isdisjoint(tensor.name for tensor in operator.outputs):
            draft.folded[operator.name] = "unused: nobody reads its results"
            continue
        kept.append(operator)
        for operand in operator.operands:
            if operand.kind is OperandKind.TENSOR:
                needed.add(operand.name)
            elif operand.kind is OperandKind.PARAMETER:
                read.add(operand.name)
    draft.operators = kept[::-1]
    unread = [p.name for p in draft.parameters if p.name not in read]
    if unread:
        shown = ", ".join(f"`{name}`" for name in unread[:5])
        more = f" and {len(unread) - 5} more" if len(unread) > 5 else ""
        draft.warnings.append(f"dropped parameters that nobody reads: {shown}{more}")
        draft.parameters = [p for p in draft.parameters if p.name in read]
    draft.inputs = [t for t in draft.inputs if t.name in needed]
    if not draft.operators:
        raise GraphError(
            "nothing is left to place: no operator depends on an input or a parameter",
            code="PLN206",
            where=draft.name,
        )
