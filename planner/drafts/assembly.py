"""From a draft, by name and unchecked, to a `Graph`: check, sort, fold, merge, index.

Every frontend ends here, so that what is folded away is the same for all of them (docs/theory.md,
§10): what constants alone produce, what only re-arranges one parameter, second copies of
identical operators, and what nobody reads. Each pass is one walk over the operators.
"""

from __future__ import annotations

from collections.abc import Callable

from planner.drafts.checking import check_names
from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.drafts.indexing import index_draft
from planner.errors import GraphError, named
from planner.graphs.dtypes import is_floating
from planner.graphs.graph import Graph
from planner.graphs.operations import REARRANGING
from planner.graphs.orders import topological_order

TENSOR, PARAMETER, CONSTANT = OperandKind.TENSOR, OperandKind.PARAMETER, OperandKind.CONSTANT


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
    if not check_names(draft):
        sort_operators(draft)
    fold_constants(draft)
    fold_rearrangements(draft)
    if separate_ties is not None:
        separate_ties(draft)
    merge_duplicates(draft)
    drop_dead_ends(draft)
    return index_draft(draft, digest)


def sort_operators(draft: Draft) -> None:
    """Order the operators topologically, keeping the file's order wherever it is one.

    Raises:
        GraphError: If there is a cycle, with its operators.
    """
    operators = draft.operators
    producer = {t.name: i for i, operator in enumerate(operators) for t in operator.outputs}
    needs = [
        {
            producer[name]
            for kind, name, _ in operator.operands
            if kind is TENSOR and name in producer
        }
        for operator in operators
    ]
    order, stuck = topological_order(needs)
    if stuck:
        raise _cycle_error(operators, needs, set(stuck))
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
        where=operators[cycle[start]].where or f"`{operators[cycle[start]].name}`",
        hint="a model is a directed acyclic graph; unroll the loop or put it into one operator",
    )


def fold_constants(draft: Draft) -> None:
    """Drop operators that read neither an input nor a parameter, and all they alone feed.

    Every host computes them for itself, so they cost nothing and cross nothing. What is random is
    kept: two hosts would not draw the same.
    """
    constants: set[str] = set()
    kept: list[DraftOperator] = []
    for operator in draft.operators:
        operands = operator.operands
        if constants and any(o.name in constants for o in operands):
            operands = tuple(
                o._replace(kind=CONSTANT) if o.kind is TENSOR and o.name in constants else o
                for o in operands
            )
            operator.operands = operands
        is_fed = any([kind is TENSOR or kind is PARAMETER for kind, _, _ in operands])
        if not is_fed and not operator.is_random:
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
    trainable = {p.name for p in draft.parameters if p.trainable}
    kept: list[DraftOperator] = []
    for operator in draft.operators:
        if alias and any(o.name in alias for o in operator.operands):
            operator.operands = tuple(
                Operand(PARAMETER, alias[o.name], o.shape)
                if o.kind is TENSOR and o.name in alias
                else o
                for o in operator.operands
            )
        source = _rearranged_parameter(operator)
        if source is None or not _may_fold(operator.outputs[0], outputs, source in trainable):
            kept.append(operator)
            continue
        alias[operator.outputs[0].name] = source
        draft.folded[operator.name] = f"rearranged parameter: only re-arranges `{source}`"
    draft.operators = kept


def _may_fold(result: DraftTensor, outputs: set[str], is_trainable: bool) -> bool:
    """Not a graph output, nor what stops a trainable parameter's gradient or decides about it."""
    is_stop = result.requires_grad is not None or not is_floating(result.dtype)
    return result.name not in outputs and not (is_stop and is_trainable)


def _rearranged_parameter(operator: DraftOperator) -> str | None:
    """The one parameter that `operator` hands on with another shape, order or type, if it does.

    Scales and zero points of a DequantizeLinear are parameters or constants beside the first.
    """
    if operator.op not in REARRANGING or len(operator.outputs) != 1 or not operator.operands:
        return None
    first, *rest = operator.operands
    if first.kind is not PARAMETER:
        return None
    allowed = {CONSTANT, OperandKind.ABSENT}
    if operator.op == "DequantizeLinear":
        allowed.add(PARAMETER)
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
                o._replace(name=alias[o.name]) if o.kind is TENSOR and o.name in alias else o
                for o in operator.operands
            )
        if not operator.is_mergeable:
            kept.append(operator)
            continue
        key = (
            operator.domain,
            operator.op,
            tuple(sorted(operator.attributes.items())) if operator.attributes else (),
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
        if needed.isdisjoint([tensor.name for tensor in operator.outputs]):
            draft.folded[operator.name] = "unused: nobody reads its results"
            continue
        kept.append(operator)
        for kind, name, _ in operator.operands:
            if kind is TENSOR:
                needed.add(name)
            elif kind is PARAMETER:
                read.add(name)
    draft.operators = kept[::-1]
    unread = [p.name for p in draft.parameters if p.name not in read]
    if unread:
        shown = named(unread, 5)
        draft.warnings.append(f"dropped parameters that nobody reads: {shown}")
        draft.parameters = [p for p in draft.parameters if p.name in read]
    draft.inputs = [t for t in draft.inputs if t.name in needed]
    if not draft.operators:
        raise GraphError(
            "nothing is left to place: no operator depends on an input or a parameter",
            code="PLN206",
            where=draft.where or draft.name,
        )
