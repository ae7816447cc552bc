"""Plans of torch modules against those of the ONNX exports of the same networks.

Every architecture of the zoo, written in plain torch, is loaded live (on the meta device, in
training mode) and planned beside the zoo's ONNX file; likewise the shared archives, where they are,
beside their ONNX training exports. Prices are computed, so the figures are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

import planner
from benchmarks import ROOT
from planner import zoo
from planner.costs.cost_file import Costs, check_costs
from planner.files.values import JsonValue
from planner.graphs.graph import Graph
from tests.support.torch_nets.zoo import NAMES, build, example_inputs

BATCH = 8
RATES_BPS = (1e6, 1e7, 1e8, 1e9)
SHARED = ROOT.parent / "shared" / "models"
TOKENS = ["int64[1,128]", "int64[1,128]"]
IMAGES = ["float32[1,3,224,224]"]


def costs(rate_bps: float) -> Costs:
    """Training between two presets over a symmetric link."""
    hosts = {"device": "jetson-orin-nx", "server": "a100"}
    document: JsonValue = {
        "kind": "costs",
        "version": 1,
        "hosts": [{"name": n, "model": "analytical", "hardware": h} for n, h in hosts.items()],
        "links": [{"uplink_bps": rate_bps, "downlink_bps": rate_bps}],
    }
    return check_costs(document, where="costs")


def pairs() -> Iterator[tuple[str, Graph, Graph]]:
    """Name, torch's graph and ONNX's."""
    for name in NAMES:
        with torch.device("meta"):
            module = build(name).train()
        exported = zoo.build(name, batch=BATCH, training=True).SerializeToString()
        yield name, planner.load(module, example_inputs(name, BATCH)), planner.load(exported)
    for path in sorted([*SHARED.glob("*.pt2"), *SHARED.glob("*.pt")]):
        reference = planner.load(SHARED / f"{path.name.partition('.')[0]}.train.onnx")
        inputs = TOKENS if path.name.startswith("gpt2") else IMAGES
        given = None if path.suffix == ".pt2" else inputs
        yield path.name, planner.load(path, given, batch=reference.batch), reference


def main() -> None:
    """Print a row for each network."""
    print("network              parameters MACs  bytes  delay at 1 Mbit/s … 1 Gbit/s against ONNX")
    for name, ours, theirs in pairs():
        mine, other = ours.summary(), theirs.summary()
        marks = [
            "equal" if mine[key] == other[key] else "DIFFER"
            for key in ("trainable_parameters", "forward_macs")
        ]
        differences, is_equal = [], True
        for rate in RATES_BPS:
            plan = planner.plan(ours, costs(rate), baselines=())
            expected = planner.plan(theirs, costs(rate), baselines=())
            sums = [
                [(sum(e.up_bytes for e in p.crossing), sum(e.down_bytes for e in p.crossing))]
                for p in (plan, expected)
            ]
            is_equal = is_equal and sums[0] == sums[1]
            differences.append(f"{plan.total_s / expected.total_s - 1:+8.2%}")
        bytes_mark = "equal" if is_equal else "DIFFER"
        print(f"{name:22} {marks[0]:8} {marks[1]:5} {bytes_mark:6} {' '.join(differences)}")


if __name__ == "__main__":
    main()
