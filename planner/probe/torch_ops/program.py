"""A model's operators, ready to be run one after the other by torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Iterable, Mapping, Sequence

import torch

from .operators import TorchNode, UnsupportedByTorch, make_kernel, to_tensor

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

    from .nodes import Kernel

    Array = npt.NDArray[Any]
    Values = dict[str, Any]

_KNOWN_SHAPES = ("Shape", "Size")


class Step:
    """One operator in the order of execution.

    Attributes:
        name: Of the graph's operator; None for what was folded away but depends on data.
        op: Its type.
        kernel: Computes the outputs from the inputs.
        inputs: Names, "" where left out.
        outputs: Names.
        frees: What nobody reads afterwards.
        weights: Trainable ones that it reads, each once.
    """

    def __init__(self, item: Mapping[str, Any], kernel: Kernel, trainable: Iterable[str]) -> None:
        self.name: str | None = item["operator"]
        self.op: str = item["op"]
        self.kernel = kernel
        self.inputs: Sequence[str] = item["inputs"]
        self.outputs: Sequence[str] = item["outputs"]
        self.frees: Sequence[str] = ()
        known = frozenset(trainable)
        self.weights = tuple(name for name in dict.fromkeys(self.inputs) if name in known)

    def run(self, values: Values) -> tuple[Any, ...]:
        """The outputs, in order."""
        found = self.kernel(*[values[name] if name else None for name in self.inputs])
        return found if isinstance(found, tuple) else (found,)


class Program:
    """The whole model: inputs, weights and steps.

    What constants and static shapes determine is computed once, here.

    Attributes:
        steps: In order of execution.
        values: Inputs, weights and constants by name.
        trainable: Names of the weights that training changes.
        outputs: Names of the model's results.

    Raises:
        UnsupportedByTorch: If torch lacks an operator.
    """

    def __init__(
        self,
        nodes: Sequence[Mapping[str, Any]],
        outputs: Sequence[str],
        *,
        inputs: Mapping[str, Array],
        weights: Mapping[str, Tensor],
        trainable: Iterable[str],
        constants: Mapping[str, Array],
        opset: int = 17,
        is_training: bool = True,
        device: str = "cpu",
    ) -> None:
        self.outputs = tuple(outputs)
        self.trainable = frozenset(trainable)
        self.opset = opset
        self.is_training = is_training
        self.device = device
        self._constants = {k: v for k, v in constants.items() if k not in self.trainable}
        self.values: Values = {k: to_tensor(v).to(device) for k, v in constants.items()}
        self.values.update((name, to_tensor(value).to(device)) for name, value in inputs.items())
        self.values.update((name, value.to(device)) for name, value in weights.items())
        for name in self.trainable & self.values.keys():
            self.values[name].requires_grad_()
        self.steps = self._compile(nodes)
        self._plan_frees()

    def _compile(self, nodes: Sequence[Mapping[str, Any]]) -> list[Step]:
        """Run everything once, which tells what is static."""
        steps: list[Step] = []
        values, statics = dict(self.values), self._constants
        last = {name: i for i, item in enumerate(nodes) for name in item["inputs"]}
        for index, item in enumerate(nodes):
            known = {i: statics[name] for i, name in enumerate(item["inputs"]) if name in statics}
            node = TorchNode(
                item, known, opset=self.opset, is_training=self.is_training, device=self.device
            )
            step = Step(item, make_kernel(node), self.trainable)
            found = _run_first(step, values)
            values.update(zip(step.outputs, found))
            given = sum(1 for name in item["inputs"] if name)
            if item["operator"] is None and (len(known) == given or item["op"] in _KNOWN_SHAPES):
                for name, value in zip(step.outputs, found):
                    statics[name] = value.cpu().numpy()
                    self.values[name] = value.to(self.device)
            else:
                steps.append(step)
            for name in {*item["inputs"], *item["outputs"]}:
                if last.get(name, index) <= index and name not in self.values:
                    values.pop(name, None)
        return steps

    def _plan_frees(self) -> None:
        """When each value is read for the last time."""
        kept = {*self.values, *self.outputs, ""}
        for step in reversed(self.steps):
            frees = []
            for name in (*step.inputs, *step.outputs):
                if name not in kept:
                    kept.add(name)
                    frees.append(name)
            step.frees = frees

    def run(self) -> Values:
        """Run the model as it is; with autograd unless that is switched off.

        Returns:
            The model's outputs by name.
        """
        values = dict(self.values)
        for step in self.steps:
            values.update(zip(step.outputs, step.run(values)))
            for name in step.frees:
                del values[name]
        return {name: values[name] for name in self.outputs}


def _run_first(step: Step, values: Values) -> tuple[Any, ...]:
    """Run an operator for the first time.

    Raises:
        UnsupportedByTorch: If torch refuses what it is given.
    """
    try:
        with torch.no_grad():
            return step.run(values)
    except MemoryError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError, KeyError) as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise UnsupportedByTorch(f"{step.op} ({reason[0]})") from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether torch says that there is no memory left: of the host it does so in words only."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "allocate memory" in text
