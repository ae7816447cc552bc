"""Types and shapes of model inputs that a costs file gives."""

from __future__ import annotations

from collections.abc import Sequence

from planner.costs.cost_file import Costs
from planner.drafts.frontend import parse_input_spec
from planner.errors import InputError, PlannerError, raise_all
from planner.graphs.graph import Graph


def specs_of_file(costs: Costs, flags: Sequence[str]) -> tuple[str, ...]:
    """What the file says about inputs that `--input` does not name; nothing if one has no name.

    Raises:
        InputError: If a flag is no specification.
    """
    named = {parse_input_spec(flag).name for flag in flags}
    if None in named:
        return ()
    found = ((entry.name, entry.spec) for entry in costs.inputs)
    return tuple(spec for name, spec in found if spec is not None and name not in named)


def check_agreement(graph: Graph, costs: Costs) -> None:
    """Hold what the file says against a model that states the types of its inputs by itself.

    Raises:
        InputError: PLN115 for every input that has another type or shape.
    """
    problems: list[PlannerError] = []
    tensors = {graph.tensors[index].name: graph.tensors[index] for index in graph.inputs}
    for position, entry in enumerate(costs.inputs):
        tensor = tensors.get(entry.name)
        if entry.spec is None or tensor is None:
            continue
        is_other_type = tensor.dtype not in (None, entry.dtype)
        if is_other_type or tensor.shape not in (None, entry.shape):
            shape = "bytes alone" if tensor.shape is None else [*tensor.shape]
            text = f"`{entry.spec}` contradicts the model: it has {tensor.dtype} {shape}"
            where = f"{costs.where}: $.inputs[{position}]"
            problems.append(InputError(text, code="PLN115", where=where))
    raise_all(problems)
