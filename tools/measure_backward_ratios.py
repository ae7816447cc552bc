"""Measure how long backward passes take compared with forward passes, by operator type.

    python tools/measure_backward_ratios.py [MODEL[:BATCH[:SEQUENCE]] ...]

writes `planner/probe/backward/backward_ratios.json`: the medians over the models of each operator
type's seconds of backward (with the update of its weights) over its seconds of forward, in torch on
this machine's processor with one thread. A family's ratio is the median over its types; it is taken
for types that none of the models has.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import torch

from planner import zoo
from planner.drafts.frontend import LoadOptions
from planner.measuring.bundles import write_bundle
from planner.probe.backward.backward_ratios import FILE, variant_of
from planner.probe.backward.training import measure_training
from planner.probe.bundle import Bundle
from planner.probe.reporting import Reporter
from planner.probe.settings import Settings

MODELS = """
    resnet18:1 resnet18:8 mobilenet_v2:1 mobilenet_v2:8 densenet121:1 densenet121:4 googlenet:1
    googlenet:4 squeezenet1_1:1 squeezenet1_1:8 vgg16:1 unet:1 gpt2:1:64 bert_base:1:64 vit_b_16:1
"""
LEAST_S = 20e-6
"""Types whose operators take less than this forward, on average, tell about overheads only."""

FAMILIES = {
    "matrix products": "Conv ConvTranspose Gemm MatMul Einsum Attention MultiHeadAttention "
    "FusedMatMul FusedGemm FusedConv ConvInteger MatMulInteger DeformConv RNN GRU LSTM",
    "normalisation": "BatchNormalization LayerNormalization InstanceNormalization "
    "GroupNormalization RMSNormalization SimplifiedLayerNormalization SkipLayerNormalization LRN "
    "LpNormalization MeanVarianceNormalization Softmax LogSoftmax Hardmax",
    "pooling": "MaxPool AveragePool GlobalAveragePool GlobalMaxPool LpPool GlobalLpPool MaxRoiPool "
    "RoiAlign",
    "activations": "Relu LeakyRelu PRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish Mish Swish "
    "Tanh Gelu FastGelu QuickGelu BiasGelu Erf Softplus Softsign ThresholdedRelu Clip Exp Log Sqrt "
    "Pow Dropout",
    "arithmetic": "Add Sub Mul Div Mod Neg Abs Min Max Sum Mean Where Reciprocal Sin Cos Cast",
    "reductions": "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 "
    "ReduceSumSquare ReduceLogSum ReduceLogSumExp CumSum",
    "movement": "Concat Split Slice Gather GatherElements GatherND ScatterElements ScatterND Pad "
    "Tile Expand Transpose Reshape Flatten Squeeze Unsqueeze Identity Trilu DepthToSpace "
    "SpaceToDepth Resize Upsample",
}


def measure(name: str, batch: int, sequence: int, repeat: int) -> dict[str, Any]:
    """The training measurement of one architecture, with the manifest as `manifest`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        zoo.write(name, path, batch=batch, sequence=sequence, training=True)
        bundle_folder = Path(folder) / "bundle"
        bundle_folder.mkdir()
        write_bundle(bundle_folder, path, options=LoadOptions())
        bundle = Bundle(bundle_folder)
        settings = Settings(threads=1, repeat=repeat, mode="training", backward="measure")
        found = measure_training(bundle, settings, Reporter())
        return {**found, "manifest": bundle.manifest}


def ratios_of(measurement: dict[str, Any]) -> dict[tuple[str, str], float]:
    """Backward over forward seconds by operator type and variant, for types that take time.

    The whole step, which is disturbed most by what else the machine does, is left out of it.
    """
    whole = measurement["whole"]
    forward_factor = whole["sum_forward_s"] / whole["forward"]["typical_s"]
    backward_factor = whole["sum_backward_s"] / whole["backward"]["typical_s"]
    nodes = {node["name"]: node for node in measurement["manifest"]["nodes"]}
    receivers = measurement["manifest"]["gradient_inputs"]
    shapes = {w["name"]: w["shape"] for w in measurement["manifest"]["weights"]}
    forward: dict[tuple[str, str], list[float]] = defaultdict(list)
    backward: dict[tuple[str, str], float] = defaultdict(float)
    for row in measurement["nodes"]:
        if row["backward"] is not None and row["name"] in nodes:
            node = nodes[row["name"]]
            key = (node["op"], variant_of(node, shapes, receivers[row["name"]]))
            forward[key].append(row["forward"]["typical_s"] * forward_factor)
            backward[key] += row["backward"]["typical_s"] * backward_factor
    return {
        key: backward[key] / sum(seconds)
        for key, seconds in forward.items()
        if sum(seconds) / len(seconds) >= LEAST_S and key[1] != "embedding"
    }


def summary(samples: dict[tuple[str, str], dict[str, float]], how: str) -> dict[str, Any]:
    """The document: each type's median with its range, families, and a default."""
    medians = {key: round(statistics.median(samples[key].values()), 3) for key in sorted(samples)}
    ratios = [
        {
            "op": op,
            "variant": variant,
            "ratio": medians[op, variant],
            "low": round(min(found.values()), 3),
            "high": round(max(found.values()), 3),
            "models": list(found),
        }
        for (op, variant), found in sorted(samples.items())
    ]
    known = {op: median for (op, variant), median in medians.items() if not variant}
    families = []
    for family, ops in FAMILIES.items():
        members = [op for op in ops.split() if op in known]
        everything = [known[op] for op in members] or list(known.values())
        families.append(
            {
                "family": family,
                "ops": ops.split(),
                "ratio": round(statistics.median(everything), 3),
                "measured": members,
            }
        )
    return {
        "kind": "backward-ratios",
        "version": 1,
        "measured_with": how,
        "ratios": ratios,
        "families": families,
        "default": {"ratio": round(statistics.median(known.values()), 3)},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "models", nargs="*", default=MODELS.split(), metavar="MODEL[:BATCH[:SEQUENCE]]"
    )
    parser.add_argument("-o", "--output", type=Path, default=FILE)
    parser.add_argument("--repeat", type=int, default=10)
    arguments = parser.parse_args()
    samples: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for model in arguments.models:
        name, batch, sequence, *_ = f"{model}:::".split(":")
        found = measure(name, int(batch or 1), int(sequence or 128), arguments.repeat)
        label = f"{name} batch {batch or 1}"
        for key, ratio in ratios_of(found).items():
            samples[key][label] = ratio
        whole = found["whole"]
        print(
            f"{label}: forward {whole['forward']['typical_s']:.4f} s "
            f"(operators {whole['sum_forward_s']:.4f} s), "
            f"backward {whole['backward']['typical_s']:.4f} s "
            f"(operators {whole['sum_backward_s']:.4f} s)"
        )
    how = f"torch {torch.__version__}, one thread of {platform.machine()}"
    text = json.dumps(summary(samples, how), indent=1)
    arguments.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
