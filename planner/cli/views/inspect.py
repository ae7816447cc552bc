"""A graph as people and programs read it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from planner.cli.views.blocks import describe_blocks, show_blocks
from planner.cli.views.modules import describe_modules, modules_table
from planner.cli.views.tables import Table, show
from planner.graphs.blocks import structure_of
from planner.graphs.graph import Graph, SummaryValue
from planner.graphs.operators import Operator
from planner.units import format_bytes, format_count

MAX_ROWS = 12


@dataclass(slots=True)
class _OpKind:
    """What all operators of one type add up to."""

    count: int = 0
    flops: float = 0.0
    activation_bytes: int = 0
    parameter_bytes: int = 0

    def add(self, graph: Graph, operator: Operator, flops: float) -> None:
        """Count one more operator; a tied parameter counts for each of its readers."""
        self.count += 1
        self.flops += flops
        self.activation_bytes += sum(graph.tensors[t].size_bytes for t in operator.outputs)
        self.parameter_bytes += sum(graph.parameters[p].size_bytes for p in operator.parameters)


def by_type(graph: Graph) -> dict[str, _OpKind]:
    """Totals of each operator type, the most expensive first."""
    kinds: dict[str, _OpKind] = {}
    for operator, flops in zip(graph.operators, graph.forward_flops.tolist(), strict=True):
        kinds.setdefault(operator.op, _OpKind()).add(graph, operator, flops)
    return dict(sorted(kinds.items(), key=lambda item: (-item[1].flops, -item[1].count, item[0])))


def describe(graph: Graph, *, show_all: bool) -> dict[str, object]:
    """Everything `planner inspect` shows, as JSON values."""
    document: dict[str, object] = dict(graph.summary())
    document["forward_flops"] = sum(kind.flops for kind in by_type(graph).values())
    document["is_inference_export"] = graph.is_inference_export
    document["op_types"] = [
        {
            "op": op,
            "count": kind.count,
            "forward_flops": kind.flops,
            "activation_bytes": kind.activation_bytes,
            "parameter_bytes": kind.parameter_bytes,
        }
        for op, kind in by_type(graph).items()
    ]
    document["tied_parameters"] = [
        {"name": p.name, "readers": [graph.operators[r].name for r in p.readers]}
        for p in graph.parameters
        if p.trainable and len(p.readers) > 1
    ]
    document |= describe_modules(graph)
    document |= describe_blocks(graph, structure_of(graph))
    document["warnings"] = list(graph.warnings)
    document["notes"] = list(graph.notes)
    if show_all:
        document["nodes"] = [
            _node(graph, operator, flops)
            for operator, flops in zip(graph.operators, graph.forward_flops.tolist(), strict=True)
        ]
    return document


def _node(graph: Graph, operator: Operator, flops: float) -> dict[str, object]:
    return {
        "name": operator.name,
        "op": operator.op,
        "inputs": [graph.tensors[t].name for t in operator.inputs],
        "parameters": [graph.parameters[p].name for p in operator.parameters],
        "outputs": [
            {"name": graph.tensors[t].name, "bytes": graph.tensors[t].size_bytes}
            for t in operator.outputs
        ],
        "forward_flops": flops,
    }


def show_graph(graph: Graph, *, show_all: bool) -> None:
    """Print what was imported to stdout."""
    summary, structure = graph.summary(), structure_of(graph)
    flops = sum(kind.flops for kind in by_type(graph).values())
    macs = format_count(sum(map(graph.macs, graph.operators)))
    trainable = sum(p.elements for p in graph.parameters if p.trainable)
    total = sum(p.elements for p in graph.parameters)
    overview = Table(("", ""), n_names=2)
    rows = [
        ("batch", str(graph.batch) if graph.batch is not None else "unknown"),
        ("operators", f"{len(graph.operators):,} ({_folded(graph, summary)})"),
        ("tensors", f"{len(graph.tensors):,}"),
        ("parameters", f"{total:,}, of which {trainable:,} are trained"),
        ("parameter size", format_bytes(sum(p.size_bytes for p in graph.parameters))),
        ("forward MACs", f"{macs} (conv, matmul, attention)"),
        ("forward FLOPs", f"{format_count(flops)} (everything)"),
        ("inputs", _sized(graph, graph.inputs)),
        ("outputs", _sized(graph, graph.outputs)),
        ("pivots", f"{structure.n_pivots:,}; largest gap {structure.largest_gap:,} operators"),
    ]
    for name, value in rows:
        overview.add_row(name, value)
    show(graph.name, overview)
    kinds = list(by_type(graph).items())
    table = Table(("op", "count", "FLOPs", "outputs", "parameters"))
    shown = kinds if show_all else kinds[:MAX_ROWS]
    for op, kind in shown:
        flops_text = format_count(kind.flops)
        sizes = (format_bytes(kind.activation_bytes), format_bytes(kind.parameter_bytes))
        table.add_row(op, f"{kind.count:,}", flops_text, *sizes)
    table.add_rest(len(kinds) - len(shown))
    show("By type", table)
    modules = modules_table(graph, show_all=show_all)
    if modules is not None:
        show("By module", modules)
    show_blocks(graph, structure, show_all=show_all)
    if show_all:
        show("Operators", _operator_table(graph))


def _folded(graph: Graph, summary: dict[str, SummaryValue]) -> str:
    reasons = summary["folded_by_reason"]
    if not graph.folded or not isinstance(reasons, dict):
        return "none folded away"
    parts = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    return f"folded away: {parts}"


def _sized(graph: Graph, tensors: Iterable[int]) -> str:
    parts = []
    for index in tensors:
        tensor = graph.tensors[index]
        shape = "x".join(map(str, tensor.shape)) if tensor.shape is not None else None
        kind = f"{tensor.dtype} {shape or 'scalar'}" if tensor.dtype and shape is not None else None
        parts.append(f"{tensor.name} ({kind or format_bytes(tensor.size_bytes)})")
    return ", ".join(parts) or "none"


def _operator_table(graph: Graph) -> Table:
    table = Table(("name", "op", "FLOPs", "outputs"), n_names=2)
    for operator, flops in zip(graph.operators, graph.forward_flops.tolist(), strict=True):
        size = sum(graph.tensors[t].size_bytes for t in operator.outputs)
        table.add_row(operator.name, operator.op, format_count(flops), format_bytes(size))
    return table
