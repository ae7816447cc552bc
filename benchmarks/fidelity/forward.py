"""Inference: profiles of both hosts, and halves in onnxruntime."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import onnx

import planner
from benchmarks.fidelity.cuts import Place, places
from benchmarks.fidelity.split_link import Array
from benchmarks.fidelity.split_onnx import inference_cut
from benchmarks.fidelity.split_run import Cut, environment
from benchmarks.fidelity.trial import Model
from planner import zoo
from planner.costs.profile_file import Measurement, read_profile
from planner.drafts.frontend import LoadOptions
from planner.files.values import JsonValue
from planner.frontends.onnx_model.running.parts import with_types
from planner.graphs.graph import Graph
from planner.measuring.taking import MeasureOptions, take_profile

MODELS = ("resnet18", "resnet50", "mobilenet_v2", "googlenet", "gpt2")
SEQUENCE = 32


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How the hosts differ, and how much is measured.

    Attributes:
        cores: Of the device and the server.
        levels: onnxruntime's optimisation level on the device and the server.
        profile_repeat: Of each profile; None for the planner's default.
        repeat: Runs of every cut at every rate.
        n_prefixes: Cuts at prefixes of the order.
        n_inside: Cuts inside blocks.
    """

    cores: tuple[int, int] = (0, 1)
    levels: tuple[str, str] = ("basic", "all")
    profile_repeat: int | None = None
    repeat: int = 10
    n_prefixes: int = 6
    n_inside: int = 6


@contextmanager
def pinned(core: int) -> Iterator[None]:
    """This process, and what it starts, on one core."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def profiles(
    source: Path,
    setting: Setting,
    *,
    mode: str,
    environments: Sequence[Mapping[str, str]] = ({}, {}),
) -> tuple[Path, Path]:
    """Profiles of the device and the server beside `source`, each on the core of its host."""
    device, server = source.with_suffix(".device.json"), source.with_suffix(".server.json")
    hosts = zip((device, server), setting.cores, setting.levels, environments, strict=True)
    for path, core, level, variables in hosts:
        options = MeasureOptions(
            threads=1,
            repeat=setting.profile_repeat,
            optimization=level,
            mode=mode,
            backward="measure" if mode == "training" else None,
        )
        with pinned(core), environment(variables):
            take_profile(source, path, load_options=LoadOptions(), options=options)
    return device, server


def measured_hosts(paths: tuple[Path, Path]) -> tuple[JsonValue, JsonValue]:
    """Both hosts of a costs file, priced by profiles."""
    device, server = map(str, paths)
    return (
        {"name": "device", "model": "measured", "profile": device},
        {"name": "server", "model": "measured", "profile": server},
    )


def groups_of(graph: Graph, paths: Sequence[Path], mode: str) -> list[list[str]]:
    """What either host cannot tell apart."""
    known = graph.operator_index
    measurements: list[Measurement] = [
        measurement
        for path in paths
        for measurement in read_profile(path).measurements
        if measurement.mode == mode
    ]
    return [
        [name for name in group.nodes if name in known]
        for measurement in measurements
        for group in measurement.groups
    ]


def forward_model(name: str, folder: Path, setting: Setting) -> Model:
    """A model of the zoo with its profiles, taken now."""
    source = folder / f"{name}.onnx"
    zoo.write(name, source, sequence=SEQUENCE, weights="random")
    paths = profiles(source, setting, mode="inference")
    return split_model(source, paths, setting)


def split_model(source: Path, paths: tuple[Path, Path], setting: Setting) -> Model:
    """A model on disk with profiles of it."""
    graph = planner.load(source)
    model = with_types(onnx.load(source, load_external_data=False))
    make = partial(_cut, model, source.parent, random_inputs(graph), setting.levels)
    return Model(
        graph=graph,
        hosts=measured_hosts(paths),
        mode="inference",
        places=places(
            graph,
            groups_of(graph, paths, "inference"),
            n_prefixes=setting.n_prefixes,
            n_inside=setting.n_inside,
        ),
        make=make,
    )


def _cut(
    model: onnx.ModelProto,
    folder: Path,
    feeds: Mapping[str, Array],
    levels: tuple[str, str],
    place: Place,
) -> Cut:
    return inference_cut(
        place.name, model, place.on_device, folder=folder, feeds=feeds, levels=levels
    )


def random_inputs(graph: Graph) -> dict[str, Array]:
    """Noise as images, small whole numbers as tokens."""
    generator = np.random.default_rng(0)
    feeds: dict[str, Array] = {}
    for index in graph.inputs:
        tensor = graph.tensors[index]
        shape = tensor.shape or ()
        if tensor.dtype == "float32":
            feeds[tensor.name] = generator.standard_normal(shape, np.float32)
        else:
            feeds[tensor.name] = generator.integers(0, 1000, shape).astype(tensor.dtype)
    return feeds
