"""What planning a large torch module takes: a Llama-style decoder of 1.2 billion parameters.

The module is built on the meta device, so it has no weights; it is loaded through torch.export and
planned. Time and peak memory are those of the whole process, `import torch` included.
"""

from __future__ import annotations

import time

from benchmarks.machine import describe, peak_kib

LIMIT_GIB = 1.5


def main() -> None:
    """Load, plan, and print one line."""
    begin = time.perf_counter()
    import torch

    import planner
    from planner.costs.cost_file import check_costs
    from planner.files.values import JsonValue
    from tests.support.torch_nets.zoo import llama

    imported = time.perf_counter()
    with torch.device("meta"):
        module = llama()
    graph = planner.load(module, ["int64[1,128]"])
    loaded = time.perf_counter()
    hosts = {"device": "jetson-orin-nx", "server": "a100"}
    document: JsonValue = {
        "kind": "costs",
        "version": 1,
        "hosts": [{"name": n, "model": "analytical", "hardware": h} for n, h in hosts.items()],
        "links": [{"uplink_bps": 1e8, "downlink_bps": 1e8}],
    }
    plan = planner.plan(graph, check_costs(document, where="costs"))
    done = time.perf_counter()
    gib = peak_kib() / 2**20
    count = graph.summary()["trainable_parameters"]
    print(describe())
    print(
        f"{count:,} parameters, {len(graph.operators)} operators: import {imported - begin:.1f} s, "
        f"load {loaded - imported:.1f} s, plan {done - loaded:.1f} s; peak {gib:.2f} GiB "
        f"(wanted: at most {LIMIT_GIB}); proven: {plan.certificate.holds}"
    )


if __name__ == "__main__":
    main()
