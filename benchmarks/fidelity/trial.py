"""Cuts of one model, run for real at some link rates, beside what the planner predicts."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import planner
from benchmarks.fidelity.cuts import Place, crossing, unique
from benchmarks.fidelity.report import CutResult, State, in_words
from benchmarks.fidelity.split_run import Cut, Order, Run, hosts
from planner.costs.cost_file import Costs, check_costs
from planner.evaluation.delay import Delay
from planner.files.values import JsonValue
from planner.graphs.graph import Graph
from planner.probe.statistics import typical

RATES = (5e7, 2e8, 1e9)
CANDIDATES = (1e8, 5e8, 2e9, 5e9)
"""Tried in place of the slowest if at no rate the best cut is inside the model."""
WARM_UP = 1
ITERATIONS = 10_000
"""Of a round: what is measured is one iteration, so the exchange of weights must not count."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model, its costs on both hosts, and the places to cut it at.

    Attributes:
        graph: As it is planned.
        hosts: Both hosts as in a costs file, the device first.
        mode: `inference` or `training`.
        places: What is tried beside the cuts that the planner chooses.
        make: Makes a cut at a place, ready to be run.
        rates: Link rates to try.
        environments: Of the processes of the device and the server.
    """

    graph: Graph
    hosts: tuple[JsonValue, JsonValue]
    mode: str
    places: Sequence[Place]
    make: Callable[[Place], Cut]
    rates: tuple[float, ...] = RATES
    environments: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})

    def costs(self, rate_bps: float) -> Costs:
        """The costs file at a rate, the same in both directions."""
        document: JsonValue = {
            "kind": "costs",
            "version": 1,
            "workload": {"mode": self.mode, "iterations_per_round": ITERATIONS},
            "hosts": list(self.hosts),
            "links": [{"uplink_bps": rate_bps, "downlink_bps": rate_bps}],
        }
        return check_costs(document, "fidelity")

    def chosen(self, rate_bps: float) -> frozenset[str]:
        """The operators before the planner's cut."""
        placement = planner.plan(self.graph, self.costs(rate_bps)).placement
        return frozenset(name for name, host in placement.items() if host == "device")

    def predicted(self, on_device: frozenset[str], rate_bps: float) -> Delay:
        """The planner's delay of a cut."""
        placement = {
            operator.name: "device" if operator.name in on_device else "server"
            for operator in self.graph.operators
        }
        return planner.evaluate(self.graph, self.costs(rate_bps), placement)


def rates_for(model: Model) -> tuple[float, ...]:
    """Link rates at one of which, if there is such a rate, the best cut is inside the model."""
    size = len(model.graph.operators)
    rates = model.rates
    if any(0 < len(model.chosen(rate)) < size for rate in rates):
        return rates
    candidates = [rate for rate in CANDIDATES if rate >= min(rates)]
    inner = [rate for rate in candidates if 0 < len(model.chosen(rate)) < size]
    return tuple(sorted({*rates[1:], inner[len(inner) // 2]})) if inner else rates


def trial(
    model: Model,
    *,
    cores: tuple[int, int],
    rates: Sequence[float],
    repeat: int,
    seed: int = 0,
) -> tuple[CutResult, ...]:
    """Run every cut `repeat` times at every rate, in turn; in another order every time."""
    chosen = {rate: model.chosen(rate) for rate in rates}
    named = [
        Place(name=f"chosen-{in_words(rate).replace(' ', '').replace('/', 'p')}", on_device=found)
        for rate, found in chosen.items()
    ]
    ends = [place for place in model.places if place.name.endswith("-only")]
    places = unique([*ends, *named, *model.places])
    places.sort(key=lambda place: len(place.on_device))
    cuts = [model.make(place) for place in places]
    runs: defaultdict[tuple[int, float | None], list[Run]] = defaultdict(list)
    generator = random.Random(seed)
    with hosts(cores, cuts, model.environments) as both:
        for _ in range(repeat):
            for index in generator.sample(range(len(cuts)), len(cuts)):
                # What ran before has filled the caches with its own weights.
                for rate in (*[None] * WARM_UP, *generator.sample(rates, len(rates))):
                    order = Order(cut=index, uplink_bps=rate, downlink_bps=rate)
                    runs[index, rate].append(both.run(order))
    return tuple(
        _result(model, place, {rate: runs[index, rate] for rate in rates}, chosen)
        for index, place in enumerate(places)
    )


def _result(
    model: Model,
    place: Place,
    runs: dict[float, list[Run]],
    chosen: dict[float, frozenset[str]],
) -> CutResult:
    states = []
    for rate, found in runs.items():
        predicted = model.predicted(place.on_device, rate)
        measured_s, spread_s = typical([run.delay_s for run in found])
        states.append(
            State(
                uplink_bps=rate,
                predicted_s=predicted.iteration_s,
                measured_s=measured_s,
                spread_s=spread_s,
                undisturbed_s=typical([run.delay_s - run.lost_s for run in found])[0],
                is_chosen=chosen[rate] == place.on_device,
            )
        )
    every = [run for found in runs.values() for run in found]
    names = crossing(model.graph, place.on_device)
    sizes = {tensor.name: tensor.size_bytes for tensor in model.graph.tensors}
    compute = [sum(both) for both in zip(predicted.forward_s, predicted.backward_s, strict=True)]
    return CutResult(
        name=place.name,
        n_on_device=len(place.on_device),
        n_crossing=len(names),
        up_bytes=sum(sizes[name] for name in names),
        predicted_device_s=compute[0],
        device_s=typical([run.device_s for run in every])[0],
        predicted_server_s=compute[1],
        server_s=typical([run.server_s for run in every])[0],
        states=tuple(states),
    )
