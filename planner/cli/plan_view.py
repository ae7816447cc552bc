"""A plan as people read it: where the cut is, what crosses, what it costs, and the proof."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from planner.cli.console import write_out
from planner.cli.tables import Table, show
from planner.cost_files import Costs
from planner.plans import CrossingEntry, Plan
from planner.units import format_bytes, format_rate, format_seconds

MAX_ROWS = 12


def show_plan(plan: Plan, costs: Costs, *, show_all: bool = False) -> None:
    """Print a plan to stdout."""
    head = plan.head
    limit = len(plan.placement) + len(head.crossing) if show_all else MAX_ROWS
    show(*title(plan, costs))
    show(placement_title(plan), placement_table(plan, limit, show_all=show_all))
    if head.crossing:
        crossing = crossing_table(head.crossing, head.hosts, limit)
        show(crossing_title(head.crossing), crossing)
    else:
        show("Nothing crosses a link")
    show("Delay", delay_table(plan))
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
    if len(ordered) > limit:
        table.add_row(f"… and {len(ordered) - limit} more; `--all` lists them")
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


def baseline_table(plan: Plan) -> Table:
    """What simple policies take, and the ratio to the plan."""
    table = Table(("policy", "round", "ratio", "remark"), words="remark")
    table.add_row("this plan", format_seconds(plan.total_s), "1.000", "")
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
    if proof.holds:
        return (
            f"Optimal: no placement takes less than {format_seconds(head.total_s)} per round.\n"
            f"Proof: lower bound = value = {proof.value} ticks of {proof.quantum_s:.3g} s\n"
            f"{head.solver} ({head.solver_version}): {proof.message}."
        )
    bound = f"a lower bound of {proof.lower_bound} ticks only" if proof.lower_bound else "no bound"
    return (
        f"Not proved: {head.solver} gives {bound} ({proof.message}).\n"
        "Use `--solver auto` for a proof."
    )


def host_runs(placement: Sequence[int]) -> list[tuple[int, int, int]]:
    """(first, last + 1, host) of every run of operators, in graph order, on one host."""
    edges = [0, *(i for i, (a, b) in enumerate(pairwise(placement), 1) if a != b), len(placement)]
    return [(a, b, placement[a]) for a, b in pairwise(edges) if a < b]
