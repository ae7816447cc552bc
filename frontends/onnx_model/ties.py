"""Tied parameters: which sharing is the model's own, and which is an exporter's merge.

Exporters merge initializers that are equal, and freshly made biases and norms are: one vector then
seems to be shared by dozens of layers. A matrix is only shared where the model shares it. A vector
is believed to be shared only where it goes round with a shared matrix: a block of layers that is
applied m times (ALBERT) reads its matrices m times, and its vectors between them.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

from planner.drafts.draft import Draft, DraftOperator, DraftParameter, OperandKind
from planner.errors import listed
from planner.files.globs import matching
from planner.frontends.onnx_model.parameters import Role, role_at

Reading = tuple[int, int]
"""Position of an operator in the draft, and of the operand in that operator."""


@dataclass(frozen=True, slots=True)
class TieSeparator:
    """Gives every reading a copy of its own where a parameter is not truly tied.

    Attributes:
        tied: Globs of parameters that stay one.
        untied: Globs of parameters of which every reading gets a copy; they go before `tied`.
    """

    tied: tuple[str, ...] = ()
    untied: tuple[str, ...] = ()

    def __call__(self, draft: Draft) -> None:
        """Separate the false ties of `draft` and leave a note.

        Raises:
            PlannerError: PLN208 for globs that match no parameter.
        """
        names = [parameter.name for parameter in draft.parameters]
        tied = matching(self.tied, names, "tied")
        untied = matching(self.untied, names, "untied")
        if not self.untied and not _any_shared(draft):
            return
        readings = _readings(draft)
        matrices = {
            tuple(dict.fromkeys(index for index, _ in readings[p.name]))
            for p in draft.parameters
            if len(readings.get(p.name, ())) > 1 and not _is_vector(p)
        }
        rounds = sorted(shared for shared in matrices if len(shared) > 1)
        split: list[tuple[DraftParameter, int, int]] = []
        taken = set(names)
        parameters: list[DraftParameter] = []
        for parameter in draft.parameters:
            name = parameter.name
            own = readings.get(name, [])
            copies = 1
            if len(own) > 1 and name in untied:
                copies = len(own)
            elif len(own) > 1 and name not in tied and _is_vector(parameter):
                copies = _copies(own, rounds)
            if copies == 1:
                parameters.append(parameter)
                continue
            split.append((parameter, len(own), copies))
            parameters += _separate(draft, parameter, own, copies, taken)
        draft.parameters = parameters
        if split:
            draft.notes.append(_note(split))


def _is_vector(parameter: DraftParameter) -> bool:
    """At most one dimension above 1: a bias or a norm, also in the shape [C, 1, 1]."""
    shape = parameter.shape
    return shape is not None and sum(d > 1 for d in shape) <= 1


def _any_shared(draft: Draft) -> bool:
    """Whether any parameter is read more than once: a quick look, since mostly none is."""
    seen: set[str] = set()
    for operator in draft.operators:
        for kind, name, _ in operator.operands:
            if kind is OperandKind.PARAMETER:
                if name in seen:
                    return True
                seen.add(name)
    return False


def _readings(draft: Draft) -> dict[str, list[Reading]]:
    """Where each parameter is read, in order, by operators that lead to an output."""
    needed = set(draft.outputs)
    found: dict[str, list[Reading]] = {}
    for index in range(len(draft.operators) - 1, -1, -1):
        operator = draft.operators[index]
        if not any(tensor.name in needed for tensor in operator.outputs):
            continue
        for position, operand in enumerate(operator.operands):
            if operand.kind is OperandKind.TENSOR:
                needed.add(operand.name)
            elif operand.kind is OperandKind.PARAMETER:
                found.setdefault(operand.name, []).append((index, position))
    for readings in found.values():
        readings.sort()
    return found


def _copies(readings: Sequence[Reading], matrices: Iterable[tuple[int, ...]]) -> int:
    """How many parameters a vector stands for: one each reading, unless it goes round a matrix."""
    readers = [index for index, _ in readings]
    for shared in matrices:
        per_round, rest = divmod(len(readers), len(shared))
        if rest or not per_round:
            continue
        places = [bisect_right(readers, matrix) for matrix in shared]
        inner = [later - sooner for sooner, later in pairwise(places)]
        if all(count == per_round for count in inner):
            return per_round
    return len(readers)


def _separate(
    draft: Draft,
    parameter: DraftParameter,
    readings: Sequence[Reading],
    copies: int,
    taken: set[str],
) -> list[DraftParameter]:
    """Let reading `i` be of copy `i mod copies`; returns the copies, the parameter itself first.

    A merge can make one parameter of a bias (trainable) and a running mean (not): each copy is
    trainable only if it is read where a weight goes.
    """
    made = []
    for number in range(copies):
        own = readings[number::copies]
        trainable = parameter.trainable and any(
            _reads_weight(draft.operators[index], position, parameter) for index, position in own
        )
        name = _fresh_name(parameter.name, number + 1, taken) if number else parameter.name
        made.append(replace(parameter, name=name, trainable=trainable))
        if number:
            for index, position in own:
                operator = draft.operators[index]
                operands = list(operator.operands)
                operands[position] = operands[position]._replace(name=name)
                operator.operands = tuple(operands)
    return made


def _reads_weight(operator: DraftOperator, position: int, parameter: DraftParameter) -> bool:
    role = role_at(operator.op, operator.domain, position, parameter.dtype, parameter.shape)
    return role is Role.WEIGHT


def _fresh_name(name: str, number: int, taken: set[str]) -> str:
    while (fresh := f"{name}#{number}") in taken:
        number += 1
    taken.add(fresh)
    return fresh


def _note(split: list[tuple[DraftParameter, int, int]]) -> str:
    vectors = f"{len(split)} parameter{'s' if len(split) > 1 else ''}"
    n_readers, n_copies = sum(s[1] for s in split), sum(s[2] for s in split)
    shown = listed([f"`{parameter.name}`" for parameter, _, _ in split], 5)
    return (
        f"separated {vectors} with {n_readers} readers into {n_copies} ({shown}): exporters "
        "merge equal values; `--tied GLOB` keeps one together"
    )
