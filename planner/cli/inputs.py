"""Reading what a command is given."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from planner.cli.options import ScenarioOptions, take

if TYPE_CHECKING:
    from planner.costs.cost_file import Costs
    from planner.drafts.frontend import LoadOptions
    from planner.graphs.graph import Graph


def load_both(model: str, values: dict[str, Any]) -> tuple[Graph, Costs]:
    """The model and what it is planned for, as the command line says."""
    from planner.cli.overrides import check_groups, load_costs

    scenario = take(ScenarioOptions, values)
    costs = load_costs(scenario, model)
    graph = load_graph(model, values, costs)
    check_groups(scenario.together, graph)
    if values["batch"] is not None and costs.workload.batch_size is not None:
        workload = costs.workload.model_copy(update={"batch_size": values["batch"]})
        costs = costs.model_copy(update={"workload": workload})
    return graph, costs


def load_options(values: dict[str, Any]) -> LoadOptions:
    """What the command line says about reading the model, as frontends take it.

    Raises:
        InputError: If a dimension is no `NAME=N`.
    """
    from planner.drafts.frontend import LoadOptions

    given = {
        field.name: values[field.name] for field in fields(LoadOptions) if field.name in values
    }
    dims, torchscript = _dims(values["dims"]), not values["no_torchscript"]
    return LoadOptions(**{**given, "dims": dims, "torchscript": torchscript})


def load_graph(path: str, values: dict[str, Any], costs: Costs | None = None) -> Graph:
    """Read a model as the command line says, and where that says nothing, as the costs file does.

    What only the file says need not be honoured: a graph of unknown batch, such as a spec that
    gives bytes alone, is taken to be at that of the file, and a model that states the types of its
    inputs by itself must only agree with it.
    """
    from planner.cli.input_specs import check_agreement, specs_of_file
    from planner.cli.places import named_as_flags
    from planner.drafts.loading import load_file
    from planner.errors import PlannerError

    def read(batch: int | None, specs: tuple[str, ...]) -> Graph:
        inputs = (*options.inputs, *specs)
        try:
            return load_file(Path(path), replace(options, batch=batch, inputs=inputs))
        except PlannerError as error:
            codes = {problem.code for problem in error.problems}
            if specs and not options.inputs and "PLN116" in codes:
                graph = read(batch, ())
                assert costs is not None
                check_agreement(graph, costs)
                return graph
            if batch is None or batch == options.batch or codes != {"PLN209"}:
                raise
        return read(None, specs)

    with named_as_flags():
        specs = specs_of_file(costs, values["inputs"]) if costs is not None else ()
        options = load_options(values)
        wanted = costs.workload.batch_size if costs is not None else None
        return read(wanted if options.batch is None else options.batch, specs)


def _dims(pairs: tuple[str, ...]) -> dict[str, int]:
    from planner.errors import InputError, PlannerError, raise_all, shorten

    result: dict[str, int] = {}
    problems: list[PlannerError] = []
    for pair in pairs:
        name, _, number = pair.rpartition("=")
        is_number = number.isascii() and number.isdigit() and len(number) <= 10
        if not name or not is_number or not 1 <= int(number) <= 2**31:
            text = f"`{shorten(pair)}` is no dimension, expected `NAME=N` with N from 1 to 2^31"
            hint = "for example `--dim seq=128`"
            problems.append(InputError(text, code="PLN119", where="--dim", hint=hint))
        elif result.get(name, int(number)) != int(number):
            text = f"`{name}` is given twice, as {result[name]} and as {number}"
            problems.append(InputError(text, code="PLN119", where="--dim"))
        else:
            result[name] = int(number)
    raise_all(problems)
    return result
