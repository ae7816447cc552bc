"""What one host runs of a module that was cut."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.utils import _pytree as pytree

if TYPE_CHECKING:
    import torch
    from torch import fx

    from planner.frontends.torch_programs.program import Value


class ModulePart(nn.Module):
    """What one host runs.

    Its weights are not attributes of it but have the names that they have in the whole module,
    whatever these are; the code is a function of the tensors and the weights, kept as text so
    that a part can be copied and saved.

    Attributes:
        takes: Names of the tensors that it is called with, as in the plan.
        gives: Names of the tensors that the next part takes, in order; last the model's outputs
            that are made here or before, for the last part to return.
        results: Names of those of the model's outputs that it makes.
        ties: Names of its trainable parameters that other parts read as well.
    """

    takes: tuple[str, ...]
    gives: tuple[str, ...]
    results: tuple[str, ...]
    ties: tuple[str, ...]

    def __init__(
        self,
        graph: fx.Graph,
        *,
        taken: Sequence[Value],
        weights: Sequence[tuple[str, torch.Tensor, bool]],
        structure: Any,
        names: dict[str, tuple[str, ...]],
        is_training: bool,
    ) -> None:
        """Make a part.

        Args:
            graph: Takes the tensors, then the weights; returns a tuple.
            taken: The tensors.
            weights: Path, tensor and whether it is in the state dict.
            structure: Of the result; None where that is the tuple.
            names: `takes`, `gives`, `results` and `ties`.
            is_training: The mode.
        """
        super().__init__()
        self.__dict__ |= names  # before weights that may have the same names
        code = graph.python_code("self")
        self._source = code.src
        found = code.globals
        self._imports = {k: v.__name__ for k, v in found.items() if isinstance(v, ModuleType)}
        self._globals = {k: v for k, v in found.items() if not isinstance(v, ModuleType)}
        self._run = self._compiled()
        self._shapes = [value.shape for value in taken]
        self._is_structured = structure is not None
        self._structure = _plain(structure) if structure is not None else None
        self._weights = [path for path, _, _ in weights]
        for path, tensor, is_kept in weights:
            self._attach(path, tensor, is_kept=is_kept)
        for child in self.modules():
            child.__dict__["training"] = is_training

    def forward(self, *tensors: torch.Tensor) -> Any:
        """Run the part.

        Raises:
            TypeError: If there are not as many tensors as it takes.
            ValueError: If one has another shape than in the plan: sizes are written in the code.
        """
        if len(tensors) != len(self._shapes):
            names = ", ".join(f"`{name}`" for name in self.__dict__["takes"])
            raise TypeError(
                f"this part takes {len(self._shapes)} tensors ({names}), not {len(tensors)}"
            )
        for name, tensor, shape in zip(self.__dict__["takes"], tensors, self._shapes, strict=True):
            if tuple(tensor.shape) != shape:
                raise ValueError(
                    f"`{name}` has shape {list(tensor.shape)}, expected {list(shape)}: "
                    "split the module with inputs of this size"
                )
        outputs = self._run(self, *tensors, *map(self._weight, self._weights))
        return self._structured(outputs) if self._is_structured else outputs

    def train(self, mode: bool = True) -> ModulePart:
        """The mode is that in which the model was exported, and cannot be changed.

        Raises:
            RuntimeError: If `mode` is the other one.
        """
        if mode != self.training:
            now = "training" if self.training else "evaluation"
            raise RuntimeError(f"this part is in {now} mode: split the module in the other mode")
        return self

    def _structured(self, outputs: Sequence[Any]) -> Any:
        return pytree.tree_unflatten(list(outputs), _structure(self._structure))

    def _attach(self, path: str, tensor: torch.Tensor, *, is_kept: bool) -> None:
        """Make a tensor itself the weight at `path`, which may be any name at all."""
        *parents, leaf = path.split(".")
        module: Any = self
        for parent in parents:
            module = module._modules.setdefault(parent, nn.Module())
        if isinstance(tensor, nn.Parameter):
            module._parameters[leaf] = tensor
            return
        module._buffers[leaf] = tensor
        if not is_kept:
            module._non_persistent_buffers_set.add(leaf)

    def _weight(self, path: str) -> Any:
        *parents, leaf = path.split(".")
        module: Any = self
        for parent in parents:
            module = module._modules[parent]
        kind = module._parameters if leaf in module._parameters else module._buffers
        tensor: torch.Tensor = kind[leaf]
        return tensor

    def _compiled(self) -> Callable[..., Any]:
        names = {alias: importlib.import_module(name) for alias, name in self._imports.items()}
        namespace: dict[str, Any] = {**self._globals, **names}
        exec(compile(self._source, "<part of a module>", "exec"), namespace)
        run: Callable[..., Any] = namespace["forward"]
        return run

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_run"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        self._run = self._compiled()


def _plain(spec: Any) -> Any:
    """A structure of torch's as type, context and children; None where a tensor is."""
    if spec.is_leaf():
        return None
    return (spec.type, spec.context, [_plain(child) for child in spec.children()])


def _structure(plain: Any) -> Any:
    """The other way round: torch's own cannot be copied without a warning."""
    if plain is None:
        return pytree.tree_structure(0)
    kind, context, children = plain
    return pytree.TreeSpec(kind, context, [_structure(child) for child in children])
