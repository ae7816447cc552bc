"""What `tools/behaviour.py` gives the planner: models, costs, and mistakes of all kinds."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

LENET = "lenet5.training.onnx"


def costs(*presets: str, **workload: Any) -> dict[str, Any]:
    """A costs file: a row of hosts of these presets, and links that get slower."""
    names = ("device", "server") if len(presets) == 2 else ("phone", "edge", "cloud")
    pairs = zip(names, presets, strict=True)
    hosts = [{"name": n, "model": "analytical", "hardware": preset} for n, preset in pairs]
    rates = [(4e7 / k, 1.6e8 / k, 0.002 * k) for k in range(1, len(presets))]
    links = [{"uplink_bps": u, "downlink_bps": d, "latency_s": s} for u, d, s in rates]
    return {"kind": "costs", "version": 1, "workload": workload, "hosts": hosts, "links": links}


ROUND: dict[str, Any] = {"mode": "training", "iterations_per_round": 50, "label_bytes": 256}
SCENARIOS = {
    "training": costs("jetson-tx2", "rtx-3090", **ROUND, wire_dtype="float16"),
    "inference": costs("raspberry-pi-4", "a100", mode="inference", return_outputs=True),
    "three": costs("raspberry-pi-4", "jetson-orin-nx", "a100", **ROUND, optimizer_states=2),
}
GRAPH: dict[str, Any] = {
    "kind": "graph", "version": 1, "name": "toy", "outputs": ["logits"],
    "inputs": [{"name": "image", "dtype": "float32", "shape": [4, 3, 8, 8]}],
    "parameters": [{"name": "w1", "dtype": "float32", "shape": [8, 3, 3, 3], "trainable": True},
                   {"name": "w2", "bytes": 400_000, "trainable": False}],
    "nodes": [
        {"name": "zero", "op": "Constant", "outputs": [{"name": "z", "bytes": 4}]},
        {"name": "conv", "op": "Conv", "inputs": ["image"], "parameters": ["w1"],
         "outputs": [{"name": "c", "dtype": "float32", "shape": [4, 8, 6, 6]}]},
        {"name": "relu", "op": "Relu", "inputs": ["c", "z"],
         "outputs": [{"name": "r", "dtype": "float32", "shape": [4, 8, 6, 6]}]},
        {"name": "head.fc", "op": "Custom", "inputs": ["r"], "parameters": ["w2"],
         "parameter_bytes": 200_000, "outputs": [{"name": "logits", "bytes": 64}]},
    ],
}  # fmt: skip
WIDE: dict[str, Any] = {
    "kind": "graph", "version": 1, "inputs": [{"name": "x", "bytes": 8}],
    "outputs": [f"t{i}" for i in range(22)],
    "nodes": [{"name": f"n{i}", "op": "F", "inputs": ["x"], "parameter_bytes": 2**53,
               "outputs": [{"name": f"t{i}", "bytes": 8}]} for i in range(22)],
}  # fmt: skip
TABLE = {"model": "table", "default": {"forward_s": 0.01, "backward_s": 0.02}}
COSTS: dict[str, Any] = {
    **SCENARIOS["training"],
    "workload": {**ROUND, "batch_size": 4},
    "hosts": [{"name": "device", **TABLE}, {"name": "server", **TABLE}],
    "pins": [{"node": "conv", "host": "device"}],
}
LAYERS: list[dict[str, Any]] = [
    {"count": 100},
    *({"name": n, "timeMs": 50.0, "medianMs": 0.5} for n in ("conv + relu", "head.fc")),
]
TIMES = "forward_compute_time=3, backward_compute_time=6, activation_size"
PIPEDREAM = f"""\
node1 -- Input -- {TIMES}=2408448, parameter_size=0
node2 -- Conv2d(3, 8) -- {TIMES}=1605632, parameter_size=896
node3 -- Linear(8, 10) -- {TIMES}=160, parameter_size=360
\tnode1 -- node2
\tnode2 -- node3
"""

BAD_GRAPHS: dict[str, dict[str, Any]] = {
    "many": {"version": 2, "outputs": "y", "versoin": 1, "inputs.0.dtype": "float23",
             "nodes.0": "no node", "nodes.1.op": 3, "nodes.1.inputs": ["x", None],
             "nodes.2.outputs.0": {"nam": "y", "bytes": -1}, "parameters.1": {"name": "w2"}},
    "names": {"nodes.1.inputs.0": "imag", "nodes.2.name": "conv", "parameters.1.name": "w1",
              "outputs": ["logits", "nothing", "logits"]},
    "cycle": {"nodes.1.inputs.0": "logits"},
    "huge": {"inputs.0.shape": [2**40, 2**40]},
    "unplaced": {"outputs": ["image"]},
}  # fmt: skip
HOST = {"name": "device", "model": "analytical"}
BAD_COSTS: dict[str, dict[str, Any]] = {
    "many": {"hosts.0.model": 3, "links.0.uplink_bps": -1, "pins.0": {"nod": "conv"},
             "workload.mode": "train", "hots": []},
    "names": {"hosts.1.name": "device", "pins.0.host": "devise", "links": COSTS["links"] * 2},
    "rules": {"pins.0.node": "zero", "together": [["conv", "rleu"]], "forbid_crossing": ["imag"]},
    "backward": {"hosts.0.default": None, "hosts.1": {**HOST, "name": "b", "hardware": "jetson"},
                 "hosts.0.nodes": [{"name": n, "forward_s": 1} for n in ("conv", "relu", "fc")]},
    "model": {"hosts.0.model": "tabel"},
    "precision": {"hosts.0": {**HOST, "hardware": "raspberry-pi-4", "precision": "bfloat16"}},
    "slow": {"hosts.0": {**HOST, "peak_flops": 1e-20, "memory_bandwidth_bytes_per_s": 1e-20}},
    "profile": {"hosts.0": {"name": "device", "model": "measured", "profile": "nowhere.json"}},
    "shape": {"inputs": [{"name": "image", "dtype": "float32", "shape": [4, 3, 9, 9]}]},
}  # fmt: skip
BAD_PROFILES: dict[str, dict[str, Any]] = {
    "machine": {"machine.name": "xavier"},
    "engines": {"measurements.1.engine.name": "onnxruntime"},
    "unfinished": {"measurements.0.is_complete": False, "measurements.1.is_complete": False},
    "training": {"measurements.0.mode": "training"},
    "twice": {"measurements.0.nodes.1.name": "conv", "measurements.0.groups.0.nodes.0": "fc"},
}
BAD_MODELS: dict[str, Callable[[Any], object]] = {
    "version": lambda m: setattr(m, "ir_version", 1000),
    "outside": lambda m: setattr(m.graph.initializer[0].external_data[0], "value", "../weights"),
    "negative": lambda m: m.graph.initializer[0].dims.__setitem__(0, -1),
    "twice": lambda m: m.graph.node[3].output.__setitem__(0, m.graph.node[0].output[0]),
    "dangling": lambda m: m.graph.node[3].input.__setitem__(0, "nowhere"),
    "cycle": lambda m: m.graph.node[0].input.__setitem__(0, m.graph.node[-1].output[0]),
    "symbolic": lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_param", "n"),
    "endless": lambda m: m.graph.ClearField("output"),
    "unsuited": lambda m: setattr(m.graph.node[3], "op_type", "TopK"),
    "foreign": lambda m: setattr(m.graph.node[3], "domain", "my"),
    "strings": lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", 8),
}
BAD_FILES = {
    "empty.json": b"",
    "cut.json": b'{"kind": "graph",',
    "numbers.json": b'{"a": NaN, "b": [1e999, {"c": 1, "c": "\\ud800"}], "d": 9999999999999999999}',
    "notes.txt": b"some words\n",
    "words.onnx": b"some words\n",
    "pipedream.txt": PIPEDREAM.replace("=896", "=x").encode(),
    "circle.txt": f"{PIPEDREAM}\tnode3 -- node2\n".encode(),
    "zero.json": json.dumps([LAYERS[0], {**LAYERS[1], "medianMs": 0.0}]).encode(),
    "half.json": json.dumps(LAYERS[:2]).encode(),
    "layers.json": json.dumps([LAYERS[0], {**LAYERS[1], "medianMs": -1}, {"name": "fc"}]).encode(),
}
BAD_ARCHIVES: dict[str, dict[str, bytes]] = {
    "other.pt2": {"a/b": b""},
    "old.pt2": {"a/serialized_exported_program.json": b"{}"},
    "new.pt2": {"a/models/m.json": b'{"schema_version": {"major": 99}}', "a/archive_format": b""},
    "weights.pt": {"a/data.pkl": b""},
    "damaged.pt": {"a/data.pkl": b"\x80\x02N", "a/constants.pkl": b".", "a/code/x.py": b""},
}  # fmt: skip

JUNK = ("''", "x", "0", "-1", "1e999", "conv=device")
"""Given to every option of `plan`; some suit some of them."""
TOY = "plan toy.json --costs costs.json"
RATES = "--uplink 9Mbit/s --downlink 9MB/s"
DEVICE = f"--server a100 {RATES} --mode inference"
MISTAKES = {
    "": "| --version | --versoin | plna | plan | -v inspect nowhere.json | plugins x | schema plna",
    "inspect": "toy.json x | toy.jsn | . | toy.json/x | costs.json | -x | toy.json --format xml",
    f"inspect {LENET}": "--dim seq=3 | --input x:float32[2,1,32,32] | --input float32[2,1,32,31]"
    "| --batch 2000000000 | --frozen conv1* --all | --tied conv9* | --shapes onnxruntime",
    "inspect --batch 5": "bad/symbolic.onnx | bad/foreign.onnx --shapes onnxruntime",
    "inspect traced.pt": "| --input float32[2,5] | --input float32[2,4] --no-torchscript"
    "| --input float32[2,4] --dim n=2 | --input float32[2,4]",
    "inspect endless.pt --input float32[2,4]": "",
    "inspect exported.pt2": "| --batch 3 | --dim n=3 | --input float32[1]",
    TOY: "| --all | --explain | --explain --solver blockwise | --engine highs --solver maxflow"
    "| --uplink 50mb/s | --uplink 1Mbit/s --uplink 2Mbit/s | --uplink 1Mbit/s..9Mbit/s"
    "| --latency 2Ms | --wire-dtype int4 | --wire-dtype int8 | --dim a=1 --dim a=2"
    "| --solver maxflow --device-memory 1GiB | --device-memory 300KiB --server-memory 1GiB"
    "| --device-memory 256KiB --pin head=device | --device-memory 256KiB --server-memory 256KiB"
    "| --pin convv=device | --pin conv=devise | --pin zero=device | --together conv,head"
    "| --pin head=server --pin head.fc=device | --pin relu=server --pin head=device"
    "| --pin head=server --together conv,relu --forbid r | --forbid imag | --batch 7"
    "| --solver maxfow | --solver server-only | --solver brute-force | --device jetson-tx3"
    "| --objective throughput --solver maxflow | -o - | -o . | -o toy.json | -o no/plan.json",
    "plan toy.json": f"| --device jetson-tx2 | --device jetson-tx2 {DEVICE} | --costs toy.json",
    "plan wide.json --costs": "three.json --solver brute-force | training.json --batch 3"
    "| training.json --device-memory 1GiB --optimizer-states 16 | inference.json",
    f"plan {LENET} --costs": "three.json --solver segments | three.json --objective throughput"
    "| training.json --solver pulp --engine glpkk | training.json --tied conv* --untied conv*"
    "| training.json --device-memory 100kB --server-memory 400kB",
    "verify toy.plan.json --graph": f"toy.json | toy.json --costs training.json"
    f"| {LENET} --costs costs.json | toy.json --costs costs.json --solver dads"
    "| toy.json --costs costs.json --solver brute-force",
    "verify worse.plan.json --graph toy.json --costs costs.json": "| --format json",
    "compare toy.json --costs costs.json": "--solver maxfow | --pin relu=server --pin head=device",
    "table toy.json --costs costs.json": "| --uplink 1Mbit/s.. | --uplink 9Mbit/s..1Mbit/s"
    "| --uplink 1..9Mbit/s --latency 1ms..2ms | --uplink 1Mbit/s-1Gbit/s | --device-speed 0.5",
    "table toy.json --costs costs.json --device-speed 1..2": "| --objective throughput"
    "| --solver dads | --device-memory 300KiB | --map map.svg | --map map.gif | --at uplink=3",
    "zoo": "resnet51 -o x.onnx | lenet5 | lenet5 -o - | lenet5 -o toy.json"
    "| lenet5 --batch 0 -o x.onnx | lenet5 --sequence 9 -o x.onnx | gpt2 --sequence 9999 -o x.onnx",
    "profile": f"| --list-providers | {LENET} | toy.json -o p.json | {LENET} -o toy.json"
    f"| {LENET} -o p.json --provider tensorrt | {LENET} -o p.json --resume",
    "probe": f"| export toy.json -o p.zip | export {LENET} -o toy.json"
    f"| export gpt2.inference.onnx -o p.zip --opset 7 | export {LENET} -o p.zip --batch 7",
    "import-profile": "pipedream.txt -o p.json | costs.json --graph toy.json -o p.json"
    "| layers.json -o p.json | layers.json --graph toy.json -o layers.json --force"
    "| layers.json --graph wide.json -o p.json | layers.json --graph toy.json",
    "import-profile --graph toy.json -o p.json": "layers.json --format tensorrt"
    "| layers.json --format onnxruntime | layers.json --server-speed 3"
    "| bad/cut.json | bad/half.json | bad/layers.json | bad/zero.json",
    f"import-profile --graph-out g.json --server-speed 9 {RATES} -o p.json": "bad/pipedream.txt"
    "| bad/circle.txt | pipedream.txt --graph toy.json",
    "merge-profiles -o p.json": "| one.json one.json | one.json bad/machine.profile.json"
    "| one.json bad/unfinished.profile.json | one.json toy.json bad/cut.json nowhere.json .",
    "plan toy.json --costs one.json": f"| {DEVICE} | --server a100 {RATES} --mode training"
    f"| {DEVICE} --batch 6 | {DEVICE} --by-signature | --device jetson-tx2",
    f"plan toy.json {DEVICE} --costs": "merged.json --batch 6 | bad/unfinished.profile.json"
    "| bad/engines.profile.json --batch 6 | bad/twice.profile.json | bad/training.profile.json",
    f"plan wide.json {DEVICE} --costs one.json": "| --by-signature",
}  # fmt: skip
"""Commands, by how they begin: mistakes of all kinds, and what is next to them and right."""
