"""A plan as people read it: where the cut is, what crosses, what it costs, and the proof."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from planner.cli.console import write_out
from planner.cli.views.modules import placement_by_module_table
from planner.cli.views.tables import Table, show
from planner.costs.cost_file import Costs
from planner.evaluation.entries import CrossingEntry, PipelineEntry
from planner.plans.plan_file import Plan
from planner.units import format_bytes, format_memory, format_rate, format_seconds

MAX_ROWS = 12


def show_plan(plan: Plan, costs: Costs, *, show_all: bool = False) -> None:
    """Print a plan to stdout."""
    head = plan.head
    limit = len(plan.placement) + len(head.crossing) if show_all else MAX_ROWS
    show(*title(plan, costs))
    show(placement_title(plan), placement_table(plan, limit, show_all=show_all))
    modules = placement_by_module_table(plan, show_all=show_all)
    if modules is not None:
        show("By module", modules)
    if head.crossing:
        crossing = crossing_table(head.crossing, head.hosts, limit)
        show(crossing_title(head.crossing), crossing)
    else:
        show("Nothing crosses a link")
    if head.pipeline is not None:
        show(pipeline_title(head.pipeline), pipeline_table(head.pipeline))
    show("Delay", delay_table(plan))
    if show_all or any(entry.limit_bytes is not None for entry in head.memory):
        show("Memory", memory_table(plan))
    if head.baselines:
        show("Compared with", baseline_table(plan))
    write_out(verdict(plan) + "\n")


def title(plan: Plan, costs: Costs) -> tuple[str, Table]:
    """What is planned, and the links it is planned for."""
    head = plan.head
    batch = f", batch {head.batch}" if head.batch is not None else ""
    plural = "" if head.iterations_per_round == 1 else "s"
    rounds = f", {head.iterations_per_round} iteration{plural} per round"
    links = Table(("",))
    for (host, following), link in zip(pairwise(head.hosts), costs.links, strict=True):
        rates = f"{format_rate(link.uplink_bps)} up, {format_rate(link.downlink_bps)} down"
        latency = f", {format_seconds(link.latency_s)} latency" if link.latency_s else ""
        links.add_row(f"{host} → {following}: {rates}{latency}")
    wire = f", {costs.workload.wire_dtype} on the wire" if costs.workload.wire_dtype else ""
    work = f"{head.mode}{batch}{rounds if head.mode == 'training' else ''}"
    return f"{head.graph}: {work}{wire}", links


def placement_title(plan: Plan) -> str:
    """How many operators each host gets."""
    counts = dict.fromkeys(plan.head.hosts, 0)
    for host in plan.placement.values():
        counts[host] += 1
    shares = ", ".join(f"{count} on {host}" for host, count in counts.items())
    return f"Placement: {len(plan.placement)} operators, {shares}"


def placement_table(plan: Plan, limit: int, *, show_all: bool) -> Table:
    """Runs of operators, in graph order, that share a host; or every operator."""
    names, hosts = list(plan.placement), list(plan.head.hosts)
    table = Table(("host", "operators"), n_names=2)
    if show_all:
        for name, host in plan.placement.items():
            table.add_row(host, name)
        return table
    runs = host_runs([hosts.index(host) for host in plan.placement.values()])
    hidden = max(0, len(runs) - limit)
    for position, (start, stop, place) in enumerate(runs):
        if hidden and position == limit // 2:
            table.add_row("…", f"{hidden} more runs; `--all` lists every operator")
        if hidden and limit // 2 <= position < limit // 2 + hidden:
            continue
        first, last, count = names[start], names[stop - 1], stop - start
        text = first if count == 1 else f"{first} … {last} ({count})"
        table.add_row(hosts[place], text)
    return table


def crossing_title(crossing: Sequence[CrossingEntry]) -> str:
    """What all boundary tensors add up to."""
    up, down = sum(c.up_bytes for c in crossing), sum(c.down_bytes for c in crossing)
    return f"Crossing: {format_bytes(up)} up, {format_bytes(down)} down per iteration"


def crossing_table(crossing: Sequence[CrossingEntry], hosts: Sequence[str], limit: int) -> Table:
    """Every boundary tensor with its bytes and times, the largest first; times per iteration."""
    has_links = len(hosts) > 2
    columns = ["tensor", "producer", "up", "time", "down", "time"]
    table = Table((*(["link"] if has_links else []), *columns), n_names=2 + has_links)
    ordered = sorted(crossing, key=lambda c: -(c.up_bytes + c.down_bytes))
    for entry in ordered[:limit]:
        link = [f"{hosts[entry.link]} → {hosts[entry.link + 1]}"] if has_links else []
        source = entry.producer or ("labels" if entry.kind == "labels" else "graph input")
        table.add_row(
            *link,
            entry.tensor,
            source,
            format_bytes(entry.up_bytes),
            format_seconds(entry.up_s),
            format_bytes(entry.down_bytes),
            format_seconds(entry.down_s),
        )
    table.add_rest(len(ordered) - limit)
    return table


def delay_table(plan: Plan) -> Table:
    """Every term of the delay, per iteration and per round, with its share of the round."""
    head, delay = plan.head, plan.head.delay
    is_training = head.mode == "training"
    # In inference a round is one iteration: a second column would say the same.
    table = Table(("term", *(["iteration", "round"] if is_training else ["time"]), "share"))

    def add(name: str, seconds: float, times: int) -> None:
        share = f"{seconds * times / head.total_s:.1%}" if head.total_s else ""
        iteration = format_seconds(seconds) if name != "parameter exchange" else ""
        columns = [iteration, format_seconds(seconds * times)][0 if is_training else 1 :]
        table.add_row(name, *columns, share)

    rounds = head.iterations_per_round
    for item in delay.forward_s:
        add(f"forward on {item.host}", item.seconds, rounds)
    for item in delay.backward_s if is_training else ():
        add(f"backward on {item.host}", item.seconds, rounds)
    add("uplink", delay.uplink_s, rounds)
    add("downlink", delay.downlink_s, rounds)
    if delay.latency_s:
        add("latency", delay.latency_s, rounds)
    if delay.sync_s:
        add("tied parameters", delay.sync_s, rounds)
    if is_training:
        add("parameter exchange", delay.exchange_s, 1)
    totals = [head.iteration_s, head.total_s][0 if is_training else 1 :]
    table.add_row("total", *map(format_seconds, totals), "")
    return table


def pipeline_title(pipeline: PipelineEntry) -> str:
    """How many mini-batches a second the slowest stage lets through."""
    if pipeline.mini_batches_per_s is None:
        return "Pipeline: nothing takes any time"
    samples = pipeline.samples_per_s
    each = f", {samples:.4g} samples/s" if samples is not None else ""
    return f"Pipeline: {pipeline.mini_batches_per_s:.4g} mini-batches/s{each}"


def pipeline_table(pipeline: PipelineEntry) -> Table:
    """Every stage, and how much of the time it is busy."""
    table = Table(("stage", "per mini-batch", "busy"))
    for stage in pipeline.stages:
        name = f"compute on {stage.host}"
        if stage.next_host is not None:
            ends = (stage.host, stage.next_host)
            here, there = ends if stage.kind == "uplink" else ends[::-1]
            name = f"{here} → {there}"
        busy = f"{stage.seconds / pipeline.slowest_s:.1%}" if pipeline.slowest_s else ""
        table.add_row(name, format_seconds(stage.seconds), busy)
    return table


def memory_table(plan: Plan) -> Table:
    """What every host holds, and what it has."""
    is_training = plan.head.mode == "training"
    kinds = ("gradients", "optimizer") if is_training else ()
    tensors = "tensors" if is_training else "working set"
    table = Table(("host", "weights", *kinds, tensors, "in all", "limit"))
    for entry in plan.memory:
        held = [entry.gradient_bytes, entry.optimizer_bytes] if is_training else []
        limit = format_memory(entry.limit_bytes) if entry.limit_bytes is not None else ""
        sizes = [entry.parameter_bytes, *held, entry.tensor_bytes, entry.total_bytes]
        table.add_row(entry.host, *map(format_memory, sizes), limit)
    return table


def baseline_table(plan: Plan) -> Table:
    """What simple policies take, and the ratio to the plan."""
    pipeline = plan.pipeline
    what, own = ("round", plan.total_s) if pipeline is None else ("slowest", pipeline.slowest_s)
    table = Table(("policy", what, "ratio", "remark"), words="remark")
    table.add_row("this plan", format_seconds(own), "1.000", "")
    for entry in plan.baselines:
        if entry.total_s is None:
            table.add_row(entry.policy, "not feasible", "", entry.message)
            continue
        ratio = f"{entry.ratio:.3f}" if entry.ratio is not None else ""
        remark = "" if entry.is_as_published else entry.message
        table.add_row(entry.policy, format_seconds(entry.total_s), ratio, remark)
    return table


def verdict(plan: Plan) -> str:
    """Whether the certificate holds, in words."""
    proof, head = plan.certificate, plan.head
    what = f"takes less than {format_seconds(head.total_s)} per round"
    if head.pipeline is not None:
        what = f"has a slowest stage below {format_seconds(head.pipeline.slowest_s)}"
    by = f"{head.solver} ({head.solver_version}): {proof.message}."
    figures = f"{proof.value} ticks of {proof.quantum_s:.3g} s"
    if proof.holds and proof.value == proof.lower_bound:
        text = f"Optimal: no placement {what}.\nProof: lower bound = value = {figures}"
    elif proof.holds:
        text = (
            f"Optimal: no placement {what}, to within {proof.tolerance:.0e} of it.\n"
            f"Proof: lower bound {proof.lower_bound}, value {figures}"
        )
    elif proof.lower_bound:
        above = proof.value / proof.lower_bound - 1
        bound = format_seconds(proof.lower_bound * proof.quantum_s)
        text = (
            f"Not proved: at most {above:.2%} above the optimum; the lower bound is {bound}.\n"
            f"Lower bound {proof.lower_bound}, value {figures}"
        )
    else:
        return f"Not proved: {head.solver} gives no bound ({proof.message}).\n{_ADVICE}"
    return f"{text}\n{by}"


_ADVICE = "Use `--solver auto` for a proof."


def host_runs(placement: Sequence[int]) -> list[tuple[int, int, int]]:
    """(first, last + 1, host) of every run of operators, in graph order, on one host."""
    edges = [0, *(i for i, (a, b) in enumerate(pairwise(placement), 1) if a != b), len(placement)]
    return [(a, b, placement[a]) for a, b in pairwise(edges) if a < b]
