"""The graphs of the benchmark, and the costs that all of them are planned with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import planner
from benchmarks import ROOT
from benchmarks.speed import graphs
from planner import zoo
from planner.costs.cost_file import Costs, check_costs
from planner.files.values import JsonValue
from planner.graphs.graph import Graph

MODELS = ROOT.parent / "shared" / "models"
"""Real exported files, where they exist; the project does not depend on them."""

DEVICE, SERVER = "jetson-tx2", "rtx-3090"
BASE_RATE_BPS = 5e7
TRAINING, INFERENCE = "training", "inference"
PRIVATE_TRAINING, PRIVATE_INFERENCE = "private training", "private inference"
CONVOLUTIONAL = {
    "alexnet": "AlexNet",
    "densenet121": "DenseNet-121",
    "googlenet": "GoogLeNet",
    "lenet5": "LeNet-5",
    "mobilenet_v2": "MobileNetV2",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "resnet152": "ResNet-152",
    "unet": "U-Net",
}
TRANSFORMERS = {"bert_base": "BERT-base", "gpt2": "GPT-2", "vit_b_16": "ViT-B/16"}
FILES = {
    "resnet50.train": "ResNet-50",
    "googlenet.train": "GoogLeNet",
    "densenet121.train": "DenseNet-121",
    "bert_base.train": "BERT-base",
    "gpt2.train": "GPT-2",
    "gpt2.dyn": "GPT-2",
}
SIZES: dict[str, tuple[int, ...]] = {
    "chain": (1_000, 3_000, 10_000, 30_000, 100_000),
    "transformer": (1_000, 3_000, 10_000, 50_000, 100_000),
    "layered": (1_000, 10_000),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One graph.

    Attributes:
        name: What `--only` calls it.
        title: What people call it.
        group: `zoo`, `file` or `generated`.
        make: The graph at a batch.
        batches: It is planned at each of them in turn.
        workloads: It is planned with each of them in turn; see `costs`.
        family: Cases of one family are a line in the plots of growth.
        has_table: Whether a table is built for it.
    """

    name: str
    title: str
    group: str
    make: Callable[[int], Graph]
    batches: tuple[int, ...] = (1,)
    workloads: tuple[str, ...] = (TRAINING, PRIVATE_TRAINING, PRIVATE_INFERENCE)
    family: str = ""
    has_table: bool = False


def costs(workload: str, graph: Graph) -> Costs:
    """Analytical costs of a Jetson TX2 and an RTX 3090, float32 on the wire.

    Training has 50 iterations per round. A private workload keeps the graph's inputs on the
    device, as split learning means it: without that rule, everything on one host is best in nearly
    all states of most graphs, and comparing solvers there would show little. What a cache holds is
    no input in that sense.
    """
    mode = "inference" if workload.endswith(INFERENCE) else "training"
    rates: dict[str, JsonValue] = {
        "uplink_bps": BASE_RATE_BPS,
        "downlink_bps": BASE_RATE_BPS,
        "latency_s": 0.002,
    }
    hosts: list[JsonValue] = [
        {"name": name, "model": "analytical", "hardware": hardware}
        for name, hardware in (("device", DEVICE), ("server", SERVER))
    ]
    document: dict[str, JsonValue] = {
        "kind": "costs",
        "version": 1,
        "workload": {"mode": mode, "iterations_per_round": 50 if mode == "training" else 1},
        "hosts": hosts,
        "links": [rates],
    }
    if workload.startswith("private"):
        names = [graph.tensors[t].name for t in graph.inputs]
        private: list[JsonValue] = [name for name in names if not name.startswith("past.")]
        document["forbid_crossing"] = private
    return check_costs(document, "benchmark")


def all_cases() -> dict[str, Case]:
    """Every case of the full benchmark whose graph is there, in the order of the tables."""
    found = [_zoo(name, title, (1, 32)) for name, title in CONVOLUTIONAL.items()]
    found += [_zoo(name, title, (1,)) for name, title in TRANSFORMERS.items()]
    found += [_file(name, title) for name, title in FILES.items() if _path(name).is_file()]
    for family, sizes in SIZES.items():
        found += [_generated(family, size) for size in sizes]
    found.append(_generated("moe", 50_000))
    found += [_hard("shape_chains", 400), _hard("kv_cache", 300)]
    return {case.name: case for case in found}


def quick_cases() -> dict[str, Case]:
    """Small ones of every kind, for the tests."""
    found = [_zoo("lenet5", "LeNet-5", (1, 32)), _zoo("googlenet", "GoogLeNet", (32,))]
    found += [_generated("chain", 300), _generated("transformer", 120), _generated("moe", 600)]
    found += [_generated("layered", 300), _hard("shape_chains", 4), _hard("kv_cache", 4)]
    return {case.name: case for case in found}


def missing_files() -> list[str]:
    """Real files that the full benchmark would use and that are not there."""
    return [name for name in FILES if not _path(name).is_file()]


def _path(name: str) -> Path:
    return MODELS / f"{name}.onnx"


def _zoo(name: str, title: str, batches: tuple[int, ...]) -> Case:
    def make(batch: int) -> Graph:
        model = zoo.build(name, batch=batch, training=True)
        return planner.load(model.SerializeToString(deterministic=True))

    has_table = name in CONVOLUTIONAL or name == "gpt2"
    return Case(
        name=name, title=title, group="zoo", make=make, batches=batches, has_table=has_table
    )


def _file(name: str, title: str) -> Case:
    def make(batch: int) -> Graph:
        return planner.load(_path(name), batch=batch)

    batches = (1, 32) if name.split(".")[0] in CONVOLUTIONAL else (1,)
    return Case(name=name, title=f"{title}, `{name}`", group="file", make=make, batches=batches)


def _generated(family: str, size: int) -> Case:
    makers: dict[str, Callable[[int], Graph]] = {
        "chain": graphs.chain,
        "layered": graphs.layered,
        "moe": graphs.mixture_of_experts,
        "transformer": graphs.transformer,
    }
    titles = {"layered": "random layers", "moe": "mixture of experts"}
    return Case(
        name=f"{family}{size}",
        title=f"{titles.get(family, family)}, {size:,}",
        group="generated",
        make=_ignoring_batch(partial(makers[family], size)),
        family=family,
        has_table=family == "transformer" and size <= 3_000,
    )


def _hard(name: str, n_layers: int) -> Case:
    makers = {"shape_chains": graphs.shape_chains, "kv_cache": graphs.kv_cache}
    titles = {"shape_chains": "a shape chain to every layer", "kv_cache": "a cache in every layer"}
    case = Case(
        name=f"{name}{n_layers}",
        title=f"{titles[name]}, {n_layers} layers",
        group="generated",
        make=_ignoring_batch(partial(makers[name], n_layers)),
    )
    if name == "kv_cache":
        return replace(case, workloads=(INFERENCE, PRIVATE_INFERENCE))
    return case


def _ignoring_batch(make: Callable[[], Graph]) -> Callable[[int], Graph]:
    return lambda batch: make()
