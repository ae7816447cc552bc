"""Training steps in torch, timed as a whole and operator by operator.

A step is a forward pass in training mode, a backward pass from a random gradient of the outputs,
and plain gradient descent, which counts as backward. Operator by operator, each has a little
autograd graph of its own: gradients of a tensor with several readers are added up in the time of
the operator that contributes, and weights are updated in that of the first operator that reads
them, whose backward pass is the last.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from ..torch_ops.program import Program, Values

LEARNING_RATE = 1e-6
_CHAIN = 64
_N_CALIBRATION = 30


class Clock:
    """Seconds on a device; waits for it before reading the time."""

    def __init__(self, device: str) -> None:
        self._is_cuda = device.startswith("cuda")

    def now(self) -> float:
        """Seconds since some moment, after everything that was started."""
        if self._is_cuda:
            torch.cuda.synchronize()
        return time.perf_counter()


class Record:
    """What the backward pass of the operator at `index` needs: what it read, and its results."""

    __slots__ = ("index", "inputs", "outputs")

    def __init__(self, index: int, inputs: dict[str, Tensor], outputs: dict[str, Tensor]) -> None:
        self.index = index
        self.inputs = inputs
        self.outputs = outputs


class TrainingStep:
    """Runs steps of a program.

    Attributes:
        program: The model.
        gradients: Of the outputs, by name; where the backward pass starts.
    """

    def __init__(self, program: Program, seed: int = 0) -> None:
        self.program = program
        torch.manual_seed(seed)
        self._clock = Clock(program.device)
        outputs = program.run()
        self.gradients: dict[str, Tensor] = {
            name: torch.randn_like(value) for name, value in outputs.items() if value.requires_grad
        }
        self._first_reader: dict[str, int] = {}
        for index in reversed(range(len(program.steps))):
            self._first_reader.update((name, index) for name in program.steps[index].weights)
        self._parameters = [program.values[name] for name in self._first_reader]
        self._overhead_s = _grad_overhead_s(self._clock, program.device)

    def whole(self) -> tuple[float, float]:
        """Seconds of the forward pass and of the rest, in one autograd graph."""
        clock = self._clock
        start = clock.now()
        outputs = self.program.run()
        middle = clock.now()
        if not self.gradients or not self._parameters:
            return middle - start, 0.0
        found = torch.autograd.grad(
            [outputs[name] for name in self.gradients],
            self._parameters,
            list(self.gradients.values()),
            allow_unused=True,
        )
        with torch.no_grad():
            for parameter, gradient in zip(self._parameters, found):
                if gradient is not None:
                    parameter.add_(gradient, alpha=-LEARNING_RATE)
        return middle - start, clock.now() - middle

    def by_operator(self) -> tuple[dict[str, float], dict[str, float]]:
        """Seconds forward and backward by operator; backward only of what has one."""
        forward: dict[str, float] = {}
        records = self._forward(forward)
        backward: dict[str, float] = {}
        self._backward(records, backward)
        return forward, backward

    def _forward(self, seconds: dict[str, float]) -> list[Record]:
        values: Values = dict(self.program.values)
        records: list[Record] = []
        now = self._clock.now
        for index, step in enumerate(self.program.steps):
            arguments = [values[name] if name else None for name in step.inputs]
            start = now()
            found = step.kernel(*arguments)
            spent = now() - start
            outputs = {}
            for name, value in zip(step.outputs, found if isinstance(found, tuple) else (found,)):
                if value.requires_grad:
                    outputs[name] = value
                    value = value.detach().requires_grad_()
                values[name] = value
            if outputs:
                inputs = {
                    name: value
                    for name, value in zip(step.inputs, arguments)
                    if value is not None and value.requires_grad
                }
                records.append(Record(index, inputs, outputs))
            if step.name is not None:
                seconds[step.name] = spent
            for name in step.frees:
                del values[name]
        return records

    def _backward(self, records: list[Record], seconds: dict[str, float]) -> None:
        gradients = dict(self.gradients)
        weights: dict[str, Tensor] = {}
        now = self._clock.now
        while records:
            record = records.pop()
            step = self.program.steps[record.index]
            roots = [name for name in record.outputs if name in gradients]
            if not roots:
                continue
            starts = [record.outputs[name] for name in roots]
            given = [gradients.pop(name) for name in roots]
            start = now()
            found = torch.autograd.grad(
                starts, list(record.inputs.values()), given, allow_unused=True
            )
            for name, gradient in zip(record.inputs, found):
                if gradient is not None:
                    total = weights if name in self._first_reader else gradients
                    total[name] = total[name] + gradient if name in total else gradient
            spent = now() - start
            if step.name is not None:
                seconds[step.name] = max(spent - self._overhead_s, 0.0)
        self._descend(weights, seconds)

    def _descend(self, gradients: dict[str, Tensor], seconds: dict[str, float]) -> None:
        """Update the weights, in the time of the operator that reads each first.

        All gradients are kept up to here, as in any step: a weight that is updated at once is
        still in the cache.
        """
        now = self._clock.now
        with torch.no_grad():
            for name, gradient in gradients.items():
                start = now()
                self.program.values[name].add_(gradient, alpha=-LEARNING_RATE)
                spent = now() - start
                reader = self.program.steps[self._first_reader[name]].name
                if reader is not None:
                    seconds[reader] = seconds.get(reader, 0.0) + spent


def _grad_overhead_s(clock: Clock, device: str) -> float:
    """What starting a backward pass costs beyond an operator in the middle of one."""
    one: list[float] = []
    many: list[float] = []
    seed = torch.ones(1, device=device)
    for _ in range(_N_CALIBRATION):
        for length, samples in ((1, one), (_CHAIN, many)):
            leaf = torch.ones(1, device=device, requires_grad=True)
            value = leaf
            for _ in range(length):
                value = torch.tanh(value)
            start = clock.now()
            torch.autograd.grad([value], [leaf], [seed], allow_unused=True)
            samples.append(clock.now() - start)
    overhead_s = min(one) - min(many) / _CHAIN
    return max(overhead_s, 0.0)
