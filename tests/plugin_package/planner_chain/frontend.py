"""Frontend `chain`: one line per layer, `name op output_bytes parameter_bytes`.

The first line is `input bytes`; each layer reads the one before it; `#` starts a comment.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from planner.plugins import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Graph,
    InputError,
    LoadOptions,
    Operand,
    OperandKind,
    PlannerError,
    assemble,
    raise_all,
    read_bytes,
)


class Chain:
    """Reads `.chain` files."""

    name = "chain"
    suffixes = (".chain",)
    requires: tuple[str, ...] = ()

    def recognizes(self, head: bytes) -> bool:
        """Whether the file starts like a chain."""
        return head.startswith(b"input ")

    def load(self, data: bytes | Path, *, where: str, options: LoadOptions) -> Graph:
        """Read a chain of layers.

        Raises:
            PlannerError: With every line that is none.
        """
        content = data if isinstance(data, bytes) else read_bytes(data)
        if options != LoadOptions():
            raise InputError("a chain states everything", code="PLN116", where=where)
        draft = Draft(name=Path(where).stem, inputs=[], outputs=[], parameters=[], operators=[])
        problems: list[PlannerError] = []
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            words = line.partition("#")[0].split()
            if words and not add_line(draft, words, f"{where}:{number}"):
                text = f"`{line}` is no layer, expected `name op output_bytes parameter_bytes`"
                problems.append(InputError(text, code="PLN104", where=f"{where}:{number}"))
        raise_all(problems)
        last = draft.operators[-1:]
        draft.outputs = [tensor.name for operator in last for tensor in operator.outputs]
        return assemble(draft, digest=hashlib.sha256(content).hexdigest())


def add_line(draft: Draft, words: list[str], where: str) -> bool:
    """Add the input or a layer to `draft`; returns whether `words` are one."""
    numbers = [int(word) for word in words if word.isascii() and word.isdigit()]
    if not draft.inputs:
        if len(words) != 2 or len(numbers) != 1:
            return False
        draft.inputs = [DraftTensor(name=words[0], size_bytes=numbers[0], where=where)]
        return True
    if len(words) != 4 or len(numbers) != 2:
        return False
    (name, op, *_), (output_bytes, parameter_bytes) = words, numbers
    before = draft.operators[-1].outputs[0] if draft.operators else draft.inputs[0]
    operands = [Operand(OperandKind.TENSOR, before.name)]
    if parameter_bytes:
        weight = DraftParameter(name=f"{name}.weight", size_bytes=parameter_bytes, where=where)
        draft.parameters.append(weight)
        operands.append(Operand(OperandKind.PARAMETER, weight.name))
    output = DraftTensor(name=f"{name}.out", size_bytes=output_bytes, where=where)
    draft.operators.append(
        DraftOperator(name=name, op=op, operands=tuple(operands), outputs=(output,), where=where)
    )
    return True


FRONTEND = Chain()
