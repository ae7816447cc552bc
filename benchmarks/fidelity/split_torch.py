"""Halves of a training step in torch: forward, gradients over the link, backward, descent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.fidelity.split_link import Array

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, kw_only=True)
class TorchPlan:
    """A half as its host has to load it.

    Attributes:
        bundle: Folder of the model's bundle.
        operators: Names of what is computed here.
        is_device: Whether it comes first, and waits for gradients.
        up: Names of what crosses.
        down: Those of them that a gradient comes back for.
        learning_rate: Of the descent.
    """

    bundle: Path
    operators: frozenset[str]
    is_device: bool
    up: tuple[str, ...]
    down: tuple[str, ...]
    learning_rate: float = 1e-6


class TorchHalf:
    """A half in torch; satisfies `split_run.Half`.

    The server updates its weights before it sends gradients: the delay is that of everything, one
    after another.
    """

    def __init__(self, plan: TorchPlan) -> None:
        import torch  # in the host's process only

        from planner.probe.backward.torch_engine import program_of
        from planner.probe.bundle import Bundle

        torch.set_num_threads(1)
        torch.manual_seed(0)
        self._plan = plan
        self._program = program_of(Bundle(plan.bundle))
        if any(step.name is None for step in self._program.steps):
            raise ValueError("the model computes what the graph does not have")
        outputs = self._program.run()
        self._steps = [step for step in self._program.steps if step.name in plan.operators]
        made = {name for step in self._steps for name in step.outputs}
        self._gradients = {
            name: torch.ones_like(value) / value.numel()
            for name, value in outputs.items()
            if name in made and value.requires_grad
        }
        read = dict.fromkeys(name for step in self._steps for name in step.weights)
        self._parameters = [self._program.values[name] for name in read]
        self._roots: list[torch.Tensor] = []
        self._returned: dict[str, Array] = {}

    def start(self, received: Sequence[Array]) -> Sequence[Array]:
        """The forward pass; on the server, and on a device that is alone, the backward pass too."""
        import torch

        plan = self._plan
        values = dict(self._program.values)
        leaves: list[torch.Tensor] = []
        if not plan.is_device:
            for name, array in zip(plan.up, received, strict=True):
                values[name] = torch.from_numpy(array)
                if name in plan.down:
                    leaves.append(values[name].detach().requires_grad_())
                    values[name] = leaves[-1]
        for step in self._steps:
            values.update(zip(step.outputs, step.run(values), strict=False))
            for name in step.frees:
                if name not in plan.up:  # its last reader may be here, another one is not
                    values.pop(name, None)
        self._returned = {n: _array(values[n]) for n in self._program.outputs if n in values}
        roots = [values[name] for name in self._gradients]
        given = list(self._gradients.values())
        if plan.is_device and plan.down:
            self._roots = [*(values[name] for name in plan.down), *roots]
            return [_array(values[name]) for name in plan.up]
        gradients = self._backward(roots, given, leaves)
        if plan.is_device:
            return [_array(values[name]) for name in plan.up]
        return [_array(gradient) for gradient in gradients]

    def finish(self, received: Sequence[Array]) -> None:
        """The device's backward pass."""
        import torch

        given = [torch.from_numpy(array) for array in received]
        self._backward(self._roots, [*given, *self._gradients.values()], [])
        self._roots = []

    def _backward(
        self,
        roots: Sequence[torch.Tensor],
        given: Sequence[torch.Tensor],
        leaves: Sequence[torch.Tensor],
    ) -> list[torch.Tensor]:
        """Gradients of `leaves`; the weights are updated."""
        import torch

        if not roots:
            return []
        wanted = [*self._parameters, *leaves]
        found = torch.autograd.grad(roots, wanted, given, allow_unused=True)
        size = len(self._parameters)
        with torch.no_grad():
            for parameter, gradient in zip(self._parameters, found[:size], strict=True):
                if gradient is not None:
                    parameter.add_(gradient, alpha=-self._plan.learning_rate)
        return [
            torch.zeros_like(leaf) if gradient is None else gradient
            for leaf, gradient in zip(leaves, found[size:], strict=True)
        ]

    def result(self) -> dict[str, Array]:
        """The outputs that are computed here, and the weights that were updated here."""
        read = dict.fromkeys(name for step in self._steps for name in step.weights)
        weights = {name: _array(self._program.values[name]).copy() for name in read}
        return self._returned | weights


def _array(tensor: torch.Tensor) -> Array:
    found: Array = tensor.detach().contiguous().numpy()
    return found
