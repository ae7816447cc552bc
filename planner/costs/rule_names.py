"""What rules and placements call operators: one by its name, or all of a module by its path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property, partial

from planner.costs.cost_file import Costs
from planner.errors import PlanError, PlannerError, name_hint
from planner.graphs.graph import Graph
from planner.graphs.modules import ModuleTree, module_paths, modules_of, resolved

Pins = tuple[tuple[int, int], ...]
Groups = tuple[tuple[int, ...], ...]


def operator_rules(graph: Graph, costs: Costs, problems: list[PlannerError]) -> tuple[Pins, Groups]:
    """Pins as (operator, host), and groups that are kept together, with modules spelt out.

    Names that mean nothing, and pins that contradict each other over a module, are added to
    `problems`.
    """
    names = _Names(graph)
    hosts = [host.name for host in costs.hosts]
    pins: dict[tuple[int, int], int] = {}
    for i, pin in enumerate(costs.pins):
        found = names.operators(pin.node, f"{costs.where}: $.pins[{i}].node", problems)
        for operator in found:
            pins.setdefault((operator, hosts.index(pin.host)), i)
    problems += _contradictions(graph, costs, pins)
    groups: list[tuple[int, ...]] = []
    for i, group in enumerate(costs.together):
        members: dict[int, None] = {}
        for j, name in enumerate(group):
            place = f"{costs.where}: $.together[{i}][{j}]"
            members |= dict.fromkeys(names.operators(name, place, problems))
        groups.append(tuple(members))
    return tuple(pins), tuple(groups)


class _Names:
    """The operators of a graph by what rules may call them; modules are looked for if needed."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    @cached_property
    def modules(self) -> ModuleTree:
        """Modules of the operators that are placed."""
        return modules_of(self.graph)

    @cached_property
    def folded(self) -> ModuleTree:
        """Modules of those that were folded away."""
        return ModuleTree([*self.graph.folded])

    def operators(self, name: str, where: str, problems: list[PlannerError]) -> tuple[int, ...]:
        """The operator of this name; else those of the module, without the folded ones."""
        index = self.graph.operator_index.get(name)
        if index is not None:
            return (index,)
        if name not in self.graph.folded:
            members = self.modules.get(name)
            if members is not None:
                return members
        problems.append(self._unknown(name, where))
        return ()

    def _unknown(self, name: str, where: str) -> PlanError:
        reasons = self.graph.folded
        text, hint = "", "remove the rule, or name the operators that read the result"
        if name in reasons:
            text = f"operator `{name}` is not placed: it was folded away ({reasons[name]})"
        elif members := self.folded.get(name):
            first = self.folded.names[members[0]]
            text = (
                f"module `{name}` is not placed: all of it was folded away, "
                f"such as `{first}` ({reasons[first]})"
            )
        if text:
            return PlanError(text, code="PLN304", where=where, hint=hint)
        return PlanError(
            f"the graph has no operator `{name}`",
            code="PLN303",
            where=where,
            hint=partial(known_names, name, self.graph),
        )


def known_names(name: str, graph: Graph) -> str:
    """A hint for what is neither an operator nor a module."""
    operators = [operator.name for operator in graph.operators]
    modules = module_paths(operators)
    what = "operators and modules" if modules else "operators"
    return name_hint(name, {*operators, *modules}, what)


def _contradictions(
    graph: Graph, costs: Costs, pins: Mapping[tuple[int, int], int]
) -> list[PlannerError]:
    """Pins of one operator to several hosts of which one names its module.

    Where both name the operator, planning finds that, with the chain of reasons.
    """
    first: dict[int, tuple[int, int]] = {}
    told: set[tuple[int, int]] = set()
    found: list[PlannerError] = []
    for (operator, host), position in pins.items():
        other_host, other = first.setdefault(operator, (host, position))
        pair = (other, position)
        name = graph.operators[operator].name
        one, two = costs.pins[other], costs.pins[position]
        if other_host == host or pair in told or one.node == two.node == name:
            continue
        told.add(pair)
        within = "" if name in (one.node, two.node) else ", which is in both"
        text = (
            "no placement satisfies the rules\n"
            f"  because `{one.node}` is pinned to `{one.host}`\n"
            f"  and because `{two.node}` is pinned to `{two.host}`\n"
            f"  no host is left for `{name}`{within}"
        )
        where, hint = f"{costs.where}: $.pins[{position}].node", "drop one of the two pins"
        found.append(PlanError(text, code="PLN401", where=where, exit_code=3, hint=hint))
    return found


def spelt_out(
    graph: Graph, placement: Mapping[str, str], hosts: Sequence[str], problems: list[PlannerError]
) -> dict[str, str]:
    """The host of every operator that a placement names, alone or by a module; and unknown names.

    An unknown host of a module is told once, and its operators are not missing.
    """
    tree = modules_of(graph)
    modules = {name for name in placement if name in tree or name == ""}
    modules.difference_update(graph.operator_index)
    for name in sorted(modules):
        if placement[name] not in hosts:
            problems.append(no_such_host(name, placement[name], hosts))
            placement = {**placement, name: hosts[0]}
    named = {name: host for name, host in placement.items() if isinstance(name, str)}
    found = zip(graph.operators, resolved(tree, named), strict=True)
    result = {operator.name: host for operator, host in found if host is not None}
    for name, host in placement.items():
        if name not in modules and name not in graph.operator_index:
            if name in graph.folded:
                result[name] = host  # told where all of those are
                continue
            hint = partial(known_names, str(name), graph)
            text = f"the graph has no operator or module `{name}`"
            problems.append(PlanError(text, code="PLN402", where="placement", hint=hint))
    return result


def no_such_host(name: str, host: str, hosts: Sequence[str]) -> PlanError:
    """The error of a placement on a host that the costs do not have."""
    text = f"`{name}` is placed on unknown host `{host}`"
    hint = partial(name_hint, str(host), hosts, "hosts")
    return PlanError(text, code="PLN402", where="placement", hint=hint)
