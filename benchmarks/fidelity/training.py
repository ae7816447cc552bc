"""Training: profiles in torch of both hosts, and halves of a training step in torch."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np

import planner
from benchmarks.fidelity.cuts import Place, crossing, places
from benchmarks.fidelity.forward import Setting, groups_of, measured_hosts, profiles
from benchmarks.fidelity.split_run import Cut, Spec
from benchmarks.fidelity.split_torch import TorchHalf, TorchPlan
from benchmarks.fidelity.trial import Model
from planner import zoo
from planner.drafts.frontend import LoadOptions
from planner.graphs.gradients import needs_gradient
from planner.graphs.graph import Graph
from planner.measuring.bundles import write_bundle

MODELS = ("resnet18", "mobilenet_v2")
BATCH = 4
RATES = (5e7, 1e9)
SLOWER = {"ONEDNN_MAX_CPU_ISA": "AVX2"}
"""The device's environment: torch has no levels, but its convolutions can do with less."""


def training_model(name: str, folder: Path, setting: Setting) -> Model:
    """A model of the zoo with its profiles, taken now."""
    source = folder / f"{name}.onnx"
    zoo.write(name, source, batch=BATCH, training=True)
    paths = profiles(source, setting, mode="training", environments=(SLOWER, {}))
    return split_model(source, paths, setting)


def split_model(source: Path, paths: tuple[Path, Path], setting: Setting) -> Model:
    """A model on disk with profiles of it."""
    graph = planner.load(source)
    bundle = source.with_suffix(".bundle")
    bundle.mkdir()
    write_bundle(bundle, source, options=LoadOptions())
    return Model(
        graph=graph,
        hosts=measured_hosts(paths),
        mode="training",
        places=places(
            graph,
            groups_of(graph, paths, "training"),
            n_prefixes=setting.n_prefixes,
            n_inside=setting.n_inside,
        ),
        make=partial(training_cut, graph, bundle),
        rates=RATES,
        environments=(SLOWER, {}),
    )


def training_cut(graph: Graph, bundle: Path, place: Place, learning_rate: float = 1e-6) -> Cut:
    """Both halves of a training step that is cut at a place."""
    names = {operator.name for operator in graph.operators}
    up = crossing(graph, place.on_device)
    has_gradient = needs_gradient(graph)
    down = [name for name in up if has_gradient[graph.tensor_index[name]]]
    device, server = (
        TorchPlan(
            bundle=bundle,
            operators=frozenset(operators),
            is_device=is_device,
            up=tuple(up),
            down=tuple(down),
            learning_rate=learning_rate,
        )
        for operators, is_device in ((place.on_device, True), (names - place.on_device, False))
    )
    return Cut(
        name=place.name,
        device=partial(TorchHalf, device),
        server=partial(TorchHalf, server) if names - place.on_device else None,
        up=_specs(graph, up),
        down=_specs(graph, down),
    )


def _specs(graph: Graph, names: list[str]) -> tuple[Spec, ...]:
    tensors = [graph.tensors[graph.tensor_index[name]] for name in names]
    return tuple((np.dtype(t.dtype or "float32").str, t.shape or ()) for t in tensors)
