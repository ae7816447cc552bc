"""From the calls of a program to operators by value: views, in-place writes, what is left out.

Each call becomes at most one `Step`; a write to a part of a tensor becomes two, and reading a part
of what was written to since becomes one more. Second copies of the same step are left out here, so
that whoever runs the steps finds what the graph has.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from planner.frontends.torch_programs.aliasing import Aliases, Look, memory, shown_bits
from planner.frontends.torch_programs.aten_table import FULL_VIEWS, PART_VIEWS, is_in_place
from planner.frontends.torch_programs.forms import all_refs, operand_refs
from planner.frontends.torch_programs.kinds import (
    SAME,
    is_overwriting,
    is_random,
    is_training_mode,
    op_of_call,
    reads_first_only,
    reads_shapes_only,
    updates_statistics,
    written_argument,
)
from planner.frontends.torch_programs.program import (
    Argument,
    Call,
    Program,
    Ref,
    Value,
    Weight,
)
from planner.graphs.dtypes import is_floating

_SILENT = ("aten.", "higher_order.", "_operator.", "builtins.", "math.", "torch.")
"""Beginnings of the names of what only checks or computes numbers where it returns no tensor."""


@dataclass(slots=True, kw_only=True)
class Step:
    """One operator.

    Attributes:
        call: What it was; its name is unique among the steps.
        op: Type in the graph.
        reads: Values by name, resolved to what stands for them; None where left out.
        shown_as: The values as the program names them, whose shapes the operator sees.
        outputs: What it writes and somebody reads, at least one value.
        is_random: Two runs give different results.
        depends: Whether data of the user flows into it.
        writes: The weight that it writes to, if it does.
        is_cut_off: Nothing sends a gradient through it.
        is_recast: It reads a view of what was written to since: what stands for that may have
            another layout.
    """

    call: Call
    op: str
    reads: list[str | None]
    shown_as: list[str | None]
    outputs: list[Value]
    is_random: bool = False
    depends: bool = False
    writes: str | None = None
    is_cut_off: bool = False
    is_recast: bool = False

    @property
    def is_view(self) -> bool:
        """Whether no kernel runs."""
        return self.op in FULL_VIEWS or self.op in PART_VIEWS or self.op == "aten.overwrite"


@dataclass(slots=True, kw_only=True)
class Steps:
    """What a program does.

    Attributes:
        steps: In order.
        values: Every value by name.
        outputs: What stands for each of the values that the program returns, by position.
        folded: Calls that are no operator: name and reason.
        unseen: Operators that return nothing, so that what they write to is not known.
        ties: The first weight of those that are one, by the name of each weight's value.
        has_training: Some normalisation or dropout runs as in training.
        has_inference: Some runs as in inference.
    """

    steps: list[Step] = field(default_factory=list)
    values: dict[str, Value] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    folded: dict[str, str] = field(default_factory=dict)
    unseen: list[str] = field(default_factory=list)
    ties: dict[str, Weight] = field(default_factory=dict)
    has_training: bool = False
    has_inference: bool = False


class StepReader:
    """Walks over the calls of one program; `result` is what it found."""

    def __init__(self, program: Program) -> None:
        self.result = Steps()
        self._aliases = Aliases()
        self._same: dict[str, str] = {}
        self._twins: dict[tuple[object, ...], Step] = {}
        self._depends = {value.name for value in program.inputs}
        self._trained: set[str] = set()
        self._recast: set[str] = set()
        self._read = {ref.name for call in program.calls for ref in all_refs(call)}
        self._read.update(program.outputs)
        for value in program.inputs:
            self._define(value)
        self._define_weights(program)
        for call in program.calls:
            self._add(call)
        for position, name in enumerate(program.outputs):
            self.result.outputs.append(self._resolve(name, f"output{position}", "")[0])

    def _define(self, value: Value) -> None:
        self.result.values[value.name] = value
        self._aliases.add(value.name)

    def _define_weights(self, program: Program) -> None:
        first: dict[tuple[object, ...], Weight] = {}
        for weight in program.weights:
            value = weight.value
            one = first.setdefault(memory(weight), weight)
            self.result.ties[value.name] = one
            if weight.requires_grad:
                self._trained |= {value.name, one.value.name}
            if one is weight:
                self._define(value)
                continue
            self.result.values[value.name] = value
            self._aliases.add_view(value.name, one.value.name, is_whole=True)
            if (value.shape, value.strides) == (one.value.shape, one.value.strides):
                self._same[value.name] = one.value.name

    def _resolve(self, name: str, reader: str, path: str) -> tuple[str, bool]:
        """The value to read for `name`, and whether it may have another layout."""
        found, look = self._aliases.read(name)
        if look is Look.PART:
            found = self._cut(name, found, reader, path)
        return self._same_as(found), look is not Look.SAME or found in self._recast

    def _cut(self, part: str, whole: str, reader: str, path: str) -> str:
        """A step that cuts out what `part` shows of `whole`, now that this was written to."""
        value = self._made(f"{part}@{reader}", self.result.values[part])
        if value.name not in self.result.values:
            source = self._same_as(whole)
            call = Call(name=value.name, target="aten.slice.Tensor", arguments={},
                        outputs=(value,), path=path)  # fmt: skip
            step = Step(call=call, op="aten.slice", reads=[source], shown_as=[whole],
                        outputs=[value], is_recast=True)  # fmt: skip
            self._append(step)
            self._aliases.add_view(value.name, whole, is_whole=False)
        return value.name

    def _made(self, name: str, like: Value) -> Value:
        return Value(name=name, dtype=like.dtype, shape=like.shape, strides=like.strides)

    def _add(self, call: Call) -> None:
        outputs = [value for value in call.outputs if value is not None]
        if not outputs:
            if is_in_place(call.operator) or not call.target.startswith(_SILENT):
                self.result.unseen.append(call.target)
            return
        op = op_of_call(call, self.result.values)
        if op in ("Dropout", "BatchNormalization") or call.operator.endswith("dropout"):
            self._note_mode(call)
        if op == SAME:
            self._hand_on(call, outputs[0])
            return
        target = written_argument(call)
        refs = operand_refs(call, op, skip=target if is_overwriting(call) else None)
        if reads_shapes_only(call):
            refs = []
        elif reads_first_only(call):
            refs = refs[:1]
        step = self._step(call, op, refs)
        for value in outputs:
            self.result.values[value.name] = value
        if target is not None:
            self._write(step, call.arguments[target], outputs[0])
            return
        for value in outputs:
            self._define_result(step, refs, value)
        is_alone = step.is_random or step.is_recast or updates_statistics(call, op)
        twin = None if is_alone else self._twins.setdefault(_key(step), step)
        if twin is None or twin is step:
            self._append(step)
            return
        self.result.folded[call.name] = f"duplicate: same as `{twin.call.name}`"
        for mine, theirs in zip(call.outputs, twin.call.outputs, strict=True):
            if mine is not None and theirs is not None:
                self._same[mine.name] = theirs.name
                if theirs not in twin.outputs and mine.name in self._read:
                    twin.outputs.append(theirs)

    def _note_mode(self, call: Call) -> None:
        if is_training_mode(call):
            self.result.has_training = True
        else:
            self.result.has_inference = True

    def _step(self, call: Call, op: str, refs: list[Ref | None]) -> Step:
        reads: list[str | None] = []
        is_recast = False
        for ref in refs:
            found, is_other = (
                self._resolve(ref.name, call.name, call.path) if ref is not None else (None, False)
            )
            reads.append(found)
            is_recast = is_recast or is_other
        outputs = [value for value in call.outputs if value is not None]
        return Step(
            call=call,
            op=op,
            reads=reads,
            shown_as=[ref.name if ref is not None else None for ref in refs],
            outputs=[v for i, v in enumerate(outputs) if i == 0 or v.name in self._read],
            is_random=is_random(call, op),
            is_cut_off=not call.has_grad or op == "aten.detach",
            is_recast=is_recast,
        )

    def _append(self, step: Step) -> None:
        step.depends = any(name in self._depends for name in step.reads)
        if step.depends:
            self._depends.update(value.name for value in step.outputs)
        if not step.is_cut_off and any(name in self._trained for name in step.reads):
            self._trained.update(v.name for v in step.outputs if is_floating(v.dtype))
        for value in step.outputs:
            self.result.values[value.name] = value
        self.result.steps.append(step)

    def _define_result(self, step: Step, refs: list[Ref | None], value: Value) -> None:
        of = refs[0] if refs else None
        if of is None or not step.is_view:
            self._aliases.add(value.name)
            return
        is_whole = shown_bits(self.result.values[of.name]) == shown_bits(value)
        self._aliases.add_view(value.name, of.name, is_whole=is_whole)

    def _write(self, step: Step, target: Argument, result: Value) -> None:
        """Append a step that writes to `target`, and what that changes in other views of it.

        A tensor that had a gradient keeps it when it is written to without: inside
        `torch.no_grad()`, or through a view that is detached.
        """
        if not isinstance(target, Ref):
            self._append(step)
            return
        is_trained = self._same_as(self._aliases.read(target.name).name) in self._trained
        before = self._same_as(self._aliases.whole(target.name))
        step.is_cut_off = step.is_cut_off and not is_trained
        self._append(step)
        if target.name in self.result.ties:
            step.writes = target.name
        is_whole = self._aliases.write(target.name, result.name)
        if is_whole and (is_trained or before not in self._trained):
            return
        whole = self._made(f"{result.name}.whole", self.result.values[before])
        call = Call(name=whole.name, target="aten.overwrite.default", arguments={},
                    outputs=(whole,), path=step.call.path, has_grad=step.call.has_grad)  # fmt: skip
        self._append(
            Step(
                call=call,
                op="aten.overwrite",
                reads=[before, result.name],
                shown_as=[before, result.name],
                outputs=[whole],
                is_cut_off=not step.call.has_grad and before not in self._trained,
                is_recast=True,
            )
        )
        self._aliases.replace_whole(result.name, whole.name)

    def _same_as(self, name: str) -> str:
        return self._same.get(name, name)

    def _hand_on(self, call: Call, result: Value) -> None:
        """What the call returns is what it was given."""
        self.result.values[result.name] = result
        source = next((ref.name for ref in all_refs(call)), None)
        if source is None:
            self._define(result)
            return
        found, is_recast = self._resolve(source, call.name, call.path)
        if is_recast:
            self._recast.add(result.name)
        self._aliases.add_view(result.name, source, is_whole=True)
        self._same[result.name] = found
        self.result.folded[call.name] = f"no operation: `{call.operator}` hands its operand on"


def _key(step: Step) -> tuple[object, ...]:
    """What two steps have in common that compute the same."""
    told = tuple((name, _told(value)) for name, value in sorted(step.call.arguments.items()))
    return (step.call.target, told, tuple(step.reads), step.call.has_grad)


def _told(argument: Argument) -> object:
    """An argument without the names of tensors; 1, 1.0 and True are not the same."""
    if isinstance(argument, Ref):
        return Ref
    if isinstance(argument, tuple):
        return tuple(_told(item) for item in argument)
    return (type(argument), argument)
