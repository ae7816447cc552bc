"""From a torch program to the planner's graph: the end that all torch frontends share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from planner.drafts.assembly import assemble
from planner.drafts.batches import at_batch
from planner.drafts.draft import (
    Draft,
    DraftOperator,
    DraftParameter,
    DraftTensor,
    Operand,
    OperandKind,
)
from planner.drafts.frontend import LoadOptions
from planner.errors import GraphError, listed
from planner.files.globs import matching
from planner.frontends.torch_programs.forms import attributes, no_weights
from planner.frontends.torch_programs.names import operator_names
from planner.frontends.torch_programs.program import Program, Value, Weight, WeightKind
from planner.frontends.torch_programs.steps import Step, StepReader, Steps
from planner.graphs.dtypes import BITS, is_floating, size_in_bytes
from planner.graphs.graph import Graph

_MAX_LISTED = 5


def torch_graph(program: Program, *, options: LoadOptions, digest: str, where: str) -> Graph:
    """The graph of a program, planned at `options.batch`.

    Operators are named by module path (`planner.frontends.torch_programs.names`), and so are their
    results.

    Args:
        program: What a torch frontend read, at the batch of its inputs.
        options: `frozen` and `batch` are used.
        digest: Of the bytes and options that the program comes from.
        where: What messages call the program.

    Raises:
        PlannerError: If a tensor's type has no size here, or nothing is left to place.
    """
    draft = DraftMaker(program, where=where).draft
    trained = {p.name: p for p in draft.parameters}
    for name in matching(options.frozen, trained, "frozen"):
        trained[name].trainable = False
    graph = assemble(draft, digest=digest)
    return at_batch(graph, options.batch, where=where)


def step_names(program: Program, steps: Steps) -> dict[str, str]:
    """The operator that each step of a program becomes, by the name of its call."""
    taken = {value.name for value in program.inputs}
    per_path = Counter(step.call.path for step in steps.steps)
    computing = [s for s in steps.steps if not s.is_view or per_path[s.call.path] == 1]
    fed = {step.call.path for step in computing if step.depends}
    main = {s.call.name for s in computing if s.depends or s.call.path not in fed}
    return operator_names([step.call for step in steps.steps], main=main, taken=taken)


def result_names(program: Program, steps: Steps, names: Mapping[str, str]) -> dict[str, str]:
    """The tensor of the graph that each value is, by its name; weights are none."""
    tensors = {value.name: value.name for value in program.inputs}
    for step in steps.steps:
        name = names[step.call.name]
        for position, value in enumerate(step.outputs):
            tensors[value.name] = name if len(step.outputs) == 1 else f"{name}:{position}"
    return tensors


class DraftMaker:
    """Makes the draft of one program."""

    def __init__(self, program: Program, *, where: str) -> None:
        self._steps = StepReader(program).result
        self._names = step_names(program, self._steps)
        self._tensors = result_names(program, self._steps, self._names)
        self._operands: dict[str, Operand] = {}
        _check_types(program, self._steps.values, where)
        self.draft = Draft(
            name=program.name,
            inputs=[self._tensor(value) for value in program.inputs],
            outputs=[],
            parameters=[],
            operators=[],
            where=where,
            notes=list(program.notes),
            warnings=list(program.warnings),
            is_inference_export=self._steps.has_inference and not self._steps.has_training,
        )
        for target in dict.fromkeys(self._steps.unseen):
            text = f"`{target}` returns nothing: if it writes to tensors, the graph lacks that"
            self.draft.warnings.append(text)
        self._add_weights(program.weights)
        for step in self._steps.steps:
            self._add(step)
        self._fold_names()
        self._add_outputs()

    def _tensor(self, value: Value, *, is_cut_off: bool = False) -> DraftTensor:
        name = self._tensors[value.name]
        self._operands[value.name] = Operand(OperandKind.TENSOR, name, value.shape)
        return DraftTensor(
            name=name,
            size_bytes=size_in_bytes(value.dtype, value.shape),
            dtype=value.dtype,
            shape=value.shape,
            requires_grad=False if is_cut_off else None,
        )

    def _add_weights(self, weights: list[Weight]) -> None:
        """Parameters, each once however often it is tied; what is no weight is a constant."""
        made: dict[str, DraftParameter] = {}
        taken: set[str] = set()
        for weight in weights:
            value, one = weight.value, self._steps.ties[weight.value.name]
            if _is_constant(one):
                operand = Operand(OperandKind.CONSTANT, one.value.name, value.shape)
                self._operands[value.name] = operand
                continue
            parameter = made.get(one.value.name)
            if parameter is None:
                name = one.path if one.path not in taken else f"{one.path}#{one.value.name}"
                taken.add(name)
                parameter = made[one.value.name] = DraftParameter(
                    name=name,
                    size_bytes=size_in_bytes(value.dtype, value.shape),
                    trainable=False,
                    dtype=value.dtype,
                    shape=value.shape,
                )
                self.draft.parameters.append(parameter)
            is_trained = weight.kind is WeightKind.PARAMETER and weight.requires_grad
            parameter.trainable = parameter.trainable or (is_trained and is_floating(value.dtype))
            self._operands[value.name] = Operand(OperandKind.PARAMETER, parameter.name, value.shape)

    def _add(self, step: Step) -> None:
        call, name = step.call, self._names[step.call.name]
        operands = []
        hidden = no_weights(call)
        for read, seen in zip(step.reads, step.shown_as, strict=True):
            if read is None or seen is None:
                operands.append(Operand(OperandKind.ABSENT, ""))
                continue
            shape = self._steps.values[seen].shape if seen not in hidden else None
            operands.append(self._operands[read]._replace(shape=shape))
        outputs = [self._tensor(value, is_cut_off=step.is_cut_off) for value in step.outputs]
        told = attributes(call, step.op, [operand.shape for operand in operands])
        if step.op == "Gemm" and call.operator == "linear":
            told["transB"] = 1
        self.draft.operators.append(
            DraftOperator(
                name=name,
                op=step.op,
                operands=tuple(operands),
                outputs=tuple(outputs),
                attributes=told,
                is_random=step.is_random,
                where=call.where,
            )
        )

    def _fold_names(self) -> None:
        """What hands its operand on is listed by a name that no operator has."""
        taken = {operator.name for operator in self.draft.operators}
        for name, reason in self._steps.folded.items():
            self.draft.folded[name if name not in taken else f"{name}#folded"] = reason

    def _add_outputs(self) -> None:
        for name in dict.fromkeys(self._steps.outputs):
            operand = self._operands[name]
            if operand.kind is OperandKind.CONSTANT:
                self.draft.notes.append(f"output `{name}` is a constant: every host has it")
            elif operand.kind is OperandKind.PARAMETER:
                value = self._steps.values[name]
                operator = self._tensors[name] = f"{operand.name}#output"
                tensor = self._tensor(value)
                self.draft.operators.append(
                    DraftOperator(
                        name=operator, op="Identity", operands=(operand,), outputs=(tensor,)
                    )
                )
                self.draft.outputs.append(operator)
            elif operand.name not in self.draft.outputs:
                self.draft.outputs.append(operand.name)


def _is_constant(weight: Weight) -> bool:
    """Whether every host simply has it: indices, masks, what the exporter lifted from the code."""
    is_buffer = weight.kind is WeightKind.BUFFER
    return weight.kind is WeightKind.CONSTANT or (is_buffer and not is_floating(weight.value.dtype))


def _check_types(program: Program, values: Mapping[str, Value], where: str) -> None:
    """Complain about element types that have no size here.

    Raises:
        GraphError: PLN210.
    """
    odd = [value for value in values.values() if value.dtype not in BITS]
    if odd:
        shown = listed([f"`{value.name}` ({value.dtype})" for value in odd], _MAX_LISTED)
        raise GraphError(
            f"only dense tensors of known types can cross a link: {shown}",
            code="PLN210",
            where=where,
        )
